// The end of a pool in every state, and of programs that never end theirs (scenarios 60, 61,
// 64-66).
#include "tests/pool/scenario_support.hpp"

namespace reeve::test {
namespace {

asio::awaitable<int> call_double(ResourcePool& pool, int x) {
  auto worker = co_await pool.acquire_worker("double");
  co_return co_await worker.run<&double_it>(x);
}

asio::awaitable<void> call_spin(ResourcePool& pool, std::string& how) {
  try {
    auto worker = co_await pool.acquire_worker("spin");
    co_await worker.run<&spin>();
  } catch (const WorkerLostError&) {
    how = "lost";
  } catch (const PoolClosedError&) {
    how = "closed";
  } catch (const std::exception& e) {
    how = e.what();
  }
}

// 64: while its workers start.
TEST(PoolShutdown, while_starting) {
  Mark mark;
  asio::io_context context;
  ResourcePool pool(context.get_executor(), small_config());
  EXPECT_FALSE(pool.try_acquire("starts one"));
  const ShutdownReport report = run_in(context, pool.shutdown(ShutdownMode::kill, 2s));
  EXPECT_FALSE(report.deadline_reached);
  EXPECT_TRUE(mark.gone_within(2s));
}

// 64: while tasks run and others wait; the report counts both.
TEST(PoolShutdown, kill_while_running) {
  Mark mark;
  asio::io_context context;
  ResourcePool pool(context.get_executor(), small_config());
  std::string how[4];
  for (std::string& text : how) spawn(context, call_spin(pool, text));
  ASSERT_TRUE(run_until(context, [&] {
    const PoolStatus status = pool.status();
    return status.active_tasks == 2 && status.waiting == 2;
  }));
  const ShutdownReport report = run_in(context, pool.shutdown(ShutdownMode::kill, 2s));
  EXPECT_EQ(report.killed, 2u);
  EXPECT_EQ(report.cancelled, 2u);
  ASSERT_TRUE(run_until(context, [&] {
    for (const std::string& text : how) {
      if (text.empty()) return false;
    }
    return true;
  }));
  EXPECT_EQ(how[0], "lost");
  EXPECT_EQ(how[3], "closed");
  EXPECT_TRUE(mark.gone_within(2s));
}

asio::awaitable<void> shut_down_and_count(ResourcePool& pool, std::chrono::milliseconds deadline,
                                          int& ended) {
  co_await pool.shutdown(ShutdownMode::drain, deadline);
  ++ended;
}

// 64: several at once and once more afterwards; the shortest deadline forces the end.
TEST(PoolShutdown, concurrently_and_twice) {
  asio::io_context context;
  ResourcePool pool(context.get_executor(), small_config());
  std::string how;
  spawn(context, call_spin(pool, how));
  ASSERT_TRUE(run_until(context, [&] { return pool.status().active_tasks == 1; }));
  int ended = 0;
  for (const auto deadline : {5000ms, 100ms, 3000ms}) {
    spawn(context, shut_down_and_count(pool, deadline, ended));
  }
  ASSERT_TRUE(run_until(context, [&] { return ended == 3; }, 3s));
  const ShutdownReport again = run_in(context, pool.shutdown());
  EXPECT_EQ(again.killed, 0u);
  EXPECT_EQ(pool.status().active_tasks, 0u);
}

TEST(PoolVictim, DISABLED_never_shuts_down) {
  static asio::io_context context;
  static ResourcePool pool(context.get_executor(), small_config());
  static std::string how;
  spawn(context, call_spin(pool, how));
  run_until(context, [&] { return pool.status().active_tasks == 1; });
  if (Victim::argument() == "thread") std::thread([] { std::exit(3); }).join();
  std::exit(3);
}

// 65: exit with a running task, from main and from another thread: no hang, nothing left.
TEST(PoolShutdown, program_exits_without_it) {
  for (const char* from : {"main", "thread"}) {
    Mark mark;
    Victim victim("PoolVictim.DISABLED_never_shuts_down", from);
    const auto status = victim.wait_status(20s);
    ASSERT_TRUE(status) << from;
    EXPECT_TRUE(WIFEXITED(*status) && WEXITSTATUS(*status) == 3) << from << *status;
    EXPECT_TRUE(mark.gone_within(2s));
  }
}

// 66: a thread that does not stop delays nobody.
TEST(PoolShutdown, stuck_thread_worker) {
  asio::io_context context;
  ResourceConfig config = small_config();
  config.isolation = Isolation::thread;
  ResourcePool pool(context.get_executor(), config);
  auto lease = [&] {
    run_in(context, pool.warm_up(1));
    return pool.try_acquire("stuck");
  }();
  ASSERT_TRUE(lease);
  asio::co_spawn(context, lease->run<&nap>(1500), asio::detached);
  ASSERT_TRUE(run_until(context, [&] { return pool.status().active_tasks == 1; }));
  const auto start = Clock::now();
  run_in(context, pool.shutdown(ShutdownMode::kill, 200ms));
  EXPECT_LT(Clock::now() - start, 1s);
}

// 60: nobody waits for workers that cannot start: a worker counts when it has set itself up.
TEST(PoolStart, impossible_working_directory) {
  asio::io_context context;
  ResourceConfig config = small_config();
  const std::string gone = testing::TempDir() + "reeve-gone-" + std::to_string(getpid());
  ASSERT_EQ(mkdir(gone.c_str(), 0700), 0);
  config.working_directory = gone;
  config.output = Output::capture;
  ResourcePool pool(context.get_executor(), config);
  ASSERT_EQ(rmdir(gone.c_str()), 0);  // after the pool has looked
  try {
    run_in(context, call_double(pool, 1));
    FAIL() << "it started";
  } catch (const PoolDegradedError& e) {
    EXPECT_NE(std::string(e.what()).find(gone), std::string::npos) << e.what();
  }
}

int check_file(std::string path) {
  if (access(path.c_str(), F_OK) != 0) throw std::runtime_error("no file yet");
  return 0;
}
int crash_without_file(std::string path) {
  return access(path.c_str(), F_OK) == 0 ? 0 : crash();
}

void recover(Initializer initializer, const std::string& path, const char* cause) {
  asio::io_context context;
  ResourceConfig config = small_config();
  config.initializer = std::move(initializer);
  ResourcePool pool(context.get_executor(), config);
  try {
    run_in(context, call_double(pool, 1));
    ADD_FAILURE() << "it started";
  } catch (const PoolDegradedError& e) {
    EXPECT_NE(std::string(e.what()).find(cause), std::string::npos) << e.what();
  }
  std::ofstream(path) << "now";
  bool recovered = false;
  for (int i = 0; i < 100 && !recovered; ++i) {
    run_in(context, pause_for(50ms));
    try {
      recovered = run_in(context, call_double(pool, 4)) == 8;
    } catch (const PoolDegradedError&) {
    }
  }
  EXPECT_TRUE(recovered);
  unlink(path.c_str());
}

// 60, 61: the initializer throws, or crashes: waiters learn the cause, and the pool recovers.
TEST(PoolStart, initializer_throws_and_recovers) {
  const std::string path = "/tmp/reeve-initializer-a" + std::to_string(getpid());
  recover(Initializer::make<&check_file>(path), path, "no file yet");
}
TEST(PoolStart, initializer_crashes_and_recovers) {
  const std::string path = "/tmp/reeve-initializer-b" + std::to_string(getpid());
  recover(Initializer::make<&crash_without_file>(path), path, "SIGSEGV");
}

}  // namespace
}  // namespace reeve::test
