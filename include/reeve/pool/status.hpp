// A look at a pool: plain values, taken under its lock in one piece.
#pragma once

#include <chrono>
#include <cstdint>
#include <reeve/base/byte_size.hpp>
#include <reeve/pool/errors.hpp>
#include <string>
#include <vector>

namespace reeve {

enum class WorkerState { empty, starting, idle, leased, ending, backoff, quarantined };
std::string_view to_string(WorkerState state);

/// How often workers ended, by cause.
struct DeathCounts {
  std::uint64_t timeout = 0;
  std::uint64_t memory = 0;
  std::uint64_t cancelled = 0;
  std::uint64_t crashed = 0;
  std::uint64_t lost = 0;
  std::uint64_t recycled = 0;
};

struct WorkerStatus {
  WorkerId id;
  WorkerState state = WorkerState::empty;
  std::string device;
  int pid = 0;
  ByteSize rss;  ///< of the worker itself, read now
  std::chrono::nanoseconds cpu_time{0};
  std::string task;  ///< of the lease, if there is one
  std::chrono::nanoseconds lease_age{0};
  std::uint64_t tasks_done = 0;  ///< leases that ended well in this slot
  DeathCounts deaths;            ///< of the workers that were in this slot
};

struct PoolStatus {
  std::size_t total_workers = 0;  ///< that the pool may have: max_workers
  std::size_t live_workers = 0;   ///< that exist now
  std::size_t available_workers =
      0;  ///< that an acquire could get without waiting for another's release
  std::size_t active_tasks = 0;  ///< leases
  std::size_t waiting = 0;
  std::size_t quarantined = 0;
  std::vector<std::string> active_task_ids;
  std::vector<WorkerStatus> workers;
  DeathCounts deaths;  ///< of all workers, also those of slots that `workers` does not list
  std::uint64_t spawns = 0;
  std::uint64_t grants = 0;
  bool closed = false;
};

/// Whether a pool can be expected to give workers.
enum class PoolHealth {
  ready,
  degraded,  ///< workers could not be started several times in a row, and none is idle; it tries
             ///< again by itself
  stuck,     ///< every slot, replacements included, holds a worker that cannot be ended
  closed,    ///< shut down, or its execution context is gone
};
std::string_view to_string(PoolHealth health);

/// One mechanism that limits or kills, and whether it works on this host.
struct Capability {
  std::string name;
  bool active = false;
  std::string detail;
};

/// What "hard" means here.
struct Capabilities {
  std::vector<Capability> mechanisms;
  bool has(std::string_view name) const;
};
/// A line for each mechanism.
std::string to_string(const Capabilities& capabilities);

enum class ShutdownMode {
  drain,           ///< let leases end, serve those who wait already
  cancel_pending,  ///< let leases end, turn the waiting away
  kill,            ///< end everything now
};

struct ShutdownReport {
  std::size_t completed = 0;    ///< leases that ended by themselves after the call
  std::size_t cancelled = 0;    ///< waiters turned away
  std::size_t killed = 0;       ///< leases ended by force
  std::size_t quarantined = 0;  ///< workers that could not be ended
  bool deadline_reached = false;
};

}  // namespace reeve
