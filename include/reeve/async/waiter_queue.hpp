// First come, first served: coroutines wait for values that are handed to them directly.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstddef>
#include <mutex>
#include <optional>
#include <reeve/async/parking_spot.hpp>
#include <utility>

namespace reeve::async {

template <class T>
class WaiterQueue;

/// One coroutine's place in a WaiterQueue. It lives in the coroutine's frame; its destructor leaves
/// the queue, and a value that was granted but never taken is destroyed there: make T a RAII type
/// that gives itself back (a lease, a slot), and nothing can be lost.
template <class T>
class Waiter final : private CancelHook {
 public:
  /// `mutex` is the one that guards `queue`; both outlive the waiter.
  Waiter(std::mutex& mutex, WaiterQueue<T>& queue) noexcept : mutex_(mutex), queue_(queue) {}
  Waiter(const Waiter&) = delete;
  Waiter& operator=(const Waiter&) = delete;
  ~Waiter() {
    if (woken_) return;
    const std::lock_guard lock(mutex_);
    if (queued_) queue_.remove(*this);
  }

  /// For the owner of the queue: what this waiter wants.
  void* note = nullptr;

  /// Waits for the grant; `take` has it afterwards.
  boost::asio::awaitable<void> wait() { return spot_.park(this); }

  /// What was granted. Empty: cancelled, or dismissed by the queue's owner.
  /// Precondition: `wait` has returned.
  std::optional<T> take() noexcept {
    woken_ = true;
    return std::exchange(value_, std::nullopt);
  }

 private:
  friend class WaiterQueue<T>;

  bool take_back() noexcept override {
    const std::lock_guard lock(mutex_);
    if (!queued_) return false;
    queue_.remove(*this);
    return true;
  }

  std::mutex& mutex_;
  WaiterQueue<T>& queue_;
  ParkingSpot spot_;
  std::optional<T> value_;
  bool queued_ = false;
  bool woken_ = false;  // out of the queue, which this thread knows without the lock
  Waiter* previous_ = nullptr;
  Waiter* next_ = nullptr;
};

/// FIFO of waiters with direct hand-over: a value given to the queue belongs to its front waiter
/// from that instant, nobody can overtake and no wake-up is lost. A waiter that is cancelled before
/// it is granted leaves; one that is cancelled afterwards still receives the value.
///
/// Threads: every member needs the mutex that the waiters were made with.
/// Cost:    O(1), no allocation.
template <class T>
class WaiterQueue {
 public:
  std::size_t size() const noexcept { return size_; }
  bool empty() const noexcept { return size_ == 0; }
  Waiter<T>* front() const noexcept { return first_; }
  static Waiter<T>* next(const Waiter<T>& waiter) noexcept { return waiter.next_; }

  void push_back(Waiter<T>& waiter) noexcept { insert_before(nullptr, waiter); }

  /// Puts `waiter` in front of `position`, or at the end when that is null (for priorities).
  void insert_before(Waiter<T>* position, Waiter<T>& waiter) noexcept {
    waiter.next_ = position;
    waiter.previous_ = position != nullptr ? position->previous_ : last_;
    (waiter.previous_ != nullptr ? waiter.previous_->next_ : first_) = &waiter;
    (position != nullptr ? position->previous_ : last_) = &waiter;
    waiter.queued_ = true;
    ++size_;
  }

  /// Takes `waiter` out without waking it.
  void remove(Waiter<T>& waiter) noexcept {
    (waiter.previous_ != nullptr ? waiter.previous_->next_ : first_) = waiter.next_;
    (waiter.next_ != nullptr ? waiter.next_->previous_ : last_) = waiter.previous_;
    waiter.queued_ = false;
    --size_;
  }

  /// Gives `value` to this waiter, which leaves the queue.
  void grant(Waiter<T>& waiter, T value) noexcept {
    remove(waiter);
    waiter.value_.emplace(std::move(value));
    waiter.spot_.unpark();
  }

  /// Wakes this waiter with nothing; it leaves the queue.
  void dismiss(Waiter<T>& waiter) noexcept {
    remove(waiter);
    waiter.spot_.unpark();
  }

 private:
  Waiter<T>* first_ = nullptr;
  Waiter<T>* last_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace reeve::async
