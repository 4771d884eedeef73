// What is known of a worker that died, or that dies while nobody may wait for it.
#include <algorithm>
#include <reeve/codec/exception_record.hpp>

#include "pool/core.hpp"

namespace reeve::detail {

using process::LeaseWord;

namespace {

// What the pool itself saw by NVML says more than what the warden knows of memory.
void put_gpu_memory(Evidence& evidence, const Lease& lease, ByteSize limit) {
  if (lease.gpu_observed == 0) return;
  evidence.memory_limit = limit;
  evidence.memory_observed = evidence.memory_peak = ByteSize{lease.gpu_observed};
  evidence.mechanism = "nvml";
}

// A limit of the call's own counts from the call, any other from the grant.
void put_time(Evidence& evidence, const Lease* lease, std::int64_t from, std::int64_t deadline,
              std::int64_t decided) {
  const bool own = lease != nullptr && deadline == lease->call_deadline &&
                   lease->call_deadline < lease->deadline;
  if (own) from = lease->call_began;
  evidence.elapsed = std::chrono::nanoseconds(decided - from);
  evidence.time_limit = std::chrono::nanoseconds(deadline - from);
  evidence.mechanism = "deadline";
}

}  // namespace

// Of the call in flight, or, without one of its own, the pool's.
ByteSize Core::memory_limit_of(const Lease& lease) const noexcept {
  const bool in_call = lease.calling && lease.submitted && !lease.replied;
  return in_call && lease.call_memory > 0_B ? lease.call_memory : config_.worker_memory;
}

std::shared_ptr<Evidence> Core::evidence_of(std::uint32_t number, const Death& death) const {
  const Slot& slot = slots_[number];
  auto evidence = std::make_shared<Evidence>();
  const std::int64_t from = slot.lease != nullptr ? slot.lease->granted_at : slot.started_at;
  const std::int64_t decided = death.decided_at != 0 ? death.decided_at : death.dead_at;
  evidence->elapsed = std::chrono::nanoseconds(decided - from);
  if (death.decided_at != 0)
    evidence->kill_latency = std::chrono::nanoseconds(death.dead_at - death.decided_at);
  evidence->signal = death.by_signal ? death.status : 0;
  evidence->exit_status = death.by_signal ? -1 : death.status;
  evidence->memory_peak = ByteSize{death.peak};
  evidence->cpu_time = std::chrono::nanoseconds(death.cpu_ns);
  evidence->descendants_killed = death.descendants_killed;
  evidence->tree_complete = death.tree_complete;
  evidence->output_tail = death.tail;
  evidence->pid = slot.pid;
  if (death.cause == Cause::timeout) {
    const std::int64_t deadline =
        death.limit != 0 ? static_cast<std::int64_t>(death.limit) : slot.cell->deadline.load();
    put_time(*evidence, slot.lease, from, deadline, decided);
  } else if (death.cause == Cause::memory) {
    const bool own = slot.lease != nullptr && death.limit < config_.worker_memory.bytes();
    evidence->memory_limit = own ? memory_limit_of(*slot.lease) : ByteSize{death.limit};
    evidence->memory_observed = ByteSize{death.observed};
    evidence->memory_peak = ByteSize{std::max(death.peak, death.observed)};
    evidence->mechanism = "resident memory";
  }
  if (death.cause == Cause::memory && slot.lease != nullptr)
    put_gpu_memory(*evidence, *slot.lease, config_.gpu_memory);
  return evidence;
}

// Of a worker that nobody ended: what it died of, as far as its own notes tell.
Cause Core::explain_crash(const Slot& slot, const Death& death, Evidence& evidence,
                          std::string& reason) const {
  const process::CrashNote crash = slot.port->crash_note();
  const ByteSize limit = memory_limit_of(*slot.lease);
  evidence.fault_address = crash.address;
  const bool nearly_all =
      config_.hard_memory && crash.data_bytes > limit.bytes() - limit.bytes() / 16;
  if (crash.memory_refused || (crash.signal != 0 && nearly_all)) {
    evidence.memory_limit = limit;
    evidence.memory_observed = ByteSize{crash.data_bytes};
    evidence.memory_peak = std::max(evidence.memory_peak, evidence.memory_observed);
    evidence.mechanism = "rlimit_data";
    if (crash.null_pointer) reason = refused_malloc_text;
    return Cause::memory;
  }
  if (death.by_signal && death.status == 9 && crash.signal == 0) {
    reason = "it was killed from outside (SIGKILL)";
    return Cause::lost;
  }
  if (crash.stack_overflow) {
    reason = "stack overflow";
  } else if (crash.null_pointer) {
    reason = null_pointer_text(ByteSize{crash.data_bytes}, limit);
  }
  return Cause::crashed;
}

// Before its death is known.
std::shared_ptr<Evidence> Core::evidence_so_far(std::uint32_t number, Cause cause) const {
  const Slot& slot = slots_[number];
  auto evidence = std::make_shared<Evidence>();
  evidence->elapsed = std::chrono::nanoseconds(now_ns() - slot.lease->granted_at);
  evidence->pid = slot.pid;
  if (cause == Cause::timeout) {
    put_time(*evidence, slot.lease, slot.lease->granted_at, slot.cell->deadline.load(), now_ns());
  } else if (cause == Cause::memory) {
    evidence->memory_limit = memory_limit_of(*slot.lease);
    evidence->memory_observed = ByteSize{slot.cell->memory_used.load()};
    evidence->memory_peak = ByteSize{slot.cell->memory_peak.load()};
    evidence->mechanism = "resident memory";
    put_gpu_memory(*evidence, *slot.lease, config_.gpu_memory);
  }
  return evidence;
}

void Core::on_stuck(std::uint32_t number, std::uint64_t incarnation) {
  Slot& slot = slots_[number];
  if (slot.incarnation != incarnation || slot.state == WorkerState::quarantined) return;
  if (slot.lease != nullptr) {
    const Cause cause = LeaseWord(slot.cell->word.load()).cause();
    auto evidence = evidence_so_far(number, cause);
    evidence->killed = false;
    evidence->tree_complete = false;
    revoke(number, cause, std::move(evidence), "it cannot be killed (state D)");
  }
  set_state(slot, WorkerState::quarantined);
  count_quarantined(1);
  if (quarantined_ <= config_.quarantine_max) {
    if (closed_) {
      start_for_the_left_out();
    } else {
      start_for_waiters(std::max<std::size_t>(1, waiters_.size()));
    }
  }
  settle();
}

Reply Core::take_reply(Lease& lease) {
  const std::shared_ptr<Worker>& port = lease.port;
  const Reply reply = port->reply();
  lease.dirt |= reply.dirt;
  return reply;
}

void Core::throw_reply(Lease& lease, const Reply& reply) {
  codec::ExceptionRecord record;
  if (!reply.bytes.empty()) {
    codec::Reader reader(reply.bytes);
    record = codec::decode<codec::ExceptionRecord>(reader);
  }
  auto evidence = std::make_shared<Evidence>();
  evidence->elapsed = std::chrono::nanoseconds(now_ns() - lease.granted_at);
  evidence->pid = lease.pid;
  if (reply.kind == ReplyKind::memory) {
    evidence->memory_limit = lease.call_memory > 0_B ? lease.call_memory : config_.worker_memory;
    evidence->memory_observed = evidence->memory_peak = ByteSize{reply.data_bytes};
    evidence->mechanism = "rlimit_data";
    const Failure failure{Cause::memory, lease.task, lease.worker, evidence, {}};
    throw_failure(failure);
  }
  if (const std::exception_ptr standard = codec::make_standard(record))
    std::rethrow_exception(standard);
  if (!record.levels.empty() && record.levels.front().type == "reeve::codec::EncodeError") {
    throw codec::EncodeError("task '" + lease.task + "' on worker " + to_string(lease.worker) +
                             " ended, but its result cannot travel: " + record.levels.front().what);
  }
  std::vector<RemoteError::Layer> chain;
  for (const codec::ExceptionLevel& level : record.levels)
    chain.push_back({level.type, level.what});
  const std::string what = record.levels.empty()
                               ? "an exception that could not be described"
                               : record.levels.front().type + ": " + record.levels.front().what;
  throw RemoteError(
      "task '" + lease.task + "' on worker " + to_string(lease.worker) + " threw " + what,
      lease.task, lease.worker, evidence, std::move(chain));
}

}  // namespace reeve::detail
