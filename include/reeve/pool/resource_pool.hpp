// A pool of workers that are hired by lease and can be trusted to stop.
#pragma once

#include <array>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <memory>
#include <optional>
#include <reeve/pool/config.hpp>
#include <reeve/pool/status.hpp>
#include <reeve/pool/worker_lease.hpp>
#include <string>
#include <string_view>

namespace reeve::audit {
struct Event;
}

namespace reeve {

/// The name of a device that an acquire wants, kept by value: a kind ("cuda"), a slot ("cuda:1"),
/// or any. Made from whatever text is at hand; what it was made from may die.
class DeviceName {
 public:
  static constexpr std::size_t size_max = 15;

  constexpr DeviceName() noexcept = default;             // any
  constexpr DeviceName(std::nullptr_t) noexcept {}       // any
  DeviceName(std::string_view name) { assign(name); }    // ConfigError: empty or too long
  DeviceName(const std::string& name) { assign(name); }  // the same
  DeviceName(const char* name) {                         // null: any
    if (name != nullptr) assign(name);
  }

  bool any() const noexcept { return text_[0] == '\0'; }
  /// The name with a null at its end; null for any. Lives as long as this.
  operator const char*() const noexcept { return any() ? nullptr : text_.data(); }

 private:
  void assign(std::string_view name);

  std::array<char, size_max + 1> text_{};
};

/// Wishes of one acquire. Trivially copyable on purpose (g++ 12 and co_await).
///
/// Errors: ConfigError by the acquire that is given a negative time.
struct AcquireOptions {
  std::chrono::milliseconds timeout{0};  ///< 0: the pool's acquire_timeout
  DeviceName device;  ///< a kind ("cuda") or a slot ("cuda:1"), copied; left out: any
  int priority = 0;   ///< higher first; the same priority is first come, first served
  std::chrono::milliseconds time_limit{0};  ///< of the lease, below worker_timeout; 0: that
};

namespace detail {

/// A task id that needs no heap: at most 127 bytes.
class TaskName {
 public:
  static constexpr std::size_t size_max = 127;
  static void check(std::string_view text);  // throws ConfigError

  explicit TaskName(std::string_view text);  // throws ConfigError
  std::string_view view() const noexcept { return {text_.data(), size_}; }

 private:
  std::array<char, size_max> text_;
  std::uint8_t size_;
};

}  // namespace detail

/// Leases workers to tasks, ends those that overstep their limits, and replaces them.
///
/// A handle: copies share one pool. Workers start when they are first wanted (see `warm_up`).
///
/// Lifetime: leases keep the pool's state alive. When the last handle goes, waiting acquires get
///           PoolClosedError, idle workers end at once, and leased ones when their lease ends. The
///           pool never keeps an io_context running by itself, and survives its destruction:
///           leases are over then (WorkerLostError), acquires get PoolClosedError.
/// Threads:  any; the io_context may run on several threads.
/// Fork:     the child of a fork() has no part in the pool. What needs its lock or its workers
///           throws PoolClosedError at once, also when another thread held the lock at the fork;
///           a lease says that it is revoked. Handles and leases may be destroyed there, and the
///           parent's stay as they are.
class ResourcePool {
 public:
  /// Errors: ConfigError with `find_fault`'s text, or when process workers are wanted and
  ///         reeve::init was not called, or 10 pools of workers are around this process already: a
  ///         worker may have process pools of its own, and so may theirs, up to that depth.
  ResourcePool(boost::asio::any_io_executor executor, ResourceConfig config);

  /// Waits for a free worker and leases it to `task_id` (1 to 127 bytes).
  ///
  /// The lease's time runs from the grant; waiting is never charged. An idle worker is granted by
  /// the call itself, so await what it returns soon; a bad id or a negative time is told at once,
  /// other errors when awaited.
  ///
  /// Cancellation: terminal, partial and total; a worker granted at that instant goes to the next
  ///               waiter.
  /// Errors:       AcquireTimeoutError, PoolSaturatedError, PoolDegradedError, PoolClosedError;
  ///               ConfigError for an empty or long id, a negative time, or an unknown device.
  /// Threads:      any.
  /// Cost:         O(1); no allocation when a worker is idle.
  boost::asio::awaitable<WorkerLease> acquire_worker(std::string_view task_id,
                                                     const AcquireOptions& options = {}) const;

  /// A lease if a worker that `options` allow is idle, else nothing (and one is being started, if
  /// the pool may and nobody waits).
  std::optional<WorkerLease> try_acquire(std::string_view task_id,
                                         const AcquireOptions& options = {}) const;

  /// Starts workers until `count` live (at most max_workers) and are ready.
  /// Errors: PoolDegradedError, PoolClosedError.
  boost::asio::awaitable<void> warm_up(std::size_t count);

  /// Changes max_workers. Surplus idle workers end at once, leased ones when they come back; never
  /// waits.
  /// Errors: ConfigError, as a pool made with this number would have thrown, PoolClosedError;
  /// nothing has changed then.
  boost::asio::awaitable<void> resize(std::size_t max_workers);

  /// Ends the pool. Idempotent; concurrent calls each return when the pool is empty or their
  /// deadline is reached. After the deadline everything is killed.
  boost::asio::awaitable<ShutdownReport> shutdown(
      ShutdownMode mode = ShutdownMode::drain,
      std::chrono::milliseconds deadline = std::chrono::seconds(10));

  /// Asks the holder of a lease to end soon: this_worker::stop_requested() turns true in the call
  /// in flight, and is true in all that follow. False: the lease has ended.
  bool request_stop(LeaseKey lease);

  /// Revokes a lease from outside of its holder, whose current or next call throws
  /// WorkerPreemptedError with `by` and `reason`. Its worker is killed and replaced. False: the
  /// lease has ended, or its end is decided already.
  bool preempt(LeaseKey lease, std::string_view by, std::string_view reason);

  PoolStatus status() const;

  /// Threads: any, also while the pool is being shut down. Cost: a few loads, no lock.
  PoolHealth health() const noexcept;
  /// Leases and waiting acquires: zero if nobody uses the pool now, and in the child of a fork().
  /// Cost: a short lock.
  std::size_t load() const noexcept;

  Capabilities capabilities() const;
  /// What the pool was made with; `max_workers` there is the number before any resize.
  const ResourceConfig& config() const noexcept;
  /// The number that counts now. Cost: a short lock.
  std::size_t max_workers() const;

  /// The audit events kept in memory, oldest first; <reeve/audit.hpp> verifies and sums them up.
  std::vector<audit::Event> audit_events() const;

  boost::asio::any_io_executor get_executor() const noexcept;

 private:
  static boost::asio::awaitable<WorkerLease> hand_over(WorkerLease lease);

  struct Handle;
  std::shared_ptr<Handle> handle_;
  std::shared_ptr<detail::Core> core_;
};

}  // namespace reeve
