// The verbs of the task store, in memory and over SQLite.
#include <boost/asio/bind_cancellation_slot.hpp>
#include <cmath>
#include <reeve/tasks/task_store.hpp>
#include <sstream>

#include "tests/support/pch.hpp"
#include "tests/tasks/support/run.hpp"

namespace reeve::tasks {
namespace {

using testing::code_of;
using testing::run;

/// Every test of this suite runs on both back ends.
class TaskStoreTest : public ::testing::TestWithParam<bool> {
 protected:
  StoreConfig config() {
    StoreConfig c;
    if (GetParam()) c.path = dir_.file("tasks.db");
    c.clock = &clock_;
    c.wall_clock = &wall_;
    return c;
  }
  void advance(std::chrono::milliseconds step) {
    clock_.advance(step);
    wall_.advance(step);
  }
  TaskRecord started(const char* id = "t") {
    run(context_, store_.create_task(id));
    return run(context_, store_.start_task(id));
  }

  testing::TempDir dir_;
  ManualClock clock_;
  ManualWallClock wall_;
  boost::asio::io_context context_;
  TaskStore store_{context_.get_executor(), config()};
};

INSTANTIATE_TEST_SUITE_P(Backends, TaskStoreTest, ::testing::Values(false, true),
                         [](const auto& i) { return i.param ? "Sqlite" : "Memory"; });

TEST_P(TaskStoreTest, SeedFlow) {
  Fields begin;
  begin.set("status", "processing").set("progress", 0);
  const auto first = run(context_, store_.set_task_status("task-123", begin));
  EXPECT_EQ(first.state(), TaskState::running);
  EXPECT_EQ(first.attempt(), 1u);
  Fields items;
  items.set("processed_items", 10);
  run(context_, store_.update_task_progress("task-123", 50, items));
  EXPECT_EQ(store_.get_task_status("task-123")->progress(), 50);
  EXPECT_EQ(store_.get_task_status("task-123")->fields(), R"({"processed_items":10})");
  Fields result;
  result.set("result", "success");
  const auto done = run(context_, store_.complete_task("task-123", result));
  EXPECT_EQ(done.state(), TaskState::completed);
  EXPECT_EQ(done.progress(), 100);
  EXPECT_EQ(done.result(), R"({"result":"success"})");
  EXPECT_TRUE(run(context_, store_.delete_task_status("task-123")));
  EXPECT_FALSE(run(context_, store_.delete_task_status("task-123")));
  EXPECT_EQ(store_.get_task_status("task-123"), std::nullopt);
}

TEST_P(TaskStoreTest, UnknownIsNeverPending) {
  EXPECT_FALSE(store_.get_task_status("nobody"));
  EXPECT_EQ(code_of([&] { run(context_, store_.start_task("nobody")); }), TaskErrc::not_found);
  EXPECT_EQ(code_of([&] { run(context_, store_.wait("nobody")); }), TaskErrc::not_found);
}

TEST_P(TaskStoreTest, CreateIsIdempotentByBody) {
  Fields body, other;
  body.set("x", 1);
  other.set("x", 2);
  const auto a = run(context_, store_.create_task("t", body));
  const auto b = run(context_, store_.create_task("t", body));
  EXPECT_EQ(a.revision(), b.revision());
  EXPECT_EQ(code_of([&] { run(context_, store_.create_task("t", other)); }), TaskErrc::exists);
}

TEST_P(TaskStoreTest, RepeatedEndIsANoOpWithTheSameValueOnly) {
  started();
  const auto a = run(context_, store_.complete_task("t", Json::number(1.5)));
  const auto b = run(context_, store_.complete_task("t", Json::number(1.5)));
  EXPECT_EQ(a.revision(), b.revision());
  EXPECT_EQ(code_of([&] { run(context_, store_.complete_task("t", Json::number(2.5))); }),
            TaskErrc::illegal_transition);
  EXPECT_EQ(code_of([&] { run(context_, store_.fail_task("t", "late")); }),
            TaskErrc::illegal_transition);
  EXPECT_EQ(store_.get_task_status("t")->result(), "1.5");
}

TEST_P(TaskStoreTest, RefusalCarriesTheCurrentRecordAndChangesNothing) {
  started();
  const auto done = run(context_, store_.complete_task("t"));
  try {
    run(context_, store_.start_task("t"));
    FAIL();
  } catch (const TaskError& e) {
    ASSERT_TRUE(e.current());
    EXPECT_EQ(e.current()->state, TaskState::completed);
    EXPECT_EQ(e.current()->attempt, 1u);
    EXPECT_EQ(e.current()->revision, done.revision());
    EXPECT_THAT(e.what(), ::testing::HasSubstr("task 't' is completed"));
  }
  EXPECT_EQ(store_.get_task_status("t")->revision(), done.revision());
}

TEST_P(TaskStoreTest, ZombieAttemptCannotWrite) {
  const auto first = started();
  run(context_, store_.schedule_retry("t", WallTime{}, "lost"));
  const auto second = run(context_, store_.start_task("t"));
  EXPECT_EQ(second.attempt(), 2u);
  UpdateOptions zombie;
  zombie.attempt = first.attempt();
  for (auto&& verb : {0, 1, 2, 3})
    EXPECT_EQ(code_of([&] {
                if (verb == 0) run(context_, store_.complete_task("t", Json(), zombie));
                if (verb == 1) run(context_, store_.fail_task("t", "x", "", zombie));
                if (verb == 2) run(context_, store_.update_task_progress("t", 9, Fields(), zombie));
                if (verb == 3) run(context_, store_.schedule_retry("t", WallTime{}, "x", zombie));
              }),
              TaskErrc::stale_attempt);
  EXPECT_FALSE(store_.post_progress("t", 99, zombie));
  EXPECT_EQ(store_.get_task_status("t")->revision(), second.revision());
}

TEST_P(TaskStoreTest, ProgressNeverFallsWithinAnAttempt) {
  started();
  EXPECT_TRUE(store_.post_progress("t", 40));
  EXPECT_FALSE(store_.post_progress("t", 39.9));
  EXPECT_EQ(code_of([&] { run(context_, store_.update_task_progress("t", 10)); }),
            TaskErrc::invalid_argument);
  UpdateOptions regress;
  regress.allow_regress = true;
  EXPECT_EQ(run(context_, store_.update_task_progress("t", 10, Fields(), regress)).progress(), 10);
  run(context_, store_.schedule_retry("t", WallTime{}, "x"));
  EXPECT_EQ(run(context_, store_.start_task("t")).progress(), 0);
}

TEST_P(TaskStoreTest, BadInputIsRefused) {
  const std::string bad_ids[] = {"",         std::string(257, 'a'),  "a\nb", "\xff",
                                 "\xc2\x85", std::string("a\0b", 3), "\x7f"};
  for (const auto& id : bad_ids)
    EXPECT_EQ(code_of([&] { run(context_, store_.create_task(id)); }), TaskErrc::invalid_argument);
  EXPECT_NO_THROW(run(context_, store_.create_task(std::string(256, 'a'))));
  EXPECT_NO_THROW(run(context_, store_.create_task("héllo/../😀")));
  started();
  for (const double p : {-0.1, 100.1, std::nan(""), HUGE_VAL})
    EXPECT_EQ(code_of([&] { run(context_, store_.update_task_progress("t", p)); }),
              TaskErrc::invalid_argument);
  Fields reserved, large;
  reserved.set("attempt", 5);
  large.set("x", std::string(65 * 1024, 'x'));
  for (const auto& f : {reserved, large})
    EXPECT_EQ(code_of([&] { run(context_, store_.update_task_progress("t", 1, f)); }),
              TaskErrc::invalid_argument);
  EXPECT_EQ(code_of([&] {
              run(context_, store_.complete_task("t", Json::string(std::string(17 << 20, 'x'))));
            }),
            TaskErrc::invalid_argument);
  EXPECT_EQ(store_.get_task_status("t")->state(), TaskState::running);
}

TEST_P(TaskStoreTest, CancelOfEachKind) {
  run(context_, store_.create_task("waiting"));
  EXPECT_EQ(run(context_, store_.cancel_task("waiting")).state(), TaskState::cancelled);
  started("busy");
  EXPECT_EQ(run(context_, store_.cancel_task("busy")).state(), TaskState::cancelling);
  EXPECT_EQ(run(context_, store_.cancel_task("busy")).state(), TaskState::cancelling);
  EXPECT_EQ(run(context_, store_.acknowledge_cancel("busy")).state(), TaskState::cancelled);
  EXPECT_EQ(code_of([&] { run(context_, store_.retry_task("busy")); }),
            TaskErrc::illegal_transition);
  started("late");
  run(context_, store_.cancel_task("late"));
  EXPECT_EQ(run(context_, store_.complete_task("late")).state(), TaskState::completed);
}

TEST_P(TaskStoreTest, DeleteOfARunningTaskNeedsForce) {
  started();
  EXPECT_EQ(code_of([&] { run(context_, store_.delete_task_status("t")); }),
            TaskErrc::illegal_transition);
  EXPECT_TRUE(run(context_, store_.delete_task_status("t", true)));
  const auto again = run(context_, store_.create_task("t"));
  EXPECT_EQ(again.attempt(), 0u);
}

TEST_P(TaskStoreTest, RacingEndsHaveOneWinnerThatAllSee) {
  for (int round = 0; round < 50; ++round) {
    const std::string id = "r" + std::to_string(round);
    started(id.c_str());
    int wins = 0, losses = 0;
    auto contender = [&](int kind) -> boost::asio::awaitable<void> {
      try {
        TaskRecord seen;
        if (kind == 0) seen = co_await store_.complete_task(id);
        if (kind == 1) seen = co_await store_.fail_task(id, "boom");
        if (kind == 2) seen = co_await store_.acknowledge_cancel(id);
        ++wins;
        EXPECT_EQ(store_.get_task_status(id)->state(), seen.state());
      } catch (const TaskError& e) {
        EXPECT_EQ(e.code(), TaskErrc::illegal_transition);
        ++losses;
      }
    };
    context_.restart();
    for (int kind = 0; kind < 3; ++kind)
      boost::asio::co_spawn(context_, contender((kind + round) % 3), boost::asio::detached);
    context_.run();
    EXPECT_EQ(wins, 1);
    EXPECT_EQ(losses, 2);
  }
}

TEST_P(TaskStoreTest, WaitReturnsTheEndAndTimesOut) {
  started();
  EXPECT_EQ(code_of([&] { run(context_, store_.wait("t", std::chrono::milliseconds{1})); }),
            TaskErrc::timed_out);
  std::vector<TaskState> seen;
  auto waiter = [&]() -> boost::asio::awaitable<void> {
    const auto r = co_await store_.wait("t");
    seen.push_back(r.state());
  };
  auto ender = [&]() -> boost::asio::awaitable<void> { co_await store_.complete_task("t"); };
  for (int i = 0; i < 3; ++i) boost::asio::co_spawn(context_, waiter(), boost::asio::detached);
  boost::asio::co_spawn(context_, ender(), boost::asio::detached);
  context_.restart();
  context_.run();
  EXPECT_EQ(seen, (std::vector<TaskState>(3, TaskState::completed)));
  EXPECT_EQ(run(context_, store_.wait("t")).state(), TaskState::completed);
}

TEST_P(TaskStoreTest, WaitEndsWithDeletionAndClose) {
  started();
  run(context_, store_.create_task("kept"));
  std::vector<TaskErrc> codes;
  auto waiter = [&](const char* id) -> boost::asio::awaitable<void> {
    try {
      co_await store_.wait(id);
    } catch (const TaskError& e) {
      codes.push_back(e.code());
    }
  };
  auto closer = [&]() -> boost::asio::awaitable<void> {
    co_await store_.delete_task_status("t", true);
    store_.close();
  };
  boost::asio::co_spawn(context_, waiter("t"), boost::asio::detached);
  boost::asio::co_spawn(context_, waiter("kept"), boost::asio::detached);
  boost::asio::co_spawn(context_, closer(), boost::asio::detached);
  context_.restart();
  context_.run();
  std::sort(codes.begin(), codes.end());
  ASSERT_EQ(codes.size(), 2u);
  EXPECT_EQ(codes[1], TaskErrc::closed);
  EXPECT_EQ(code_of([&] { run(context_, store_.create_task("x")); }), TaskErrc::closed);
  EXPECT_TRUE(store_.get_task_status("kept"));
}

TEST_P(TaskStoreTest, ExpiryIsExactAndSparesWhatIsAlive) {
  started("alive");
  started("done");
  run(context_, store_.complete_task("done"));
  advance(std::chrono::hours{24} - std::chrono::milliseconds{1});
  EXPECT_TRUE(store_.get_task_status("done"));
  advance(std::chrono::milliseconds{1});
  EXPECT_FALSE(store_.get_task_status("done"));
  EXPECT_EQ(code_of([&] { run(context_, store_.wait("done")); }), TaskErrc::not_found);
  advance(std::chrono::hours{24 * 365});
  EXPECT_TRUE(store_.get_task_status("alive"));
  EXPECT_EQ(run(context_, store_.create_task("done")).state(), TaskState::pending);
}

TEST_P(TaskStoreTest, CleanupTakesEndedRecordsByAge) {
  for (int i = 0; i < 5; ++i) {
    const std::string id = "t" + std::to_string(i);
    started(id.c_str());
    if (i < 3) run(context_, store_.complete_task(id));
    advance(std::chrono::hours{1});
  }
  EXPECT_EQ(run(context_, store_.cleanup_old_tasks(std::chrono::hours{4})), 2u);
  EXPECT_EQ(store_.counts().total(), 3u);
  EXPECT_EQ(run(context_, store_.cleanup_old_tasks(std::chrono::hours{0})), 1u);
  EXPECT_EQ(store_.counts()[TaskState::running], 2u);
}

TEST_P(TaskStoreTest, ListPagesInOrderOfCreation) {
  for (int i = 0; i < 25; ++i) {
    run(context_, store_.create_task("t" + std::to_string(i)));
    if (i % 3 == 0) run(context_, store_.start_task("t" + std::to_string(i)));
  }
  TaskFilter filter;
  filter.limit = 4;
  filter.states.push_back(TaskState::pending);
  std::vector<std::string> ids;
  for (;;) {
    const auto page = store_.list_tasks(filter);
    for (const auto& r : page.items) ids.push_back(r.id());
    EXPECT_EQ(page.counts[TaskState::pending], 16u);
    if (page.next_cursor.empty()) break;
    filter.cursor = page.next_cursor;
  }
  std::vector<std::string> expected;
  for (int i = 0; i < 25; ++i)
    if (i % 3 != 0) expected.push_back("t" + std::to_string(i));
  EXPECT_EQ(ids, expected);
}

TEST_P(TaskStoreTest, ListRefusesForeignCursorsAndLimits) {
  for (int i = 0; i < 3; ++i) run(context_, store_.create_task("t" + std::to_string(i)));
  TaskFilter filter;
  filter.limit = 1;
  const auto page = store_.list_tasks(filter);
  filter.cursor = page.next_cursor;
  filter.states.push_back(TaskState::failed);
  EXPECT_EQ(code_of([&] { store_.list_tasks(filter); }), TaskErrc::invalid_argument);
  filter.cursor = "junk";
  EXPECT_EQ(code_of([&] { store_.list_tasks(filter); }), TaskErrc::invalid_argument);
  for (const std::size_t limit : {0u, 1001u}) {
    TaskFilter f;
    f.limit = limit;
    EXPECT_EQ(code_of([&] { store_.list_tasks(f); }), TaskErrc::invalid_argument);
  }
}

TEST_P(TaskStoreTest, ListFiltersByAge) {
  run(context_, store_.create_task("old"));
  advance(std::chrono::hours{2});
  run(context_, store_.create_task("new"));
  TaskFilter older, newer;
  older.older_than = std::chrono::hours{1};
  newer.newer_than = std::chrono::hours{1};
  ASSERT_EQ(store_.list_tasks(older).items.size(), 1u);
  EXPECT_EQ(store_.list_tasks(older).items[0].id(), "old");
  EXPECT_EQ(store_.list_tasks(newer).items[0].id(), "new");
}

TEST_P(TaskStoreTest, ExportAndImportGiveEqualRecords) {
  started("a");
  Fields f;
  f.set("x", "quote\"").set("n", 1.5);
  run(context_, store_.update_task_progress("a", 12.5, f));
  started("b");
  run(context_, store_.complete_task("b", Json::parse("[1,2,{\"k\":null}]")));
  CreateOptions options;
  options.retry_after_crash = true;
  options.ttl = std::chrono::seconds{9};
  run(context_, store_.create_task("c", f, options));
  started("d");
  run(context_, store_.fail_task("d", "no\nluck", "time_limit"));
  std::ostringstream first, second;
  store_.export_jsonl(first);
  TaskStore copy(context_.get_executor(), [&] {
    StoreConfig c;
    c.clock = &clock_;
    c.wall_clock = &wall_;
    return c;
  }());
  std::istringstream in(first.str());
  const auto report = run(context_, copy.import_jsonl(in));
  EXPECT_EQ(report.imported, 4u);
  copy.export_jsonl(second);
  const auto strip = [](std::string text) {
    for (std::size_t at; (at = text.find("\"revision\":")) != std::string::npos;)
      text.erase(at, text.find(',', at) - at + 1);
    return text;
  };
  EXPECT_EQ(strip(first.str()), strip(second.str()));
  std::istringstream again(first.str());
  EXPECT_EQ(run(context_, copy.import_jsonl(again)).skipped, 4u);
  std::istringstream bad("{\"id\":\"z\",\"status\":\"pending\"}\n{\"id\":1}\n");
  try {
    run(context_, copy.import_jsonl(bad));
    FAIL();
  } catch (const TaskError& e) {
    EXPECT_THAT(e.what(), ::testing::StartsWith("line 2:"));
  }
  EXPECT_TRUE(copy.get_task_status("z"));
}

TEST_P(TaskStoreTest, CancelledWriterLeavesTheStoreSound) {
  started();
  boost::asio::cancellation_signal signal;
  bool ended = false;
  auto writer = [&]() -> boost::asio::awaitable<void> { co_await store_.complete_task("t"); };
  boost::asio::co_spawn(context_, writer(),
                        boost::asio::bind_cancellation_slot(
                            signal.slot(), [&](std::exception_ptr) { ended = true; }));
  boost::asio::post(context_, [&] { signal.emit(boost::asio::cancellation_type::terminal); });
  context_.restart();
  context_.run();
  EXPECT_TRUE(ended);
  run(context_, store_.flush());
  EXPECT_EQ(store_.get_task_status("t")->state(), TaskState::completed);
}

}  // namespace
}  // namespace reeve::tasks
