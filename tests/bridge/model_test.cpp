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

/// The scheduler and its model side by side: all states of the model that agree with what was seen.
class Pair {
 public:
  Pair(const SchedulerConfig& config, std::ostream& log)
      : log_(log), shop_(workers, config), models_{Model(config)} {}

  void step(int what, int which, int much) {
    if (what < 4) return ask(which % 3, much % 3, much % 5 < 3);
    if (what < 6) return held().empty() ? void() : end(nth(held(), which), what == 5);
    if (what == 6) return waiting().empty() ? void() : cancel(nth(waiting(), which));
    log_ << "advance " << much % 4 << "\n";
    each([&](Model& model) { model.advance(much % 4); });
    shop_.advance(std::chrono::seconds(much % 4));
  }

  void ask(int who, int priority, bool preemptible) {
    static constexpr const char* names[] = {"a", "b", "c"};
    WorkerRequest request;
    request.priority = priority;
    request.preemptible = preemptible;
    const int id = next_++;
    log_ << "ask " << id << " of " << names[who] << " priority " << priority
         << (preemptible ? " preemptible\n" : "\n");
    each(
        [&](Model& model) { model.ask(id, static_cast<std::size_t>(who), priority, preemptible); });
    turns_[id] = shop_.ask(names[who], request);
  }
  void end(int id, bool by_death = false) {
    log_ << "end " << id << (by_death ? " by death\n" : "\n");
    each([&](Model& model) { model.end(id); });
    if (by_death) {
      shop_.pool.preempt(turns_[id]->lease->key(), "outside", "its worker is lost");
    } else {
      turns_[id]->give_back();
    }
    shop_.settle();
  }
  void cancel(int id) {
    log_ << "cancel " << id << "\n";
    each([&](Model& model) { model.cancel(id); });
    turns_[id]->cancel();
    shop_.settle();
  }

  std::vector<int> held() const {
    return ids([](const Turn& t) { return t.has() && !t.lease->revoked(); });
  }
  std::vector<int> waiting() const {
    return ids([](const Turn& t) { return t.waits(); });
  }

  /// What is and what should be; empty if they agree.
  std::string difference() {
    const std::string is = text_of(held(), waiting(), shop_.scheduler->status().stopping);
    std::string text = "it is:     " + is;
    std::erase_if(models_, [&](const Model& model) {
      const auto stopping = std::count_if(model.held.begin(), model.held.end(),
                                          [](const auto& entry) { return entry.second.stopping; });
      const std::string should =
          text_of(keys(model.held), keys(model.waiting), static_cast<std::size_t>(stopping));
      text += "\nshould be: ";
      text += should;
      return should != is;
    });
    return models_.empty() ? text : std::string();
  }

  void compare() {
    RC_ASSERT(difference() == "");
    const auto status = shop_.scheduler->status();
    RC_ASSERT(status.leased == held().size());
    RC_ASSERT(status.waiting == waiting().size());
    RC_ASSERT(status.differences.empty());
    RC_ASSERT(shop_.pool.status().active_tasks == held().size());
    for (std::size_t r = 0; r < status.requesters.size(); ++r) {
      const auto& held = models_.front().held;
      const auto of_r = std::count_if(held.begin(), held.end(),
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
  static std::vector<int> keys(const std::map<int, Model::Job>& jobs) {
    std::vector<int> result;
    for (const auto& [id, job] : jobs) result.push_back(id);
    return result;
  }
  static std::string text_of(const std::vector<int>& held, const std::vector<int>& waiting,
                             std::size_t stopping) {
    std::string text = "held";
    for (const int id : held) text += ' ' + std::to_string(id);
    text += ", waiting";
    for (const int id : waiting) text += ' ' + std::to_string(id);
    text += ", stopping ";
    text += std::to_string(stopping);
    return text;
  }
  static int nth(const std::vector<int>& list, int n) {
    return list[static_cast<std::size_t>(n) % list.size()];
  }
  template <class Do>
  void each(Do act) {
    std::vector<Model> after;
    std::set<Model::State> seen;
    for (Model& model : models_) {
      act(model);
      for (Model& outcome : model.outcomes()) {
        if (seen.insert(outcome.state()).second) after.push_back(std::move(outcome));
      }
    }
    models_ = std::move(after);
  }

  std::ostream& log_;
  Shop shop_;
  std::vector<Model> models_;
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
  Pair pair(config, RC_LOG());
  for (int i = 0; i < steps; ++i) {
    const int what = *rc::gen::inRange(0, 8);
    const int which = *rc::gen::inRange(0, 60);
    const int much = *rc::gen::inRange(0, 60);
    pair.step(what, which, much);
    pair.compare();
  }
  pair.finish();
}

// Found by the property. Its last two steps name a victim that is coming, and could name another
// for one whom quotas refuse as soon as the first is handed over.
TEST(BridgeModel, NobodyLosesAWorkerInVainWhereTwoTakersAreTooMany) {
  SchedulerConfig config;
  config.requesters = {{"a", 1, 1, WorkerQuota{2, bridge::unlimited, 0}},
                       {"b", 2, 1, WorkerQuota{0, 1, 0}},
                       {"c", 2, 0, WorkerQuota{0, 1, 0}}};
  config.policy = SchedulingPolicy::priority;
  config.preemption = {.by_priority = true, .by_quota = false, .by_share = true, .grace = 0ms};
  struct Step {
    char who;
    int which;  // an end: of whom; else the priority
    bool preemptible = true;
  };
  constexpr char e = 'e';
  const std::vector<Step> steps{
      {'a', 0},        {'a', 0}, {'a', 0}, {'a', 0}, {'a', 0}, {'a', 0}, {'a', 0},        {'a', 1},
      {e, 0},          {'a', 1}, {'a', 0}, {'a', 1}, {'a', 2}, {'a', 2}, {'a', 0, false}, {'b', 1},
      {'b', 1, false}, {'a', 0}, {'b', 1}, {e, 11},  {'a', 0}, {'b', 1}, {'b', 2},        {e, 20},
      {'a', 1},        {'a', 0}, {'a', 0}, {e, 12},  {'b', 0}, {'a', 0}, {'c', 0},        {'b', 0},
      {e, 15},         {e, 5},   {e, 6},   {'a', 0}, {'a', 0}, {'a', 2}, {'a', 2}};
  std::ostringstream log;
  Pair pair(config, log);
  for (const Step& step : steps) {
    if (step.who == e) {
      pair.end(step.which);
    } else {
      pair.ask(step.who - 'a', step.which, step.preemptible);
    }
    ASSERT_EQ(pair.difference(), "") << log.str();
  }
}

RC_GTEST_PROP(BridgeModel, TheSchedulerDoesWhatTheModelSays, ()) {
  run_random(40);
}

}  // namespace
}  // namespace reeve::test
