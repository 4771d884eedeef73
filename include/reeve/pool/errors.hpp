// What can go wrong with a lease, each with its evidence.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <reeve/base/byte_size.hpp>
#include <reeve/base/error.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace reeve {

/// One incarnation of one worker: slot numbers are reused, incarnations are not.
struct WorkerId {
  std::uint32_t slot = 0;
  std::uint64_t incarnation = 0;
  auto operator<=>(const WorkerId&) const = default;
};
std::string to_string(WorkerId id);  // "w3#17"

/// What was measured when a lease failed. Fields that do not apply are zero.
struct Evidence {
  std::chrono::nanoseconds time_limit{0};    ///< of the lease, or the call's own if that was it
  std::chrono::nanoseconds elapsed{0};       ///< from the grant, or that call, to the decision
  std::chrono::nanoseconds kill_latency{0};  ///< from the decision to the death of the whole tree
  ByteSize memory_limit;
  ByteSize memory_observed;
  ByteSize memory_peak;
  int signal = 0;                        ///< that ended the worker
  int exit_status = -1;                  ///< or its exit status
  std::uint64_t fault_address = 0;       ///< of a SIGSEGV or SIGBUS
  std::chrono::nanoseconds cpu_time{0};  ///< of this worker in its life
  int pid = 0;
  unsigned descendants_killed = 0;
  bool killed = true;         ///< false: in D state, quarantined
  bool tree_complete = true;  ///< nothing the worker started is left
  std::string mechanism;      ///< "deadline", "rlimit_data", "statm", "cgroup", "nvml", ...
  std::string output_tail;    ///< captured stdout and stderr, at most 2 KiB
};

/// Base of errors of one lease. Every throw builds a fresh exception, so nothing is shared between
/// waiters; copies are cheap and never throw.
class WorkerError : public Error {
 public:
  WorkerError(const std::string& what, std::string_view task, WorkerId worker,
              std::shared_ptr<const Evidence> evidence);
  std::string_view task() const noexcept { return *task_; }
  WorkerId worker() const noexcept { return worker_; }
  const Evidence& evidence() const noexcept { return *evidence_; }

 private:
  std::shared_ptr<const std::string> task_;
  std::shared_ptr<const Evidence> evidence_;
  WorkerId worker_;
};

/// The lease, or the call, used up its time. The worker and its process tree are dead.
class WorkerTimeoutError : public WorkerError {
 public:
  using WorkerError::WorkerError;
};

/// The worker wanted more memory than it may have.
class WorkerMemoryError : public WorkerError {
 public:
  using WorkerError::WorkerError;
};

/// The task ended its worker: a signal, exit(), abort().
class WorkerCrashedError : public WorkerError {
 public:
  using WorkerError::WorkerError;
};

/// The worker went away for a reason outside the task: killed from outside, its warden died, the
/// context of the pool was destroyed, or its lease was given up.
class WorkerLostError : public WorkerError {
 public:
  using WorkerError::WorkerError;
};

/// The lease was revoked in favour of another requester; `by()` names it. The worker is dead.
class WorkerPreemptedError : public WorkerError {
 public:
  WorkerPreemptedError(const std::string& what, std::string_view task, WorkerId worker,
                       std::shared_ptr<const Evidence> evidence, std::string_view by);
  std::string_view by() const noexcept { return *by_; }

 private:
  std::shared_ptr<const std::string> by_;
};

/// The task threw something that is no standard exception, or the call could not be made in the
/// worker. `type()` is the name of what was thrown; nested exceptions follow, outermost first.
class RemoteError : public WorkerError {
 public:
  struct Layer {
    std::string type;
    std::string what;
  };
  RemoteError(const std::string& what, std::string_view task, WorkerId worker,
              std::shared_ptr<const Evidence> evidence, std::vector<Layer> chain);
  const std::string& type() const noexcept { return chain_->front().type; }
  const std::vector<Layer>& chain() const noexcept { return *chain_; }

 private:
  std::shared_ptr<const std::vector<Layer>> chain_;
};

/// No worker was free in time. The text names the queue and who holds the workers.
class AcquireTimeoutError : public Error {
 public:
  using Error::Error;
};

/// Too many are waiting already.
class PoolSaturatedError : public Error {
 public:
  using Error::Error;
};

/// Workers could not be started several times in a row; the text carries the last cause.
class PoolDegradedError : public Error {
 public:
  using Error::Error;
};

/// The pool was shut down or destroyed.
class PoolClosedError : public Error {
 public:
  using Error::Error;
};

}  // namespace reeve
