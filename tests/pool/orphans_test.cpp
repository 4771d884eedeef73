// Nothing outlives the program, and the pool outlives its warden (scenarios 48, 49, 50, 53).
#include <sys/syscall.h>

#include <algorithm>
#include <filesystem>
#include <random>
#include <reeve/os/fd.hpp>

#include "tests/pool/scenario_support.hpp"

namespace reeve::test {
namespace {

// ------------------------------------------------------------------------------------------------
// The program that is killed: it does everything at once, for ever.

int start_all_kinds(int) {
  for (int kind = 0; kind < 5; ++kind) start_kid(kind);
  return spin();
}

std::size_t total_size(const std::vector<double>& values) {
  return values.size();
}

asio::awaitable<void> carry_data(ResourcePool& pool) {
  const std::vector<double> values(1 << 18);
  for (;;) {
    auto worker = co_await pool.acquire_worker("data");
    for (int i = 0; i < 4; ++i) co_await worker.run<&total_size>(values);
  }
}

asio::awaitable<void> run_into_limits(ResourcePool& pool) {
  for (;;) {
    auto worker = co_await pool.acquire_worker("limit");
    try {
      co_await worker.run<&start_all_kinds>(RunLimits(15ms), 0);
    } catch (const WorkerError&) {
    }
  }
}

TEST(PoolVictim, DISABLED_works_for_ever) {
  asio::io_context context;
  ResourceConfig config = small_config();
  config.max_workers = 4;
  ResourcePool pool(context.get_executor(), config);
  spawn(context, carry_data(pool));
  for (int i = 0; i < 3; ++i) spawn(context, run_into_limits(pool));
  const auto until = Clock::now() + 10s;
  while (Clock::now() < until) context.run_for(100ms);
}

/// Kills the program `count` times at any moment of its first 150 ms of work and of its start.
void kill_often(int count) {
  std::mt19937 random(48);
  std::uniform_int_distribution<int> moment_us(0, 150'000);
  std::vector<std::int64_t> times;
  int left_behind = 0;
  for (int i = 0; i < count; ++i) {
    Mark mark;
    Victim victim("PoolVictim.DISABLED_works_for_ever");
    std::this_thread::sleep_for(std::chrono::microseconds(moment_us(random)));
    victim.signal(SIGKILL);
    const auto start = Clock::now();
    victim.wait_status(5s);
    const auto gone = mark.gone_within(2s);
    if (!gone) ++left_behind;
    times.push_back(
        std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - start).count());
    for (const int pid : mark.processes()) kill(pid, SIGKILL);
  }
  std::sort(times.begin(), times.end());
  const auto at = [&](double q) { return times[static_cast<std::size_t>(q * (count - 1))]; };
  std::printf(
      "[ figures  ] SIGKILL of the program, %d times: nothing left after p50 %lld ms, "
      "p99 %lld ms, at most %lld ms; %d left behind\n",
      count, static_cast<long long>(at(0.5)), static_cast<long long>(at(0.99)),
      static_cast<long long>(times.back()), left_behind);
  EXPECT_EQ(left_behind, 0);
  EXPECT_LE(at(0.5), 500);  // the goal is 100; a shared machine needs air
}

// 48
TEST(PoolOrphans, sigkill_of_the_program_leaves_nothing) {
  kill_often(30);
}
TEST(PoolOrphansFull, sigkill_of_the_program_leaves_nothing) {
  kill_often(1000);
}

// ------------------------------------------------------------------------------------------------

struct Pids {
  int worker = 0;
  int warden = 0;
};

asio::awaitable<void> hold_and_spin(ResourcePool& pool, Pids& pids) {
  auto worker = co_await pool.acquire_worker("spin");
  pids.worker = worker.pid();
  pids.warden = parent_pid(pids.worker);
  co_await worker.run<&spin>();
}

asio::awaitable<int> call_double(ResourcePool& pool, int x) {
  auto worker = co_await pool.acquire_worker("double");
  co_return co_await worker.run<&double_it>(x);
}

// 49: workers go with their warden, the call learns it, and the next acquire has a new warden.
TEST(PoolOrphans, death_of_the_warden_is_survived) {
  Mark mark;
  asio::io_context context;
  ResourcePool pool(context.get_executor(), small_config());
  for (int round = 0; round < 5; ++round) {
    Pids pids;
    std::string failure;
    bool ended = false;
    asio::co_spawn(context, hold_and_spin(pool, pids), [&](std::exception_ptr e) {
      ended = true;
      try {
        if (e) std::rethrow_exception(e);
      } catch (const WorkerLostError& error) {
        failure = error.what();
      } catch (const std::exception& error) {
        ADD_FAILURE() << "another error: " << error.what();
      }
    });
    ASSERT_TRUE(run_until(context, [&] { return pids.warden > 0; }));
    ASSERT_EQ(read_text("/proc/" + std::to_string(pids.warden) + "/comm"), "reeve-warden\n");
    kill(pids.warden, SIGKILL);
    ASSERT_TRUE(run_until(context, [&] { return ended; }));
    EXPECT_NE(failure.find("warden"), std::string::npos) << failure;
    EXPECT_EQ(run_in(context, call_double(pool, 21)), 42);
    // The socket of a dying process closes a little before its children get their signal.
    EXPECT_TRUE(run_until(context, [&] { return !is_alive(pids.worker); }, 2s));
    EXPECT_EQ(pool.status().active_tasks, 0u);
  }
  EXPECT_EQ(mark.processes("reeve-warden").size(), 1u);
}

// 49: idle workers are replaced as well.
TEST(PoolOrphans, death_of_the_warden_between_leases) {
  asio::io_context context;
  ResourcePool pool(context.get_executor(), small_config());
  run_in(context, pool.warm_up(2));
  const int worker = pool.status().workers.front().pid;
  kill(parent_pid(worker), SIGKILL);
  ASSERT_TRUE(run_until(context, [&] { return pool.status().deaths.lost == 2; }));
  ASSERT_TRUE(run_until(context, [&] { return !is_alive(worker); }));
  EXPECT_EQ(run_in(context, call_double(pool, 4)), 8);
}

/// Our own copies of every socket that process `pid` holds.
std::vector<os::UniqueFd> share_sockets_of(int pid) {
  std::vector<os::UniqueFd> shared;
  const os::UniqueFd process(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  for (const auto& entry :
       std::filesystem::directory_iterator("/proc/" + std::to_string(pid) + "/fd")) {
    const std::string target = std::filesystem::read_symlink(entry.path()).string();
    if (!target.starts_with("socket:")) continue;
    const int number = std::stoi(entry.path().filename().string());
    shared.emplace_back(static_cast<int>(syscall(SYS_pidfd_getfd, process.get(), number, 0)));
  }
  return shared;
}

// 49: what the warden had just forked may be stopped, and then holds its socket open.
TEST(PoolOrphans, death_of_a_warden_whose_socket_stays_open) {
  asio::io_context context;
  ResourcePool pool(context.get_executor(), small_config());
  run_in(context, pool.warm_up(1));
  const int warden = parent_pid(pool.status().workers.front().pid);
  const auto held = share_sockets_of(warden);
  if (held.empty() || held.front().get() < 0) GTEST_SKIP() << "pidfd_getfd is not allowed here";
  kill(warden, SIGKILL);
  EXPECT_TRUE(run_until(context, [&] { return pool.status().deaths.lost == 1; }));
  EXPECT_EQ(run_in(context, call_double(pool, 4)), 8);
}

// 50: PR_SET_PDEATHSIG is about threads; the pool's workers do not notice ours.
TEST(PoolOrphans, end_of_the_thread_that_made_the_pool) {
  asio::io_context context;
  std::optional<ResourcePool> pool;
  int before = 0;
  std::thread([&] {
    pool.emplace(context.get_executor(), small_config());
    run_in(context, pool->warm_up(1));
    before = pool->status().workers.front().pid;
  }).join();
  std::this_thread::sleep_for(50ms);
  EXPECT_TRUE(is_alive(before));
  EXPECT_EQ(run_in(context, call_double(*pool, 5)), 10);
  EXPECT_EQ(pool->status().spawns, 1u);
}

// 53: Ctrl-C goes to the foreground group, of which workers and warden are no part.
TEST(PoolOrphans, terminal_signals_do_not_reach_the_workers) {
  asio::io_context context;
  ResourcePool pool(context.get_executor(), small_config());
  run_in(context, pool.warm_up(1));
  const int worker = pool.status().workers.front().pid;
  const int warden = parent_pid(worker);
  EXPECT_NE(getpgid(worker), getpgrp());
  EXPECT_NE(getpgid(warden), getpgrp());
  EXPECT_NE(getsid(warden), getsid(0));
}

}  // namespace
}  // namespace reeve::test
