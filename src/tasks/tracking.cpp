// The tracking wrapper: one loop over attempts, each raced against cancellation and its limit.
#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/experimental/parallel_group.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cmath>
#include <random>
#include <reeve/async/own_strand.hpp>
#include <reeve/base/error.hpp>
#include <reeve/tasks/tracking.hpp>

#include "tasks/progress_sink.hpp"

namespace reeve::tasks {

namespace asio = boost::asio;
using asio::awaitable;

std::chrono::milliseconds full_jitter(int n, std::chrono::milliseconds backoff_min,
                                      std::chrono::milliseconds backoff_max,
                                      double uniform) noexcept {
  const double top =
      std::min(static_cast<double>(backoff_max.count()),
               static_cast<double>(backoff_min.count()) * std::exp2(std::clamp(n - 1, 0, 62)));
  return std::chrono::milliseconds{static_cast<std::int64_t>(top * std::clamp(uniform, 0.0, 1.0))};
}

namespace {

enum class Cause { none, work, limit, cancelled };

struct Ended {
  Cause cause = Cause::none;
  std::exception_ptr failure;
  Json result;
};

/// `recorded`: there is a record, so that its deletion ends the work too.
awaitable<void> until_cancelling(TaskStore* store, std::string id, bool recorded) {
  WatchFilter filter;
  filter.id = id;
  Watcher watcher = store->watch(filter);
  for (;;) {
    const auto now = store->get_task_status(id);
    const bool ended =
        now ? now->state() == TaskState::cancelling || is_settled(now->state()) : recorded;
    if (ended) co_return;
    const auto event = co_await watcher.next();
    if (event.kind == WatchEvent::Kind::closed) {
      asio::steady_timer never(co_await asio::this_coro::executor,
                               asio::steady_timer::time_point::max());
      co_await never.async_wait(asio::use_awaitable);
    }
  }
}

awaitable<Json> run_work(const TrackedWork* work, ProgressSink sink) {
  auto operation = (*work)(std::move(sink));
  co_return co_await std::move(operation);
}

awaitable<Ended> race(TaskStore* store, std::string id, bool recorded, const TrackedWork* work,
                      ProgressSink sink, std::chrono::milliseconds limit) {
  const auto executor = co_await asio::this_coro::executor;
  co_await asio::this_coro::throw_if_cancelled(false);
  asio::steady_timer timer(executor);
  if (limit.count() > 0)
    timer.expires_after(limit);
  else
    timer.expires_at(asio::steady_timer::time_point::max());
  auto group = asio::experimental::make_parallel_group(
      asio::co_spawn(executor, run_work(work, std::move(sink)), asio::deferred),
      asio::co_spawn(executor, until_cancelling(store, id, recorded), asio::deferred),
      timer.async_wait(asio::deferred));
  auto [order, failure, result, watch_failure, timer_error] =
      co_await group.async_wait(asio::experimental::wait_for_one(), asio::use_awaitable);
  Ended ended;
  const auto state = co_await asio::this_coro::cancellation_state;
  if (!failure) {
    ended.cause = Cause::none;  // a result that is there is never thrown away
    ended.result = std::move(result);
  } else if (state.cancelled() != asio::cancellation_type::none || order[0] == 1) {
    ended.cause = Cause::cancelled;
  } else {
    ended.cause = order[0] == 2 ? Cause::limit : Cause::work;
    ended.failure = failure;
  }
  co_return ended;
}

std::string text_of(const std::exception_ptr& failure, std::string_view fallback) {
  try {
    if (failure) std::rethrow_exception(failure);
  } catch (const std::exception& e) {
    return e.what();
  } catch (...) {
    return "an exception that is no std::exception";
  }
  return std::string(fallback);
}

bool is_retryable(const TrackOptions& options, const Ended& ended) {
  if (ended.cause != Cause::work) return ended.cause == Cause::limit;
  try {
    std::rethrow_exception(ended.failure);
  } catch (const std::exception& e) {
    return !options.retry_if || options.retry_if(e);
  } catch (...) {
    return false;
  }
}

/// One coroutine per call of `tracked`; every write to the store goes through `record`.
class Tracker {
 public:
  Tracker(TaskStore& store, std::string id, TrackedWork work, TrackOptions options)
      : store_(store), id_(std::move(id)), work_(std::move(work)), options_(std::move(options)) {}

