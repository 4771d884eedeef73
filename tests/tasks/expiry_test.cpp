// Many tasks that expire at the same time: none is ever returned late, readers do not wait, the
// memory comes back.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <reeve/tasks/task_store.hpp>

#include "tests/support/pch.hpp"
#include "tests/tasks/support/expiry_flood.hpp"
#include "tests/tasks/support/run.hpp"

namespace reeve::tasks {
namespace {

using std::chrono::milliseconds;
using testing::run;

std::string id_of(int n) {
  return "task-" + std::to_string(n);
}

void flood(int tasks, const std::string& path) {
  const auto f = testing::expire_flood(tasks, path);
  std::printf(
      "%d tasks expired in 1 s: %zu gets, p99 %.3f ms, worst %.1f ms, %zu late; all gone "
      "after %.1f s; %.0f -> %.0f -> %.0f MiB\n",
      tasks, f.gets, f.p99_ms, f.worst_ms, f.late, f.gone_s, f.before_mib, f.full_mib, f.after_mib);
  EXPECT_GT(f.gets, 1000u);
  EXPECT_EQ(f.late, 0u);
  EXPECT_LE(f.p99_ms, 5.0);
  EXPECT_EQ(f.left, 0u);
  if (tasks >= 1'000'000) {
    EXPECT_LT(f.after_mib - f.before_mib, (f.full_mib - f.before_mib) / 3 + 16)
        << "the memory comes back";
  }
}

TEST(Expiry, TwentyThousandInOneSecond) {
  flood(20'000, {});
}
TEST(Expiry, TwentyThousandInOneSecondOnDisk) {
  testing::TempDir dir;
  flood(20'000, dir.file("tasks.db"));
}
TEST(ExpiryFull, AMillionInOneSecondInMemory) {
  flood(1'000'000, {});
}
TEST(ExpiryFull, AMillionInOneSecondOnDisk) {
  testing::TempDir dir;
  flood(1'000'000, dir.file("tasks.db"));
}

TEST(Expiry, AnIdThatExpiredIsTakenAgainAndTheFileHoldsItOnce) {
  testing::TempDir dir;
  ManualClock clock;
  ManualWallClock wall;
  StoreConfig config;
  config.path = dir.file("tasks.db");
  config.clock = &clock;
  config.wall_clock = &wall;
  config.relaxed_delay = std::chrono::hours{1};
  const pid_t child = ::fork();
  if (child == 0) {  // killed before any relaxed write is due
    boost::asio::io_context context;
    TaskStore store(context.get_executor(), config);
    CreateOptions brief;
    brief.ttl = milliseconds{10};
    for (int life = 0; life < 3; ++life) {
      run(context, store.create_task("again", Fields(), brief));
      run(context, store.cancel_task("again"));
      clock.advance(milliseconds{10});
      if (life == 1) store.remove_expired();
    }
    run(context, store.create_task("again", Fields(), brief));
    ::kill(::getpid(), SIGKILL);
  }
  ::waitpid(child, nullptr, 0);
  boost::asio::io_context context;
  TaskStore store(context.get_executor(), config);
  EXPECT_EQ(store.get_task_status("again")->state(), TaskState::pending);
  EXPECT_EQ(store.counts().total(), 1u);
}

TEST(Expiry, OfATaskThatIsReadNeverPassesItsInstant) {
  for (const bool on_disk : {false, true}) {
    testing::TempDir dir;
    ManualClock clock;
    ManualWallClock wall;
    StoreConfig config;
    if (on_disk) config.path = dir.file("tasks.db");
    config.clock = &clock;
    config.wall_clock = &wall;
    boost::asio::io_context context;
    TaskStore store(context.get_executor(), config);
    for (int i = 0; i < 100; ++i) {
      CreateOptions create;
      create.ttl = milliseconds{1 + i};
      run(context, store.create_task(id_of(i), Fields(), create));
      run(context, store.cancel_task(id_of(i)));
    }
    for (int now = 0; now <= 100; ++now) {
      for (int i = 0; i < 100; ++i)
        EXPECT_EQ(store.get_task_status(id_of(i)).has_value(), now < 1 + i) << now << ' ' << i;
      EXPECT_EQ(store.list_tasks().items.size(), static_cast<std::size_t>(100 - now));
      clock.advance(milliseconds{1});
      wall.advance(milliseconds{1});
    }
  }
}

}  // namespace
}  // namespace reeve::tasks
