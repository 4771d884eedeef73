// What a scheduler should do, by loops over lists: the plain model of the rules.
#pragma once

#include <compare>
#include <map>
#include <set>
#include <tuple>
#include <vector>

#include "tests/bridge/bridge_test_support.hpp"

namespace reeve::test {

inline constexpr std::size_t workers = 3;
inline constexpr std::int64_t second = 1'000'000'000;

/// What should happen, by loops over lists.
///
/// A lease that was granted is `coming` until the pool has a worker for it, and a victim that is
/// coming ends only after that. How long this takes no contract says: the pool may have an idle
/// worker, or have to start one while other leases end. So a step ends in one of several states:
/// `outcomes` has them all, and the scheduler must be in one.
class Model {
 public:
  struct Job {
    int id = 0;
    std::size_t who = 0;
    int priority = 0;
    bool preemptible = false;
    std::int64_t since = 0;
    int order = 0;    // of the grant
    int victim = -1;  // waiting: whom it took
    int heir = -1;    // held: for whom it was asked
    bool coming = false;
    bool stopping = false;
    bool revoked = false;
    std::int64_t revoke_at = 0;

    friend auto operator<=>(const Job&, const Job&) = default;
  };

  explicit Model(SchedulerConfig config) : config_(std::move(config)) {}

  std::map<int, Job> waiting;  // by id, which ascends with arrival
  std::map<int, Job> held;

  void ask(int id, std::size_t who, int priority, bool preemptible) {
    Job job{id, who, config_.requesters[who].priority + priority, preemptible, now_};
    waiting.emplace(id, job);
    dispatch();
  }
  void cancel(int id) {
    const int victim = waiting.at(id).victim;
    if (victim >= 0) held.at(victim).heir = -1;
    waiting.erase(id);
    dispatch();
  }
  void end(int id) { ended_.push_back(id); }
  void advance(std::int64_t seconds) {
    now_ += seconds * second;
    std::vector<Job*> due;
    for (auto& [id, job] : held) {
      if (job.stopping && !job.revoked && job.revoke_at <= now_) due.push_back(&job);
    }
    std::sort(due.begin(), due.end(), [](Job* a, Job* b) { return a->order < b->order; });
    for (Job* job : due) {
      if (job->heir >= 0) {
        take_back(*job);
      } else {
        job->stopping = false;
      }
    }
    dispatch();
  }

  /// All states in which what was begun may be over, each once.
  std::vector<Model> outcomes() const {
    std::vector<Model> result;
    std::vector<Model> open{*this};
    std::set<State> seen;
    while (!open.empty()) {
      const Model at = std::move(open.back());
      open.pop_back();
      if (!seen.insert(at.state()).second) continue;
      bool over = at.ended_.empty();
      if (!over) open.emplace_back(at).end_first();
      for (const auto& [id, job] : at.held) {
        if (!job.coming) continue;
        over = false;
        open.emplace_back(at).arrive(id);
      }
      if (over) result.push_back(at);
    }
    return result;
  }

  using State = std::tuple<std::map<int, Job>, std::map<int, Job>, std::vector<int>>;
  State state() const { return {waiting, held, ended_}; }