  awaitable<TrackReport> run() {
    co_await asio::this_coro::throw_if_cancelled(false);
    // From here on a cancellation is noted and looked for between the writes: one that left a write
    // under way would leave a record of an attempt that nobody makes.
    co_await asio::this_coro::reset_cancellation_state(asio::enable_total_cancellation(),
                                                       asio::disable_cancellation());
    CreateOptions create;
    create.retry_after_crash = options_.retry_after_crash;
    if (!store_.get_task_status(id_)) {
      auto creation = store_.create_task(id_, Fields(), create);
      co_await record(std::move(creation), Tolerated::broken_disk);
    }
    for (int n = 1;; ++n) {
      const bool cancelled = is_cancelled();
      if (cancelled) break;
      const bool withdrawn = co_await withdraw();
      if (withdrawn) break;
      co_await start();
      ++report_.attempts;
      const bool again = co_await attempt(n);
      if (!again) break;
    }
    co_return std::move(report_);
  }

 private:
  /// What best_effort goes on after: before the work, a disk that fails; after it, whatever the
  /// store says.
  enum class Tolerated { broken_disk, everything };

  /// Awaits one write; what its failure means is the policy's to say.
  awaitable<void> record(awaitable<TaskRecord> write, Tolerated tolerated = Tolerated::everything) {
    try {
      report_.record = co_await std::move(write);
      recorded_ = true;
    } catch (const TaskError& error) {
      const bool disk = error.code() == TaskErrc::io_error ||
                        error.code() == TaskErrc::storage_full ||
                        (error.code() == TaskErrc::not_found && !recorded_);  // its creation failed
      const bool go_on = disk || tolerated == Tolerated::everything;
      if (options_.store_policy == StorePolicy::strict || !go_on) throw;
      ++report_.store_failures;
      recorded_ = false;
    }
  }

  /// Whether somebody cancelled the task while nothing ran.
  bool is_cancelled() {
    const auto now = store_.get_task_status(id_);
    if (!now || now->state() != TaskState::cancelled) return false;
    report_.record = *now;
    report_.state = TaskState::cancelled;
    return true;
  }

  awaitable<bool> was_stopped() {
    const auto state = co_await asio::this_coro::cancellation_state;
    co_return state.cancelled() != asio::cancellation_type::none;
  }

  /// Ends the task if this coroutine was cancelled before the next attempt began. One that runs
  /// elsewhere is left alone: the start is refused.
  awaitable<bool> withdraw() {
    const bool stopped = co_await was_stopped();
    if (!stopped) co_return false;
    const auto now = store_.get_task_status(id_);
    if (now && now->state() != TaskState::pending && now->state() != TaskState::retry_wait)
      co_return false;
    report_.state = TaskState::cancelled;
    if (now) {
      auto cancel = store_.cancel_task(id_);
      co_await record(std::move(cancel));
    }
    co_return true;
  }

  /// Whether the record is still that of the last attempt: its retry could not be written.
  bool stands_still() const {
    const auto now = store_.get_task_status(id_);
    return now && fence_.attempt != 0 && now->attempt() == fence_.attempt &&
           (now->state() == TaskState::running || now->state() == TaskState::cancelling);
  }

  awaitable<void> start() {
    if (stands_still()) {
      const WallTime at{std::chrono::milliseconds{store_.config().wall_clock->now_ms()}};
      auto plan = store_.schedule_retry(id_, at, report_.error, fence_);
      co_await record(std::move(plan));
      if (stands_still()) co_return;  // the next attempt writes as the last one
    }
    fence_.attempt = 0;
    auto begin = store_.start_task(id_);
    co_await record(std::move(begin), Tolerated::broken_disk);
    if (recorded_) fence_.attempt = report_.record.attempt();
  }

  awaitable<bool> attempt(int n) {
    const auto executor = co_await asio::this_coro::executor;
    Ended ended;
    const bool stopped = co_await was_stopped();
    if (stopped) {
      ended.cause = Cause::cancelled;
    } else {
      co_await asio::this_coro::reset_cancellation_state(asio::enable_total_cancellation());
      const SinkScope scope(std::make_shared<ProgressSink::State>(
          executor, &store_, id_, fence_.attempt, options_.progress_per_second));
      auto contest = race(&store_, id_, recorded_, &work_, scope.sink(), options_.time_limit);
      ended = co_await std::move(contest);
    }
    // The record is written also when this coroutine has been cancelled.
    co_await asio::this_coro::reset_cancellation_state(asio::enable_total_cancellation(),
                                                       asio::disable_cancellation());
    co_return co_await settle(n, ended);
  }

