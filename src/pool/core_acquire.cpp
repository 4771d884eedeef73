// Granting and taking back leases.
#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>
#include <boost/system/system_error.hpp>

#include "pool/core.hpp"

namespace reeve::detail {

using process::LeaseWord;
using process::never;

bool device_matches(std::string_view device, const char* wanted) {
  if (wanted == nullptr) return true;
  const std::string_view wish(wanted);
  return device == wish ||
         (device.size() > wish.size() && device.starts_with(wish) && device[wish.size()] == ':');
}

void Core::check_open() const {
  if (closed_ || detached_) {
    throw PoolClosedError("the pool is shut down; make a new ResourcePool to hire workers again");
  }
}

// For those whom no idle worker can serve.
void Core::check_starts() const {
  if (degraded_until_ != 0 && degraded_until_ > now_ns()) {
    throw PoolDegradedError(
        fmt::format("workers could not be started {} times in a row, the last time because "
                    "{}; the pool tries again by itself",
                    start_failures_, last_start_failure_));
  }
}

Lease& Core::take_lease() {
  ++leases_out_;
  if (free_leases_ == nullptr) return leases_.emplace_back();
  Lease& lease = *free_leases_;
  free_leases_ = lease.next_free;
  return lease;
}

void Core::drop_lease(Lease& lease) noexcept {
  // What a sink threw may want the lock as it ends.
  if (lease.failure != nullptr && lease.failure->thrown)
    boost::asio::post(executor_, [failure = std::move(lease.failure)] {});
  lease.failure.reset();
  lease.port.reset();
  lease.released = false;
  lease.dirt = 0;
  lease.next_free = free_leases_;
  free_leases_ = &lease;
}

Lease& Core::grant(std::uint32_t number, std::string_view task,
                   std::chrono::milliseconds time_limit, Request* request) {
  Slot& slot = slots_[number];
  Lease& lease = take_lease();
  const std::int64_t now = clock_.now();
  lease.slot = number;
  lease.serial = ++slot.serial;
  lease.worker = {number, slot.incarnation};
  lease.task.assign(task);
  lease.granted_at = now;
  lease.deadline = now + lease_time_;
  if (time_limit.count() > 0) lease.deadline = std::min(lease.deadline, later(now, time_limit));
  lease.owners = 1;
  lease.gpu_observed = 0;
  lease.buffers = lease.used = lease.rehiring = lease.stop_asked = false;
  lease.rehires = 0;
  lease.thrown = nullptr;
  slot.lease = &lease;
  set_state(slot, WorkerState::leased);
  ++slot.leases_of_worker;
  ++active_;
  ++grants_;
  process::BoardSlot& cell = *slot.cell;
  cell.deadline.store(lease.deadline, std::memory_order_relaxed);
  cell.word.store(LeaseWord(lease.serial, Cause::active).bits(), std::memory_order_seq_cst);
  if (!backend_->watch(std::min(lease.deadline, now + first_look_))) need_alarm(lease.deadline);
  if (gpus_ && gpus_->watches(slot.device)) need_alarm(now + GpuWatch::interval);
  if (request != nullptr) {
    lease.number = request->number;
    request->settled = true;
    note_grant(lease, now - request->since);
  } else {
    lease.number = ++lease_number_;
    if (journal_.on()) {
      note_acquire(lease.number, lease.task, now);
      note_grant(lease, 0);
    }
  }
  return lease;
}

std::optional<WorkerLease> Core::try_acquire(std::string_view task, const AcquireOptions& options) {
  const std::lock_guard lock(mutex_);
  check_open();
  check_device(options.device);
  const std::uint32_t slot = take_idle(options.device);
  if (slot == no_slot) {
    check_starts();
    if (waiters_.empty()) start_for(options.device, 1);
    return std::nullopt;
  }
  return WorkerLease(*this, grant(slot, task, options.time_limit));
}

// Whoever waits cannot use the workers that are idle (see `offer`): taking one overtakes nobody.
std::uint32_t Core::take_idle(const char* device) {
  if (idle_.empty()) return no_slot;
  std::uint32_t slot = idle_.back();
  if (device == nullptr) {
    idle_.pop_back();
    return slot;
  }
  const auto found = std::find_if(idle_.rbegin(), idle_.rend(), [&](std::uint32_t number) {
    return device_matches(slots_[number].device, device);
  });
  if (found == idle_.rend()) return no_slot;
  slot = *found;
  idle_.erase(std::next(found).base());
  return slot;
}

// The fast path of an acquire; if it cannot be had, `wait` finds out why. Plain values in and out:
// a struct that is written in parts and copied as a whole costs 10 ns here (store forwarding).
Lease* Core::grab(std::string_view task, const AcquireOptions& options) {
  const std::lock_guard lock(mutex_);
  if (closed_ || detached_) return nullptr;
  const std::uint32_t slot = take_idle(options.device);
  return slot != no_slot ? &grant(slot, task, options.time_limit) : nullptr;
}

/// Notes the end of a waiter that was cancelled, or whose coroutine was destroyed.
class RequestGuard {
 public:
  RequestGuard(Core& core, Request& request) noexcept : core_(core), request_(request) {}
  RequestGuard(const RequestGuard&) = delete;
  void settled() noexcept { settled_ = true; }
  ~RequestGuard() {
    if (settled_) return;
    const std::lock_guard lock(core_.mutex_);
    if (request_.number != 0 && !request_.settled) {
      core_.note_waiter_end(request_, audit::Cause::cancelled);
    }
  }

