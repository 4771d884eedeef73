// One call on a lease: sending it, hearing of its reply, giving it up.
#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>
#include <boost/system/system_error.hpp>

#include "pool/core.hpp"
#include "pool/lease_share.hpp"

namespace reeve::detail {

using process::LeaseWord;
using process::never;

/// Cancelling a call ends its worker: nothing less stops native code.
class CallHook final : public async::CancelHook {
 public:
  CallHook(Core& core, Lease& lease) : core_(core), lease_(lease) {}
  CallHook(const CallHook&) = delete;
  // The coroutine is destroyed while it waits: whoever would wake it, on another thread, must not
  // find its spot any more. The call itself ends later, with its Call.
  ~CallHook() {
    if (!parked || core_.foreign()) return;
    const std::lock_guard lock(core_.mutex_);
    lease_.caller = nullptr;
  }
  bool parked = true;

  bool take_back() noexcept override {
    const std::lock_guard lock(core_.mutex_);
    if (lease_.caller == nullptr || lease_.failure != nullptr || core_.detached_) return false;
    async::ParkingSpot* const spot = std::exchange(lease_.caller, nullptr);
    if (core_.give_up(lease_, {})) return true;
    lease_.caller = spot;
    return false;
  }

 private:
  Core& core_;
  Lease& lease_;
};

void Core::begin_call(Lease& lease) {
  check_owner();
  const std::lock_guard lock(mutex_);
  if (lease.failure != nullptr) throw_failure(*lease.failure);
  if (detached_) throw PoolClosedError("the execution context of this pool was destroyed");
  if (lease.calling) {
    throw std::logic_error(
        "a lease makes one call at a time: await the first, or acquire another worker");
  }
  lease.calling = true;
  lease.submitted = lease.replied = false;
  ++lease.owners;
  if (lease.rehiring) return;  // written for the worker that died, sent to the next one
  lease.port = slots_[lease.slot].port;
  lease.pid = slots_[lease.slot].pid;
}

void Core::end_call(Lease& lease) noexcept {
  if (foreign()) return abandon();
  end_progress(lease);
  std::shared_ptr<Core> last;
  const std::lock_guard lock(mutex_);
  const bool abandoned =
      lease.submitted && !lease.replied && lease.failure == nullptr && !detached_;
  lease.caller = nullptr;
  if (abandoned && !lease.released) {
    // The coroutine was destroyed in mid-call: its worker is busy with something nobody waits for.
    std::erase(busy_, lease.slot);
    give_up(lease, "its call was given up");
  }
  lease.calling = false;
  last = unown_locked(lease);
}

// Ends the worker of a call. False: the warden has decided already, and its cause will arrive.
bool Core::give_up(Lease& lease, std::string reason) {
  Slot& slot = slots_[lease.slot];
  std::uint64_t word = slot.cell->word.load(std::memory_order_relaxed);
  if (LeaseWord(word).cause() != Cause::active ||
      !slot.cell->word.compare_exchange_strong(word, LeaseWord(word).with(Cause::cancelled).bits()))
    return false;
  std::erase(busy_, lease.slot);
  // The slot's worker, which may have followed the one that the lease was granted.
  backend_->kill(lease.slot, slot.incarnation, Cause::cancelled);
  revoke(lease.slot, Cause::cancelled, std::make_shared<const Evidence>(), std::move(reason));
  return true;
}

// Tighter limits of this call go to the cell before the call does.
void Core::arm_call(Lease& lease, const RunLimits& limits) {
  lease.soft_deadline = never;
  lease.call_deadline = 0;
  if (!limits.timeout && !limits.soft_timeout) return;
  const std::int64_t now = now_ns();
  if (limits.timeout) {
    const std::int64_t due = std::min(lease.deadline, later(now, *limits.timeout));
    process::BoardSlot& cell = *slots_[lease.slot].cell;
    cell.deadline.store(due, std::memory_order_seq_cst);
    lease.call_began = now;
    lease.call_deadline = due;
    if (!backend_->watch(due)) need_alarm(due);
  }
  if (limits.soft_timeout) {
    lease.soft_deadline = later(now, *limits.soft_timeout);
    need_alarm(lease.soft_deadline);
  }
}

// The reply is in. First the old deadline, then the new epoch: a deadline that has passed meanwhile
// either won before, or never counts.
void Core::disarm_call(Lease& lease) {
  process::BoardSlot& cell = *slots_[lease.slot].cell;
  if (lease.call_deadline != 0) cell.deadline.store(lease.deadline, std::memory_order_seq_cst);
  lease.soft_deadline = never;
  if (lease.call_memory > 0_B && config_.watch_memory)
    cell.memory_limit.store(config_.worker_memory.bytes(), std::memory_order_seq_cst);
  std::uint64_t word = cell.word.load(std::memory_order_seq_cst);
  while (LeaseWord(word).cause() == Cause::active &&
         !cell.word.compare_exchange_weak(word, LeaseWord(word).next_epoch().bits())) {
  }
  lease.replied = LeaseWord(word).cause() == Cause::active;
  if (lease.replied) lease.call_deadline = 0;  // else the evidence asks whose limit it was
  lease.used = true;
}

// Sends the call whose arguments were written, to another worker if need be.
void Core::submit(Lease& lease) {
  Slot& slot = slots_[lease.slot];
  if (lease.port != slot.port) {
    const std::span<const std::byte> arguments = lease.port->arguments();
    slot.port->begin_arguments().write(arguments.data(), arguments.size());
    lease.port = slot.port;
    lease.pid = slot.pid;
  }
  arm_memory(lease);
  // A soft limit may have passed while the next worker set itself up.
  const bool late = lease.soft_deadline != never && lease.soft_deadline <= now_ns();
  slot.port->submit(*lease.call_task, lease.task, lease.call_limit, lease.stop_asked || late);
  busy_.push_back(lease.slot);
  lease.sent_at = clock_.now();
  look_out(lease.sent_at);
}

// Short calls: their replies come sooner than the program could fall asleep and be woken.
void Core::look_out(std::int64_t now) {
  if (reply_time_ >= spin_time_) return;
  awake_until_ = now + spin_time_;
  if (std::exchange(drain_posted_, true)) return;
  backend_->set_sleeping(false);
  post_drain();
}

boost::asio::awaitable<void> Core::complete(Lease& lease, const codec::TaskDescriptor& task,
                                            const RunLimits& limits) {
  async::ParkingSpot spot;
  CallHook hook(*this, lease);
  const auto gate = limits.progress ? std::make_shared<ProgressGate>(limits.progress) : nullptr;
  {
    const std::lock_guard lock(mutex_);
    if (lease.failure != nullptr) throw_failure(*lease.failure);
    if (detached_) throw PoolClosedError("the execution context of this pool was destroyed");
    if (lease.released) throw std::logic_error("the lease of this call was given back before it");
    arm_call(lease, limits);
    lease.progress = gate;
    lease.caller = &spot;
    lease.submitted = true;
    const ByteSize memory = limits.memory.value_or(ByteSize{});
    lease.call_memory = memory < config_.worker_memory ? memory : ByteSize{};
    lease.call_task = &task;
    lease.call_limit = memory.bytes();
    // Else another worker is yet to come, or its end is decided and will be told.
    const Slot& slot = slots_[lease.slot];
    if (slot.state == WorkerState::leased &&
        LeaseWord(slot.cell->word.load()).cause() == Cause::active) {
      try {
        submit(lease);
      } catch (...) {
        lease.caller = nullptr;
        lease.submitted = false;
        slot.cell->deadline.store(lease.deadline, std::memory_order_seq_cst);
        if (lease.call_memory > 0_B && config_.watch_memory)
          slot.cell->memory_limit.store(config_.worker_memory.bytes(), std::memory_order_seq_cst);
        lease.call_deadline = 0;
        lease.soft_deadline = never;
        throw;
      }
    }
  }
  co_await spot.park(&hook);
  hook.parked = false;
  end_progress(lease);
  if (gate != nullptr && gate->failure()) {
    if (lease.replied) take_reply(lease);  // for what it says of the worker
    std::rethrow_exception(gate->failure());
  }
  if (spot.cancelled()) {
    throw boost::system::system_error(boost::asio::error::operation_aborted);
  }
  const auto failure = failure_of(lease);
  if (failure != nullptr && !lease.replied) throw_failure(*failure);
}

/// Waiting for a revocation can always be given up.
class WatchHook final : public async::CancelHook {
 public:
  WatchHook(Core& core, Lease& lease) : core_(core), lease_(lease) {}
  WatchHook(const WatchHook&) = delete;
  ~WatchHook() {
    if (core_.foreign()) return;
    const std::lock_guard lock(core_.mutex_);
    lease_.watcher = nullptr;
  }
  bool take_back() noexcept override {
    const std::lock_guard lock(core_.mutex_);
    return std::exchange(lease_.watcher, nullptr) != nullptr;
  }

