// Every cell of the state table through the store, races for an end, bad input: the record answers.
#include <cmath>
#include <reeve/tasks/task_store.hpp>

#include "tests/support/pch.hpp"
#include "tests/tasks/support/disk_vfs.hpp"
#include "tests/tasks/support/run.hpp"

namespace reeve::tasks {
namespace {

using boost::asio::awaitable;
using testing::code_of;
using testing::Disk;
using testing::run;

class TransitionTest : public ::testing::TestWithParam<bool> {
 protected:
  TransitionTest() {
    disk_.record(false);
    if (GetParam()) {
      config_.path = "/disk/tasks.db";
      config_.vfs = disk_.name();
      config_.reserve = ByteSize{0};
    }
    reopen();
  }
  void reopen() {
    store_.reset();
    store_.emplace(context_.get_executor(), config_);
  }
  /// A new record in `state`.
  std::string make(TaskState state) {
    const std::string id = "t" + std::to_string(++serial_);
    run(context_, store_->create_task(id));
    if (state == TaskState::pending) return id;
    run(context_, store_->start_task(id));
    if (state == TaskState::retry_wait)
      run(context_, store_->schedule_retry(id, WallTime{}, "again"));
    if (state == TaskState::cancelling) run(context_, store_->cancel_task(id));
    if (state == TaskState::completed) run(context_, store_->complete_task(id));
    if (state == TaskState::failed) run(context_, store_->fail_task(id, "broken"));
    if (state == TaskState::cancelled) run(context_, store_->acknowledge_cancel(id));
    if (state == TaskState::interrupted) reopen();
    EXPECT_EQ(store_->get_task_status(id)->state(), state);
    return id;
  }
  /// The error of an awaited verb, which must carry the record as it still is.
  std::optional<TaskErrc> refusal(const std::string& id, awaitable<TaskRecord> verb) {
    const auto before = store_->get_task_status(id);
    try {
      run(context_, std::move(verb));
    } catch (const TaskError& e) {
      EXPECT_TRUE(e.current()) << e.what();
      if (e.current()) {
        EXPECT_EQ(e.current()->state, before->state()) << e.what();
        EXPECT_EQ(e.current()->attempt, before->attempt()) << e.what();
        EXPECT_EQ(e.current()->revision, before->revision()) << e.what();
      }
      EXPECT_EQ(store_->get_task_status(id)->revision(), before->revision()) << e.what();
      return e.code();
    }
    return std::nullopt;
  }

