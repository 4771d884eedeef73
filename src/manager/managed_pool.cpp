// Handles: their count, and the calls that need the state behind them.
#include <reeve/manager/managed_pool.hpp>

#include "manager/state.hpp"

namespace reeve {

ManagedPool::ManagedPool(std::shared_ptr<detail::ManagerState> state,
                         std::shared_ptr<detail::ManagerEntry> entry) noexcept
    : state_(std::move(state)), entry_(std::move(entry)) {}

ManagedPool::ManagedPool(const ManagedPool& other) noexcept
    : state_(other.state_), entry_(other.entry_) {
  if (entry_) entry_->handles.fetch_add(1, std::memory_order_relaxed);
}

ManagedPool& ManagedPool::operator=(ManagedPool other) noexcept {
  state_.swap(other.state_);
  entry_.swap(other.entry_);
  return *this;
}

ManagedPool::~ManagedPool() {
  if (!entry_) return;
  if (state_->foreign()) {
    detail::keep_for_ever(std::move(entry_));
    detail::keep_for_ever(std::move(state_));
    return;
  }
  if (entry_->handles.fetch_sub(1, std::memory_order_acq_rel) == 1) {
    state_->on_unused(std::move(entry_));
  }
}

detail::ManagerEntry& ManagedPool::entry() const {
  if (!entry_) throw std::logic_error("this ManagedPool is empty; take one from get_pool");
  return *entry_;
}

ResourcePool& ManagedPool::resource_pool() const {
  return entry(), state_->pool_of(*entry_);
}

std::size_t ManagedPool::n_jobs() const {
  return entry().n_jobs.load(std::memory_order_relaxed);
}

ExecutorType ManagedPool::type() const {
  return entry().type;
}

PoolHealth ManagedPool::health() const noexcept {
  return entry_ ? entry_->health() : PoolHealth::closed;
}

detail::Operation ManagedPool::begin_operation() const {
  return state_->begin_operation(entry());
}

void ManagedPool::check_may_block() const {
  entry();
  state_->check_may_block();
}

void ManagedPool::resize(JobCount n_jobs) const {
  state_->resize(entry(), n_jobs.checked());
}

boost::asio::awaitable<void> ManagedPool::async_warm_up(std::size_t count) const {
  if (count == 0) count = n_jobs();
  return detail::warm_managed(*this, count);
}

void ManagedPool::warm_up(std::size_t count) const {
  check_may_block();
  start(async_warm_up(count)).get();
}

namespace detail {

boost::asio::awaitable<void> warm_managed(ManagedPool pool, std::size_t count) {
  co_await pool->warm_up(count);
}

}  // namespace detail
}  // namespace reeve
