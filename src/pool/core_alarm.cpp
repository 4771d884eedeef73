// One lazily armed timer for everything that the pool itself must not miss.
#include <boost/asio/post.hpp>

#include "pool/core.hpp"

namespace reeve::detail {

using process::LeaseWord;
using process::never;

std::int64_t now_ns() noexcept {
  return std::chrono::steady_clock::now().time_since_epoch().count();
}

// Something is due at `when`. The timer is moved only if it would ring later; it lives on the
// executor.
void Core::need_alarm(std::int64_t when) {
  if (when >= alarm_at_ || detached_) return;
  alarm_at_ = when;
  if (std::exchange(alarm_posted_, true)) return;
  boost::asio::post(executor_, [weak = weak_from_this()] {
    if (const auto self = weak.lock()) {
      const std::lock_guard lock(self->mutex_);
      self->alarm_posted_ = false;
      self->rearm();
    }
  });
}

void Core::rearm() {
  if (detached_ || alarm_at_ == never) return;
  alarm_->expires_at(std::chrono::steady_clock::time_point(std::chrono::nanoseconds(alarm_at_)));
  alarm_->async_wait(
      [weak = weak_from_this(), quiet = quiet_](const boost::system::error_code& error) {
        quiet.resumed();
        const auto self = weak.lock();
        if (!self || error) return;
        const std::lock_guard lock(self->mutex_);
        self->on_alarm();
      });
  quiet_.started();
}

void Core::on_alarm() {
  if (detached_) return;
  alarm_at_ = never;
  const std::int64_t next = tick(now_ns());
  if (next < alarm_at_) alarm_at_ = next;
  rearm();
}

// Does what is due; returns when something is due next.
std::int64_t Core::tick(std::int64_t now) {
  std::int64_t next = expire_waiters(now);
  if (gpus_) next = std::min(next, watch_gpus(now));
  for (std::uint32_t number = 0; number < slots_.size(); ++number) {
    Slot& slot = slots_[number];
    if (slot.state == WorkerState::backoff) {
      if (slot.retry_at > now) {
        next = std::min(next, slot.retry_at);
      } else if (closed_) {
        set_state(slot, WorkerState::empty);
        start_for_the_left_out();  // a drain serves those who wait
        continue;                  // there may be more slots now, elsewhere
      } else if (live() < max_workers_ && (!waiters_.empty() || live() < wanted_workers())) {
        degraded_until_ = 0;
        start(number);
      } else {
        set_state(slot, WorkerState::empty);
      }
    } else if (slot.state == WorkerState::starting && !slot.initializing) {
      const std::int64_t due = slot.started_at + start_patience;
      if (due > now) {
        next = std::min(next, due);
      } else if (slot.start_fault.empty()) {
        backend_->kill(number, slot.incarnation, Cause::cancelled);
        if (slot.announced) {
          slot.start_fault = "it had not set itself up after 10 s";
        } else {
          start_failed(number, "its warden had not started it after 10 s");
        }
      }
    } else if (slot.state == WorkerState::idle && config_.idle_timeout.count() > 0 &&
               live() > config_.min_workers) {
      const std::int64_t due =
          slot.idle_since + std::chrono::nanoseconds(config_.idle_timeout).count();
      if (due > now) {
        next = std::min(next, due);
      } else {
        slot.surplus = true;
        retire(number, Cause::none);
      }
    }
    const bool watched = slot.lease != nullptr || slot.initializing;
    if (watched && !backend_->watches()) next = std::min(next, watch_lease(number, now));
    if (slot.lease != nullptr && slot.lease->soft_deadline != never) {
      if (slot.lease->rehiring && slot.lease->soft_deadline <= now) continue;  // submit() tells it
      if (slot.lease->soft_deadline > now) {
        next = std::min(next, slot.lease->soft_deadline);
      } else {
        slot.lease->soft_deadline = never;
        slot.port->request_stop();
      }
    }
  }
  return next;
}

// For backends without a warden: the pool itself ends leases whose time is up.
std::int64_t Core::watch_lease(std::uint32_t number, std::int64_t now) {
  process::BoardSlot& cell = *slots_[number].cell;
  const std::int64_t due = cell.deadline.load();
  if (due > now) return due;
  std::uint64_t word = cell.word.load();
  if (LeaseWord(word).cause() == Cause::active &&
      cell.word.compare_exchange_strong(word, LeaseWord(word).with(Cause::timeout).bits())) {
    backend_->kill(number, slots_[number].incarnation, Cause::timeout);
  }
  return never;
}

// The memory of this call, for the watch, which sees the whole tree and shared mappings, too. Where
// the kernel holds it, the kernel comes first, and what its refusal may use is allowed.
void Core::arm_memory(const Lease& lease) {
  if (lease.call_memory == 0_B || !config_.watch_memory || !backend_->watches()) return;
  process::BoardSlot& cell = *slots_[lease.slot].cell;
  const std::uint64_t reserve = config_.hard_memory ? process::refusal_reserve : 0;
  const std::uint64_t limit =
      std::min(config_.worker_memory.bytes(), lease.call_memory.bytes() + reserve);
  cell.memory_limit.store(limit, std::memory_order_seq_cst);
  const std::int64_t due = now_ns() + process::look_interval_ns(cell.memory_used.load(), limit);
  if (!backend_->watch(due)) need_alarm(due);
}

std::size_t Core::wanted_workers() const noexcept {
  return std::min(max_workers_, std::max(config_.min_workers, warm_target_));
}

}  // namespace reeve::detail
