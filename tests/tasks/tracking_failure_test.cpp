// Tracked work whose store fails it: a disk that fails between the start and the end, a record that
// is deleted, limits and tries at their bounds.
#include <boost/asio/post.hpp>
#include <functional>
#include <reeve/tasks/tracking.hpp>

#include "tests/support/pch.hpp"
#include "tests/tasks/support/disk_vfs.hpp"
#include "tests/tasks/support/run.hpp"

namespace reeve::tasks {
namespace {

using boost::asio::awaitable;
using std::chrono::milliseconds;
using testing::code_of;
using testing::run;

awaitable<Json> hang() {
  boost::asio::steady_timer timer(co_await boost::asio::this_coro::executor,
                                  boost::asio::steady_timer::time_point::max());
  co_await timer.async_wait(boost::asio::use_awaitable);
  co_return Json();
}

class TrackingFailureTest : public ::testing::Test {
 protected:
  TrackingFailureTest() {
    disk_.record(false);
    StoreConfig config;
    config.path = "/disk/tasks.db";
    config.vfs = disk_.name();
    config.reserve = ByteSize{0};
    store_.emplace(context_.get_executor(), config);
  }
  static TrackOptions quick(int tries, StorePolicy policy = StorePolicy::strict) {
    TrackOptions o;
    o.tries_max = tries;
    o.backoff_min = o.backoff_max = milliseconds{1};
    o.store_policy = policy;
    return o;
  }
  TrackReport track(const TrackedWork& work, const TrackOptions& options) {
    return run(context_, tracked(*store_, "t", work, options));
  }
  TaskState state() { return store_->get_task_status("t")->state(); }

