// Who shares a pool, and by which rules.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <reeve/base/clock.hpp>
#include <string>
#include <vector>

namespace reeve {
struct ResourceConfig;
}

namespace reeve::bridge {

inline constexpr std::size_t unlimited = SIZE_MAX;

/// Of a pool's workers, those that one requester owns, and how far it shares.
struct WorkerQuota {
  std::size_t nominal = 0;         ///< its own; all requesters' together at most the pool's workers
  std::size_t borrow = unlimited;  ///< most that it may hold beyond `nominal`
  std::size_t lend = unlimited;    ///< most of its own that others may hold; the rest is kept free
};

/// One of those who share the pool.
struct Requester {
  std::string name;          ///< 1 to 100 bytes, unlike all others
  std::uint32_t weight = 1;  ///< its part under fair_share; >= 1
  int priority = 0;          ///< added to the priority of each of its requests
  /// None: it owns nothing and borrows what nobody owns, or what is lent.
  std::optional<WorkerQuota> quota{};
};

/// Who gets the next worker. Requests of one requester that want the same device at the same
/// priority are served first come, first served, under every policy.
enum class SchedulingPolicy {
  fifo,        ///< who came first
  priority,    ///< the highest priority; then who came first
  fair_share,  ///< who has least for its weight; then the highest priority; then who came first
};

/// Priority that grows while a request waits, under SchedulingPolicy::priority. It decides who is
/// next, never who is preempted.
struct Ageing {
  std::chrono::milliseconds period{0};  ///< each of these waited adds `step`; 0: no ageing
  int step = 1;                         ///< >= 1
  int gained_max = 1 << 20;             ///< most that waiting adds; >= 0
};

/// When a request that has to wait may take the worker of a lease that is `preemptible`. The rules
/// hold whatever the policy; each is free of circles.
struct PreemptionRules {
  bool by_priority = true;  ///< from a request of a lower priority
  /// From a requester that borrows, for one that stays within its nominal quota.
  bool by_quota = true;
  /// From a requester that has more for its weight than the taker will have.
  bool by_share = false;
  /// Between asking (this_worker::stop_requested) and revoking; 0 to 1 h.
  std::chrono::milliseconds grace{1000};
};

/// Parameters of a WorkerScheduler. `find_fault` checks them against the pool.
struct SchedulerConfig {
  std::vector<Requester> requesters;  ///< at least one
  SchedulingPolicy policy = SchedulingPolicy::fair_share;
  /// fair_share: 0 compares workers held now; else worker time used, of which half is forgotten
  /// after this.
  std::chrono::milliseconds half_life{0};
  Ageing ageing;
  PreemptionRules preemption;
  std::size_t waiter_count_max = 100'000;         ///< more get PoolSaturatedError; >= 1
  const Clock* clock = &SystemClock::instance();  ///< must outlive scheduler and leases
};

/// The first fault of `config` over a pool of `pool` as a sentence with value, range and remedy;
/// empty if there is none.
std::optional<std::string> find_fault(const SchedulerConfig& config, const ResourceConfig& pool);

}  // namespace reeve::bridge
