// Warm-up, resize and the end of a pool.
#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/steady_timer.hpp>
#include <reeve/async/with_timeout.hpp>

#include "pool/core.hpp"

namespace reeve::detail {

// Something changed that shutdown or warm_up may be waiting for.
void Core::settle() noexcept {
  if (observers_.empty()) return;
  for (const auto& observer : std::exchange(observers_, {})) observer->open();
}

std::shared_ptr<async::Gate> Core::observe() {
  observers_.push_back(std::make_shared<async::Gate>());
  return observers_.back();
}

boost::asio::awaitable<void> Core::warm_up([[maybe_unused]] std::shared_ptr<Core> self,
                                           std::size_t count) {
  for (;;) {
    std::shared_ptr<async::Gate> gate;
    {
      const std::lock_guard lock(mutex_);
      check_open();
      count = std::min(count, max_workers_);
      warm_target_ = std::max(warm_target_, count);
      std::size_t up = 0;
      for (const Slot& slot : slots_)
        up += slot.state == WorkerState::idle || slot.state == WorkerState::leased;
      if (up >= count) co_return;
      check_starts();
      while (live() < count && start_one()) {
      }
      gate = observe();
    }
    co_await gate->wait();
  }
}

boost::asio::awaitable<void> Core::resize([[maybe_unused]] std::shared_ptr<Core> self,
                                          std::size_t max_workers) {
  ResourceConfig wanted = config_;
  wanted.max_workers = max_workers;
  if (const auto fault = find_fault(wanted)) throw ConfigError(*fault);
  const std::lock_guard lock(mutex_);
  check_open();
  note_pool(EventKind::resize, max_workers, max_workers_);
  max_workers_ = max_workers;
  count_quarantined(0);
  while (live() > max_workers_ && !idle_.empty()) {
    // The last slots first: devices are those of the first ones.
    const std::uint32_t last = *std::max_element(idle_.begin(), idle_.end());
    slots_[last].surplus = true;
    retire(last, Cause::none);
  }
  if (!waiters_.empty()) start_for_waiters(waiters_.size());
  co_return;
}

bool Core::ended() const noexcept {
  if (!waiters_.empty() || active_ > 0) return false;
  for (const Slot& slot : slots_) {
    if (slot.state != WorkerState::empty && slot.state != WorkerState::quarantined &&
        slot.state != WorkerState::backoff) {
      return false;
    }
  }
  return true;
}

// Ends idle workers of a pool that is closing.
void Core::end_idle() noexcept {
  while (!idle_.empty() && waiters_.empty()) {
    slots_[idle_.back()].surplus = true;
    retire(idle_.back(), Cause::none);
  }
}

void Core::kill_all() noexcept {
  refuse_all(Refusal::closed, "the pool was shut down while this acquire waited");
  for (std::uint32_t number = 0; number < slots_.size(); ++number) {
    Slot& slot = slots_[number];
    slot.surplus = true;
    if (slot.lease != nullptr) {
      process::BoardSlot& cell = *slots_[number].cell;
      std::uint64_t word = cell.word.load();
      if (process::LeaseWord(word).cause() == Cause::active &&
          cell.word.compare_exchange_strong(
              word, process::LeaseWord(word).with(Cause::shutdown).bits())) {
        ++killed_;
        backend_->kill(number, slot.incarnation, Cause::shutdown);
        revoke(number, Cause::shutdown, std::make_shared<const Evidence>(),
               "the pool was shut down");
        slot.retiring = true;
      }
    } else if (slot.state == WorkerState::starting || slot.state == WorkerState::idle) {
      retire(number, Cause::none);
    }
  }
}

boost::asio::awaitable<ShutdownReport> Core::shutdown([[maybe_unused]] std::shared_ptr<Core> self,
                                                      ShutdownMode mode,
                                                      std::chrono::milliseconds deadline) {
  const std::int64_t until = later(now_ns(), deadline);
  ShutdownReport report;
  std::size_t ended_before = 0;
  std::size_t killed_before = 0;
  bool forced = false;
  {
    const std::lock_guard lock(mutex_);
    ended_before = ended_;
    killed_before = killed_;
    if (!closed_) note_pool(EventKind::shutdown);
    closed_ = true;
    if (mode != ShutdownMode::drain) {
      report.cancelled = waiters_.size();
      refuse_all(Refusal::closed, "the pool was shut down while this acquire waited");
    }
    if (mode == ShutdownMode::kill) kill_all();
    end_idle();
  }
  for (;;) {
    std::shared_ptr<async::Gate> gate;
    {
      const std::lock_guard lock(mutex_);
      end_idle();
      if (detached_ || ended()) break;
      gate = observe();
    }
    // After the force there is a second more for the dying to be reaped.
    const std::int64_t left = until + (forced ? 3'000'000'000 : 0) - now_ns();
    bool in_time = left > 0;
    if (in_time) {
      try {
        co_await async::with_timeout(gate->wait(), std::chrono::nanoseconds(left));
      } catch (const async::TimeoutError&) {
        in_time = false;
      }
    }
    if (in_time) continue;
    const std::lock_guard lock(mutex_);
    if (std::exchange(forced, true)) break;  // what is left cannot be killed
    report.deadline_reached = true;
    report.cancelled += waiters_.size();
    kill_all();
  }
  const std::lock_guard lock(mutex_);
  report.completed = ended_ - ended_before - (killed_ - killed_before);
  report.killed = killed_ - killed_before;
  for (const Slot& slot : slots_) report.quarantined += slot.state == WorkerState::quarantined;
  let_go_if_done();
  co_return report;
}

// The last handle is gone: leases go on, nothing else does.
void Core::close() noexcept {
  if (foreign()) return abandon();
  std::shared_ptr<Core> last;
  const std::lock_guard lock(mutex_);
  handles_gone_ = true;
  if (leases_out_ == 0) last = std::move(pinned_);
  if (detached_) return;
  closed_ = true;
  refuse_all(Refusal::closed, "the pool was destroyed while this acquire waited");
  end_idle();
  for (std::uint32_t number = 0; number < slots_.size(); ++number) {
    slots_[number].surplus = true;
    const bool starts = slots_[number].state == WorkerState::starting;
    if (starts && slots_[number].lease == nullptr) retire(number, Cause::none);
  }
  let_go_if_done();
}

// A closed pool without leases needs no warden: its end ends every worker.
void Core::let_go_if_done() noexcept {
  if (detached_ || !closed_ || active_ > 0 || !waiters_.empty()) return;
  if (!handles_gone_ && !ended()) return;
  detach();
}

void Core::detach() noexcept {
  if (std::exchange(detached_, true)) return;
  backend_->detach();
  alarm_.reset();
  settle();
}

// The execution context is being destroyed. Users of other contexts go on, so everybody is told:
// what is posted to the one that ends is destroyed with it.
void Core::context_gone() noexcept {
  if (foreign()) return abandon();
  const std::lock_guard lock(mutex_);
  closed_ = true;
  if (detached_) return;
  detached_ = true;  // nobody is started or killed for what follows
  refuse_all(Refusal::closed,
             "the execution context of the pool was destroyed while this acquire waited");
  for (std::uint32_t number = 0; number < slots_.size(); ++number) {
    revoke(number, Cause::lost, std::make_shared<const Evidence>(),
           "the execution context of its pool was destroyed");
  }
  backend_->detach();
  alarm_.reset();
  settle();
}

}  // namespace reeve::detail
