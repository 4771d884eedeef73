// Decides which requester gets the next worker of a pool.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <reeve/bridge/config.hpp>
#include <reeve/bridge/errors.hpp>
#include <reeve/bridge/status.hpp>
#include <reeve/pool/resource_pool.hpp>
#include <string_view>
#include <utility>

namespace reeve::bridge {

namespace detail {
class State;
}

/// Wishes of one request. Trivially copyable on purpose (g++ 12 and co_await); the texts are read
/// before the call returns.
struct WorkerRequest {
  int priority = 0;                         ///< higher first; the requester's own is added
  std::chrono::milliseconds timeout{0};     ///< of waiting; 0: the pool's acquire_timeout
  std::chrono::milliseconds time_limit{0};  ///< of the lease; 0: the pool's worker_timeout
  bool preemptible = false;                 ///< the lease may be revoked for another request
  const char* device = nullptr;             ///< as AcquireOptions::device
  const char* task = nullptr;               ///< the lease's task id; null: the requester's name
};

/// Workers that are promised to a requester for a time. Destroying it gives up what is left of it.
///
/// Threads: any, one at a time.
class [[nodiscard]] WorkerReservation {
 public:
  WorkerReservation(WorkerReservation&& other) noexcept
      : state_(std::exchange(other.state_, nullptr)), id_(other.id_) {}
  WorkerReservation& operator=(WorkerReservation&& other) noexcept;
  ~WorkerReservation();

  /// Frees its workers for others. Leases out of it go on until their limit.
  void cancel() noexcept;

  std::uint64_t id() const noexcept { return id_; }
  /// As it is now; nothing if it is over.
  std::optional<ReservationStatus> status() const;

 private:
  friend class WorkerScheduler;
  WorkerReservation(std::shared_ptr<detail::State> state, std::uint64_t id) noexcept
      : state_(std::move(state)), id_(id) {}

  std::shared_ptr<detail::State> state_;
  std::uint64_t id_;
};

/// Shares one pool between requesters by policy, quota, priority and reservations.
///
/// A handle: copies share one scheduler. It counts on being the pool's only user: who acquires past
/// it is served by the pool alone, and requests that were granted here wait for those workers.
///
/// Lifetime: leases keep the pool and the scheduler's state alive. When the last handle goes,
///           waiting acquires get PoolClosedError and reservations end.
/// Threads:  any; the pool's io_context may run on several threads.
class WorkerScheduler {
 public:
  /// Errors: ConfigError with `find_fault`'s text, or when the pool has a scheduler already.
  WorkerScheduler(ResourcePool pool, SchedulerConfig config);

  /// Waits until it is this request's turn and a worker is there, and leases it to `requester`.
  ///
  /// A request that goes before all others is granted by the call itself, so await what it returns
  /// soon. A lease that is preempted sees this_worker::stop_requested(), and throws
  /// WorkerPreemptedError when it is not given back within the grace period.
  ///
  /// Cancellation: terminal, partial and total; what was granted at that instant goes to the next.
  /// Errors:       AcquireTimeoutError, PoolSaturatedError, PoolDegradedError, PoolClosedError when
  ///               awaited; ConfigError at once: an unknown requester or device, a bad task id, a
  ///               negative time.
  /// Cost:         0.9 us with the lease's end when nobody waits (the pool alone: 0.17 us); with
  ///               waiters O(requesters that wait), 2.1 us with 4 of them, 4.1 us with 26 (the
  ///               pool alone: 0.9 us), and O(preemptible leases) where one is to be preempted.
  boost::asio::awaitable<WorkerLease> acquire_worker(std::string_view requester,
                                                     const WorkerRequest& request = {});

  /// A lease if it is this request's turn now and a worker is idle, else nothing.
  std::optional<WorkerLease> try_acquire(std::string_view requester,
                                         const WorkerRequest& request = {});

  /// Promises `workers` workers to `requester` from `start` for `duration`.
  ///
  /// From then on nothing is placed on them that would outlast `start`, unless it is preemptible;
  /// what is preemptible is asked to end a grace period before. Requests of `requester` get these
  /// workers first, with leases that end with the reservation at the latest.
  ///
  /// Errors: ReservationRefusedError with the earliest time instead; ConfigError (unknown requester
  ///         or device, no or too many workers, a start in the past, no duration).
  /// Cost:   O(leases + reservations).
  WorkerReservation reserve(std::string_view requester, std::size_t workers,
                            Clock::time_point start, std::chrono::nanoseconds duration,
                            const char* device = nullptr);

  /// Changes the pool's max_workers, the ledger and what each may reserve; use it instead of the
  /// pool's own. Reservations stay.
  /// Errors: ConfigError (out of range, or less than all nominal quotas), and the pool's.
  boost::asio::awaitable<void> resize(std::size_t max_workers);

  /// Cost: O(requesters + leases).
  SchedulerStatus status() const;

  /// Does what the clock made due: timeouts, ends of grace, reservations. It happens by itself with
  /// the real clock; call it after moving a manual one.
  void poll();

 private:
  struct Handle;
  std::shared_ptr<Handle> handle_;
  std::shared_ptr<detail::State> state_;
};

}  // namespace reeve::bridge
