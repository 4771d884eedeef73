// A worker that dies before its lease's first call has begun is replaced under the lease.
#include <algorithm>

#include "pool/core.hpp"

namespace reeve::detail {

using process::LeaseWord;

// Nothing of the lease has run, so nothing can run twice: the lease keeps its slot and its deadline
// and waits for the slot's next worker. False: the death concerns the lease.
bool Core::rehire(std::uint32_t number, const Death& death) {
  constexpr unsigned rehires_max = 2;
  Slot& slot = slots_[number];
  Lease* const lease = slot.lease;
  if (lease == nullptr || slot.state != WorkerState::leased || death.cause != Cause::none ||
      detached_) {
    return false;
  }
  const bool active = LeaseWord(slot.cell->word.load()).cause() == Cause::active;
  const bool answered =
      slot.port->replied() && std::find(busy_.begin(), busy_.end(), number) != busy_.end();
  if (!active || answered || lease->used || lease->buffers || lease->rehires == rehires_max ||
      !slot.port->untouched()) {
    return false;
  }
  ++lease->rehires;
  count_death(slot, Cause::lost);
  auto evidence = evidence_of(number, death);
  note_end(*lease, Cause::lost, evidence.get());
  if (slot.announced) note_worker(EventKind::death, number, audit::Cause::lost, &death);
  lease->number = ++lease_number_;
  note_acquire(lease->number, lease->task, now_ns());
  set_rehiring(*lease, true);
  if (!lease->calling) lease->port = slot.port;  // where arguments are written meanwhile
  std::erase(busy_, number);
  slot.port.reset();
  slot.pid = 0;
  set_state(slot, WorkerState::empty);
  start(number);
  return true;
}

void Core::set_rehiring(Lease& lease, bool rehiring) noexcept {
  rehiring_ += rehiring;
  rehiring_ -= lease.rehiring;
  lease.rehiring = rehiring;
}

// Between two workers the warden had nobody to watch, and has forgotten when to look.
void Core::watch_again(const Slot& slot) {
  const std::int64_t due = std::min(slot.cell->deadline.load(), now_ns() + first_look_);
  if (!backend_->watch(due)) need_alarm(due);
}

// The next worker is there. If the lease's time is up meanwhile, its death follows.
void Core::resume_lease(std::uint32_t number) {
  Slot& slot = slots_[number];
  Lease& lease = *slot.lease;
  if (LeaseWord(slot.cell->word.load()).cause() != Cause::active) return;
  set_state(slot, WorkerState::leased);
  ++slot.leases_of_worker;
  set_rehiring(lease, false);
  lease.worker = {number, slot.incarnation};
  if (journal_.on()) note_grant(lease, now_ns() - lease.granted_at);
  watch_again(slot);
  settle();
  if (!lease.calling || !lease.submitted) return;
  try {
    submit(lease);
  } catch (const std::exception& e) {
    backend_->kill(number, slot.incarnation, Cause::lost);
    revoke(number, Cause::lost, std::make_shared<const Evidence>(), e.what());
  }
}

}  // namespace reeve::detail
