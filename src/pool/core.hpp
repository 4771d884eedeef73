// The state behind a ResourcePool: slots, leases, waiters, one mutex.
#pragma once

#include <algorithm>
#include <atomic>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <reeve/async/gate.hpp>
#include <reeve/async/parking_spot.hpp>
#include <reeve/async/quiet_wait.hpp>
#include <reeve/async/waiter_queue.hpp>
#include <reeve/pool/config.hpp>
#include <reeve/pool/progress_gate.hpp>
#include <reeve/pool/resource_pool.hpp>
#include <reeve/pool/status.hpp>
#include <string>
#include <vector>

#include "pool/failure.hpp"
#include "pool/fast_clock.hpp"
#include "pool/gpu_watch.hpp"
#include "pool/journal.hpp"
#include "pool/worker.hpp"

namespace reeve::detail {

class LeaseShare;

/// One lease. Pooled: its memory, its strings' too, is reused.
struct Lease {
  std::uint32_t slot = 0;
  std::uint64_t serial = 0;
  WorkerId worker;
  std::string task;
  std::shared_ptr<Worker> port;
  std::int64_t granted_at = 0;
  std::int64_t deadline = 0;
  std::shared_ptr<const Failure> failure;  // set: the lease is over
  // The call in flight.
  async::ParkingSpot* caller = nullptr;   // who waits for its reply
  async::ParkingSpot* watcher = nullptr;  // who waits for its revocation
  bool calling = false;
  bool submitted = false;
  bool replied = false;
  std::int64_t sent_at = 0;
  std::int64_t call_began = 0;     // of a call with a deadline of its own
  std::int64_t call_deadline = 0;  // tighter than the lease's, or 0
  std::int64_t soft_deadline = process::never;
  int pid = 0;
  ByteSize call_memory;            // of the latest call, when tighter than the pool's; else 0
  std::uint64_t gpu_observed = 0;  // set: it was ended for this much GPU memory
  bool buffers = false;            // has some in the worker's window
  bool used = false;               // a call of it was answered
  bool rehiring = false;           // between two workers
  unsigned rehires = 0;            // workers that died under it before its first call began
  const codec::TaskDescriptor* call_task = nullptr;
  std::uint64_t call_limit = 0;            // bytes, as asked for
  std::shared_ptr<ProgressGate> progress;  // to the call's sink, if it has one
  std::uint64_t progress_number = 0;
  // Its end.
  std::shared_ptr<LeaseObserver> observer;
  std::uint64_t observer_token = 0;
  bool stop_asked = false;  // from outside: its calls see it
  unsigned owners = 0;      // handle, calls and watches
  bool released = false;
  bool scoped_watch = false;  // its watcher is not told when it is given back
  std::uint64_t number = 0;   // over all slots, for the audit
  std::uint32_t dirt = 0;     // process::Dirt, gathered over its calls
  Lease* next_free = nullptr;
};

/// now + wait, where a wait below zero is none and one beyond ten years is ten years: sums cannot
/// overflow.
inline std::int64_t later(std::int64_t now, std::chrono::milliseconds wait) noexcept {
  constexpr std::chrono::milliseconds longest = std::chrono::hours(24 * 3660);
  const auto bounded = std::clamp(wait, std::chrono::milliseconds(0), longest);
  return now + std::chrono::nanoseconds(bounded).count();
}

inline constexpr std::uint32_t no_slot = ~std::uint32_t{0};

/// A worker that has not set itself up by then has failed to start.
inline constexpr std::int64_t start_patience = 10'000'000'000;

enum class Refusal { none, time, degraded, closed };

/// What one waiting acquire wants; it lives in its coroutine's frame.
struct Request {
  std::string_view task;
  std::uint64_t number = 0;
  bool settled = false;  // granted, or its end is noted
  const char* device = nullptr;
  int priority = 0;
  std::chrono::milliseconds time_limit{0};
  std::int64_t since = 0;
  std::int64_t deadline = 0;
  Refusal refused = Refusal::none;
  std::string text;
};

struct Slot {
  WorkerState state = WorkerState::empty;
  std::uint64_t incarnation = 0;
  std::shared_ptr<Worker> port;
  process::BoardSlot* cell = nullptr;  // who decides how its lease ends
  Lease* lease = nullptr;
  int pid = 0;
  std::string device;
  std::int64_t started_at = 0;
  std::int64_t idle_since = 0;
  std::int64_t retry_at = 0;
  std::uint64_t serial = 0;
  std::uint64_t tasks_done = 0;        // in this slot
  DeathCounts deaths;                  // in this slot
  std::uint64_t leases_of_worker = 0;  // in this incarnation
  std::uint64_t baseline_bytes = 0;
  unsigned start_failures = 0;
  bool initializing = false;
  bool announced = false;   // the audit knows of its spawn
  std::string start_fault;  // why its start failed, once it is dead
  bool retiring = false;    // its death is our wish
  bool surplus = false;     // and nobody replaces it
  Cause ending_for = Cause::none;
};

class Core final : public BackendEvents, public std::enable_shared_from_this<Core> {
 public:
  Core(boost::asio::any_io_executor executor, ResourceConfig config);
  ~Core();
  void open();  // second half of construction: needs shared_from_this

