// The limiter: one mutex, FIFO queues with direct hand-over, one thread for deadlines and the load.
#include <fmt/format.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/io_context.hpp>
#include <condition_variable>
#include <reeve/async/waiter_queue.hpp>
#include <reeve/limits/resource_limiter.hpp>
#include <thread>
#include <unordered_map>

namespace reeve::limits {
namespace detail {

struct Pass {};
using SlotWaiter = async::Waiter<TaskSlot>;
using LockWaiter = async::Waiter<ModelLock>;
using PassWaiter = async::Waiter<Pass>;
using Deadline = std::chrono::steady_clock::time_point;

struct LimiterState : std::enable_shared_from_this<LimiterState> {
  struct Lease {
    ByteSize memory;
    Clock::time_point granted;
  };
  struct Request {
    ByteSize memory;
    Deadline deadline;
  };
  struct Model {
    bool held = false;
    std::string owner;
    async::WaiterQueue<ModelLock> queue;
    std::unordered_map<LockWaiter*, std::pair<Deadline, std::string>> requests;
  };

  explicit LimiterState(LimiterConfig c) : config(std::move(c)) {
    if (!config.probe) config.probe = make_system_probe();
    refresh(true);
  }

  // Mutex held by every caller from here on.
  void refresh(bool now_or_never = false) {
    const auto now = config.clock->now();
    if (!now_or_never && now - sampled < config.check_interval) return;
    sample = config.probe->sample();
    sampled = now;
  }

  ByteSize reserved() const {
    if (declared == 0) return ByteSize{};
    const auto now = config.clock->now();
    ByteSize sum{};
    for (const auto& [id, lease] : leases)
      if (now - lease.granted < config.settle_time) sum += lease.memory;
    return sum;
  }

  Blocker check(ByteSize need) {
    refresh();
    blocker =
        judge(config.limits, sample, static_cast<int>(leases.size()), reserved(), need, blocker);
    return blocker;
  }

  TaskSlot grant(ByteSize memory) {
    const std::uint64_t id = ++last_lease;
    leases.emplace(id,
                   Lease{memory, memory == ByteSize{} ? Clock::time_point{} : config.clock->now()});
    if (memory != ByteSize{}) ++declared;
    return TaskSlot(shared_from_this(), id);
  }

  void pump() {
    while (!slots.empty()) {
      SlotWaiter* first = slots.front();
      const ByteSize need = requests.at(first).memory;
      if (check(need) != Blocker::none) break;
      slots.grant(*first, grant(need));
    }
    if (!passes.empty() && slots.empty() && check(ByteSize{}) == Blocker::none)
      while (!passes.empty()) passes.grant(*passes.front(), Pass{});
  }

  void expire(Deadline now) {
    for (SlotWaiter* w = slots.front(); w != nullptr;) {
      SlotWaiter* const next = async::WaiterQueue<TaskSlot>::next(*w);
      if (requests.at(w).deadline <= now) slots.dismiss(*w);
      w = next;
    }
    for (PassWaiter* w = passes.front(); w != nullptr;) {
      PassWaiter* const next = async::WaiterQueue<Pass>::next(*w);
      if (pass_deadlines.at(w) <= now) passes.dismiss(*w);
      w = next;
    }
    for (auto& [name, model] : models)
      for (LockWaiter* w = model.queue.front(); w != nullptr;) {
        LockWaiter* const next = async::WaiterQueue<ModelLock>::next(*w);
        if (model.requests.at(w).first <= now) model.queue.dismiss(*w);
        w = next;
      }
  }

  bool somebody_waits() const {
    if (!slots.empty() || !passes.empty()) return true;
    for (const auto& [name, model] : models)
      if (!model.queue.empty()) return true;
    return false;
  }

  /// A new waiter: the keeper must know its deadline.
  void notice(Deadline deadline) {
    if (!keeper.joinable() && !stop) keeper = std::thread([this] { keep(); });
    if (deadline < next_deadline) {
      next_deadline = deadline;
      changed.notify_one();
    }
  }

  void keep() {
    std::unique_lock lock(mutex);
    while (!stop) {
      if (!somebody_waits()) {
        next_deadline = Deadline::max();
        changed.wait(lock);
        continue;
      }
      const auto now = std::chrono::steady_clock::now();
      expire(now);
      pump();
      Deadline wake = now + config.check_interval;
      for (const auto& [w, r] : requests) wake = std::min(wake, r.deadline);
      for (const auto& [w, d] : pass_deadlines) wake = std::min(wake, d);
      for (const auto& [name, model] : models)
        for (const auto& [w, r] : model.requests) wake = std::min(wake, r.first);
      next_deadline = wake;
      changed.wait_until(lock, std::max(wake, now + std::chrono::microseconds{100}));
    }
  }

