// A look at a manager.
#include <fmt/format.h>

#include <iterator>

#include "manager/state.hpp"

namespace reeve {
namespace detail {
namespace {

ManagedPoolInfo look_at(const ManagerEntry& entry, Clock::time_point now) {
  ManagedPoolInfo info;
  info.n_jobs = entry.n_jobs.load(std::memory_order_relaxed);
  info.type = entry.type;
  info.label = entry.key.label;
  info.handles = entry.handles.load(std::memory_order_relaxed);
  info.uses = entry.uses;
  if (entry.unused && !entry.lingering) info.idle = now - entry.idle_since;
  info.started = entry.started.load(std::memory_order_relaxed) != nullptr;
  info.retired = entry.place == ManagerEntry::Place::retired;
  info.health = entry.health();
  return info;
}

}  // namespace

ManagerStats ManagerState::stats() const {
  check_owner();
  ManagerStats stats;
  const std::lock_guard lock(mutex_);
  const Clock::time_point now = config_.clock->now();
  stats.active_pools = pools_.size();
  stats.retired_pools = retired_.size();
  stats.configs.reserve(pools_.size() + retired_.size());
  for (const EntryPtr& entry : pools_) stats.configs.push_back(look_at(*entry, now));
  for (const EntryPtr& entry : retired_) stats.configs.push_back(look_at(*entry, now));
  stats.hits = hits_;
  stats.misses = misses_;
  stats.creations = creations_;
  stats.reaped = reaped_;
  stats.evicted = evicted_;
  stats.retired = retirements_;
  stats.replaced = replaced_;
  stats.running = operations_;
  stats.is_shutdown = is_shutdown();
  return stats;
}

}  // namespace detail

std::string to_prometheus(const ManagerStats& stats) {
  std::string text;
  const auto put = [&](std::string_view name, std::string_view kind, auto value) {
    fmt::format_to(std::back_inserter(text),
                   "# TYPE reeve_manager_{0} {1}\nreeve_manager_{0} {2}\n", name, kind, value);
  };
  std::size_t in_use = 0;
  for (const ManagedPoolInfo& pool : stats.configs) in_use += pool.handles > 0;
  put("active_pools", "gauge", stats.active_pools);
  put("retired_pools", "gauge", stats.retired_pools);
  put("pools_in_use", "gauge", in_use);
  put("running_calls", "gauge", stats.running);
  put("hits_total", "counter", stats.hits);
  put("misses_total", "counter", stats.misses);
  put("creations_total", "counter", stats.creations);
  put("reaped_total", "counter", stats.reaped);
  put("evicted_total", "counter", stats.evicted);
  put("retired_total", "counter", stats.retired);
  put("replaced_total", "counter", stats.replaced);
  put("is_shutdown", "gauge", stats.is_shutdown ? 1 : 0);
  return text;
}

}  // namespace reeve
