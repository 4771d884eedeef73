// The tracking wrapper: result, failure, retries, limit, cancellation from both sides, store
// failures.
#include <reeve/tasks/tracking.hpp>

#include <boost/asio/bind_cancellation_slot.hpp>

#include "tests/support/pch.hpp"
#include "tests/tasks/support/disk_vfs.hpp"
#include "tests/tasks/support/run.hpp"

namespace reeve::tasks {
namespace {

using boost::asio::awaitable;
using testing::run;

awaitable<void> forever() {
  boost::asio::steady_timer timer(co_await boost::asio::this_coro::executor,
                                  boost::asio::steady_timer::time_point::max());
  co_await timer.async_wait(boost::asio::use_awaitable);
}

awaitable<Json> succeed(ProgressSink progress) {
  progress(10);
  progress(50);
  co_return Json::number(std::int64_t{7});
}
awaitable<Json> hang(ProgressSink) {
  co_await forever();
  co_return Json();
}
awaitable<Json> throw_always(ProgressSink) {
  throw std::runtime_error("broken");
  co_return Json();
}

class TrackingTest : public ::testing::Test {
 protected:
  TrackOptions quick(int tries) {
    TrackOptions o;
    o.tries_max = tries;
    o.backoff_min = o.backoff_max = std::chrono::milliseconds{1};
    return o;
  }
  boost::asio::io_context context_;
  TaskStore store_{context_.get_executor()};
};

TEST_F(TrackingTest, RecordsAResult) {
  const auto report = run(context_, tracked(store_, "t", succeed));
  EXPECT_EQ(report.state, TaskState::completed);
  EXPECT_EQ(store_.get_task_status("t")->result(), "7");
  EXPECT_EQ(report.attempts, 1);
}

TEST_F(TrackingTest, OptionsThatMakeNoSenseAreRefusedBeforeARecordIsMade) {
  const auto refused = [&](const TrackedWork& work, const TrackOptions& options) -> std::string {
    try {
      (void)tracked(store_, "t", work, options);
    } catch (const ConfigError& error) {
      return error.what();
    }
    return "accepted";
  };
  TrackOptions options;
  options.progress_per_second = 0;
  EXPECT_EQ(refused(succeed, options), "progress_per_second is 0; it must be 1 or more");
  options = {};
  options.backoff_min = std::chrono::milliseconds{-1};
  EXPECT_THAT(refused(succeed, options), ::testing::StartsWith("backoff_min is -1 ms"));
  options = {};
  options.time_limit = std::chrono::milliseconds{-5};
  EXPECT_EQ(refused(succeed, options), "time_limit is -5 ms; it must be 0 (none) or more");
  EXPECT_EQ(refused({}, {}), "the work of task 't' is an empty function");
  EXPECT_FALSE(store_.get_task_status("t"));
}

TEST_F(TrackingTest, ProgressReachesTheRecordWhileTheWorkRuns) {
  double seen = -1;
  const TrackedWork work = [this, &seen](ProgressSink progress) -> awaitable<Json> {
    progress(25);
    seen = store_.get_task_status("t")->progress();
    progress(24);
    co_return Json();
  };
  run(context_, tracked(store_, "t", work));
  EXPECT_EQ(seen, 25);
}

TEST_F(TrackingTest, ALateSinkDisturbsNobody) {
  ProgressSink kept;
  const TrackedWork work = [&kept](ProgressSink progress) -> awaitable<Json> {
    kept = progress;
    throw std::runtime_error("x");
    co_return Json();
  };
  run(context_, tracked(store_, "t", work));
  run(context_, store_.retry_task("t"));
  run(context_, store_.start_task("t"));
  kept(99);
  EXPECT_EQ(store_.get_task_status("t")->progress(), 0);
}

TEST_F(TrackingTest, RetriesThenFails) {
  const auto report = run(context_, tracked(store_, "t", throw_always, quick(3)));
  EXPECT_EQ(report.attempts, 3);
  EXPECT_EQ(store_.get_task_status("t")->state(), TaskState::failed);
  EXPECT_EQ(store_.get_task_status("t")->error(), "broken");
  EXPECT_EQ(store_.get_task_status("t")->reason(), "retries_exhausted");
  EXPECT_EQ(store_.get_task_status("t")->attempt(), 3u);
}

TEST_F(TrackingTest, RetryIfDecides) {
  auto options = quick(5);
  options.retry_if = [](const std::exception&) { return false; };
  EXPECT_EQ(run(context_, tracked(store_, "t", throw_always, options)).attempts, 1);
}

TEST_F(TrackingTest, TimeLimitCancelsTheWork) {
  auto options = quick(1);
  options.time_limit = std::chrono::milliseconds{1};
  const auto report = run(context_, tracked(store_, "t", hang, options));
  EXPECT_EQ(report.state, TaskState::failed);
  EXPECT_EQ(store_.get_task_status("t")->reason(), "time_limit");
}

TEST_F(TrackingTest, CancelTaskReachesTheWorkAndIsNotRetried) {
  auto canceller = [&]() -> awaitable<void> {
    for (;;) {
      const auto r = store_.get_task_status("t");
      if (r && r->state() == TaskState::running) break;
      co_await boost::asio::post(co_await boost::asio::this_coro::executor,
                                 boost::asio::use_awaitable);
    }
    co_await store_.cancel_task("t");
  };
  boost::asio::co_spawn(context_, canceller(), boost::asio::detached);
  const auto report = run(context_, tracked(store_, "t", hang, quick(5)));
  EXPECT_EQ(report.state, TaskState::cancelled);
  EXPECT_EQ(report.attempts, 1);
  EXPECT_EQ(store_.get_task_status("t")->state(), TaskState::cancelled);
}

TEST_F(TrackingTest, CancellingTheCoroutineRecordsIt) {
  boost::asio::cancellation_signal signal;
  std::optional<TaskState> state;
  boost::asio::co_spawn(context_, tracked(store_, "t", hang, quick(5)),
                        boost::asio::bind_cancellation_slot(
                            signal.slot(), [&](std::exception_ptr e, TrackReport report) {
                              if (!e) state = report.state;
                            }));
  context_.poll();
  signal.emit(boost::asio::cancellation_type::terminal);
  context_.restart();
  context_.run();
  EXPECT_EQ(state, TaskState::cancelled);
  EXPECT_EQ(store_.get_task_status("t")->state(), TaskState::cancelled);
}

TEST_F(TrackingTest, AFailingStoreIsFatalOrCountedByPolicy) {
  testing::Disk disk("tracking");
  StoreConfig config;
  config.path = "/disk/tasks.db";
  config.vfs = disk.name();
  config.reserve = ByteSize{0};
  TaskStore store(context_.get_executor(), config);
  disk.fail_writes(true);
  EXPECT_EQ(testing::code_of([&] { run(context_, tracked(store, "t", succeed)); }),
            TaskErrc::io_error);
  auto options = quick(1);
  options.store_policy = StorePolicy::best_effort;
  const auto report = run(context_, tracked(store, "t", succeed, options));
  EXPECT_EQ(report.state, TaskState::completed);
  EXPECT_EQ(report.result.text(), "7");
  EXPECT_GT(report.store_failures, 0);
}

TEST_F(TrackingTest, ATaskCancelledBeforeItBeganIsNotRun) {
  run(context_, store_.create_task("t"));
  run(context_, store_.cancel_task("t"));
  for (const auto policy : {StorePolicy::strict, StorePolicy::best_effort}) {
    auto options = quick(3);
    options.store_policy = policy;
    const auto report = run(context_, tracked(store_, "t", succeed, options));
    EXPECT_EQ(report.state, TaskState::cancelled);
    EXPECT_EQ(report.attempts, 0);
  }
}

TEST_F(TrackingTest, ATaskThatHasEndedIsNotRunAgain) {
  run(context_, tracked(store_, "t", succeed));
  for (const auto policy : {StorePolicy::strict, StorePolicy::best_effort}) {
    auto options = quick(3);
    options.store_policy = policy;
    EXPECT_EQ(testing::code_of([&] { run(context_, tracked(store_, "t", succeed, options)); }),
              TaskErrc::illegal_transition);
  }
}

TEST_F(TrackingTest, WhatIsHeldBackReachesTheRecordByItself) {
  const TrackedWork work = [this](ProgressSink progress) -> awaitable<Json> {
    for (int i = 1; i <= 50; ++i) progress(i, "step " + std::to_string(i));
    EXPECT_EQ(store_.get_task_status("t")->progress(), 1);
    boost::asio::steady_timer timer(co_await boost::asio::this_coro::executor);
    while (store_.get_task_status("t")->progress() != 50) {
      timer.expires_after(std::chrono::milliseconds{1});
      co_await timer.async_wait(boost::asio::use_awaitable);
    }
    EXPECT_EQ(store_.get_task_status("t")->fields(), R"({"note":"step 50"})");
    co_return Json();
  };
  EXPECT_EQ(run(context_, tracked(store_, "t", work)).state, TaskState::completed);
}

TEST_F(TrackingTest, AReportThatTheStoreWouldRefuseDropsNoBetterOne) {
  TrackOptions options;
  options.progress_per_second = 1;  // the second and later ones are held back
  double at_end = 0;
  const TrackedWork work = [&](ProgressSink progress) -> awaitable<Json> {
    progress(10);
    progress(60);
    progress(20);
    progress(std::numeric_limits<double>::quiet_NaN());
    progress(200);
    throw std::runtime_error("the end");
    co_return Json();
  };
  run(context_, tracked(store_, "t", work, options));
  at_end = store_.get_task_status("t")->progress();
  EXPECT_EQ(at_end, 60);
}

TEST_F(TrackingTest, CancelDuringThePauseBetweenTwoTriesEndsTheTask) {
  auto options = quick(5);
  options.backoff_min = options.backoff_max = std::chrono::hours{1};
  auto canceller = [&]() -> awaitable<void> {
    WatchFilter filter;
    filter.id = "t";
    filter.states.push_back(TaskState::retry_wait);
    auto watcher = store_.watch(filter);
    co_await watcher.next();
    co_await store_.cancel_task("t");
  };
  boost::asio::co_spawn(context_, canceller(), boost::asio::detached);
  const auto report = run(context_, tracked(store_, "t", throw_always, options));
  EXPECT_EQ(report.state, TaskState::cancelled);
  EXPECT_EQ(report.attempts, 1);
  EXPECT_EQ(store_.get_task_status("t")->state(), TaskState::cancelled);
}

TEST_F(TrackingTest, ReasonOfWordsTheRecord) {
  auto options = quick(1);
  options.reason_of = [](const std::exception& e) { return std::string("it was ") + e.what(); };
  run(context_, tracked(store_, "t", throw_always, options));
  EXPECT_EQ(store_.get_task_status("t")->reason(), "it was broken");
}

RC_GTEST_PROP(JitterProperty, IsUniformBelowItsTop, ()) {
  using std::chrono::milliseconds;
  const int n = *rc::gen::inRange(1, 2000);
  const milliseconds low{*rc::gen::inRange(0, 100'000)};
  const milliseconds high = low + milliseconds{*rc::gen::inRange(0, 1'000'000'000)};
  const double u = *rc::gen::inRange(0, 1001) / 1000.0;
  const auto delay = full_jitter(n, low, high, u);
  RC_ASSERT(delay >= milliseconds{0});
  RC_ASSERT(delay <= high);
  RC_ASSERT(delay <= full_jitter(n + 1, low, high, u));
  RC_ASSERT(full_jitter(n, low, high, 0) == milliseconds{0});
}

TEST(JitterTest, DoublesUpToItsTop) {
  using std::chrono::milliseconds;
  EXPECT_EQ(full_jitter(1, milliseconds{100}, milliseconds{1000}, 1.0), milliseconds{100});
  EXPECT_EQ(full_jitter(3, milliseconds{100}, milliseconds{1000}, 1.0), milliseconds{400});
  EXPECT_EQ(full_jitter(60, milliseconds{100}, milliseconds{1000}, 1.0), milliseconds{1000});
  EXPECT_EQ(full_jitter(3, milliseconds{100}, milliseconds{1000}, 0.0), milliseconds{0});
}

}  // namespace
}  // namespace reeve::tasks