  const ResourceConfig& config() const noexcept { return config_; }
  const boost::asio::any_io_executor& executor() const noexcept { return executor_; }

  // core_acquire.cpp
  Lease* grab(std::string_view task, const AcquireOptions& options);  // null: wait
  boost::asio::awaitable<WorkerLease> wait(std::shared_ptr<Core> self, TaskName task,
                                           AcquireOptions options);
  std::optional<WorkerLease> try_acquire(std::string_view task, const AcquireOptions& options);
  void release(Lease& lease, bool discard) noexcept;
  void unown(Lease& lease) noexcept;
  boost::asio::awaitable<void> warm_up(std::shared_ptr<Core> self, std::size_t count);
  boost::asio::awaitable<void> resize(std::shared_ptr<Core> self, std::size_t max_workers);

  // core_control.cpp
  bool observe(Lease& lease, std::shared_ptr<LeaseObserver> observer, std::uint64_t token);
  bool request_stop(LeaseKey key);
  bool preempt(LeaseKey key, std::string_view by, std::string_view reason);

  // core_call.cpp
  void begin_call(Lease& lease);
  boost::asio::awaitable<void> complete(Lease& lease, const codec::TaskDescriptor& task,
                                        const RunLimits& limits);
  void end_call(Lease& lease) noexcept;
  /// Why it ended; null if it was given back, which a scoped watch does not end for.
  boost::asio::awaitable<std::exception_ptr> wait_revoked(LeaseShare share, bool scoped);
  Reply take_reply(Lease& lease);
  [[noreturn]] void throw_reply(Lease& lease, const Reply& reply);
  std::shared_ptr<const Failure> failure_of(Lease& lease);

  // core_status.cpp
  PoolStatus status() const;
  PoolHealth health() const noexcept;
  std::size_t load() const noexcept;
  std::size_t max_workers() const noexcept;
  Capabilities capabilities() const;
  ByteSize memory_usage(const Lease& lease) const;
  std::string_view device_of(const Lease& lease) const;
  int pid_of(const Lease& lease) const;
  WorkerId id_of(const Lease& lease) const;
  std::span<std::byte> allocate(Lease& lease, std::size_t bytes);
  Journal& journal() noexcept { return journal_; }

  // core_shutdown.cpp
  boost::asio::awaitable<ShutdownReport> shutdown(std::shared_ptr<Core> self, ShutdownMode mode,
                                                  std::chrono::milliseconds deadline);
  void close() noexcept;  // the last handle is gone
  void let_go_if_done() noexcept;
  void context_gone() noexcept;  // the execution context is being destroyed

  std::mutex& mutex() noexcept { return mutex_; }

  /// True in the child of a fork(): sockets, epoll set and workers are its parent's, and the mutex
  /// may be held by a thread that exists only there. So everything asks before it locks.
  bool foreign() const noexcept;
  void check_owner() const;
  /// In such a child: never destroyed, so that nothing of the parent's is touched.
  void abandon() noexcept;

 private:
  // BackendEvents
  void on_started(std::uint32_t slot, std::uint64_t incarnation, int pid) override;
  void on_start_failed(std::uint32_t slot, std::uint64_t incarnation, std::string reason) override;
  void on_killed(std::uint32_t slot, std::uint64_t incarnation, Cause cause) override;
  void on_stuck(std::uint32_t slot, std::uint64_t incarnation) override;
  void on_died(std::uint32_t slot, std::uint64_t incarnation, Death death) override;
  void on_bell() override;