 private:
  Core& core_;
  Request& request_;
  bool settled_ = false;
};

boost::asio::awaitable<WorkerLease> Core::wait([[maybe_unused]] std::shared_ptr<Core> self,
                                               TaskName task, AcquireOptions options) {
  Request request;
  request.task = task.view();
  request.device = options.device;
  request.priority = options.priority;
  request.time_limit = options.time_limit;
  const auto timeout = options.timeout.count() > 0 ? options.timeout : config_.acquire_timeout;
  RequestGuard guard(*this, request);
  async::Waiter<WorkerLease> waiter(mutex_, waiters_);
  waiter.note = &request;
  {
    const std::lock_guard lock(mutex_);
    check_open();
    check_device(options.device);
    const std::uint32_t slot = take_idle(options.device);
    if (slot != no_slot)
      co_return WorkerLease(*this, grant(slot, request.task, options.time_limit));
    check_starts();
    if (waiters_.size() >= config_.waiter_count_max) {
      note_refused(request.task, audit::Cause::saturated);
      throw PoolSaturatedError(
          fmt::format("{} acquires are waiting already (waiter_count_max = {}); {}; slow the "
                      "callers down or raise the limit",
                      waiters_.size(), config_.waiter_count_max, busy_text()));
    }
    request.since = clock_.now();
    request.deadline = later(request.since, timeout);
    request.number = ++lease_number_;
    note_acquire(request.number, request.task, request.since);
    waiters_.insert_before(position_for(options.priority), waiter);
    need_alarm(request.deadline);
    start_for(options.device, waiters_.size());
  }
  co_await waiter.wait();
  auto lease = waiter.take();
  if (lease) {
    guard.settled();
    co_return std::move(*lease);
  }
  switch (request.refused) {
    case Refusal::none:
      throw boost::system::system_error(boost::asio::error::operation_aborted);
    case Refusal::time:
      throw AcquireTimeoutError(request.text);
    case Refusal::degraded:
      throw PoolDegradedError(request.text);
    case Refusal::closed:
      break;
  }
  throw PoolClosedError(request.text);
}

// Behind everyone of the same or a higher priority. Cost: O(1) as long as nobody asks for a
// priority.
async::Waiter<WorkerLease>* Core::position_for(int priority) {
  if (priority != 0) priorities_used_ = true;
  if (!priorities_used_) return nullptr;
  auto* position = waiters_.front();
  while (position != nullptr && static_cast<Request*>(position->note)->priority >= priority) {
    position = waiters_.next(*position);
  }
  return position;
}

void Core::check_device(const char* device) const {
  if (device == nullptr) return;
  const std::size_t count = std::min(config_.devices.size(), max_workers_);
  for (std::size_t i = 0; i < count; ++i) {
    if (device_matches(config_.devices[i], device)) return;
  }
  throw ConfigError(fmt::format(
      "no worker of this pool has a device '{}'; its {} workers have {}", device, max_workers_,
      fmt::join(config_.devices.begin(), config_.devices.begin() + static_cast<long>(count),
                ", ")));
}

std::string Core::busy_text() const {
  std::string holders;
  std::size_t named = 0;
  for (const Slot& slot : slots_) {
    if (slot.lease == nullptr) continue;
    if (++named > 8) break;
    holders += fmt::format("{}'{}'", named > 1 ? ", " : "", slot.lease->task);
  }
  if (active_ > 8) holders += ", ...";
  return active_ == 0
             ? fmt::format("no lease is active and {} of {} workers live", live(), max_workers_)
             : fmt::format("{} of {} workers are leased, to {}", active_, max_workers_, holders);
}

void Core::refuse(async::Waiter<WorkerLease>& waiter, Refusal refusal, std::string text) {
  auto& request = *static_cast<Request*>(waiter.note);
  request.refused = refusal;
  request.text = std::move(text);
  request.settled = true;
  note_waiter_end(request, refusal == Refusal::time       ? audit::Cause::timeout
                           : refusal == Refusal::degraded ? audit::Cause::degraded
                                                          : audit::Cause::shutdown);
  waiters_.dismiss(waiter);
}

// Refuses those whose time is up; the next deadline, or never.
std::int64_t Core::expire_waiters(std::int64_t now) {
  std::int64_t next = never;
  for (auto* waiter = waiters_.front(); waiter != nullptr;) {
    auto* const following = waiters_.next(*waiter);
    const auto& request = *static_cast<Request*>(waiter->note);
    if (request.deadline <= now) {
      refuse(
          *waiter, Refusal::time,
          fmt::format(
              "no worker became free for task '{}' within {:.3f} s; {}, {} more are waiting; raise "
              "max_workers or the acquire timeout",
              request.task, static_cast<double>(now - request.since) / 1e9, busy_text(),
              waiters_.size() - 1));
    } else {
      next = std::min(next, request.deadline);
    }
    waiter = following;
  }
  return next;
}

void Core::refuse_all(Refusal refusal, const std::string& text) {
  while (!waiters_.empty()) refuse(*waiters_.front(), refusal, text);
}

// A worker is free: it belongs to the first waiter that can use it, else it is idle.
void Core::offer(std::uint32_t number) {
  Slot& slot = slots_[number];
  set_state(slot, WorkerState::idle);
  for (auto* waiter = waiters_.front(); waiter != nullptr; waiter = waiters_.next(*waiter)) {
    auto& request = *static_cast<Request*>(waiter->note);
    if (!device_matches(slot.device, request.device)) continue;
    Lease& lease = grant(number, request.task, request.time_limit, &request);
    waiters_.grant(*waiter, WorkerLease(*this, lease));
    return settle();
  }
  idle_.push_back(number);
  if (config_.idle_timeout.count() > 0 && live() > config_.min_workers) {
    slot.idle_since = now_ns();
    need_alarm(slot.idle_since + std::chrono::nanoseconds(config_.idle_timeout).count());
  }
  make_room_for_waiters();
  settle();
}

void Core::release(Lease& lease, bool discard) noexcept {
  if (foreign()) return abandon();
  std::shared_ptr<LeaseObserver> observer;
  std::uint64_t token = 0;
  {
    std::shared_ptr<Core> last;
    const std::lock_guard lock(mutex_);
    observer = std::move(lease.observer);
    token = lease.observer_token;
    last = release_locked(lease, discard);
  }
  if (observer) observer->on_lease_ended(token);
}

std::shared_ptr<Core> Core::release_locked(Lease& lease, bool discard) noexcept {
  lease.released = true;
  if (lease.failure == nullptr && !detached_) {
    end_lease(lease, discard);
    if (closed_) {
      end_idle();
      let_go_if_done();
      settle();
    }
  } else if (lease.failure == nullptr) {  // its worker ended with the context
    slots_[lease.slot].lease = nullptr;
    slots_[lease.slot].state = WorkerState::empty;
    --active_;
  }
  return unown_locked(lease);
}

// A lease that ends by itself: its worker is reused if it is clean.
void Core::end_lease(Lease& lease, bool discard) {
  const std::uint32_t number = lease.slot;
  Slot& slot = slots_[number];
  process::BoardSlot& cell = *slot.cell;
  std::uint64_t word = cell.word.load(std::memory_order_relaxed);
  const bool in_call = lease.calling && lease.submitted;
  const Cause by_us = in_call ? Cause::cancelled : Cause::none;
  const bool mine = LeaseWord(word).cause() == Cause::active &&
                    cell.word.compare_exchange_strong(word, LeaseWord(word).with(by_us).bits());
  if (!mine) {  // the warden was faster: the worker dies, and whoever waits for it hears why
    const Cause cause = LeaseWord(word).cause();
    return revoke(number, cause, evidence_so_far(number, cause), {});
  }
  if (in_call) {
    backend_->kill(number, slot.incarnation, Cause::cancelled);
    return revoke(number, Cause::cancelled, std::make_shared<const Evidence>(),
                  "its lease was given back in mid-call");
  }
  cell.deadline.store(never, std::memory_order_relaxed);
  --active_;
  slot.lease = nullptr;
  if (closed_) ++ended_;
  ++slot.tasks_done;
  note_end(lease, Cause::none, nullptr);
  set_rehiring(lease, false);
  wake_watcher(lease);
  if (slot.state == WorkerState::starting) {  // rehired: it comes up for somebody else
    if (lease.buffers) slot.port->end_lease();
    if (slot.initializing) arm_initializer(number);
  } else if (discard || lease.dirt != 0 || worn_out(slot) || surplus()) {
    retire(number, Cause::none);
  } else {
    if (lease.buffers) slot.port->end_lease();
    offer(number);
  }
}

bool Core::worn_out(const Slot& slot) const {
  const RecyclePolicy& policy = config_.recycle;
  if (policy.tasks_max != 0 && slot.leases_of_worker >= policy.tasks_max) return true;
  return policy.age_max.count() > 0 &&
         now_ns() - slot.started_at > std::chrono::nanoseconds(policy.age_max).count();
}

void Core::unown(Lease& lease) noexcept {
  if (foreign()) return abandon();
  std::shared_ptr<Core> last;
  const std::lock_guard lock(mutex_);
  last = unown_locked(lease);
}

// The pool's state may end with its last lease; the caller lets go of it after the lock.
std::shared_ptr<Core> Core::unown_locked(Lease& lease) noexcept {
  if (--lease.owners > 0) return nullptr;
  drop_lease(lease);
  return --leases_out_ == 0 && handles_gone_ ? std::move(pinned_) : nullptr;
}

}  // namespace reeve::detail