 private:
  std::int64_t nominal(std::size_t r) const {
    const auto& quota = config_.requesters[r].quota;
    return quota ? static_cast<std::int64_t>(quota->nominal) : 0;
  }
  std::int64_t most(std::size_t r) const {
    const auto& quota = config_.requesters[r].quota;
    return quota && quota->borrow != bridge::unlimited
               ? nominal(r) + static_cast<std::int64_t>(quota->borrow)
               : 1000;
  }
  std::int64_t kept(std::size_t r) const {
    const auto& quota = config_.requesters[r].quota;
    if (!quota) return 0;
    return nominal(r) - static_cast<std::int64_t>(std::min(quota->nominal, quota->lend));
  }
  bool quotas() const {
    return std::any_of(config_.requesters.begin(), config_.requesters.end(),
                       [](const Requester& r) { return r.quota.has_value(); });
  }
  std::vector<std::int64_t> used() const {
    std::vector<std::int64_t> n(config_.requesters.size());
    for (const auto& [id, job] : held) ++n[job.who];
    return n;
  }
  /// `n` workers are used: may `who` have one more?
  bool fits(const std::vector<std::int64_t>& n, std::size_t who) const {
    std::int64_t all = 0;
    std::int64_t taken = 0;  // used, or kept for those who do not use it
    for (std::size_t r = 0; r < n.size(); ++r) {
      all += n[r];
      taken += std::max(n[r] + (r == who), kept(r));
    }
    if (all >= static_cast<std::int64_t>(workers)) return false;
    return !quotas() || (n[who] < most(who) && taken <= static_cast<std::int64_t>(workers));
  }
  std::int64_t borrowed(std::size_t r, std::int64_t more = 0) const {
    return quotas() ? std::max<std::int64_t>(0, used()[r] + more - nominal(r)) : 0;
  }

  bool before(const Job& a, const Job& b) const {
    const auto n = used();
    const auto weight = [&](const Job& j) {
      return static_cast<std::int64_t>(config_.requesters[j.who].weight);
    };
    if (quotas()) {
      const bool a_borrows = n[a.who] + 1 > nominal(a.who);
      const bool b_borrows = n[b.who] + 1 > nominal(b.who);
      if (a_borrows != b_borrows) return b_borrows;
    }
    if (config_.policy == SchedulingPolicy::fair_share && a.who != b.who) {
      const std::int64_t left = n[a.who] * weight(b);
      const std::int64_t right = n[b.who] * weight(a);
      if (left != right) return left < right;
      if (n[a.who] != n[b.who]) return n[a.who] < n[b.who];
    }
    if (config_.policy != SchedulingPolicy::fifo) {
      const std::int64_t period = config_.ageing.period.count() * 1'000'000;
      const auto aged = [&](const Job& j) {
        return j.priority + (period > 0 ? (now_ - j.since) / period : 0);
      };
      if (aged(a) != aged(b)) return aged(a) > aged(b);
    }
    return std::pair(a.since, a.id) < std::pair(b.since, b.id);
  }

  std::vector<Job*> heads() {
    std::map<std::pair<std::size_t, int>, Job*> first;
    for (auto& [id, job] : waiting) first.try_emplace({job.who, job.priority}, &job);
    std::vector<Job*> result;
    for (const auto& [key, job] : first) result.push_back(job);
    return result;
  }
  Job* take_first(std::vector<Job*>& list) const {
    const auto at = std::min_element(list.begin(), list.end(),
                                     [this](Job* a, Job* b) { return before(*a, *b); });
    Job* const job = *at;
    list.erase(at);
    return job;
  }

  void grant(int id) {
    Job job = waiting.at(id);
    waiting.erase(id);
    if (job.victim >= 0) held.at(job.victim).heir = -1;
    job.victim = -1;
    job.order = ++orders_;
    job.coming = true;
    held.emplace(id, job);
  }
  bool serve_one() {
    Job* chosen = nullptr;
    for (std::vector<Job*> list = heads(); !list.empty();) {
      if (chosen != nullptr && !chosen->preemptible) break;
      Job* const job = take_first(list);
      if (chosen == nullptr) {
        if (!fits(used(), job->who)) continue;
      } else {
        const bool takes_it = allowed(*job, held.at(chosen->id));
        auto without = used();
        --without[chosen->who];
        if (!takes_it || !fits(without, job->who)) continue;
        held.erase(chosen->id);
      }
      chosen = job;
      Job begun = *job;
      begun.order = ++orders_;
      held.emplace(begun.id, begun);
    }
    if (chosen == nullptr) return false;
    const int id = chosen->id;
    held.erase(id);
    --orders_;
    grant(id);
    return true;
  }