  // core_acquire.cpp, all with the lock held
  Lease& grant(std::uint32_t slot, std::string_view task, std::chrono::milliseconds time_limit,
               Request* request = nullptr);
  std::uint32_t take_idle(const char* device);  // no_slot if there is none
  async::Waiter<WorkerLease>* position_for(int priority);
  void check_open() const;
  void check_starts() const;
  void check_device(const char* device) const;
  void offer(std::uint32_t slot);
  void refuse(async::Waiter<WorkerLease>& waiter, Refusal refusal, std::string text);
  void refuse_all(Refusal refusal, const std::string& text);
  std::int64_t expire_waiters(std::int64_t now);
  std::string busy_text() const;
  void end_lease(Lease& lease, bool discard);
  bool worn_out(const Slot& slot) const;
  Lease& take_lease();
  void drop_lease(Lease& lease) noexcept;
  [[nodiscard]] std::shared_ptr<Core> release_locked(Lease& lease, bool discard) noexcept;
  [[nodiscard]] std::shared_ptr<Core> unown_locked(Lease& lease) noexcept;

  // core_workers.cpp
  void start_for(const char* device, std::size_t wanted);
  void start_for_waiters(std::size_t wanted);
  bool start_one(const char* device = nullptr);
  void start_for_the_left_out();
  void make_room(const char* device);
  void make_room_for_waiters();
  void start(std::uint32_t slot);
  void came_up(std::uint32_t slot);
  void ready(std::uint32_t slot);
  void start_failed(std::uint32_t slot, std::string reason);
  void died_starting(std::uint32_t slot, const Death& death);
  void retire(std::uint32_t slot, Cause cause);
  void revoke(std::uint32_t slot, Cause cause, std::shared_ptr<const Evidence> evidence,
              std::string reason, std::string_view by = {});
  void wake_caller(Lease& lease) noexcept;
  static void wake_watcher(Lease& lease) noexcept;
  void replace(std::uint32_t slot);
  void count_death(Slot& slot, Cause cause) noexcept;
  void count_quarantined(int change) noexcept;

  // core_evidence.cpp
  std::shared_ptr<Evidence> evidence_of(std::uint32_t slot, const Death& death) const;
  std::shared_ptr<Evidence> evidence_so_far(std::uint32_t slot, Cause cause) const;
  Cause explain_crash(const Slot& slot, const Death& death, Evidence& evidence,
                      std::string& reason) const;
  ByteSize memory_limit_of(const Lease& lease) const noexcept;

  // core_workers.cpp
  void set_state(Slot& slot, WorkerState state) noexcept {
    live_ += is_live(state);
    live_ -= is_live(slot.state);
    starting_ += is_coming(state);
    starting_ -= is_coming(slot.state);
    const int idle = (state == WorkerState::idle) - (slot.state == WorkerState::idle);
    idle_count_.store(idle_count_.load(std::memory_order_relaxed) + idle,
                      std::memory_order_relaxed);
    slot.state = state;
  }
  static bool is_live(WorkerState s) noexcept {
    return s == WorkerState::starting || s == WorkerState::idle || s == WorkerState::leased;
  }
  static bool is_coming(WorkerState s) noexcept {
    return s == WorkerState::starting || s == WorkerState::backoff;
  }
  std::size_t live() const noexcept { return live_; }
  std::size_t starting() const noexcept { return starting_ - rehiring_; }  // for anybody
  bool surplus() const noexcept { return live() > max_workers_; }

  // core_initializer.cpp
  void run_initializer(std::uint32_t slot);
  void arm_initializer(std::uint32_t slot);
  void finish_initializer(std::uint32_t slot);

  // core_rehire.cpp
  bool rehire(std::uint32_t slot, const Death& death);
  void resume_lease(std::uint32_t slot);
  void set_rehiring(Lease& lease, bool rehiring) noexcept;
  void watch_again(const Slot& slot);

  // core_control.cpp
  Lease* lease_of(LeaseKey key) noexcept;
  void tell_revoked(Lease& lease) noexcept;

  // core_call.cpp
  bool collect();
  void look_out(std::int64_t now);
  void submit(Lease& lease);
  void drain();
  void post_drain();
  void arm_call(Lease& lease, const RunLimits& limits);
  void disarm_call(Lease& lease);
  void post_progress(std::uint32_t slot);
  void on_sink_failed(std::uint32_t slot, const ProgressGate& gate);
  void end_progress(Lease& lease) noexcept;
  bool give_up(Lease& lease, std::string reason);
  friend class CallHook;
  friend class RequestGuard;
  friend class WatchHook;

