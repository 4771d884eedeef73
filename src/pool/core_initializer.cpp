// The initializer: one call in every new worker, before it is anybody's.
#include "pool/core.hpp"

namespace reeve::detail {

using process::LeaseWord;
using process::never;

void Core::arm_initializer(std::uint32_t number) {
  Slot& slot = slots_[number];
  const std::int64_t due = now_ns() + lease_time_;
  slot.cell->deadline.store(due, std::memory_order_relaxed);
  slot.cell->word.store(LeaseWord(++slot.serial, Cause::active).bits(), std::memory_order_seq_cst);
  if (!backend_->watch(due)) need_alarm(due);
}

void Core::run_initializer(std::uint32_t number) {
  Slot& slot = slots_[number];
  const RecordedCall& call = *config_.initializer.call();
  try {
    const std::span<const std::byte> arguments = call.arguments.bytes();
    slot.port->begin_arguments().write(arguments.data(), arguments.size());
    slot.initializing = true;
    if (slot.lease == nullptr) arm_initializer(number);  // else in the time of the lease that waits
    slot.port->submit(*call.task, "initializer", 0, false);
    busy_.push_back(number);
  } catch (const std::exception& e) {  // on the executor: beyond this it would end the program
    slot.start_fault = std::string("its initializer could not be sent: ") + e.what();
    backend_->kill(number, slot.incarnation, Cause::cancelled);
  }
}

void Core::finish_initializer(std::uint32_t number) {
  Slot& slot = slots_[number];
  if (slot.lease == nullptr) {
    process::BoardSlot& cell = *slots_[number].cell;
    std::uint64_t word = cell.word.load();
    if (LeaseWord(word).cause() == Cause::active &&
        !cell.word.compare_exchange_strong(word, LeaseWord(word).with(Cause::none).bits())) {
      return;  // its time was up: the death follows
    }
    if (LeaseWord(word).cause() != Cause::active && LeaseWord(word).cause() != Cause::none) return;
    cell.deadline.store(never, std::memory_order_relaxed);
  }
  slot.initializing = false;
  const Reply reply = slot.port->reply();
  if (reply.kind == ReplyKind::value) return ready(number);
  std::string reason = "the initializer failed";
  try {
    Lease scratch;
    scratch.task = "initializer";
    scratch.worker = {number, slot.incarnation};
    throw_reply(scratch, reply);
  } catch (const std::exception& e) {
    reason = std::string("the initializer threw: ") + e.what();
  }
  slot.start_fault = std::move(reason);  // told when the worker is dead and its slot free
  backend_->kill(number, slot.incarnation, Cause::cancelled);
}

}  // namespace reeve::detail
