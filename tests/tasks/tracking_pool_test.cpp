// Tracked work that runs in worker processes: progress, cancellation, limits and crashes reach the
// record.
#include <signal.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <reeve/pool.hpp>
#include <reeve/tasks/tracking.hpp>

#include "tests/support/pch.hpp"
#include "tests/tasks/support/disk_vfs.hpp"

namespace reeve::tasks {
namespace {

namespace asio = boost::asio;
using asio::awaitable;
using namespace std::chrono_literals;
using namespace reeve::literals;

// What the workers run.
int count_slowly(int last) {
  for (int i = 0; i < last; ++i) {
    this_worker::report_progress(100.0 * i / last, "item " + std::to_string(i));
    std::this_thread::sleep_for(30ms);
  }
  return last;
}
int hang(int) {
  this_worker::report_progress(10, "hanging");
  for (;;) std::this_thread::sleep_for(1s);
}
int crash(int) {
  ::raise(SIGSEGV);
  return 0;
}
/// Crashes in the first two attempts.
int crash_unless(int attempt) {
  if (attempt < 3) ::raise(SIGABRT);
  return attempt;
}

class TrackingPoolTest : public ::testing::Test {
 protected:
  static ResourceConfig pool_config() {
    ResourceConfig config;
    config.max_workers = 2;
    config.worker_timeout = 60s;
    config.worker_memory = 512_MiB;
    return config;
  }
  /// Work that leases a worker and lets it tell the record how far it is.
  template <auto Fn>
  TrackedWork in_worker(int argument) {
    return [this, argument](ProgressSink progress) { return call<Fn>(progress, argument); };
  }
  template <auto Fn>
  awaitable<Json> call(ProgressSink progress, int argument) {
    auto lease = co_await pool_.acquire_worker("tracked");
    pids_.push_back(lease.pid());
    RunLimits limits;
    limits.progress = progress;
    const int value = co_await lease.template run<Fn>(limits, argument);
    co_return Json::number(static_cast<std::int64_t>(value));
  }
  TrackReport track(TrackedWork work, TrackOptions options = TrackOptions()) {
    std::optional<TrackReport> report;
    std::exception_ptr failure;
    bool ended = false;
    asio::co_spawn(
        context_, tracked(store_, "t", work, options),
        asio::bind_cancellation_slot(stop_.slot(), [&](std::exception_ptr e, TrackReport r) {
          failure = e;
          report = std::move(r);
          ended = true;
        }));
    run_until([&] { return ended; });
    if (failure) std::rethrow_exception(failure);
    return *report;
  }
  template <class Done>
  void run_until(Done done) {
    const auto work = asio::make_work_guard(context_);
    const auto limit = std::chrono::steady_clock::now() + 30s;
    while (!done() && std::chrono::steady_clock::now() < limit) {
      context_.restart();
      context_.run_for(5ms);
    }
    ASSERT_TRUE(done()) << "nothing within 30 s";
  }
  static bool is_gone(int pid) { return ::kill(pid, 0) != 0 && errno == ESRCH; }
  /// Runs `act` as soon as a worker has said something about the task.
  awaitable<void> when_hanging(std::function<void()> act) {
    WatchFilter only;
    only.id = "t";
    auto watcher = store_.watch(only);
    for (;;) {
      const auto now = store_.get_task_status("t");
      if (now && now->progress() == 10) break;
      co_await watcher.next();
    }
    act();
  }