  awaitable<bool> settle(int n, const Ended& ended) {
    if (ended.cause == Cause::none) {
      report_.state = TaskState::completed;
      report_.result = ended.result;
      auto write = store_.complete_task(id_, ended.result, fence_);
      co_await record(std::move(write));
      co_return false;
    }
    if (ended.cause == Cause::cancelled) {
      report_.state = TaskState::cancelled;
      const auto now = store_.get_task_status(id_);
      if (now && !is_settled(now->state())) {
        auto write = store_.acknowledge_cancel(id_, "cancelled", fence_);
        co_await record(std::move(write));
      }
      co_return false;
    }
    const bool limit = ended.cause == Cause::limit;
    report_.error =
        limit ? fmt::format("the attempt ran over its limit of {} ms", options_.time_limit.count())
              : text_of(ended.failure, "failed");
    if (n < options_.tries_max && is_retryable(options_, ended)) co_return co_await pause(n);
    report_.state = TaskState::failed;
    auto write = store_.fail_task(id_, report_.error, reason_of(ended), fence_);
    co_await record(std::move(write));
    co_return false;
  }

  std::string reason_of(const Ended& ended) const {
    if (ended.cause == Cause::limit) return "time_limit";
    try {
      if (options_.reason_of) std::rethrow_exception(ended.failure);
    } catch (const std::exception& e) {
      return options_.reason_of(e);
    } catch (...) {
      // Only a std::exception can be asked.
    }
    return report_.attempts > 1 ? "retries_exhausted" : "error";
  }

  awaitable<bool> pause(int n) {
    thread_local std::mt19937_64 random{std::random_device{}()};
    const auto delay = full_jitter(n, options_.backoff_min, options_.backoff_max,
                                   std::uniform_real_distribution<>()(random));
    const WallTime at{std::chrono::milliseconds{store_.config().wall_clock->now_ms()} + delay};
    auto write = store_.schedule_retry(id_, at, report_.error, fence_);
    co_await record(std::move(write));
    bool stopped = co_await was_stopped();
    if (!stopped) {
      co_await asio::this_coro::reset_cancellation_state(asio::enable_total_cancellation());
      const auto executor = co_await asio::this_coro::executor;
      asio::steady_timer timer(executor, delay);
      auto group = asio::experimental::make_parallel_group(
          asio::co_spawn(executor, until_cancelling(&store_, id_, recorded_), asio::deferred),
          timer.async_wait(asio::deferred));
      auto [order, watch_failure, timer_error] =
          co_await group.async_wait(asio::experimental::wait_for_one(), asio::use_awaitable);
      stopped = co_await was_stopped();
      co_await asio::this_coro::reset_cancellation_state(asio::enable_total_cancellation(),
                                                         asio::disable_cancellation());
      if (order[0] == 1 && !stopped) co_return true;
    }
    report_.state = TaskState::cancelled;
    if (stands_still()) {
      auto answer = store_.acknowledge_cancel(id_, "cancelled", fence_);
      co_await record(std::move(answer));
    } else if (stopped) {
      auto cancel = store_.cancel_task(id_);
      co_await record(std::move(cancel));
    }
    co_return false;
  }

  TaskStore& store_;
  const std::string id_;
  const TrackedWork work_;
  const TrackOptions options_;
  UpdateOptions fence_;
  TrackReport report_;
  bool recorded_ = false;
};

awaitable<TrackReport> run_tracked(TaskStore* store, std::string id, TrackedWork work,
                                   TrackOptions options) {
  Tracker tracker(*store, std::move(id), std::move(work), std::move(options));
  auto running = tracker.run();
  co_return co_await std::move(running);
}

}  // namespace

awaitable<TrackReport> tracked(TaskStore& store, std::string_view id, TrackedWork work,
                               TrackOptions options) {
  if (options.tries_max < 1 || options.tries_max > 1000)
    throw ConfigError(fmt::format("tries_max is {}; it must be 1 to 1000", options.tries_max));
  if (options.progress_per_second < 1)
    throw ConfigError(fmt::format("progress_per_second is {}; it must be 1 or more",
                                  options.progress_per_second));
  if (options.backoff_min.count() < 0 || options.backoff_max < options.backoff_min)
    throw ConfigError(
        fmt::format("backoff_min is {} ms and backoff_max {} ms; they must be 0 <= backoff_min <= "
                    "backoff_max",
                    options.backoff_min.count(), options.backoff_max.count()));
  if (options.time_limit.count() < 0)
    throw ConfigError(fmt::format("time_limit is {} ms; it must be 0 (none) or more",
                                  options.time_limit.count()));
  if (!work) throw ConfigError("the work of task '" + std::string(id) + "' is an empty function");
  // The work is cancelled by a watch and a timer beside it.
  return async::on_own_strand(
      run_tracked(&store, std::string(id), std::move(work), std::move(options)));
}

}  // namespace reeve::tasks
