// What happens to a write while the disk is at its sync: cancellation, progress, close, a wait.
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_future.hpp>
#include <filesystem>
#include <future>
#include <map>
#include <reeve/tasks/tracking.hpp>
#include <thread>

#include "tests/support/pch.hpp"
#include "tests/tasks/support/disk_vfs.hpp"
#include "tests/tasks/support/run.hpp"

namespace reeve::tasks {
namespace {

using boost::asio::awaitable;
using testing::run;

class HeldSyncTest : public ::testing::Test {
 protected:
  StoreConfig config() {
    StoreConfig c;
    c.path = "/disk/tasks.db";
    c.vfs = disk_.name();
    c.reserve = ByteSize{0};
    return c;
  }
  TaskStore open() { return TaskStore(context_.get_executor(), config()); }
  void poll() {
    context_.restart();
    context_.poll();
  }
  void poll_until_held() {
    while (!disk_.somebody_syncs()) {
      poll();
      std::this_thread::yield();
    }
  }
  void spawn(awaitable<TaskRecord> write) {
    boost::asio::co_spawn(context_, std::move(write), boost::asio::detached);
    poll();
  }
  /// `tracked`, cancelled while its first sync after `hold_syncs` is under way.
  std::optional<TrackReport> cancel_during_a_write(TaskStore& store, TrackedWork work,
                                                   TrackOptions options) {
    boost::asio::cancellation_signal signal;
    std::optional<TrackReport> answer;
    boost::asio::co_spawn(context_, tracked(store, "t", std::move(work), std::move(options)),
                          boost::asio::bind_cancellation_slot(
                              signal.slot(), [&](std::exception_ptr e, TrackReport report) {
                                if (!e) answer = std::move(report);
                              }));
    poll_until_held();
    signal.emit(boost::asio::cancellation_type::terminal);
    poll();
    disk_.hold_syncs(false);
    context_.restart();
    context_.run();
    return answer;
  }