  testing::Disk disk_{"tracking failure"};
  boost::asio::io_context context_;
  std::optional<TaskStore> store_;
};

TEST_F(TrackingFailureTest, ADiskThatFailsDuringTheWorkEndsItOrCostsItsRecordByPolicy) {
  for (const bool full : {false, true}) {
    const TrackedWork work = [this, full](ProgressSink) -> awaitable<Json> {
      EXPECT_EQ(state(), TaskState::running);
      if (full)
        disk_.full_while([] { return true; });
      else
        disk_.fail_writes(true);
      co_return Json::number(std::int64_t{7});
    };
    EXPECT_EQ(code_of([&] { track(work, quick(3)); }),
              full ? TaskErrc::storage_full : TaskErrc::io_error);
    EXPECT_EQ(state(), TaskState::running) << "what the disk does not have is not shown";
    disk_.fail_writes(false);
    disk_.full_while(nullptr);
    run(context_, store_->delete_task_status("t", true));

    const auto report = track(work, quick(3, StorePolicy::best_effort));
    EXPECT_EQ(report.state, TaskState::completed);
    EXPECT_EQ(report.result.text(), "7");
    EXPECT_EQ(report.attempts, 1);
    EXPECT_EQ(report.store_failures, 1);
    EXPECT_EQ(state(), TaskState::running);
    disk_.fail_writes(false);
    disk_.full_while(nullptr);
    run(context_, store_->delete_task_status("t", true));
  }
}

TEST_F(TrackingFailureTest, AFailureThatADiskDoesNotTakeEndsTheWorkOrIsReportedByPolicy) {
  const TrackedWork work = [this](ProgressSink) -> awaitable<Json> {
    disk_.fail_writes(true);
    throw std::runtime_error("broken");
    co_return Json();
  };
  EXPECT_EQ(code_of([&] { track(work, quick(1)); }), TaskErrc::io_error);
  disk_.fail_writes(false);
  run(context_, store_->delete_task_status("t", true));
  const auto report = track(work, quick(1, StorePolicy::best_effort));
  EXPECT_EQ(report.state, TaskState::failed);
  EXPECT_EQ(report.error, "broken");
  EXPECT_EQ(report.store_failures, 1);
  disk_.fail_writes(false);
}

TEST_F(TrackingFailureTest, ADiskThatFailsAsARetryIsPlannedEndsStrictWork) {
  int ran = 0;
  const TrackedWork work = [this, &ran](ProgressSink) -> awaitable<Json> {
    ++ran;
    disk_.fail_writes(true);
    throw std::runtime_error("broken");
    co_return Json();
  };
  EXPECT_EQ(code_of([&] { track(work, quick(3)); }), TaskErrc::io_error);
  EXPECT_EQ(ran, 1);
  disk_.fail_writes(false);
}

TEST_F(TrackingFailureTest, WithBestEffortWorkIsTriedAgainThoughItsRetryCouldNotBeWritten) {
  enum class Heals { before_the_retry, during_it, never };
  for (const Heals heals : {Heals::before_the_retry, Heals::during_it, Heals::never}) {
    int ran = 0;
    const TrackedWork work = [&](ProgressSink) -> awaitable<Json> {
      if (++ran == 1) {
        if (heals == Heals::before_the_retry)  // once it has refused the plan of the retry
          disk_.full_while(
              [this, n = store_->health().failures] { return store_->health().failures == n; });
        else
          disk_.fail_writes(true);
        throw std::runtime_error("broken");
      }
      disk_.fail_writes(heals == Heals::never);
      co_return Json::number(std::int64_t{7});
    };
    const auto report = track(work, quick(3, StorePolicy::best_effort));
    EXPECT_EQ(report.state, TaskState::completed);
    EXPECT_EQ(report.result.text(), "7");
    EXPECT_EQ(report.attempts, 2);
    EXPECT_EQ(ran, 2);
    EXPECT_GT(report.store_failures, 0);
    EXPECT_EQ(state(), heals == Heals::never ? TaskState::running : TaskState::completed);
    if (heals == Heals::before_the_retry) {
      EXPECT_EQ(store_->get_task_status("t")->attempt(), 2u);
    }
    disk_.fail_writes(false);
    disk_.full_while(nullptr);
    run(context_, store_->delete_task_status("t", true));
  }
}

TEST_F(TrackingFailureTest, WorkCancelledInAPauseThatCouldNotBeWrittenIsRecordedAsCancelled) {
  auto options = quick(3, StorePolicy::best_effort);
  options.backoff_min = options.backoff_max = std::chrono::hours{24 * 365};
  const TrackedWork work = [this](ProgressSink) -> awaitable<Json> {
    disk_.full_while(
        [this, n = store_->health().failures] { return store_->health().failures == n; });
    throw std::runtime_error("broken");
    co_return Json();
  };
  auto cancel = [this]() -> awaitable<void> {
    const auto executor = co_await boost::asio::this_coro::executor;
    while (store_->health().failures == 0)
      co_await boost::asio::post(executor, boost::asio::use_awaitable);
    co_await store_->cancel_task("t");
  };
  boost::asio::co_spawn(context_, cancel(), boost::asio::detached);
  const auto report = track(work, options);
  EXPECT_EQ(report.state, TaskState::cancelled);
  EXPECT_EQ(report.attempts, 1);
  EXPECT_EQ(state(), TaskState::cancelled) << "nobody else answers the wish";
  disk_.full_while(nullptr);
}

TEST_F(TrackingFailureTest, TriesAreOneToAThousand) {
  const TrackedWork work = [](ProgressSink) -> awaitable<Json> { co_return Json(); };
  for (const int tries : {0, -1, 1001}) {
    try {
      track(work, quick(tries));
      FAIL() << tries;
    } catch (const ConfigError& error) {
      EXPECT_EQ(error.what(), "tries_max is " + std::to_string(tries) + "; it must be 1 to 1000");
    }
    EXPECT_FALSE(store_->get_task_status("t"));
  }
  for (const int tries : {1, 1000}) {
    EXPECT_EQ(track(work, quick(tries)).attempts, 1);
    run(context_, store_->delete_task_status("t"));
  }
}

TEST_F(TrackingFailureTest, OfWorkThatWasTriedOnceNoRetriesAreExhausted) {
  const TrackedWork work = [](ProgressSink) -> awaitable<Json> {
    throw std::runtime_error("broken");
    co_return Json();
  };
  auto options = quick(5);
  int asked = 0;
  options.retry_if = [&asked](const std::exception&) { return ++asked == 2; };
  EXPECT_EQ(track(work, options).attempts, 1);
  EXPECT_EQ(store_->get_task_status("t")->reason(), "error");
  run(context_, store_->delete_task_status("t"));
  asked = 1;
  EXPECT_EQ(track(work, options).attempts, 2);
  EXPECT_EQ(store_->get_task_status("t")->reason(), "retries_exhausted");
}

TEST_F(TrackingFailureTest, AnAttemptOverItsLimitIsTriedAgainAndEachHasTheWholeLimit) {
  int ran = 0;
  const TrackedWork work = [&ran](ProgressSink) -> awaitable<Json> {
    if (++ran < 3) co_return co_await hang();
    co_return Json::number(std::int64_t{7});
  };
  auto options = quick(3);
  options.time_limit = milliseconds{20};
  const auto report = track(work, options);
  EXPECT_EQ(report.state, TaskState::completed);
  EXPECT_EQ(report.attempts, 3);
  EXPECT_EQ(store_->get_task_status("t")->attempt(), 3u);

  run(context_, store_->delete_task_status("t"));
  ran = 0;
  options.tries_max = 2;
  EXPECT_EQ(track(work, options).state, TaskState::failed);
  EXPECT_EQ(ran, 2);
  EXPECT_EQ(store_->get_task_status("t")->reason(), "time_limit");
  EXPECT_EQ(store_->get_task_status("t")->error(), "the attempt ran over its limit of 20 ms");
}

TEST_F(TrackingFailureTest, DeletingTheTaskEndsItsWorkAndTheRecordStaysGone) {
  for (const auto policy : {StorePolicy::strict, StorePolicy::best_effort}) {
    bool ended = false;
    const TrackedWork work = [&](ProgressSink) -> awaitable<Json> {
      const std::shared_ptr<void> last(nullptr, [&ended](void*) { ended = true; });
      auto remove = [this]() -> awaitable<void> { co_await store_->delete_task_status("t", true); };
      boost::asio::co_spawn(context_, remove, boost::asio::detached);
      co_return co_await hang();
    };
    const auto report = track(work, quick(3, policy));
    EXPECT_EQ(report.state, TaskState::cancelled);
    EXPECT_EQ(report.attempts, 1);
    EXPECT_EQ(report.store_failures, 0);
    EXPECT_TRUE(ended);
    EXPECT_FALSE(store_->get_task_status("t"));
  }
}

TEST_F(TrackingFailureTest, AResultOfADeletedTaskIsAnErrorOrKeptByPolicy) {
  store_.emplace(context_.get_executor());  // in memory it is gone at once
  const TrackedWork work = [this](ProgressSink) -> awaitable<Json> {
    co_await store_->delete_task_status("t", true);
    co_return Json::number(std::int64_t{7});
  };
  EXPECT_EQ(code_of([&] { track(work, quick(1)); }), TaskErrc::not_found);
  const auto report = track(work, quick(1, StorePolicy::best_effort));
  EXPECT_EQ(report.state, TaskState::completed);
  EXPECT_EQ(report.result.text(), "7");
  EXPECT_EQ(report.store_failures, 1);
  EXPECT_FALSE(store_->get_task_status("t"));
}

}  // namespace
}  // namespace reeve::tasks
