// What a limiter knows: leases, queues, the last sample, and the thread that keeps deadlines.
#pragma once

#include <condition_variable>
#include <map>
#include <mutex>
#include <optional>
#include <reeve/async/waiter_queue.hpp>
#include <reeve/limits/resource_limiter.hpp>
#include <thread>
#include <unordered_map>

namespace reeve::limits::detail {

struct Pass {};
using SlotWaiter = async::Waiter<TaskSlot>;
using LockWaiter = async::Waiter<ModelLock>;
using PassWaiter = async::Waiter<Pass>;
using Deadline = std::chrono::steady_clock::time_point;

/// What stood in the way of a waiter when its time was up, and the figures behind it.
struct Obstacle {
  Blocker blocker = Blocker::none;
  std::size_t in_front = 0;
  int tasks = 0;
  ByteSize reserved{};
  Sample sample;
  Limits limits;
};

/// What a waiter wants; it lives in the waiting coroutine's frame and the waiter's `note` names it.
struct Request {
  Deadline deadline;
  ByteSize memory{};
  std::string owner;
  std::optional<Obstacle> obstacle{};  // there from the instant at which its time was up
};

template <class T>
Request& request_of(const async::Waiter<T>& waiter) noexcept {
  return *static_cast<Request*>(waiter.note);
}

/// Every member but `mutex` is guarded by it, and every function wants it held.
struct LimiterState : std::enable_shared_from_this<LimiterState> {
  struct Lease {
    ByteSize memory;
    Clock::time_point granted;
  };
  struct Model {
    bool held = false;
    std::string owner;
    std::size_t users = 0;  // coroutines that hold a reference to this
    async::WaiterQueue<ModelLock> queue;
  };
  using Models = std::map<std::string, Model, std::less<>>;

  explicit LimiterState(LimiterConfig c);

  /// Looks at the load, if it is time to. A probe that throws leaves the last sample.
  void refresh() noexcept;
  ByteSize reserved() const;
  /// What stands in the way by the last sample.
  Blocker look(ByteSize need) const;
  /// Looks at the load first, and remembers the answer: hysteresis is for starts that were stopped.
  Blocker check(ByteSize need);
  TaskSlot grant(ByteSize memory);
  /// Grants what can be granted, in order.
  void pump();
  /// Dismisses everyone whose deadline has come, and notes in the request what stood in the way.
  void expire(Deadline now);
  /// Dismisses everyone, and everyone who comes.
  void end();
  bool somebody_waits() const;
  /// A new waiter: the keeper must know its deadline, and look at the load if that matters to it.
  void notice(Deadline deadline, bool load_matters);
  /// Forgets a model that nobody holds or asks for.
  void forget_if_unused(Models::iterator at);

  std::mutex mutex;
  LimiterConfig config;
  Sample sample;
  Clock::time_point sampled{};
  Clock::time_point looked{};  // also in vain
  Blocker blocker = Blocker::none;
  std::unordered_map<std::uint64_t, Lease> leases;
  std::uint64_t last_lease = 0;
  std::size_t declared = 0;
  async::WaiterQueue<TaskSlot> slots;
  async::WaiterQueue<Pass> passes;
  Models models;
  std::map<std::string, ByteSize, std::less<>> usage;
  std::condition_variable changed;
  std::thread keeper;
  Deadline next_deadline = Deadline::max();
  bool stop = false;

 private:
  void keep();
  Obstacle obstacle_of(ByteSize need, std::size_t in_front) const;
  Deadline first_deadline() const;
};

using StatePtr = std::shared_ptr<LimiterState>;

boost::asio::awaitable<TaskSlot> wait_for_slot(StatePtr state, std::chrono::milliseconds timeout,
                                               ByteSize memory);
boost::asio::awaitable<bool> wait_until_possible(StatePtr state, std::chrono::milliseconds timeout);
boost::asio::awaitable<ModelLock> wait_for_lock(StatePtr state, std::string model,
                                                std::chrono::milliseconds timeout,
                                                std::string owner);

}  // namespace reeve::limits::detail
