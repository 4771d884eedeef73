// Random requests, ends, cancellations, deaths and time against a plain model of the rules.
#include "tests/bridge/bridge_model.hpp"

namespace reeve::test {
namespace {

SchedulerConfig random_config() {
  const auto pick = [](int low, int high) { return *rc::gen::inRange(low, high + 1); };
  SchedulerConfig config;
  config.policy = static_cast<SchedulingPolicy>(pick(0, 2));
  const bool quotas = pick(0, 1) == 1;
  int left = static_cast<int>(workers);
  for (const char* name : {"a", "b", "c"}) {
    Requester requester{name, static_cast<std::uint32_t>(pick(1, 3)), pick(0, 1)};
    if (quotas && pick(0, 2) > 0) {
      WorkerQuota quota;
      quota.nominal = static_cast<std::size_t>(pick(0, left));
      left -= static_cast<int>(quota.nominal);
      if (pick(0, 1) == 1) quota.borrow = static_cast<std::size_t>(pick(1, 2));
      if (pick(0, 1) == 1)
        quota.lend = static_cast<std::size_t>(pick(0, static_cast<int>(quota.nominal)));
      requester.quota = quota;
    }
    config.requesters.push_back(requester);
  }
  if (config.policy == SchedulingPolicy::priority) config.ageing.period = 5s * pick(0, 1);
  config.preemption.by_priority = pick(0, 3) > 0;
  config.preemption.by_quota = pick(0, 3) > 0;
  config.preemption.by_share = pick(0, 1) == 1;
  config.preemption.grace = 2s * pick(0, 1);
  return config;
}

/// The scheduler and its model side by side.
class Pair {
 public:
  explicit Pair(const SchedulerConfig& config) : shop_(workers, config), model_(config) {}

  void step(int what, int which, int much) {
    if (what < 4) return ask(which, much);
    if (what < 6) return end(which, what == 5);
    if (what == 6) return cancel(which);
    RC_LOG() << "advance " << much % 4 << "\n";
    model_.advance(much % 4);
    shop_.advance(std::chrono::seconds(much % 4));
  }

  void compare() {
    std::vector<int> held, waiting;
    std::size_t stopping = 0;
    for (const auto& [id, job] : model_.held) {
      held.push_back(id);
      stopping += job.stopping;
    }
    for (const auto& [id, job] : model_.waiting) waiting.push_back(id);
    RC_ASSERT(ids([](const Turn& t) { return t.has() && !t.lease->revoked(); }) == held);
    RC_ASSERT(ids([](const Turn& t) { return t.waits(); }) == waiting);
    const auto status = shop_.scheduler->status();
    RC_ASSERT(status.stopping == stopping);
    RC_ASSERT(status.leased == held.size());
    RC_ASSERT(status.waiting == waiting.size());
    RC_ASSERT(status.differences.empty());
    RC_ASSERT(shop_.pool.status().active_tasks == held.size());
    for (std::size_t r = 0; r < status.requesters.size(); ++r) {
      const auto of_r = std::count_if(model_.held.begin(), model_.held.end(),
                                      [r](const auto& entry) { return entry.second.who == r; });
      RC_ASSERT(status.requesters[r].held == static_cast<std::size_t>(of_r));
    }
  }

  void finish() {
    while (!turns_.empty()) {
      if (turns_.begin()->second->waits()) turns_.begin()->second->cancel();
      turns_.erase(turns_.begin());
      shop_.settle();
    }
    const auto status = shop_.scheduler->status();
    RC_ASSERT(status.leased == 0U);
    RC_ASSERT(status.waiting == 0U);
    RC_ASSERT(status.differences.empty());
    RC_ASSERT(shop_.pool.status().active_tasks == 0U);
  }

 private:
  template <class Is>
  std::vector<int> ids(Is is) const {
    std::vector<int> result;
    for (const auto& [id, turn] : turns_) {
      if (is(*turn)) result.push_back(id);
    }
    return result;
  }
  void ask(int which, int much) {
    static constexpr const char* names[] = {"a", "b", "c"};
    const auto who = static_cast<std::size_t>(which % 3);
    WorkerRequest request;
    request.priority = much % 3;
    request.preemptible = much % 5 < 3;
    const int id = next_++;
    RC_LOG() << "ask " << id << " of " << names[who] << " priority " << request.priority
             << (request.preemptible ? " preemptible\n" : "\n");
    model_.ask(id, who, request.priority, request.preemptible);
    turns_[id] = shop_.ask(names[who], request);
  }
  template <class Map>
  static int nth(const Map& map, int n) {
    return std::next(map.begin(), n % static_cast<int>(map.size()))->first;
  }
  void end(int which, bool by_death) {
    if (model_.held.empty()) return;
    const int id = nth(model_.held, which);
    RC_LOG() << "end " << id << (by_death ? " by death\n" : "\n");
    model_.end(id);
    if (by_death) {
      shop_.pool.preempt(turns_[id]->lease->key(), "outside", "its worker is lost");
    } else {
      turns_[id]->give_back();
    }
    shop_.settle();
  }
  void cancel(int which) {
    if (model_.waiting.empty()) return;
    const int id = nth(model_.waiting, which);
    RC_LOG() << "cancel " << id << "\n";
    model_.cancel(id);
    turns_[id]->cancel();
    shop_.settle();
  }

  Shop shop_;
  Model model_;
  std::map<int, TurnPtr> turns_;
  int next_ = 0;
};

std::string text_of(const SchedulerConfig& config) {
  std::string text = "policy " + std::to_string(static_cast<int>(config.policy)) + ", ageing " +
                     std::to_string(config.ageing.period.count()) + ", rules " +
                     std::to_string(config.preemption.by_priority) +
                     std::to_string(config.preemption.by_quota) +
                     std::to_string(config.preemption.by_share) + ", grace " +
                     std::to_string(config.preemption.grace.count());
  for (const Requester& r : config.requesters) {
    text += "; " + r.name + " weight " + std::to_string(r.weight) + " priority " +
            std::to_string(r.priority);
    if (!r.quota) continue;
    text += " nominal " + std::to_string(r.quota->nominal) + " borrow " +
            std::to_string(static_cast<int>(r.quota->borrow)) + " lend " +
            std::to_string(static_cast<int>(r.quota->lend));
  }
  return text;
}

void run_random(int steps) {
  const SchedulerConfig config = random_config();
  RC_LOG() << text_of(config) << "\n";
  Pair pair(config);
  for (int i = 0; i < steps; ++i) {
    const int what = *rc::gen::inRange(0, 8);
    const int which = *rc::gen::inRange(0, 60);
    const int much = *rc::gen::inRange(0, 60);
    pair.step(what, which, much);
    pair.compare();
  }
  pair.finish();
}

RC_GTEST_PROP(BridgeModel, TheSchedulerDoesWhatTheModelSays, ()) {
  run_random(40);
}

}  // namespace
}  // namespace reeve::test
