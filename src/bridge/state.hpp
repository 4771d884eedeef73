// The state behind a WorkerScheduler: queues, leases and victims under one mutex.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <reeve/async/quiet_wait.hpp>
#include <reeve/async/waiter_queue.hpp>
#include <reeve/bridge/worker_scheduler.hpp>
#include <string>
#include <utility>
#include <vector>

#include "bridge/books.hpp"
#include "bridge/turns.hpp"

namespace reeve::bridge::detail {

/// The right to one worker: a booking that closes itself.
class Permit {
 public:
  Permit() = default;
  Permit(std::shared_ptr<State> state, BookingId id) noexcept : state_(std::move(state)), id_(id) {}
  Permit(Permit&& other) noexcept : state_(std::move(other.state_)), id_(other.id_) {}
  Permit& operator=(Permit&& other) noexcept;
  ~Permit() { reset(); }

  explicit operator bool() const noexcept { return state_ != nullptr; }
  BookingId id() const noexcept { return id_; }
  void reset() noexcept;
  /// Its booking belongs to a lease now.
  void hand_over() noexcept { state_.reset(); }

 private:
  std::shared_ptr<State> state_;
  BookingId id_ = no_booking;
};

/// What an acquire asked for, checked.
struct Ask {
  Wish wish;
  std::string task;
  Time since = 0;
  Time deadline = 0;
};

/// Requests of one requester, of one priority, for one device: first come, first served.
struct Level {
  async::WaiterQueue<Permit> queue;
  std::size_t users = 0;  // coroutines that refer to it
};
using LevelKey = std::pair<int, std::string>;
using Levels = std::map<LevelKey, Level>;

/// One request that waits; it lives in its coroutine's frame.
struct Request {
  Ask ask;
  alloc::Pending pending;
  async::Waiter<Permit>* waiter = nullptr;
  BookingId victim = no_booking;  // the lease that was asked to end for it
  enum class Refused { none, time, closed } refused = Refused::none;
  bool was_queued = false;
  std::string text;
};

/// What became of a booking: a worker that is coming, then a lease.
struct LeaseRecord {
  LeaseKey key;
  bool live = false;
  bool leased = false;
  std::uint32_t generation = 0;  // of the observer's token
  // Set while it is being taken back.
  bool stopping = false;
  bool revoked = false;
  Time revoke_at = 0;
  Request* heir = nullptr;
  std::uint64_t block = 0;
  std::uint32_t taker = 0;
  std::string reason;
};

struct RequesterState {
  Levels levels;
  std::size_t leased = 0;
  std::size_t coming = 0;
  std::uint64_t preempted = 0;
  std::uint64_t preempting = 0;
  WaitFigures waits;
};

/// What is under way: per requester, workers that are being freed for it, and those that it loses.
struct Pressure {
  std::vector<std::int64_t> coming;
  std::vector<std::int64_t> going;
};

class State final : public LeaseObserver, public std::enable_shared_from_this<State> {
 public:
  State(ResourcePool pool, SchedulerConfig config);

  // scheduler.cpp
  Ask check(std::string_view requester, const WorkerRequest& request) const;
  /// A lease, or a permit whose worker is yet to start, or neither: it has to wait.
  std::optional<WorkerLease> grab(const Ask& ask, Permit& permit);
  std::optional<WorkerLease> try_acquire(const Ask& ask);
  boost::asio::awaitable<WorkerLease> wait(std::shared_ptr<State> self, Ask ask, Permit permit);
  boost::asio::awaitable<void> resize(std::shared_ptr<State> self, std::size_t max_workers);

  // state.cpp
  void give_back(BookingId id) noexcept;
  void on_lease_ended(std::uint64_t token) noexcept override;
  void poll();
  void close() noexcept;

  // reservations.cpp
  std::uint64_t reserve(std::string_view requester, std::size_t workers, Clock::time_point start,
                        std::chrono::nanoseconds duration, const char* device);
  void cancel_reservation(std::uint64_t id) noexcept;

  // status.cpp
  SchedulerStatus status() const;
  std::optional<ReservationStatus> status_of(std::uint64_t reservation) const;

 private:
  friend class Enlisted;

  // All below with the lock held.
  std::uint32_t find(std::string_view requester) const;
  std::optional<BookingId> open_in_turn(const Ask& ask);
  void check_open() const;
  AcquireOptions options_of(BookingId id, const Ask& ask);
  bool activate(Permit& permit, WorkerLease& lease, const Ask& ask);
  void enqueue(Request& request, Level& level);
  void grant(Request& request, BookingId id);
  void opened(BookingId id);
  void end(BookingId id);
  void dispatch();
  void serve_waiters();
  void visit_heads(const std::function<bool(Request&)>& visit);
  void refuse(Request& request, Request::Refused why, std::string text);
  void refuse_all(Request::Refused why, const std::string& text);
  std::string busy_text() const;
  Time expire_waiters(Time now);
  std::size_t waiting() const;
  void unlink(Request& request) noexcept;
  bool queued(const Request& request) const;
  Level& level_of(const Request& request);

  // preemption.cpp
  void preempt_for_waiters();
  bool nominate(Request& request);
  std::string reason_for(const Wish& wish, const Booking& victim, const Pressure& pressure) const;
  Pressure pressure() const;
  void preempt_for_blocks();
  std::vector<BookingId> in_order(std::vector<BookingId> candidates) const;
  bool may_be_asked(BookingId id) const;
  bool wanted(const LeaseRecord& record) const;
  bool orphaned(BookingId id) const;
  void ask_to_end(BookingId id, std::uint32_t taker, Time latest, std::string reason);
  void revoke_due(Time now);
  void take_back(BookingId id);
  void spare(BookingId id);
  Time next_due(Time now) const;

  // alarm.cpp
  void need_alarm(Time when);
  void arm();

  ReservationStatus describe(const Block& block) const;

  /// In the child of a fork() the mutex may be held by a thread that exists only in the parent.
  bool foreign() const noexcept;

  const int pid_;
  mutable std::mutex mutex_;
  ResourcePool pool_;
  const SchedulerConfig config_;
  boost::asio::any_io_executor executor_;
  async::QuietWait quiet_;
  std::map<std::string, std::uint32_t, std::less<>> index_;
  Time lease_time_;
  Time grace_;
  Books books_;
  Turns turns_;
  std::vector<RequesterState> requesters_;
  std::vector<LeaseRecord> records_;  // by booking
  std::size_t enlisted_ = 0;          // acquires that wait, or wait for the pool
  std::size_t preemptible_ = 0;       // bookings
  std::size_t stopping_ = 0;
  std::uint64_t last_ticket_ = 0;
  bool closed_ = false;
  Time alarm_at_ = alloc::forever;
  bool alarm_posted_ = false;
  std::uint64_t alarm_number_ = 0;
  std::weak_ptr<boost::asio::steady_timer> alarm_;
  std::vector<Request*> heads_;                 // scratch
  std::vector<const alloc::Pending*> pending_;  // scratch
};

}  // namespace reeve::bridge::detail