 private:
  Core& core_;
  Lease& lease_;
};

boost::asio::awaitable<std::exception_ptr> Core::wait_revoked(LeaseShare share, bool scoped) {
  Lease& lease = share.lease();
  async::ParkingSpot spot;
  WatchHook hook(*this, lease);  // ends before the spot does, so that nobody wakes what is gone
  bool over = false;
  {
    const std::lock_guard lock(mutex_);
    over = lease.failure != nullptr || (lease.released && !scoped);
    if (!over) lease.watcher = &spot;
    lease.scoped_watch = scoped;
  }
  if (!over) {
    co_await spot.park(&hook);
    if (spot.cancelled()) {
      throw boost::system::system_error(boost::asio::error::operation_aborted);
    }
  }
  std::exception_ptr cause;
  if (const auto failure = failure_of(lease)) {
    try {
      throw_failure(*failure);
    } catch (...) {
      cause = std::current_exception();
    }
  }
  co_return cause;
}

std::shared_ptr<const Failure> Core::failure_of(Lease& lease) {
  const std::lock_guard lock(mutex_);
  return lease.failure;
}

void Core::wake_watcher(Lease& lease) noexcept {
  if (lease.released && lease.scoped_watch) return;  // whoever gave it back goes on
  if (async::ParkingSpot* spot = std::exchange(lease.watcher, nullptr)) spot->unpark();
}

void Core::wake_caller(Lease& lease) noexcept {
  if (lease.failure != nullptr) wake_watcher(lease);
  if (async::ParkingSpot* spot = std::exchange(lease.caller, nullptr)) spot->unpark();
}

// Looks at every busy worker; true if a reply was found.
bool Core::collect() {
  bool found = false;
  for (std::size_t i = 0; i < busy_.size();) {
    const std::uint32_t number = busy_[i];
    Slot& slot = slots_[number];
    if (!slot.port->replied()) {
      if (slot.lease != nullptr && slot.lease->progress != nullptr) post_progress(number);
      ++i;
      continue;
    }
    found = true;
    busy_[i] = busy_.back();
    busy_.pop_back();
    if (slot.initializing) {
      finish_initializer(number);
    } else if (slot.state == WorkerState::starting) {
      came_up(number);
    } else if (slot.lease != nullptr) {
      if (slot.lease->progress != nullptr) post_progress(number);
      disarm_call(*slot.lease);
      reply_time_ = process::blend(reply_time_, clock_.now() - slot.lease->sent_at);
      if (slot.lease->replied) wake_caller(*slot.lease);  // else the cause arrives with the death
    }
  }
  return found;
}

// Progress reaches the sink on the executor, outside of the lock; the call may be over by then.
void Core::post_progress(std::uint32_t number) {
  Slot& slot = slots_[number];
  Progress progress;
  if (!slot.port->take_progress(progress)) return;
  boost::asio::post(executor_,
                    [weak = weak_from_this(), gate = slot.lease->progress,
                     progress = std::move(progress), number, turn = ++slot.lease->progress_number] {
                      try {
                        gate->tell(turn, progress.percent, progress.note);
                      } catch (...) {  // the gate keeps it for the call
                        if (const auto self = weak.lock()) self->on_sink_failed(number, *gate);
                      }
                    });
}

void Core::on_sink_failed(std::uint32_t number, const ProgressGate& gate) {
  const std::lock_guard lock(mutex_);
  Lease* const lease = detached_ ? nullptr : slots_[number].lease;
  if (lease != nullptr && lease->progress.get() == &gate && !lease->replied)
    give_up(*lease, "its progress sink threw");
}

// Outside of the lock: the sink that this waits for may want it. Only the call itself writes here.
void Core::end_progress(Lease& lease) noexcept {
  if (lease.progress == nullptr) return;
  std::shared_ptr<ProgressGate> gate;
  {
    const std::lock_guard lock(mutex_);
    gate.swap(lease.progress);
  }
  gate->close();
}

void Core::on_bell() {
  if (!drain_posted_) drain();
}

// While replies keep coming the workers need not ring: look again after their coroutines have run.
void Core::drain() {
  drain_posted_ = false;
  backend_->set_sleeping(false);
  bool found = collect();
  if (!found && !busy_.empty() && clock_.now() < awake_until_) {
    for (int i = 0; i < 20 && !collect(); ++i) process::pause();
    drain_posted_ = true;
    return post_drain();
  }
  if (!found) {
    backend_->set_sleeping(true);
    found = collect();
    if (!found) return;
    backend_->set_sleeping(false);
  }
  drain_posted_ = true;
  post_drain();
}

void Core::post_drain() {
  boost::asio::post(executor_, [weak = weak_from_this()] {
    if (const auto self = weak.lock()) {
      const std::lock_guard lock(self->mutex_);
      if (!self->detached_) self->drain();
    }
  });
}

}  // namespace reeve::detail