  bool allowed(const Job& taker, const Job& victim) const {
    const PreemptionRules& rules = config_.preemption;
    if (rules.by_priority && taker.priority > victim.priority) return true;
    if (taker.who == victim.who) return false;
    std::int64_t coming = 0;
    std::int64_t going = 0;
    for (const auto& [id, job] : held) {
      going += job.stopping && job.who == victim.who && job.id != victim.id;
      coming += job.stopping && job.heir >= 0 && waiting.at(job.heir).who == taker.who;
    }
    if (rules.by_quota && config_.requesters[taker.who].quota &&
        borrowed(taker.who, coming + 1) == 0 && borrowed(victim.who, -going) > 0) {
      return true;
    }
    const auto n = used();
    const std::int64_t own = config_.requesters[taker.who].weight;
    const std::int64_t other = config_.requesters[victim.who].weight;
    return rules.by_share && (n[taker.who] + coming + 1) * other < (n[victim.who] - going) * own;
  }
  /// Used when `victim` is gone and all others that were named are with their heirs.
  std::vector<std::int64_t> handed_over(const Job& victim) const {
    auto n = used();
    --n[victim.who];
    for (const auto& [id, job] : held) {
      if (job.heir < 0) continue;
      --n[job.who];
      ++n[waiting.at(job.heir).who];
    }
    return n;
  }
  bool nominate(Job& taker) {
    std::vector<Job*> candidates;
    for (auto& [id, job] : held) {
      const bool orphan = job.stopping && !job.revoked && job.heir < 0;
      if (job.preemptible && (!job.stopping || orphan) && allowed(taker, job)) {
        candidates.push_back(&job);
      }
    }
    std::sort(candidates.begin(), candidates.end(), [this](Job* a, Job* b) {
      const auto rank = [this](Job* j) {
        return std::tuple(!j->stopping, borrowed(j->who) == 0, j->priority, -j->order);
      };
      return rank(a) < rank(b);
    });
    for (Job* const victim : candidates) {
      auto n = used();
      int wanted = 1;
      --n[victim->who];
      for (const auto& [id, job] : held) {
        if (job.heir < 0 || waiting.at(job.heir).who != taker.who) continue;
        --n[job.who];
        ++wanted;
      }
      bool enough = true;
      for (; enough && wanted > 0; --wanted) {
        enough = fits(n, taker.who);
        ++n[taker.who];
      }
      if (!enough || !fits(handed_over(*victim), taker.who)) continue;
      victim->heir = taker.id;
      taker.victim = victim->id;
      if (victim->stopping) return true;
      victim->stopping = true;
      victim->revoke_at = now_ + config_.preemption.grace.count() * 1'000'000;
      if (victim->revoke_at <= now_) take_back(*victim);
      return true;
    }
    return false;
  }
  /// One that is coming is taken back when it is there.
  void take_back(Job& victim) {
    if (victim.coming) return;
    victim.revoked = true;
    ended_.push_back(victim.id);
  }

  void dispatch() {
    while (serve_one()) {
    }
    for (std::vector<Job*> list = heads(); !list.empty();) {
      const Job* const head = take_first(list);
      for (auto& [id, job] : waiting) {
        if (job.who != head->who || job.priority != head->priority || job.victim >= 0) continue;
        if (!nominate(job)) break;
      }
    }
  }
  void arrive(int id) {
    Job& job = held.at(id);
    job.coming = false;
    if (!job.stopping) return;
    if (job.heir < 0) {
      job.stopping = false;  // spared
      dispatch();
    } else if (job.revoke_at <= now_) {
      take_back(job);
    }
  }
  void end_first() {
    const int id = ended_.front();
    ended_.erase(ended_.begin());
    const auto at = held.find(id);
    if (at == held.end()) return;
    const int heir = at->second.heir;
    held.erase(at);
    if (heir >= 0) {
      Job& job = waiting.at(heir);
      job.victim = -1;
      if (fits(used(), job.who)) grant(heir);
    }
    dispatch();
  }

  using PreemptionRules = bridge::PreemptionRules;
  SchedulerConfig config_;
  std::int64_t now_ = 0;
  int orders_ = 0;
  std::vector<int> ended_;
};

}  // namespace reeve::test
