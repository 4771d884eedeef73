// Workers come and go: starting, replacing, backing off.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "pool/backoff.hpp"
#include "pool/core.hpp"

namespace reeve::detail {

using process::LeaseWord;
using process::never;

void Core::start_for_waiters(std::size_t wanted) {
  for (std::size_t coming = starting(); coming < wanted && start_one(); ++coming) {
  }
}

// A waiter that wants a device needs a worker in a slot that has it; no other will do.
void Core::start_for(const char* device, std::size_t wanted) {
  if (device == nullptr) return start_for_waiters(wanted);
  if (!start_one(device)) make_room(device);
}

// Those who wait although no worker is coming for them: when they came, their slots were ending.
void Core::start_for_the_left_out() {
  std::vector<std::uint32_t> coming;
  for (std::uint32_t number = 0; number < slots_.size(); ++number) {
    if (is_coming(slots_[number].state) && slots_[number].lease == nullptr)
      coming.push_back(number);
  }
  for (auto* waiter = waiters_.front(); waiter != nullptr && live() < max_workers_;
       waiter = waiters_.next(*waiter)) {
    const char* const wish = static_cast<Request*>(waiter->note)->device;
    const auto found = std::find_if(coming.begin(), coming.end(), [&](std::uint32_t number) {
      return device_matches(slots_[number].device, wish);
    });
    if (found != coming.end()) {
      coming.erase(found);
    } else {
      start_one(wish);
      if (waiters_.empty()) return;  // too many starts failed: all were told
    }
  }
}

// A pool that became smaller may keep workers whose devices are not those of its first slots. When
// no worker has the device that is asked for, an idle one goes.
void Core::make_room(const char* device) {
  if (device == nullptr || detached_ || idle_.empty() || live() < max_workers_) return;
  for (const Slot& slot : slots_) {
    const bool there = is_live(slot.state) || is_coming(slot.state);
    if (there && device_matches(slot.device, device)) return;
  }
  slots_[idle_.front()].surplus = true;  // what follows it is what is waited for
  retire(idle_.front(), Cause::none);
  start_one(device);
}

void Core::make_room_for_waiters() {
  const char* asked = nullptr;
  for (auto* waiter = waiters_.front(); waiter != nullptr; waiter = waiters_.next(*waiter)) {
    const char* const wish = static_cast<Request*>(waiter->note)->device;
    if (wish == nullptr || (asked != nullptr && std::strcmp(wish, asked) == 0)) continue;
    asked = wish;
    make_room(wish);
    // What could not be started may have ended the waiting of all.
    if (idle_.empty() || live() < max_workers_ || waiters_.empty()) break;
  }
}

// Starts a worker in an empty slot if the pool may have one more.
bool Core::start_one(const char* device) {
  if (detached_ || live() >= max_workers_) return false;
  const std::size_t most = max_workers_ + config_.quarantine_max;
  for (std::uint32_t number = 0; number < most; ++number) {
    if (number == slots_.size()) {
      slots_.emplace_back();
      slots_.back().device = config_.devices[number % config_.devices.size()];
    }
    const Slot& slot = slots_[number];
    if (slot.state != WorkerState::empty || !device_matches(slot.device, device)) continue;
    start(number);
    return true;
  }
  return false;
}

void Core::start(std::uint32_t number) {
  Slot& slot = slots_[number];
  set_state(slot, WorkerState::starting);
  slot.incarnation = next_incarnation_++;
  slot.leases_of_worker = 0;
  slot.retiring = slot.initializing = slot.announced = false;
  slot.start_fault.clear();
  slot.ending_for = Cause::none;
  slot.started_at = now_ns();
  slot.cell = &backend_->cell(number);
  process::BoardSlot& cell = *slot.cell;
  if (slot.lease == nullptr) {
    cell.word.store(0, std::memory_order_relaxed);
    cell.deadline.store(never, std::memory_order_relaxed);
  }
  cell.memory_limit.store(config_.watch_memory ? config_.worker_memory.bytes() : 0,
                          std::memory_order_relaxed);
  try {
    slot.port = backend_->start(number, slot.incarnation, slot.device);
  } catch (const std::exception& e) {
    return start_failed(number, e.what());
  }
  need_alarm(slot.started_at + start_patience);
}

void Core::on_started(std::uint32_t number, std::uint64_t incarnation, int pid) {
  Slot& slot = slots_[number];
  if (slot.incarnation != incarnation || slot.state != WorkerState::starting) return;
  slot.pid = pid;
  ++spawns_;
  slot.announced = true;
  note_worker(EventKind::spawn, number, audit::Cause::none);
  if (slot.lease != nullptr) watch_again(slot);
  if (slot.port->replied()) return came_up(number);
  busy_.push_back(number);
}

// It has set itself up: limits, environment, working directory.
void Core::came_up(std::uint32_t number) {
  if (config_.initializer) {
    run_initializer(number);
  } else {
    ready(number);
  }
}

void Core::ready(std::uint32_t number) {
  start_failures_ = 0;
  degraded_until_ = 0;
  slots_[number].start_failures = 0;
  if (slots_[number].lease != nullptr) return resume_lease(number);
  if (live() > max_workers_) return retire(number, Cause::none);
  offer(number);
}

void Core::on_start_failed(std::uint32_t number, std::uint64_t incarnation, std::string reason) {
  if (slots_[number].incarnation == incarnation) start_failed(number, std::move(reason));
}

void Core::start_failed(std::uint32_t number, std::string reason) {
  Slot& slot = slots_[number];
  std::erase(busy_, number);
  if (slot.lease != nullptr) {  // rehired
    revoke(number, Cause::lost, std::make_shared<const Evidence>(),
           "its worker died before the call began, and no other could be started: " + reason);
  }
  slot.port.reset();
  slot.pid = 0;
  slot.initializing = false;
  last_start_failure_ = std::move(reason);
  ++start_failures_;
  ++slot.start_failures;
  const std::int64_t now = now_ns();
  set_state(slot, WorkerState::backoff);
  slot.retry_at = now + std::chrono::nanoseconds(backoff_delay(slot.start_failures)).count();
  if (start_failures_ >= failures_until_degraded) {
    degraded_until_ = slot.retry_at;
    refuse_all(
        Refusal::degraded,
        fmt::format(
            "workers could not be started {} times in a row, the last time because {}; the pool "
            "tries again by itself",
            start_failures_, last_start_failure_));
  }
  need_alarm(slot.retry_at);
  settle();
}

// Ends a worker that nobody leases, by our own wish.
void Core::retire(std::uint32_t number, Cause cause) {
  Slot& slot = slots_[number];
  std::erase(idle_, number);
  std::erase(busy_, number);
  set_state(slot, WorkerState::ending);
  slot.retiring = true;
  slot.ending_for = cause;
  const Cause wish = cause == Cause::none ? Cause::shutdown : cause;
  count_death(slot, wish);
  backend_->kill(number, slot.incarnation, wish);
}

void Core::count_death(Slot& slot, Cause cause) noexcept {
  const auto counter = [cause] {
    switch (cause) {
      case Cause::timeout:
        return &DeathCounts::timeout;
      case Cause::memory:
        return &DeathCounts::memory;
      case Cause::cancelled:
        return &DeathCounts::cancelled;
      case Cause::crashed:
        return &DeathCounts::crashed;
      case Cause::shutdown:
        return &DeathCounts::recycled;
      default:
        return &DeathCounts::lost;
    }
  }();
  ++(deaths_.*counter);
  ++(slot.deaths.*counter);
}

// The lease of this slot is over; its holder learns why at its current or next call.
void Core::revoke(std::uint32_t number, Cause cause, std::shared_ptr<const Evidence> evidence,
                  std::string reason, std::string_view by) {
  Slot& slot = slots_[number];
  Lease* lease = std::exchange(slot.lease, nullptr);
  if (lease == nullptr) return;
  auto failure = std::make_shared<Failure>();
  failure->cause = cause;
  failure->task = lease->task;
  failure->worker = lease->worker;
  failure->evidence = std::move(evidence);
  failure->reason = std::move(reason);
  failure->by.assign(by);
  failure->thrown = std::move(lease->thrown);
  lease->failure = std::move(failure);
  --active_;
  if (closed_) ++ended_;
  std::erase(busy_, number);
  set_state(slot, WorkerState::ending);
  slot.ending_for = cause;
  count_death(slot, cause);
  note_end(*lease, cause, lease->failure->evidence.get());
  set_rehiring(*lease, false);
  tell_revoked(*lease);
  wake_caller(*lease);
}

// A worker that died before it could be used: its start failed.
void Core::died_starting(std::uint32_t number, const Death& death) {
  Slot& slot = slots_[number];
  if (!slot.start_fault.empty()) return start_failed(number, std::move(slot.start_fault));
  std::string how = death.by_signal ? fmt::format("it died by {}", signal_name(death.status))
                                    : fmt::format("it exited with status {}", death.status);
  if (!death.reason.empty()) how = death.reason;
  if (!death.tail.empty()) how += "; its last output: " + death.tail;
  while (how.ends_with('\n')) how.pop_back();
  start_failed(number, (slot.initializing ? "its initializer ended it: " : "") + how);
}

void Core::on_died(std::uint32_t number, std::uint64_t incarnation, Death death) {
  Slot& slot = slots_[number];
  if (slot.incarnation != incarnation) return;
  if (rehire(number, death)) return;
  const bool undecided =
      slot.lease == nullptr ||
      (slot.lease->rehiring && LeaseWord(slot.cell->word.load()).cause() == Cause::active);
  const bool was_starting = slot.state == WorkerState::starting && undecided && !slot.retiring;
  if (slot.state == WorkerState::quarantined) count_quarantined(-1);
  const Cause noted = death.cause != Cause::none ? death.cause : slot.ending_for;
  if (slot.lease != nullptr && !was_starting) {
    const bool decided = LeaseWord(slots_[number].cell->word.load()).cause() != Cause::active;
    const bool answered = !decided && slot.state == WorkerState::leased && slot.lease->submitted &&
                          slot.lease->port == slot.port && slot.port->replied() &&
                          std::find(busy_.begin(), busy_.end(), number) != busy_.end();
    if (answered) {
      // It died after its reply was complete: the result counts, later calls do not.
      slot.lease->replied = true;
    }
    auto evidence = evidence_of(number, death);
    std::string reason = death.reason;
    if (death.cause == Cause::none) death.cause = explain_crash(slot, death, *evidence, reason);
    revoke(number, death.cause, std::move(evidence), std::move(reason));
  }
  if (slot.announced) {
    const Cause cause = noted != Cause::none ? noted : death.cause;
    note_worker(
        EventKind::death, number,
        slot.retiring && cause == Cause::shutdown ? audit::Cause::recycled : audit_cause(cause),
        &death);
  }
  if (slot.state == WorkerState::idle) count_death(slot, Cause::lost);  // nobody asked for it
  slot.port.reset();
  slot.pid = 0;
  std::erase(idle_, number);
  std::erase(busy_, number);
  if (was_starting) return died_starting(number, death);
  if (slot.state == WorkerState::backoff)
    return;  // a failed initializer's process; the retry is scheduled
  set_state(slot, WorkerState::empty);
  replace(number);
  settle();
}

// An ended worker is replaced at once, unless nobody will want it.
void Core::replace(std::uint32_t number) {
  const bool surplus = std::exchange(slots_[number].surplus, false);
  if (detached_ || live() >= max_workers_) return;
  if (!closed_ && !surplus) return start(number);
  start_for_the_left_out();
}

void Core::count_quarantined(int change) noexcept {
  quarantined_ += static_cast<std::size_t>(change);
  stuck_ = quarantined_ >= max_workers_ + config_.quarantine_max;
}

void Core::on_killed(std::uint32_t number, std::uint64_t incarnation, Cause cause) {
  const Slot& slot = slots_[number];
  if (slot.incarnation != incarnation || !slot.announced) return;
  const bool recycled = slot.retiring && cause == Cause::shutdown;
  note_worker(EventKind::kill, number, recycled ? audit::Cause::recycled : audit_cause(cause));
}

}  // namespace reeve::detail
