// Runs work under a task record: attempts, progress, retries, time limit, cancellation.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <reeve/tasks/task_store.hpp>
#include <string>

namespace reeve::tasks {

/// Takes progress from work, from any thread: `sink(percent)`, or `sink(percent, note)` for a
/// leased worker, whose RunLimits take it as it is: `limits.progress = sink`. A note becomes the
/// record's field "note". Copies are cheap and may outlive the task.
///
/// Effect: at most `progress_per_second` reports reach the record; the last one always does, within
///         that interval. A fallen or late report is dropped in silence, so a worker that was given
///         up cannot disturb the next attempt.
class ProgressSink {
 public:
  struct State;
  ProgressSink() noexcept = default;
  explicit ProgressSink(std::shared_ptr<State> state) : state_(std::move(state)) {}

  void operator()(double percent) const noexcept { (*this)(percent, {}); }
  void operator()(double percent, std::string_view note) const noexcept;
  std::uint32_t attempt() const noexcept;

 private:
  std::shared_ptr<State> state_;
};

/// What a store that fails means for the work it records.
enum class StorePolicy : std::uint8_t {
  strict,       ///< the error ends the work: no record, no work
  best_effort,  ///< the work goes on and keeps its result; failures of the disk are counted
};

struct TrackOptions {
  TrackOptions() = default;

  int tries_max = 1;                              ///< attempts in all, 1 to 1000
  std::chrono::milliseconds backoff_min{15'000};  ///< full jitter: 0 to min * 2^(n-1)
  std::chrono::milliseconds backoff_max = std::chrono::hours{24 * 7};
  /// Of one attempt; 0: none. It cancels; a result of work that pays no heed and ends late is kept.
  std::chrono::milliseconds time_limit{0};
  int progress_per_second = 10;
  StorePolicy store_policy = StorePolicy::strict;
  bool retry_after_crash = false;
  /// Whether an attempt that threw this is tried again. Default: any std::exception.
  std::function<bool(const std::exception&)> retry_if;
  /// The record's `reason` for work that failed with this. Default: "error", or after several tries
  /// "retries_exhausted".
  std::function<std::string(const std::exception&)> reason_of;
};

struct TrackReport {
  TrackReport() = default;

  TaskRecord record;                     ///< empty when the store never answered (best_effort)
  TaskState state = TaskState::pending;  ///< completed, failed or cancelled
  Json result;
  std::string error;
  int attempts = 0;
  int store_failures = 0;
};

/// The delay before try `n + 1` (n counts from 1): uniform in [0, min(backoff_max, backoff_min *
/// 2^(n-1))].
std::chrono::milliseconds full_jitter(int n, std::chrono::milliseconds backoff_min,
                                      std::chrono::milliseconds backoff_max,
                                      double uniform) noexcept;

using TrackedWork = std::function<boost::asio::awaitable<Json>(ProgressSink)>;

/// Runs `work` under the record `id`, which is created when absent.
///
/// Effect:       pending -> running (attempt n) -> completed | retry_wait -> ... | failed |
///               cancelled. A failure of the work is in the report and the record, it is not
///               thrown. A task that was cancelled before it began is reported as cancelled,
///               without work.
/// Lifetime:     `store` outlives this coroutine; it may be closed meanwhile.
/// Cancellation: `cancel_task(id)`, from anyone, cancels the work's coroutine and with it what it
///               awaits (a worker's run, which kills); the record becomes cancelled. Cancelling
///               this coroutine does the same; a write of the record that is under way is awaited.
///               Cancelled work is never retried. A time limit cancels the work too: the record is
///               failed with reason "time_limit".
/// Errors:       TaskError when the record does not allow a start (it has ended, or runs
///               elsewhere), and with StorePolicy::strict whenever the store fails; ConfigError for
///               options out of range.
boost::asio::awaitable<TrackReport> tracked(TaskStore& store, std::string_view id, TrackedWork work,
                                            TrackOptions options = TrackOptions());

}  // namespace reeve::tasks
