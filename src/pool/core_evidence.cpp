// What is known of a worker that died, or that dies while nobody may wait for it.
#include <algorithm>

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

}  // namespace

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
    evidence->time_limit = std::chrono::nanoseconds(static_cast<std::int64_t>(death.limit) - from);
    evidence->mechanism = "deadline";
  } else if (death.cause == Cause::memory) {
    evidence->memory_limit = ByteSize{death.limit};
    evidence->memory_observed = ByteSize{death.observed};
    evidence->memory_peak = ByteSize{std::max(death.peak, death.observed)};
    evidence->mechanism = "resident memory";
  }
  if (death.cause == Cause::memory && slot.lease != nullptr)
    put_gpu_memory(*evidence, *slot.lease, config_.gpu_memory);
  return evidence;
}

// Before its death is known.
std::shared_ptr<Evidence> Core::evidence_so_far(std::uint32_t number, Cause cause) const {
  const Slot& slot = slots_[number];
  auto evidence = std::make_shared<Evidence>();
  evidence->elapsed = std::chrono::nanoseconds(now_ns() - slot.lease->granted_at);
  evidence->pid = slot.pid;
  if (cause == Cause::timeout) {
    evidence->time_limit =
        std::chrono::nanoseconds(slot.cell->deadline.load() - slot.lease->granted_at);
    evidence->mechanism = "deadline";
  } else if (cause == Cause::memory) {
    evidence->memory_limit = config_.worker_memory;
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

}  // namespace reeve::detail
