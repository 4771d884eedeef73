// The verbs of the limiter.
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include <reeve/base/model_name.hpp>
#include "limits/limiter_state.hpp"

namespace reeve::limits {
namespace {

using boost::asio::awaitable;
using detail::LimiterState;

template <class T>
T block_on(awaitable<T> work) {
  boost::asio::io_context context(1);
  std::exception_ptr failure;
  T result{};
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
  const auto at = state->models.find(model_);
  auto& model = at->second;
  if (auto* next = model.queue.front()) {
    model.owner = detail::request_of(*next).owner;
    model.queue.grant(*next, ModelLock(state, std::move(model_)));
  } else {
    model.held = false;
    model.owner.clear();
    state->forget_if_unused(at);
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
    state_->end();
    keeper.swap(state_->keeper);
    state_->changed.notify_one();
  }
  if (keeper.joinable()) keeper.join();
}

StartAdvice ResourceLimiter::can_start_task(ByteSize memory) const {
  const std::lock_guard lock(state_->mutex);
  StartAdvice advice;
  state_->refresh();
  advice.blocker = state_->look(memory);
  if (advice.blocker == Blocker::none && !state_->slots.empty()) advice.blocker = Blocker::queue;
  advice.can_start = advice.blocker == Blocker::none;
  advice.usage = usage_of(*state_);
  return advice;
}

awaitable<bool> ResourceLimiter::wait_for_resources(std::chrono::milliseconds timeout) {
  return detail::wait_until_possible(state_, timeout);
}

awaitable<TaskSlot> ResourceLimiter::acquire_task_slot(std::chrono::milliseconds timeout,
                                                       ByteSize memory) {
  return detail::wait_for_slot(state_, timeout, memory);
}

std::optional<TaskSlot> ResourceLimiter::try_acquire_task_slot(ByteSize memory) {
  const std::lock_guard lock(state_->mutex);
  if (!state_->slots.empty() || state_->check(memory) != Blocker::none) return std::nullopt;
  return state_->grant(memory);
}

awaitable<ModelLock> ResourceLimiter::acquire_model_lock(std::string_view model,
                                                         std::chrono::milliseconds timeout,
                                                         std::string_view owner) {
  return detail::wait_for_lock(state_, std::string(model), timeout, std::string(owner));
}

bool ResourceLimiter::wait_for_resources_blocking(std::chrono::milliseconds timeout) {
  return block_on(wait_for_resources(timeout));
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
  check_model_name(model);
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