  asio::io_context context_;
  ResourcePool pool_{context_.get_executor(), pool_config()};
  TaskStore store_{context_.get_executor()};
  asio::cancellation_signal stop_;
  std::vector<int> pids_;
};

TEST_F(TrackingPoolTest, AWorkersReportsBecomeTheRecordsProgress) {
  WatchFilter only;
  only.id = "t";
  std::vector<double> seen;
  std::string note;
  auto follow = [&]() -> awaitable<void> {
    auto watcher = store_.watch(only);
    for (;;) {
      const auto event = co_await watcher.next();
      if (!event.record) continue;
      if (event.record->state() == TaskState::running) {
        seen.push_back(event.record->progress());
        note = event.record->fields();
      }
      if (is_settled(event.record->state())) co_return;
    }
  };
  asio::co_spawn(context_, follow(), asio::detached);
  const auto report = track(in_worker<&count_slowly>(12));
  EXPECT_EQ(report.state, TaskState::completed);
  EXPECT_EQ(report.result.text(), "12");
  EXPECT_EQ(store_.get_task_status("t")->progress(), 100);
  EXPECT_TRUE(std::is_sorted(seen.begin(), seen.end()));
  EXPECT_GE(seen.size(), 3u) << "12 reports in 360 ms, at most 10 a second of them recorded";
  EXPECT_LE(seen.size(), 9u);
  EXPECT_THAT(note, ::testing::StartsWith(R"({"note":"item )"));
}

TEST_F(TrackingPoolTest, CancellingTheTaskKillsItsWorker) {
  auto cancel = [&]() -> awaitable<void> { co_await store_.cancel_task("t"); };
  asio::co_spawn(context_,
                 when_hanging([&] { asio::co_spawn(context_, cancel(), asio::detached); }),
                 asio::detached);
  TrackOptions options;
  options.tries_max = 5;
  const auto report = track(in_worker<&hang>(0), options);
  EXPECT_EQ(report.state, TaskState::cancelled);
  EXPECT_EQ(report.attempts, 1) << "cancelled work is not retried";
  EXPECT_EQ(store_.get_task_status("t")->state(), TaskState::cancelled);
  ASSERT_EQ(pids_.size(), 1u);
  run_until([&] { return is_gone(pids_[0]); });
}

TEST_F(TrackingPoolTest, CancellingTheCoroutineKillsTheWorkerAndIsRecorded) {
  asio::co_spawn(context_, when_hanging([&] { stop_.emit(asio::cancellation_type::terminal); }),
                 asio::detached);
  const auto report = track(in_worker<&hang>(0));
  EXPECT_EQ(report.state, TaskState::cancelled);
  EXPECT_EQ(store_.get_task_status("t")->state(), TaskState::cancelled);
  run_until([&] { return is_gone(pids_.at(0)); });
}

TEST_F(TrackingPoolTest, TheTimeLimitKillsTheWorkerAndIsTheReason) {
  TrackOptions options;
  options.time_limit = 300ms;
  const auto report = track(in_worker<&hang>(0), options);
  EXPECT_EQ(report.state, TaskState::failed);
  EXPECT_EQ(store_.get_task_status("t")->reason(), "time_limit");
  run_until([&] { return is_gone(pids_.at(0)); });
}

TEST_F(TrackingPoolTest, CrashesAreRetriedInNewWorkersUntilOneSucceeds) {
  TrackOptions options;
  options.tries_max = 5;
  options.backoff_min = options.backoff_max = 1ms;
  const TrackedWork work = [this](ProgressSink progress) {
    return call<&crash_unless>(progress, static_cast<int>(progress.attempt()));
  };
  const auto report = track(work, options);
  EXPECT_EQ(report.state, TaskState::completed);
  EXPECT_EQ(report.attempts, 3);
  EXPECT_EQ(store_.get_task_status("t")->attempt(), 3u);
  ASSERT_EQ(pids_.size(), 3u);
  EXPECT_NE(pids_[0], pids_[1]);
}

TEST_F(TrackingPoolTest, TheRecordSaysWhatKilledTheLastWorker) {
  TrackOptions options;
  options.tries_max = 2;
  options.backoff_min = options.backoff_max = 1ms;
  options.reason_of = [](const std::exception& e) {
    return std::string(dynamic_cast<const WorkerCrashedError*>(&e) ? "worker_crashed" : "error");
  };
  const auto report = track(in_worker<&crash>(0), options);
  EXPECT_EQ(report.state, TaskState::failed);
  EXPECT_EQ(report.attempts, 2);
  EXPECT_EQ(store_.get_task_status("t")->reason(), "worker_crashed");
  EXPECT_EQ(store_.get_task_status("t")->error(), report.error);
  EXPECT_FALSE(report.error.empty());
}

TEST_F(TrackingPoolTest, ADiskThatFailsCostsTheRecordAndNotTheWork) {
  testing::Disk disk("tracking-pool");
  StoreConfig config;
  config.path = "/disk/tasks.db";
  config.vfs = disk.name();
  config.reserve = ByteSize{0};
  TaskStore store(context_.get_executor(), config);
  disk.fail_writes(true);
  TrackOptions options;
  options.store_policy = StorePolicy::best_effort;
  std::optional<TrackReport> report;
  asio::co_spawn(context_, tracked(store, "t", in_worker<&count_slowly>(1), options),
                 [&](std::exception_ptr e, TrackReport r) {
                   if (!e) report = std::move(r);
                 });
  run_until([&] { return report.has_value(); });
  EXPECT_EQ(report->state, TaskState::completed);
  EXPECT_EQ(report->result.text(), "1");
  EXPECT_GT(report->store_failures, 0);
}

}  // namespace
}  // namespace reeve::tasks