  Disk disk_{std::string("transitions-") + (GetParam() ? "d" : "m")};
  StoreConfig config_;
  boost::asio::io_context context_;
  std::optional<TaskStore> store_;
  int serial_ = 0;
};

INSTANTIATE_TEST_SUITE_P(Backends, TransitionTest, ::testing::Values(false, true),
                         [](const auto& i) { return i.param ? "Sqlite" : "Memory"; });

TEST_P(TransitionTest, EveryCellDoesWhatTheTableSays) {
  for (std::size_t f = 0; f < task_state_count; ++f)
    for (std::size_t t = 0; t < task_state_count; ++t) {
      const auto from = static_cast<TaskState>(f), to = static_cast<TaskState>(t);
      if (from == TaskState::interrupted && !GetParam()) continue;  // memory has no restart
      SCOPED_TRACE(std::string(to_string(from)) + " -> " + std::string(to_string(to)));
      const std::string id = make(from);
      const auto before = *store_->get_task_status(id);
      Fields value;
      if (to == TaskState::failed) value.set("error", "broken");
      value.set("status", to_string(to));
      const auto verdict = judge(from, to);
      const bool forbidden = verdict == Verdict::forbidden || verdict == Verdict::by_retry ||
                             verdict == Verdict::by_restart;
      if (forbidden) {
        EXPECT_EQ(refusal(id, store_->set_task_status(id, value)), TaskErrc::illegal_transition);
        continue;
      }
      const auto after = run(context_, store_->set_task_status(id, value));
      EXPECT_EQ(after.state(), to);
      EXPECT_EQ(after.attempt(), before.attempt() + (verdict == Verdict::new_attempt ? 1 : 0));
      EXPECT_EQ(after.revision() == before.revision(), verdict == Verdict::repeat);
      EXPECT_EQ(after.finished_at().has_value(), is_settled(to));
    }
}

TEST_P(TransitionTest, TheVerbsOfRetryAndDelete) {
  for (std::size_t s = 0; s < task_state_count; ++s) {
    const auto state = static_cast<TaskState>(s);
    if (state == TaskState::interrupted && !GetParam()) continue;
    SCOPED_TRACE(to_string(state));
    std::string id = make(state);
    if (state == TaskState::failed || state == TaskState::interrupted) {
      EXPECT_EQ(run(context_, store_->retry_task(id)).state(),
                state == TaskState::failed ? TaskState::pending : TaskState::retry_wait);
    } else {
      EXPECT_EQ(refusal(id, store_->retry_task(id)), TaskErrc::illegal_transition);
    }
    id = make(state);
    const bool working = state == TaskState::running || state == TaskState::cancelling;
    const auto code = code_of([&] { run(context_, store_->delete_task_status(id)); });
    EXPECT_EQ(code, working ? std::optional(TaskErrc::illegal_transition) : std::nullopt);
    EXPECT_EQ(store_->get_task_status(id).has_value(), working);
    if (working) {
      EXPECT_TRUE(run(context_, store_->delete_task_status(id, true)));
    }
  }
}

TEST_P(TransitionTest, BadInputNamesTheRecordAndChangesNothing) {
  const std::string id = make(TaskState::running);
  for (const double percent : {-0.1, 100.1, std::nan(""), HUGE_VAL, -HUGE_VAL})
    EXPECT_EQ(refusal(id, store_->update_task_progress(id, percent)), TaskErrc::invalid_argument);
  for (const char* name :
       {"id", "status", "state", "attempt", "revision", "progress", "result", "error", "reason",
        "created_at", "updated_at", "finished_at", "expires_at", "retry_at"}) {
    SCOPED_TRACE(name);
    Fields fields;
    fields.set(name, 1);
    EXPECT_EQ(refusal(id, store_->update_task_progress(id, 1, fields)), TaskErrc::invalid_argument);
    EXPECT_EQ(refusal(id, store_->set_task_status(id, TaskState::running, fields)),
              TaskErrc::invalid_argument);
    EXPECT_EQ(code_of([&] { run(context_, store_->create_task("fresh", fields)); }),
              TaskErrc::invalid_argument);
  }
  EXPECT_FALSE(store_->get_task_status("fresh"));
  Fields large, half, word, text;
  large.set("x", std::string(65 * 1024, 'x'));
  half.set("x", std::string(40 * 1024, 'x'));
  word.set("status", "sleeping");
  text.set("status", "running").set("progress", "fifty");
  EXPECT_EQ(refusal(id, store_->update_task_progress(id, 1, large)), TaskErrc::invalid_argument);
  EXPECT_EQ(refusal(id, store_->set_task_status(id, word)), TaskErrc::invalid_argument);
  EXPECT_EQ(refusal(id, store_->set_task_status(id, text)), TaskErrc::invalid_argument);
  const Json huge = Json::string(std::string(17 << 20, 'x'));
  EXPECT_EQ(refusal(id, store_->complete_task(id, huge)), TaskErrc::invalid_argument);
  for (const auto& bad : {std::string("\xff"), std::string(70'000, 'e')}) {
    EXPECT_EQ(refusal(id, store_->fail_task(id, bad)), TaskErrc::invalid_argument);
    EXPECT_EQ(refusal(id, store_->fail_task(id, "x", bad)), TaskErrc::invalid_argument);
    EXPECT_EQ(refusal(id, store_->schedule_retry(id, WallTime{}, bad)), TaskErrc::invalid_argument);
    EXPECT_EQ(refusal(id, store_->acknowledge_cancel(id, bad)), TaskErrc::invalid_argument);
  }
  run(context_, store_->update_task_progress(id, 1, half));
  Fields other;
  other.set("y", std::string(40 * 1024, 'y'));
  EXPECT_EQ(refusal(id, store_->update_task_progress(id, 2, other)), TaskErrc::invalid_argument)
      << "two halves are too large together";
  CreateOptions negative;
  negative.ttl = std::chrono::milliseconds{-1};
  EXPECT_EQ(code_of([&] { run(context_, store_->create_task("fresh", Fields(), negative)); }),
            TaskErrc::invalid_argument);
}

TEST_P(TransitionTest, RacesOfTwoThreadsHaveOneWinnerThatWaitersAndFollowersSee) {
  for (int round = 0; round < 100; ++round) {
    const std::string id = make(TaskState::running);
    WatchFilter only;
    only.id = id;
    auto watcher = store_->watch(only);
    std::atomic<int> wins{0}, losses{0};
    std::atomic<int> seen_by_waiter{-1}, seen_by_winner{-1};
    auto contender = [&](int kind) -> awaitable<void> {
      try {
        TaskRecord seen;
        if (kind == 0) seen = co_await store_->complete_task(id);
        if (kind == 1) seen = co_await store_->fail_task(id, "boom");
        if (kind == 2) seen = co_await store_->acknowledge_cancel(id);
        seen_by_winner = static_cast<int>(seen.state());
        ++wins;
      } catch (const TaskError& e) {
        EXPECT_EQ(e.code(), TaskErrc::illegal_transition);
        EXPECT_TRUE(e.current() && is_settled(e.current()->state));
        ++losses;
      }
    };
    auto waiter = [&]() -> awaitable<void> {
      const auto end = co_await store_->wait(id);
      seen_by_waiter = static_cast<int>(end.state());
    };
    boost::asio::io_context both(2);
    for (int kind = 0; kind < 3; ++kind)
      boost::asio::co_spawn(both, contender((kind + round) % 3), boost::asio::detached);
    boost::asio::co_spawn(both, waiter(), boost::asio::detached);
    std::thread other([&] { both.run(); });
    both.run();
    other.join();
    EXPECT_EQ(wins, 1);
    EXPECT_EQ(losses, 2);
    const int winner = seen_by_winner;
    EXPECT_EQ(seen_by_waiter, winner);
    EXPECT_EQ(static_cast<int>(store_->get_task_status(id)->state()), winner);
    const auto event = watcher.try_next();
    ASSERT_TRUE(event && event->record);
    EXPECT_EQ(static_cast<int>(event->record->state()), winner);
    EXPECT_FALSE(watcher.try_next());
  }
}

TEST(Durability, NobodySeesATransitionBeforeTheDiskHasIt) {
  Disk disk("held");
  StoreConfig config;
  config.path = "/disk/tasks.db";
  config.vfs = disk.name();
  config.reserve = ByteSize{0};
  boost::asio::io_context context;
  TaskStore store(context.get_executor(), config);
  run(context, store.create_task("t"));
  run(context, store.start_task("t"));
  auto watcher = store.watch();
  bool completed = false, waited = false;
  auto completer = [&]() -> awaitable<void> {
    co_await store.complete_task("t");
    completed = true;
  };
  auto waiter = [&]() -> awaitable<void> {
    co_await store.wait("t");
    waited = true;
  };
  disk.hold_syncs(true);
  boost::asio::co_spawn(context, waiter(), boost::asio::detached);
  boost::asio::co_spawn(context, completer(), boost::asio::detached);
  context.restart();
  context.poll();
  while (!disk.somebody_syncs()) std::this_thread::yield();
  context.poll();
  EXPECT_EQ(store.get_task_status("t")->state(), TaskState::running);
  EXPECT_EQ(store.counts()[TaskState::completed], 0u);
  EXPECT_FALSE(watcher.try_next());
  EXPECT_FALSE(completed || waited);
  EXPECT_EQ(code_of([&] { run(context, store.fail_task("t", "late")); }),
            TaskErrc::illegal_transition)
      << "the race is decided, although nobody sees it yet";
  disk.hold_syncs(false);
  context.restart();
  context.run();
  EXPECT_TRUE(completed && waited);
  EXPECT_EQ(store.get_task_status("t")->state(), TaskState::completed);
  EXPECT_TRUE(watcher.try_next());
}

TEST(Durability, ARelaxedTransitionIsSeenAtOnceAndOnTheDiskAfterAFlush) {
  Disk disk("relaxed");
  StoreConfig config;
  config.path = "/disk/tasks.db";
  config.vfs = disk.name();
  config.reserve = ByteSize{0};
  boost::asio::io_context context;
  TaskStore store(context.get_executor(), config);
  disk.hold_syncs(true);
  UpdateOptions relaxed;
  relaxed.durability = Durability::relaxed;
  CreateOptions create;
  create.durability = Durability::relaxed;
  run(context, store.create_task("t", Fields(), create));
  run(context, store.start_task("t", relaxed));
  EXPECT_EQ(store.get_task_status("t")->state(), TaskState::running);
  disk.hold_syncs(false);
  run(context, store.flush());
  testing::Disk left("left");
  left.mount(disk.contents());
  config.vfs = left.name();
  TaskStore next(context.get_executor(), config);
  EXPECT_EQ(next.get_task_status("t")->state(), TaskState::interrupted);
}

}  // namespace
}  // namespace reeve::tasks
