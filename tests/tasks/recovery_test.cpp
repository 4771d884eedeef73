// Restarts: what is found again, what becomes interrupted, clock jumps, killed processes.
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <reeve/tasks/task_store.hpp>
#include <set>

#include "tests/support/pch.hpp"
#include "tests/tasks/support/run.hpp"

namespace reeve::tasks {
namespace {

using testing::code_of;
using testing::run;

class RecoveryTest : public ::testing::Test {
 protected:
  StoreConfig config() {
    StoreConfig c;
    c.path = dir_.file("tasks.db");
    c.clock = &clock_;
    c.wall_clock = &wall_;
    return c;
  }
  TaskStore open() { return TaskStore(context_.get_executor(), config()); }

  testing::TempDir dir_;
  ManualClock clock_;
  ManualWallClock wall_;
  boost::asio::io_context context_;
};

TEST_F(RecoveryTest, EverythingIsFoundAgain) {
  std::uint64_t revision = 0;
  std::string before;
  {
    auto store = open();
    Fields f;
    f.set("claim", "aspirin \"helps\"");
    run(context_, store.create_task("t", f));
    run(context_, store.start_task("t"));
    store.post_progress("t", 42);
    const auto done = run(context_, store.complete_task("t", f));
    revision = done.revision();
    before = done.to_json();
  }
  auto store = open();
  EXPECT_EQ(store.get_task_status("t")->to_json(), before);
  EXPECT_GT(run(context_, store.create_task("u")).revision(), revision);
}

TEST_F(RecoveryTest, RelaxedProgressReachesTheDiskByFlushAndByClose) {
  {
    auto store = open();
    run(context_, store.set_task_status("t", TaskState::running));
    store.post_progress("t", 33);
    run(context_, store.flush());
    store.post_progress("t", 66);
  }
  auto store = open();
  EXPECT_EQ(store.get_task_status("t")->progress(), 66);
}

TEST_F(RecoveryTest, RunningBecomesInterruptedOrWaitsForARetry) {
  {
    auto store = open();
    run(context_, store.create_task("plain"));
    run(context_, store.start_task("plain"));
    CreateOptions idempotent;
    idempotent.retry_after_crash = true;
    run(context_, store.create_task("again", Fields(), idempotent));
    run(context_, store.start_task("again"));
    run(context_, store.create_task("stopping", Fields(), idempotent));
    run(context_, store.start_task("stopping"));
    run(context_, store.cancel_task("stopping"));
    run(context_, store.create_task("waiting"));
  }
  auto store = open();
  EXPECT_EQ(store.get_task_status("plain")->state(), TaskState::interrupted);
  EXPECT_EQ(store.get_task_status("plain")->reason(), "restart");
  EXPECT_EQ(store.get_task_status("again")->state(), TaskState::retry_wait);
  EXPECT_EQ(store.get_task_status("stopping")->state(), TaskState::interrupted);
  EXPECT_EQ(store.get_task_status("stopping")->reason(), "restart_while_cancelling");
  EXPECT_EQ(store.get_task_status("waiting")->state(), TaskState::pending);
  EXPECT_EQ(run(context_, store.start_task("again")).attempt(), 2u);
  EXPECT_EQ(run(context_, store.retry_task("plain")).state(), TaskState::retry_wait);
}

TEST_F(RecoveryTest, PendingMayBeInterruptedByPolicy) {
  {
    auto store = open();
    run(context_, store.create_task("waiting"));
  }
  auto c = config();
  c.pending_on_restart = PendingOnRestart::interrupt;
  TaskStore store(context_.get_executor(), c);
  EXPECT_EQ(store.get_task_status("waiting")->state(), TaskState::interrupted);
}

TEST_F(RecoveryTest, FilesArePrivateAndPrefixesDoNotSeeEachOther) {
  {
    auto store = open();
    run(context_, store.create_task("t"));
    struct stat info{};
    ASSERT_EQ(::stat(dir_.file("tasks.db").c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777, 0600u);
  }
  auto other = config();
  other.prefix = "other:";
  {
    TaskStore store(context_.get_executor(), other);
    EXPECT_FALSE(store.get_task_status("t"));
    run(context_, store.create_task("t"));
  }
  EXPECT_EQ(open().counts().total(), 1u);
}

class ClockJumpTest : public RecoveryTest {
 protected:
  void end_one_and_stop() {
    auto store = open();
    run(context_, store.create_task("t"));
    run(context_, store.cancel_task("t"));
  }
};

TEST_F(ClockJumpTest, TimeDuringAStopCounts) {
  end_one_and_stop();
  wall_.advance(std::chrono::hours{23});
  {
    auto store = open();
    EXPECT_TRUE(store.get_task_status("t"));
    clock_.advance(std::chrono::hours{1});
    EXPECT_FALSE(store.get_task_status("t"));
  }
}

TEST_F(ClockJumpTest, AJumpBackKeepsTheRestOfTheRetentionAndNoMore) {
  end_one_and_stop();
  wall_.advance(-std::chrono::hours{24 * 365});
  for (int restart = 0; restart < 3; ++restart) {
    auto store = open();
    EXPECT_TRUE(store.get_task_status("t"));
    clock_.advance(std::chrono::hours{6});
    wall_.advance(std::chrono::hours{6});
  }
  auto store = open();
  EXPECT_TRUE(store.get_task_status("t"));
  clock_.advance(std::chrono::hours{6});
  EXPECT_FALSE(store.get_task_status("t"));
}

TEST_F(ClockJumpTest, AJumpAheadOfYearsHoldsExpiryForAnHour) {
  end_one_and_stop();
  wall_.advance(std::chrono::hours{24 * 3650});
  auto store = open();
  EXPECT_TRUE(store.get_task_status("t"));
  clock_.advance(std::chrono::minutes{59});
  EXPECT_TRUE(store.get_task_status("t"));
  clock_.advance(std::chrono::minutes{1});
  EXPECT_FALSE(store.get_task_status("t"));
}

TEST_F(ClockJumpTest, AJumpWhileRunningChangesNothing) {
  auto store = open();
  run(context_, store.create_task("t"));
  run(context_, store.cancel_task("t"));
  wall_.advance(std::chrono::hours{24 * 3650});
  EXPECT_TRUE(store.get_task_status("t"));
  wall_.advance(-std::chrono::hours{48 * 3650});
  EXPECT_TRUE(store.get_task_status("t"));
  clock_.advance(std::chrono::hours{24});
  EXPECT_FALSE(store.get_task_status("t"));
}

/// Writes tasks until it is killed; says each acknowledged id on `pipe`.
[[noreturn]] void write_until_killed(const std::string& path, int pipe, int generation) {
  boost::asio::io_context context;
  StoreConfig config;
  config.path = path;
  config.reserve = ByteSize{0};
  config.checkpoint_frames = 32;  // so that kills fall into passes and checkpoints, too
  TaskStore store(context.get_executor(), config);
  auto writer = [&](int slot) -> boost::asio::awaitable<void> {
    for (int i = 0;; ++i) {
      const int number = (generation * 8 + slot) * 100'000 + i;
      co_await store.create_task(std::to_string(number));
      if (::write(pipe, &number, sizeof number) < 0) _exit(1);
    }
  };
  for (int slot = 0; slot < 8; ++slot)
    boost::asio::co_spawn(context, writer(slot), boost::asio::detached);
  context.run();
  _exit(0);
}

TEST(KillTest, TwoHundredKillsLoseNothing) {
  testing::TempDir dir;
  const std::string path = dir.file("tasks.db");
  std::set<int> acknowledged;
  for (int generation = 0; generation < 200; ++generation) {
    int ends[2];
    ASSERT_EQ(::pipe(ends), 0);
    const pid_t child = ::fork();
    if (child == 0) {
      ::close(ends[0]);
      write_until_killed(path, ends[1], generation);
    }
    ::close(ends[1]);
    int number = 0;
    const int count = 3 + generation % 60;
    for (int i = 0; i < count && ::read(ends[0], &number, sizeof number) == sizeof number; ++i)
      acknowledged.insert(number);
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    while (::read(ends[0], &number, sizeof number) == sizeof number) acknowledged.insert(number);
    ::close(ends[0]);
  }
  boost::asio::io_context context;
  StoreConfig config;
  config.path = path;
  TaskStore store(context.get_executor(), config);
  ASSERT_GT(acknowledged.size(), 2000u);
  std::size_t lost = 0;
  for (const int number : acknowledged) lost += !store.get_task_status(std::to_string(number));
  std::printf("200 kills: %zu acknowledged, %zu lost\n", acknowledged.size(), lost);
  EXPECT_EQ(lost, 0u);
}

}  // namespace
}  // namespace reeve::tasks
