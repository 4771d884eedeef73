// A look at a manager: plain values, taken under its lock in one piece.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <reeve/manager/executor_type.hpp>
#include <reeve/pool/status.hpp>
#include <string>
#include <vector>

namespace reeve {

/// One pool of a manager.
struct ManagedPoolInfo {
  std::size_t n_jobs = 0;
  ExecutorType type = ExecutorType::process;
  std::string label;
  std::size_t handles = 0;           ///< alive now
  std::uint64_t uses = 0;            ///< how often get_pool gave it
  std::chrono::nanoseconds idle{0};  ///< since its last use ended; 0 while it is in use
  bool started = false;              ///< its ResourcePool was made: somebody used it
  bool retired = false;              ///< no get_pool gives it any more
  PoolHealth health = PoolHealth::ready;
};

struct ManagerStats {
  std::size_t active_pools = 0;          ///< that get_pool can give
  std::size_t retired_pools = 0;         ///< that only their handles reach
  std::vector<ManagedPoolInfo> configs;  ///< active first, the retired after them
  std::uint64_t hits = 0;
  std::uint64_t misses = 0;     ///< get_pool had to make a pool; force_new is one, too
  std::uint64_t creations = 0;  ///< pools made
  std::uint64_t reaped = 0;     ///< closed because they were idle
  std::uint64_t evicted = 0;    ///< closed to make room
  std::uint64_t retired = 0;    ///< by force_new, clear or because they were dead, in use or not
  std::uint64_t replaced = 0;   ///< of these: because they were dead
  std::size_t running = 0;      ///< calls of map, submit and their kin on the background thread
  bool is_shutdown = false;
};

/// The counters and gauges in Prometheus' text format, every name beginning with `reeve_manager_`.
std::string to_prometheus(const ManagerStats& stats);

}  // namespace reeve