  std::mutex mutex;
  LimiterConfig config;
  Sample sample;
  Clock::time_point sampled{};
  Blocker blocker = Blocker::none;
  std::unordered_map<std::uint64_t, Lease> leases;
  std::uint64_t last_lease = 0;
  std::size_t declared = 0;
  async::WaiterQueue<TaskSlot> slots;
  std::unordered_map<SlotWaiter*, Request> requests;
  async::WaiterQueue<Pass> passes;
  std::unordered_map<PassWaiter*, Deadline> pass_deadlines;
  std::map<std::string, Model, std::less<>> models;
  std::map<std::string, ByteSize, std::less<>> usage;
  std::condition_variable changed;
  std::thread keeper;
  Deadline next_deadline = Deadline::max();
  bool stop = false;
};

}  // namespace detail

namespace {

using boost::asio::awaitable;
using detail::Deadline;
using detail::LimiterState;
using StatePtr = std::shared_ptr<LimiterState>;

[[noreturn]] void throw_aborted() {
  throw boost::system::system_error(boost::asio::error::operation_aborted);
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

awaitable<TaskSlot> wait_for_slot(StatePtr state, std::chrono::milliseconds timeout,
                                  ByteSize memory) {
  const Deadline deadline = deadline_in(timeout);
  // Runs after the waiter has left the queue: the next in line may fit where this one did not.
  detail::SlotWaiter* key = nullptr;
  const Cleanup forget(*state, [s = state.get(), &key] {
    s->requests.erase(key);
    s->pump();
  });
  detail::SlotWaiter waiter(state->mutex, state->slots);
  key = &waiter;
  {
    const std::lock_guard lock(state->mutex);
    const double percent = state->sample.memory_total.bytes() == 0
                               ? 0
                               : 100.0 * static_cast<double>(memory.bytes()) /
                                     static_cast<double>(state->sample.memory_total.bytes());
    if (percent >= state->config.limits.max_memory_percent)
      throw ConfigError(fmt::format(
          "the task declares {}, which is {:.0f} % of the memory; the limit is {} %: it "
          "can never start. Lower the declaration or raise the limit",
          to_string(memory), percent, state->config.limits.max_memory_percent));
    state->requests.emplace(&waiter, LimiterState::Request{memory, deadline});
    state->slots.push_back(waiter);
    state->pump();
    if (state->slots.front() != nullptr) state->notice(deadline);
  }
  co_await waiter.wait();
  auto slot = waiter.take();
  if (slot) co_return std::move(*slot);
  Blocker blocker = Blocker::none;
  std::size_t ahead = 0;
  {
    const std::lock_guard lock(state->mutex);
    blocker = state->blocker;
    ahead = state->slots.size();
  }
  if (std::chrono::steady_clock::now() < deadline) throw_aborted();
  throw LimitTimeoutError(fmt::format("no task slot within {} ms: {} is at its limit and {} others "
                                      "wait; raise the limit or the timeout",
                                      timeout.count(), to_string(blocker), ahead),
                          blocker);
}

awaitable<bool> wait_until_possible(StatePtr state, std::chrono::milliseconds timeout) {
  const Deadline deadline = deadline_in(timeout);
  detail::PassWaiter* key = nullptr;
  const Cleanup forget(*state, [s = state.get(), &key] { s->pass_deadlines.erase(key); });
  detail::PassWaiter waiter(state->mutex, state->passes);
  key = &waiter;
  {
    const std::lock_guard lock(state->mutex);
    state->pass_deadlines.emplace(&waiter, deadline);
    state->passes.push_back(waiter);
    state->pump();
    if (!state->passes.empty()) state->notice(deadline);
  }
  co_await waiter.wait();
  const auto pass = waiter.take();
  if (pass) co_return true;
  if (std::chrono::steady_clock::now() < deadline) throw_aborted();
  co_return false;
}

awaitable<ModelLock> wait_for_lock(StatePtr state, std::string model,
                                   std::chrono::milliseconds timeout, std::string owner) {
  const Deadline deadline = deadline_in(timeout);
  LimiterState::Model* entry = nullptr;
  {
    const std::lock_guard lock(state->mutex);
    entry = &state->models[model];
  }
  detail::LockWaiter* key = nullptr;
  const Cleanup forget(*state, [entry, &key] { entry->requests.erase(key); });
  detail::LockWaiter waiter(state->mutex, entry->queue);
  key = &waiter;
  {
    const std::lock_guard lock(state->mutex);
    if (!entry->held) {
      entry->held = true;
      entry->owner = owner;
      co_return ModelLock(state, std::move(model));
    }
    if (!owner.empty() && entry->owner == owner)
      throw LimitDeadlockError(fmt::format(
          "'{}' holds the lock of model '{}' already: it would wait for itself", owner, model));
    entry->requests.emplace(&waiter, std::pair(deadline, owner));
    entry->queue.push_back(waiter);
    state->notice(deadline);
  }
  co_await waiter.wait();
  auto held = waiter.take();
  if (held) co_return std::move(*held);
  if (std::chrono::steady_clock::now() < deadline) throw_aborted();
  throw LimitTimeoutError(
      fmt::format("model '{}' was locked for all of {} ms; raise the timeout or run fewer tasks "
                  "with it",
                  model, timeout.count()),
      Blocker::none);
}

template <class T>
T block_on(awaitable<T> work) {
  boost::asio::io_context context(1);
  std::exception_ptr failure;
  T result;
  boost::asio::co_spawn(context, std::move(work), [&](std::exception_ptr e, T value) {
    failure = e;
    result = std::move(value);
  });
  context.run();
  if (failure) std::rethrow_exception(failure);
  return result;
}

ResourceUsage usage_of(LimiterState& s) {
  ResourceUsage u;
  u.sample = s.sample;
  u.sample_age =
      std::chrono::duration_cast<std::chrono::milliseconds>(s.config.clock->now() - s.sampled);
  u.tasks = static_cast<int>(s.leases.size());
  u.waiting = s.slots.size();
  u.reserved = s.reserved();
  for (const auto& [name, size] : s.usage) u.models.emplace(name, size);
  return u;
}

}  // namespace

void TaskSlot::release() noexcept {
  const auto state = std::exchange(state_, nullptr);
  if (!state) return;
  const std::lock_guard lock(state->mutex);
  const auto at = state->leases.find(lease_);
  if (at->second.memory != ByteSize{}) --state->declared;
  state->leases.erase(at);
  state->pump();
}

void ModelLock::release() noexcept {
  const auto state = std::exchange(state_, nullptr);
  if (!state) return;
  const std::lock_guard lock(state->mutex);
  auto& model = state->models.find(model_)->second;
  if (auto* next = model.queue.front()) {
    model.owner = model.requests.at(next).second;
    model.queue.grant(*next, ModelLock(state, std::move(model_)));
  } else {
    model.held = false;
    model.owner.clear();
  }
}

ResourceLimiter::ResourceLimiter(boost::asio::any_io_executor executor, LimiterConfig config)
    : executor_(std::move(executor)) {
  if (const auto fault = find_fault(config)) throw ConfigError("LimiterConfig: " + *fault);
  state_ = std::make_shared<LimiterState>(std::move(config));
}

ResourceLimiter::~ResourceLimiter() {
  if (!state_) return;
  std::thread keeper;
  {
    const std::lock_guard lock(state_->mutex);
    state_->stop = true;
    state_->expire(detail::Deadline::max());
    keeper.swap(state_->keeper);
    state_->changed.notify_one();
  }
  if (keeper.joinable()) keeper.join();
}

StartAdvice ResourceLimiter::can_start_task(ByteSize memory) const {
  const std::lock_guard lock(state_->mutex);
  StartAdvice advice;
  advice.blocker = state_->check(memory);
  advice.can_start = advice.blocker == Blocker::none && state_->slots.empty();
  advice.usage = usage_of(*state_);
  return advice;
}

awaitable<bool> ResourceLimiter::wait_for_resources(std::chrono::milliseconds timeout) {
  return wait_until_possible(state_, timeout);
}

awaitable<TaskSlot> ResourceLimiter::acquire_task_slot(std::chrono::milliseconds timeout,
                                                       ByteSize memory) {
  return wait_for_slot(state_, timeout, memory);
}

std::optional<TaskSlot> ResourceLimiter::try_acquire_task_slot(ByteSize memory) {
  const std::lock_guard lock(state_->mutex);
  if (!state_->slots.empty() || state_->check(memory) != Blocker::none) return std::nullopt;
  return state_->grant(memory);
}

awaitable<ModelLock> ResourceLimiter::acquire_model_lock(std::string_view model,
                                                         std::chrono::milliseconds timeout,
                                                         std::string_view owner) {
  return wait_for_lock(state_, std::string(model), timeout, std::string(owner));
}

TaskSlot ResourceLimiter::acquire_task_slot_blocking(std::chrono::milliseconds timeout,
                                                     ByteSize memory) {
  return block_on(acquire_task_slot(timeout, memory));
}

ModelLock ResourceLimiter::acquire_model_lock_blocking(std::string_view model,
                                                       std::chrono::milliseconds timeout,
                                                       std::string_view owner) {
  return block_on(acquire_model_lock(model, timeout, owner));
}

void ResourceLimiter::register_model_usage(std::string_view model, ByteSize memory) {
  const std::lock_guard lock(state_->mutex);
  if (memory == ByteSize{})
    state_->usage.erase(std::string(model));
  else
    state_->usage.insert_or_assign(std::string(model), memory);
}

ResourceUsage ResourceLimiter::resource_usage() const {
  const std::lock_guard lock(state_->mutex);
  state_->refresh();
  return usage_of(*state_);
}

Limits ResourceLimiter::limits() const {
  const std::lock_guard lock(state_->mutex);
  return state_->config.limits;
}

void ResourceLimiter::set_limits(const Limits& limits) {
  if (const auto fault = find_fault(limits)) throw ConfigError("set_limits: " + *fault);
  const std::lock_guard lock(state_->mutex);
  state_->config.limits = limits;
  state_->pump();
}

}  // namespace reeve::limits
