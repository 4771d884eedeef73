// Sentences with evidence and remedy.
#include "pool/failure.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <signal.h>
#include <string.h>

#include <boost/asio/error.hpp>
#include <boost/system/system_error.hpp>

#include "process/protocol.hpp"

namespace reeve {
namespace {

double seconds(std::chrono::nanoseconds time) {
  return std::chrono::duration<double>(time).count();
}

std::string tail_of(const Evidence& evidence) {
  if (evidence.output_tail.empty()) return {};
  return "; its last output was:\n" + evidence.output_tail;
}

std::string tree_text(const Evidence& evidence) {
  std::string text;
  if (evidence.descendants_killed > 0) {
    text += fmt::format("; {} descendants were killed with it", evidence.descendants_killed);
  }
  if (!evidence.tree_complete) text += "; some processes that it started may be left";
  if (!evidence.killed) text += "; it cannot be killed now (state D) and is quarantined";
  return text;
}

std::string timeout_text(const Failure& failure) {
  const Evidence& evidence = *failure.evidence;
  return fmt::format(
      "task '{}' on worker {} used its {:.3f} s and was ended after {:.3f} s{}; give "
      "worker_timeout (or the call's RunLimits) more time, or split the work{}",
      failure.task, to_string(failure.worker), seconds(evidence.time_limit),
      seconds(evidence.elapsed), tree_text(evidence), tail_of(evidence));
}

std::string memory_text(const Failure& failure) {
  const Evidence& evidence = *failure.evidence;
  const bool gpu = evidence.mechanism == "nvml";
  const bool refused = evidence.mechanism == "rlimit_data";
  return fmt::format(
      "task '{}' on worker {} wanted more than its {} of {}memory: {} observed{}, {} at most, "
      "by {}{}{}; raise {} or work in smaller pieces{}",
      failure.task, to_string(failure.worker), to_string(evidence.memory_limit), gpu ? "GPU " : "",
      to_string(evidence.memory_observed), refused ? " when it was refused more" : "",
      to_string(evidence.memory_peak), evidence.mechanism,
      failure.reason.empty() ? "" : "; " + failure.reason, tree_text(evidence),
      gpu ? "gpu_memory" : "worker_memory (or the call's RunLimits)", tail_of(evidence));
}

std::string crash_text(const Failure& failure) {
  const Evidence& evidence = *failure.evidence;
  std::string how = evidence.signal != 0
                        ? fmt::format("died by {}", signal_name(evidence.signal))
                        : fmt::format("exited with status {}", evidence.exit_status);
  if (evidence.signal == 0 && evidence.exit_status == process::lost_descriptors_status)
    how += " (so does a worker whose task closed descriptors that are not its own)";
  if (evidence.fault_address != 0) how += fmt::format(" at address {:#x}", evidence.fault_address);
  if (!failure.reason.empty()) how += " (" + failure.reason + ")";
  return fmt::format(
      "task '{}' ended its worker {}: it {} after {:.3f} s{}; only this lease is lost{}",
      failure.task, to_string(failure.worker), how, seconds(evidence.elapsed), tree_text(evidence),
      tail_of(evidence));
}

std::string preempted_text(const Failure& failure) {
  return fmt::format(
      "task '{}' lost its worker {} to {} after {:.3f} s: {}; acquire another to go on{}",
      failure.task, to_string(failure.worker), failure.by, seconds(failure.evidence->elapsed),
      failure.reason, tree_text(*failure.evidence));
}

}  // namespace

std::string null_pointer_text(ByteSize used, ByteSize limit) {
  std::string text = "a null pointer was used";
  if (used > 0_B) {
    text += fmt::format("; malloc may have been refused: {} of {} were in use", to_string(used),
                        to_string(limit));
  }
  return text;
}

std::string signal_name(int number) {
  const char* name = sigabbrev_np(number);
  return name != nullptr ? fmt::format("SIG{}", name) : fmt::format("signal {}", number);
}

void throw_failure(const Failure& failure) {
  const auto& evidence = failure.evidence;
  switch (failure.cause) {
    case Cause::timeout:
      throw WorkerTimeoutError(timeout_text(failure), failure.task, failure.worker, evidence);
    case Cause::memory:
      throw WorkerMemoryError(memory_text(failure), failure.task, failure.worker, evidence);
    case Cause::crashed:
      throw WorkerCrashedError(crash_text(failure), failure.task, failure.worker, evidence);
    case Cause::cancelled:
      if (!failure.by.empty()) {
        throw WorkerPreemptedError(preempted_text(failure), failure.task, failure.worker, evidence,
                                   failure.by);
      }
      if (failure.reason.empty()) {
        throw boost::system::system_error(boost::asio::error::operation_aborted);
      }
      [[fallthrough]];
    default:
      throw WorkerLostError(
          fmt::format("task '{}' lost its worker {}: {}{}", failure.task, to_string(failure.worker),
                      failure.reason, tail_of(*evidence)),
          failure.task, failure.worker, evidence);
  }
}

std::string to_string(WorkerId id) {
  return fmt::format("w{}#{}", id.slot, id.incarnation);
}

WorkerError::WorkerError(const std::string& what, std::string_view task, WorkerId worker,
                         std::shared_ptr<const Evidence> evidence)
    : Error(what),
      task_(std::make_shared<const std::string>(task)),
      evidence_(evidence ? std::move(evidence) : std::make_shared<const Evidence>()),
      worker_(worker) {}

WorkerPreemptedError::WorkerPreemptedError(const std::string& what, std::string_view task,
                                           WorkerId worker,
                                           std::shared_ptr<const Evidence> evidence,
                                           std::string_view by)
    : WorkerError(what, task, worker, std::move(evidence)),
      by_(std::make_shared<const std::string>(by)) {}

RemoteError::RemoteError(const std::string& what, std::string_view task, WorkerId worker,
                         std::shared_ptr<const Evidence> evidence, std::vector<Layer> chain)
    : WorkerError(what, task, worker, std::move(evidence)) {
  if (chain.empty()) chain.push_back({"unknown", what});
  chain_ = std::make_shared<const std::vector<Layer>>(std::move(chain));
}

}  // namespace reeve
