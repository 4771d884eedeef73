// What the pool tells the audit. Every function needs the lock.
#include <boost/asio/post.hpp>

#include "pool/core.hpp"

namespace reeve::detail {

void Core::note(audit::Event& event, std::int64_t at) noexcept {
  journal_.write(event, at);
  if (!journal_.has_sink() || feed_posted_ || detached_) return;
  feed_posted_ = true;
  boost::asio::post(executor_, [weak = weak_from_this()] {
    const auto self = weak.lock();
    if (!self) return;
    {
      const std::lock_guard lock(self->mutex_);
      self->feed_posted_ = false;
    }
    self->journal_.feed();
  });
}

void Core::note_acquire(std::uint64_t number, std::string_view task, std::int64_t now) noexcept {
  if (!journal_.on()) return;
  audit::Event event;
  event.kind = EventKind::acquire;
  event.lease = number;
  event.task = task;
  note(event, now);
}

void Core::note_grant(const Lease& lease, std::int64_t waited) noexcept {
  if (!journal_.on()) return;
  audit::Event event;
  event.kind = EventKind::grant;
  event.lease = lease.number;
  event.worker = lease.slot;
  event.incarnation = static_cast<std::uint32_t>(lease.worker.incarnation);
  event.elapsed_ns = waited;
  event.task = lease.task;
  event.device = slots_[lease.slot].device;
  event.pid = slots_[lease.slot].pid;
  note(event, lease.granted_at);
}

void Core::note_end(const Lease& lease, Cause cause, const Evidence* evidence) noexcept {
  if (!journal_.on()) return;
  const std::int64_t now = clock_.now();
  audit::Event event;
  // Between two workers a lease is one that waits.
  event.kind = cause == Cause::none || lease.rehiring ? EventKind::release : EventKind::revoke;
  event.cause = audit_cause(cause);
  event.lease = lease.number;
  if (!lease.rehiring) event.worker = lease.slot;
  event.incarnation = static_cast<std::uint32_t>(lease.worker.incarnation);
  event.elapsed_ns = now - lease.granted_at;
  event.task = lease.task;
  event.device = slots_[lease.slot].device;
  if (evidence != nullptr) {
    const bool memory = cause == Cause::memory;
    event.limit = memory ? evidence->memory_limit.bytes()
                         : static_cast<std::uint64_t>(evidence->time_limit.count());
    event.observed = memory ? evidence->memory_observed.bytes()
                            : static_cast<std::uint64_t>(evidence->elapsed.count());
    event.peak_bytes = evidence->memory_peak.bytes();
    event.pid = evidence->pid;
  }
  note(event, now);
}

void Core::note_waiter_end(const Request& request, audit::Cause cause) noexcept {
  if (!journal_.on()) return;
  const std::int64_t now = now_ns();
  audit::Event event;
  event.kind = EventKind::release;
  event.cause = cause;
  event.lease = request.number;
  event.elapsed_ns = now - request.since;
  event.task = request.task;
  note(event, now);
}

void Core::note_refused(std::string_view task, audit::Cause cause) const noexcept {
  if (!journal_.on()) return;
  audit::Event event;
  event.kind = EventKind::refuse;
  event.cause = cause;
  event.task = task;
  const_cast<Core*>(this)->note(event, now_ns());
}

void Core::note_worker(EventKind kind, std::uint32_t number, audit::Cause cause,
                       const Death* death) noexcept {
  if (!journal_.on()) return;
  const Slot& slot = slots_[number];
  audit::Event event;
  event.kind = kind;
  event.cause = cause;
  event.worker = number;
  event.incarnation = static_cast<std::uint32_t>(slot.incarnation);
  event.pid = slot.pid;
  event.device = slot.device;
  if (death != nullptr) {
    event.peak_bytes = death->peak;
    event.signal = static_cast<std::uint8_t>(death->by_signal ? death->status : 0);
    event.exit_status = static_cast<std::int16_t>(death->by_signal ? 0 : death->status);
    event.elapsed_ns = death->decided_at != 0 ? death->dead_at - death->decided_at : 0;
  }
  note(event, now_ns());
}

void Core::note_pool(EventKind kind, std::uint64_t limit, std::uint64_t observed) noexcept {
  if (!journal_.on()) return;
  audit::Event event;
  event.kind = kind;
  event.limit = limit;
  event.observed = observed;
  note(event, now_ns());
}

}  // namespace reeve::detail
