// find_fault: what cannot work is said before anything starts.
#include <reeve/bridge/config.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <reeve/pool/config.hpp>
#include <set>

namespace reeve::bridge {
namespace {

using Fault = std::optional<std::string>;

Fault find_quota_fault(const Requester& requester, std::size_t workers) {
  if (!requester.quota) return {};
  const WorkerQuota& quota = *requester.quota;
  if (quota.nominal > workers) {
    return fmt::format(
        "requester '{}' has a nominal quota of {}, but the pool has {} workers; lower the quota or "
        "raise max_workers",
        requester.name, quota.nominal, workers);
  }
  if (quota.lend != unlimited && quota.lend > quota.nominal) {
    return fmt::format(
        "requester '{}' would lend {} of its {} workers; lend 0 to {}, or leave it unlimited",
        requester.name, quota.lend, quota.nominal, quota.nominal);
  }
  if (quota.nominal == 0 && quota.borrow == 0) {
    return fmt::format(
        "requester '{}' owns no worker and may borrow none, so it could never get one; raise "
        "nominal or borrow",
        requester.name);
  }
  return {};
}

Fault find_requester_fault(const SchedulerConfig& config, std::size_t workers) {
  if (config.requesters.empty()) {
    return "requesters is empty; name at least one, so that somebody may acquire";
  }
  std::set<std::string_view> names;
  std::size_t owned = 0;
  for (const Requester& r : config.requesters) {
    if (r.name.empty() || r.name.size() > 100) {
      return fmt::format("a requester's name has 1 to 100 bytes; '{}' has {}", r.name.substr(0, 40),
                         r.name.size());
    }
    if (!names.insert(r.name).second) {
      return fmt::format("there are two requesters '{}'; give each a name of its own", r.name);
    }
    if (r.weight == 0) {
      return fmt::format(
          "requester '{}' has weight 0, so it would never be served; give it 1 or more", r.name);
    }
    if (auto fault = find_quota_fault(r, workers)) return fault;
    owned += r.quota ? r.quota->nominal : 0;
  }
  if (owned > workers) {
    return fmt::format(
        "nominal quotas sum up to {}, but the pool has {} workers; lower them or raise max_workers",
        owned, workers);
  }
  return {};
}

Fault find_time_fault(const char* name, std::chrono::milliseconds value,
                      std::chrono::milliseconds longest) {
  if (value.count() >= 0 && value <= longest) return {};
  return fmt::format("{} is {} ms; it must be 0 to {} ms", name, value.count(), longest.count());
}

}  // namespace

std::optional<std::string> find_fault(const SchedulerConfig& config, const ResourceConfig& pool) {
  using namespace std::chrono_literals;
  if (auto fault = find_requester_fault(config, pool.max_workers)) return fault;
  constexpr std::chrono::milliseconds year = 24h * 366;
  if (auto fault = find_time_fault("half_life", config.half_life, year)) return fault;
  if (auto fault = find_time_fault("ageing.period", config.ageing.period, year)) return fault;
  if (auto fault = find_time_fault("preemption.grace", config.preemption.grace, 1h)) return fault;
  if (config.half_life.count() > 0 && config.policy != SchedulingPolicy::fair_share) {
    return fmt::format("half_life is {} ms, which only fair_share knows; leave it 0",
                       config.half_life.count());
  }
  if (config.ageing.period.count() > 0 && config.policy != SchedulingPolicy::priority) {
    return fmt::format("ageing.period is {} ms, which only the policy priority knows; leave it 0",
                       config.ageing.period.count());
  }
  if (config.ageing.step < 1) {
    return fmt::format("ageing.step is {}; it must be 1 or more (period 0 turns ageing off)",
                       config.ageing.step);
  }
  if (config.ageing.gained_max < 0) {
    return fmt::format("ageing.gained_max is {}; it must be 0 or more", config.ageing.gained_max);
  }
  if (config.waiter_count_max < 1) {
    return "waiter_count_max is 0, so nobody could ever wait; give it 1 or more";
  }
  if (config.clock == nullptr) return "clock is null; leave it out for the real one";
  return {};
}

}  // namespace reeve::bridge
