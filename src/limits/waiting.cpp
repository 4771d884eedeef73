// The coroutines that wait at a limiter, for a slot, for the load to fall, for a model's lock.
#include <fmt/format.h>

#include <boost/asio/error.hpp>

#include <reeve/base/model_name.hpp>
#include "limits/limiter_state.hpp"

namespace reeve::limits::detail {
namespace {

using boost::asio::awaitable;

[[noreturn]] void throw_aborted() {
  throw boost::system::system_error(boost::asio::error::operation_aborted);
}

/// After the limiter's end nobody keeps deadlines any more. Mutex held.
void check_running(const LimiterState& state) {
  if (state.stop) throw_aborted();
}

Deadline deadline_in(std::chrono::milliseconds timeout) {
  const auto now = std::chrono::steady_clock::now();
  const auto far = std::chrono::hours{24 * 3650};
  return now +
         std::min<std::chrono::nanoseconds>(std::min<std::chrono::milliseconds>(timeout, far), far);
}

/// Runs `f` under the state's mutex when it goes.
template <class F>
class Cleanup {
 public:
  Cleanup(LimiterState& state, F f) : state_(state), f_(std::move(f)) {}
  Cleanup(const Cleanup&) = delete;
  Cleanup& operator=(const Cleanup&) = delete;
  ~Cleanup() {
    const std::lock_guard lock(state_.mutex);
    f_();
  }

 private:
  LimiterState& state_;
  F f_;
};

/// Memory that is more than the limit allows can never be granted. Mutex held.
void check_possible(const LimiterState& state, ByteSize memory) {
  if (state.sample.memory_total.bytes() == 0) return;
  const double percent = 100.0 * static_cast<double>(memory.bytes()) /
                         static_cast<double>(state.sample.memory_total.bytes());
  if (percent >= state.config.limits.max_memory_percent)
    throw ConfigError(
        fmt::format("the task declares {}, which is {:.0f} % of the memory; the limit is {} %: it "
                    "can never start. Lower the declaration or raise the limit",
                    to_string(memory), percent, state.config.limits.max_memory_percent));
}

/// What stood in the way, with the figures it was judged by.
std::string describe(const Obstacle& o, ByteSize memory) {
  const auto load = [](std::string_view name, double percent, double limit) {
    return fmt::format("{} is at its limit ({:.1f} % of {} %, and must be {} points below)", name,
                       percent, limit, hysteresis_points);
  };
  const auto share = [&o](ByteSize size) {
    return 100.0 * static_cast<double>(size.bytes()) /
           static_cast<double>(std::max<std::uint64_t>(o.sample.memory_total.bytes(), 1));
  };
  switch (o.blocker) {
    case Blocker::tasks:
      return fmt::format("tasks is at its limit ({} of {} slots are out)", o.tasks,
                         o.limits.max_concurrent_tasks);
    case Blocker::cpu:
      return load("cpu", o.sample.cpu_percent, o.limits.max_cpu_percent);
    case Blocker::gpu:
      return load("gpu", o.sample.gpu_percent.value_or(0), o.limits.max_gpu_percent);
    case Blocker::memory:
      return fmt::format(
          "memory is at its limit ({:.1f} % in use, {:.1f} % granted lately and {:.1f} % "
          "declared, of {} %)",
          o.sample.memory_percent, share(o.reserved), share(memory), o.limits.max_memory_percent);
    default:
      return "no limit stood in the way";
  }
}

}  // namespace

awaitable<TaskSlot> wait_for_slot(StatePtr state, std::chrono::milliseconds timeout,
                                  ByteSize memory) {
  Request request{deadline_in(timeout), memory, {}};
  // Runs after the waiter has left the queue: the next in line may fit where this one did not.
  const Cleanup pump_again(*state, [s = state.get()] { s->pump(); });
  SlotWaiter waiter(state->mutex, state->slots);
  waiter.note = &request;
  {
    const std::lock_guard lock(state->mutex);
    check_running(*state);
    check_possible(*state, memory);
    state->slots.push_back(waiter);
    state->pump();
    if (!state->slots.empty()) state->notice(request.deadline, true);
  }
  co_await waiter.wait();
  auto slot = waiter.take();
  if (slot) co_return std::move(*slot);
  if (!request.obstacle) throw_aborted();
  const Obstacle& o = *request.obstacle;
  throw LimitTimeoutError(
      fmt::format("no task slot within {} ms: {} and {} others waited in front; raise the limit or "
                  "the timeout",
                  timeout.count(), describe(o, memory), o.in_front),
      o.blocker);
}

awaitable<bool> wait_until_possible(StatePtr state, std::chrono::milliseconds timeout) {
  Request request{deadline_in(timeout), {}, {}};
  PassWaiter waiter(state->mutex, state->passes);
  waiter.note = &request;
  {
    const std::lock_guard lock(state->mutex);
    check_running(*state);
    state->passes.push_back(waiter);
    state->pump();
    if (!state->passes.empty()) state->notice(request.deadline, true);
  }
  co_await waiter.wait();
  const auto pass = waiter.take();
  if (pass) co_return true;
  if (!request.obstacle) throw_aborted();
  co_return false;
}

awaitable<ModelLock> wait_for_lock(StatePtr state, std::string model,
                                   std::chrono::milliseconds timeout, std::string owner) {
  check_model_name(model);
  Request request{deadline_in(timeout), {}, owner};
  LimiterState::Models::iterator at;
  {
    const std::lock_guard lock(state->mutex);
    check_running(*state);
    at = state->models.try_emplace(model).first;
    ++at->second.users;
  }
  const Cleanup leave(*state, [s = state.get(), at] {
    --at->second.users;
    s->forget_if_unused(at);
  });
  LimiterState::Model& entry = at->second;
  LockWaiter waiter(state->mutex, entry.queue);
  waiter.note = &request;
  {
    const std::lock_guard lock(state->mutex);
    check_running(*state);
    if (!entry.held) {
      entry.held = true;
      entry.owner = owner;
      co_return ModelLock(state, std::move(model));
    }
    if (!owner.empty() && entry.owner == owner)
      throw LimitDeadlockError(fmt::format(
          "'{}' holds the lock of model '{}' already: it would wait for itself; release that "
          "lock first, or hand it to whoever needs it",
          owner, model));
    entry.queue.push_back(waiter);
    state->notice(request.deadline, false);
  }
  co_await waiter.wait();
  auto held = waiter.take();
  if (held) co_return std::move(*held);
  if (!request.obstacle) throw_aborted();
  const Obstacle& o = *request.obstacle;
  throw LimitTimeoutError(
      fmt::format("model '{}' was locked for all of {} ms and {} others waited in front; raise the "
                  "timeout or run fewer tasks with it",
                  model, timeout.count(), o.in_front),
      o.blocker);
}

}  // namespace reeve::limits::detail