  testing::Disk disk_{"held sync"};
  boost::asio::io_context context_;
};

TEST_F(HeldSyncTest, OfABatchThatAFullDiskRefusesTheDeletionsAreDone) {
  testing::TempDir dir;
  StoreConfig c = config();
  c.path = dir.file("tasks.db");
  c.reserve = ByteSize{4096};
  const std::string reserve = c.path + "-reserve";  // a real file
  {
    TaskStore store(context_.get_executor(), c);
    run(context_, store.create_task("old"));
    ASSERT_TRUE(std::filesystem::exists(reserve));
    disk_.hold_syncs(true);
    spawn(store.create_task("first"));
    poll_until_held();
    // One batch: a new task, a deletion, another new task.
    std::map<std::string, std::optional<TaskErrc>> answers;
    const auto note = [&](const char* what) {
      return [&answers, what](std::exception_ptr e, auto&&...) {
        answers[what] = e ? testing::code_of([&] { std::rethrow_exception(e); }) : std::nullopt;
      };
    };
    Fields large;
    large.set("pad", std::string(20'000, 'x'));
    boost::asio::co_spawn(context_, store.create_task("a", large), note("a"));
    boost::asio::co_spawn(context_, store.delete_task_status("old"), note("old"));
    boost::asio::co_spawn(context_, store.create_task("b", large), note("b"));
    poll();
    disk_.full_while([reserve] { return std::filesystem::exists(reserve); });
    disk_.hold_syncs(false);
    context_.restart();
    context_.run();
    ASSERT_EQ(answers.size(), 3u);
    EXPECT_EQ(answers["a"], TaskErrc::storage_full);
    EXPECT_EQ(answers["b"], TaskErrc::storage_full);
    EXPECT_EQ(answers["old"], std::nullopt);
    EXPECT_FALSE(store.get_task_status("old"));
    EXPECT_FALSE(store.get_task_status("a"));
    EXPECT_TRUE(store.get_task_status("first"));
  }
  disk_.full_while(nullptr);
  TaskStore store(context_.get_executor(), c);
  EXPECT_EQ(store.counts().total(), 1u);
  EXPECT_TRUE(store.get_task_status("first"));
}

TEST_F(HeldSyncTest, CancellingTrackedWorkDuringItsStartIsRecorded) {
  for (const bool created : {true, false}) {
    disk_.mount({});
    auto store = open();
    if (created) run(context_, store.create_task("t"));
    int ran = 0;
    const TrackedWork work = [&ran](ProgressSink) -> awaitable<Json> {
      ++ran;
      co_return Json();
    };
    disk_.hold_syncs(true);
    const auto report = cancel_during_a_write(store, work, {});
    ASSERT_TRUE(report);
    EXPECT_EQ(report->state, TaskState::cancelled);
    EXPECT_EQ(report->attempts, created ? 1 : 0);
    EXPECT_EQ(ran, 0);
    EXPECT_EQ(store.get_task_status("t")->state(), TaskState::cancelled);
  }
}

TEST_F(HeldSyncTest, WorkCancelledWhileItsRetryIsWrittenIsNotRetried) {
  auto store = open();
  run(context_, store.create_task("t"));
  int ran = 0;
  const TrackedWork work = [&ran](ProgressSink) -> awaitable<Json> {
    ++ran;
    throw std::runtime_error("broken");
    co_return Json();
  };
  TrackOptions options;
  options.tries_max = 3;
  options.backoff_min = options.backoff_max = std::chrono::milliseconds{1};
  options.retry_if = [&](const std::exception&) {
    disk_.hold_syncs(ran == 1);
    return true;
  };
  const auto report = cancel_during_a_write(store, work, options);
  ASSERT_TRUE(report);
  EXPECT_EQ(report->state, TaskState::cancelled);
  EXPECT_EQ(report->attempts, 1);
  EXPECT_EQ(ran, 1);
  EXPECT_EQ(store.get_task_status("t")->state(), TaskState::cancelled);
}

TEST_F(HeldSyncTest, CloseWritesProgressThatStandsOnATransitionOfTheLastBatch) {
  {
    auto store = open();
    for (const char* id : {"busy", "t", "other"}) run(context_, store.create_task(id));
    run(context_, store.start_task("other"));
    disk_.hold_syncs(true);
    spawn(store.start_task("busy"));
    poll_until_held();
    spawn(store.start_task("t"));
    Fields page;
    page.set("page", std::int64_t{7});
    EXPECT_TRUE(store.post_progress("t", 50, page));
    std::thread closer([&store] { store.close(); });
    while (store.post_progress("other", 1)) std::this_thread::yield();
    disk_.hold_syncs(false);
    closer.join();
    context_.restart();
    context_.run();
  }
  auto store = open();
  const auto now = store.get_task_status("t");
  ASSERT_TRUE(now);
  EXPECT_EQ(now->progress(), 50);
  EXPECT_EQ(now->fields(), R"({"page":7})");
}

TEST_F(HeldSyncTest, AWaitForATaskThatIsBeingCreatedTimesOut) {
  auto store = open();
  disk_.hold_syncs(true);
  spawn(store.create_task("x"));
  EXPECT_EQ(testing::code_of([&] { run(context_, store.wait("x", std::chrono::milliseconds{1})); }),
            TaskErrc::timed_out);
  disk_.hold_syncs(false);
  context_.restart();
  context_.run();
  EXPECT_EQ(store.get_task_status("x")->state(), TaskState::pending);
}

TEST_F(HeldSyncTest, AWriterOnABusyStrandKeepsNobodyElseWaiting) {
  boost::asio::thread_pool threads(2);
  bool told = false;
  {
    TaskStore store(threads.get_executor(), config());
    const auto write_on = [&store](auto strand, const char* id) {
      auto written = boost::asio::co_spawn(strand, store.create_task(id), boost::asio::use_future);
      boost::asio::post(strand, boost::asio::use_future([] {})).get();  // it waits for the disk now
      return written;
    };
    const auto own = boost::asio::make_strand(threads);
    disk_.hold_syncs(true);
    auto first = write_on(boost::asio::make_strand(threads), "first");
    while (!disk_.somebody_syncs()) std::this_thread::yield();
    auto other = write_on(boost::asio::make_strand(threads), "other");
    auto last = write_on(own, "own");
    auto busy = boost::asio::post(own, boost::asio::use_future([&] {
                                    disk_.hold_syncs(false);
                                    return other.wait_for(std::chrono::seconds{20}) ==
                                           std::future_status::ready;
                                  }));
    told = busy.get();
    last.get();
  }
  threads.join();
  EXPECT_TRUE(told) << "who wrote beside it was woken on its strand";
}

}  // namespace
}  // namespace reeve::tasks