  // core_alarm.cpp
  void need_alarm(std::int64_t when);
  void rearm();
  void on_alarm();
  std::int64_t tick(std::int64_t now);
  std::int64_t watch_gpus(std::int64_t now);  // gpu_watch.cpp

  // core_audit.cpp
  void note(audit::Event& event, std::int64_t at) noexcept;
  void note_acquire(std::uint64_t number, std::string_view task, std::int64_t now) noexcept;
  void note_grant(const Lease& lease, std::int64_t waited) noexcept;
  void note_end(const Lease& lease, Cause cause, const Evidence* evidence) noexcept;
  void note_waiter_end(const Request& request, audit::Cause cause) noexcept;
  void note_refused(std::string_view task, audit::Cause cause) const noexcept;
  void note_worker(EventKind kind, std::uint32_t slot, audit::Cause cause,
                   const Death* death = nullptr) noexcept;
  void note_pool(EventKind kind, std::uint64_t limit = 0, std::uint64_t observed = 0) noexcept;

  std::int64_t watch_lease(std::uint32_t slot, std::int64_t now);
  void arm_memory(const Lease& lease);  // core_alarm.cpp
  std::size_t wanted_workers() const noexcept;

  // core_shutdown.cpp
  std::shared_ptr<async::Gate> observe();
  bool ended() const noexcept;
  void end_idle() noexcept;
  void kill_all() noexcept;
  void detach() noexcept;
  void settle() noexcept;  // tells shutdown and warm_up that something changed

  const unsigned fork_generation_;
  ResourceConfig config_;
  boost::asio::any_io_executor executor_;
  async::QuietWait quiet_;
  mutable std::mutex mutex_;
  std::unique_ptr<Backend> backend_;
  FastClock clock_;
  std::unique_ptr<GpuWatch> gpus_;  // only with a limit to hold
  std::vector<Slot> slots_;
  std::vector<std::uint32_t> idle_;  // the warmest at the back
  std::vector<std::uint32_t> busy_;  // slots whose reply is awaited
  async::WaiterQueue<WorkerLease> waiters_;
  std::deque<Lease> leases_;
  std::size_t leases_out_ = 0;
  // Set while a handle or a lease is out: what is reset under the lock is destroyed after it.
  std::shared_ptr<Core> pinned_;
  Lease* free_leases_ = nullptr;
  std::size_t max_workers_ = 0;
  std::int64_t lease_time_ = 0;
  std::int64_t first_look_ = 0;  // when a fresh lease's memory must be looked at
  std::uint64_t lease_number_ = 0;
  bool priorities_used_ = false;
  std::size_t active_ = 0;
  std::size_t live_ = 0;      // starting, idle or leased
  std::size_t starting_ = 0;  // starting or in backoff
  std::size_t rehiring_ = 0;  // of these, those that a lease waits for
  std::size_t quarantined_ = 0;
  std::uint64_t next_incarnation_ = 1;
  unsigned start_failures_ = 0;  // in a row, over all slots
  std::string last_start_failure_;
  std::atomic<std::int64_t> degraded_until_{0};  // health() reads these four without the lock
  std::atomic<int> idle_count_{0};
  DeathCounts deaths_;
  std::uint64_t spawns_ = 0;
  std::uint64_t grants_ = 0;
  std::size_t ended_ = 0;  // leases that ended after shutdown began
  std::size_t killed_ = 0;
  std::atomic<bool> closed_{false};  // no new acquires
  std::atomic<bool> stuck_{false};   // no slot is left that a worker could be started in
  bool handles_gone_ = false;
  bool detached_ = false;  // no executor any more
  bool drain_posted_ = false;
  std::int64_t spin_time_ = 0;
  std::int64_t reply_time_ = 0;   // of recent calls, a moving average
  std::int64_t awake_until_ = 0;  // looks for replies until then instead of waiting for a bell
  std::size_t warm_target_ = 0;
  std::optional<boost::asio::steady_timer> alarm_;
  std::int64_t alarm_at_ = process::never;
  bool alarm_posted_ = false;
  std::vector<std::shared_ptr<async::Gate>> observers_;
  bool feed_posted_ = false;
  Journal journal_;
};

std::int64_t now_ns() noexcept;

/// True if `device` is the slot wanted, or of the kind wanted; null wants any.
bool device_matches(std::string_view device, const char* wanted);

}  // namespace reeve::detail
