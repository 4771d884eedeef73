// Programs that wait for children of their own, ignore SIGCHLD, or fork (scenarios 51, 52).
#include <atomic>

#include "tests/pool/scenario_support.hpp"

namespace reeve::test {
namespace {

asio::awaitable<int> call_double(ResourcePool& pool, int x) {
  auto worker = co_await pool.acquire_worker("double");
  co_return co_await worker.run<&double_it>(x);
}

int exit_with(int status) {
  _exit(status);
}

asio::awaitable<void> call_exit(ResourcePool& pool, int status) {
  auto worker = co_await pool.acquire_worker("exit");
  co_await worker.run<&exit_with>(status);
}

void expect_true_statuses(asio::io_context& context, ResourcePool& pool) {
  for (int status = 1; status < 8; ++status) {
    try {
      run_in(context, call_exit(pool, status));
      ADD_FAILURE() << "no crash";
    } catch (const WorkerCrashedError& e) {
      EXPECT_EQ(e.evidence().exit_status, status) << e.what();
    }
    EXPECT_EQ(run_in(context, call_double(pool, status)), 2 * status);
  }
}

// 51: a host that reaps whatever it finds finds nothing of ours, and takes no status from us.
TEST(PoolHost, that_waits_for_any_child) {
  std::atomic<bool> stop{false};
  std::atomic<int> found{0};
  std::thread reaper([&] {
    while (!stop.load()) {
      if (waitpid(-1, nullptr, WNOHANG) > 0) ++found;
      std::this_thread::sleep_for(100us);
    }
  });
  {
    asio::io_context context;
    ResourcePool pool(context.get_executor(), small_config());
    expect_true_statuses(context, pool);
  }
  stop = true;
  reaper.join();
  EXPECT_EQ(found.load(), 0);
}

std::atomic<int> child_signals{0};

// 51: its SIGCHLD handler never runs for us.
TEST(PoolHost, that_handles_sigchld) {
  struct sigaction before{};
  struct sigaction action{};
  action.sa_handler = [](int) { ++child_signals; };
  action.sa_flags = SA_RESTART;
  sigaction(SIGCHLD, &action, &before);
  {
    asio::io_context context;
    ResourcePool pool(context.get_executor(), small_config());
    expect_true_statuses(context, pool);
  }
  sigaction(SIGCHLD, &before, nullptr);
  EXPECT_EQ(child_signals.load(), 0);
}

// 51: nor does it matter that the host lets the kernel reap its children.
TEST(PoolHost, that_ignores_sigchld) {
  struct sigaction before{};
  struct sigaction action{};
  action.sa_handler = SIG_IGN;
  sigaction(SIGCHLD, &action, &before);
  {
    asio::io_context context;
    ResourcePool pool(context.get_executor(), small_config());
    expect_true_statuses(context, pool);
  }
  sigaction(SIGCHLD, &before, nullptr);
}

// 51: signals that the host blocks are not blocked in workers.
int blocked_signals() {
  sigset_t mask;
  sigprocmask(SIG_SETMASK, nullptr, &mask);
  int count = 0;
  for (int number = 1; number < 32; ++number) count += sigismember(&mask, number) == 1;
  return count;
}

asio::awaitable<int> count_blocked(ResourcePool& pool) {
  auto worker = co_await pool.acquire_worker("mask");
  co_return co_await worker.run<&blocked_signals>();
}

TEST(PoolHost, that_blocks_signals) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  {
    asio::io_context context;
    ResourcePool pool(context.get_executor(), small_config());
    EXPECT_EQ(run_in(context, count_blocked(pool)), 0);
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

// ------------------------------------------------------------------------------------------------
// 52: the child of a fork has copies of everything and a claim to nothing.

/// What `in_child` returns in a forked copy of this program, or -1.
template <class F>
int in_fork(F in_child) {
  const pid_t child = fork();
  if (child == 0) {
    alarm(10);
    _exit(in_child());
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(PoolHost, whose_forked_child_destroys_the_pool) {
  asio::io_context context;
  auto pool = std::make_unique<ResourcePool>(context.get_executor(), small_config());
  run_in(context, pool->warm_up(2));
  const std::vector<WorkerStatus> before = pool->status().workers;
  EXPECT_EQ(in_fork([&] {
              pool.reset();
              return 7;
            }),
            7);
  std::this_thread::sleep_for(50ms);
  for (const WorkerStatus& worker : before) EXPECT_TRUE(is_alive(worker.pid));
  EXPECT_EQ(run_in(context, call_double(*pool, 8)), 16);
  EXPECT_EQ(pool->status().spawns, 2u);
}

// 52
TEST(PoolHost, whose_forked_child_gives_back_a_lease) {
  asio::io_context context;
  ResourcePool pool(context.get_executor(), small_config());
  run_in(context, pool.warm_up(2));
  auto lease = pool.try_acquire("held");
  ASSERT_TRUE(lease);
  EXPECT_EQ(in_fork([&] {
              lease.reset();
              return 7;
            }),
            7);
  EXPECT_EQ(pool.status().active_tasks, 1u);
  EXPECT_FALSE(lease->revoked());
  EXPECT_EQ(run_in(context, lease->run<&double_it>(8)), 16);
}

// 52
TEST(PoolHost, whose_forked_child_uses_the_pool) {
  asio::io_context context;
  ResourcePool pool(context.get_executor(), small_config());
  run_in(context, pool.warm_up(2));
  EXPECT_EQ(in_fork([&] {
              try {
                (void)pool.try_acquire("stolen");
                return 1;
              } catch (const PoolClosedError&) {
                return 7;
              }
            }),
            7);
  EXPECT_EQ(run_in(context, call_double(pool, 8)), 16);
}

bool throws_closed(const std::function<void()>& call) {
  try {
    call();
  } catch (const PoolClosedError&) {
    return true;
  }
  return false;
}

// The fork copies a mutex that another thread holds; that thread is not copied, so in the child
// whoever waits for it waits for ever.
TEST(PoolHost, whose_forked_child_looks_at_the_pool) {
  asio::io_context context;
  ResourcePool pool(context.get_executor(), small_config());
  run_in(context, pool.warm_up(1));
  auto lease = pool.try_acquire("held");
  ASSERT_TRUE(lease);
  std::atomic<bool> stop{false};
  std::vector<std::thread> onlookers;
  for (int i = 0; i < 2; ++i) {
    onlookers.emplace_back([&] {
      while (!stop) (void)pool.capabilities();  // nearly always under the lock
    });
  }
  for (int round = 0; round < 20; ++round) {
    const int answer = in_fork([&] {
      int faults = 0;
      faults += !throws_closed([&] { (void)pool.status(); });
      faults += !throws_closed([&] { (void)pool.capabilities(); });
      faults += !throws_closed([&] { (void)lease->memory_usage(); });
      faults += !throws_closed([&] { (void)lease->wait_revoked(); });
      faults += !throws_closed([&] { (void)lease->make_buffer<int>(1); });
      faults += !throws_closed([&] { lease->rethrow_cause(); });
      faults += pool.load() != 0;
      faults += !lease->revoked() || lease->pid() != 0 || !lease->device().empty();
      return faults;
    });
    EXPECT_EQ(answer, 0);
    if (answer != 0) break;
  }
  stop = true;
  for (std::thread& onlooker : onlookers) onlooker.join();
  EXPECT_EQ(run_in(context, lease->run<&double_it>(8)), 16);
}

TEST(PoolVictim, DISABLED_forks_and_exits) {
  asio::io_context context;
  static std::optional<ResourcePool> pool;  // destroyed by exit, in the child, too
  pool.emplace(context.get_executor(), small_config());
  run_in(context, pool->warm_up(2));
  const pid_t child = fork();
  if (child == 0) std::exit(7);
  int status = 0;
  waitpid(child, &status, 0);
  const bool works = run_in(context, call_double(*pool, 8)) == 16;
  pool.reset();
  _exit(WIFEXITED(status) && WEXITSTATUS(status) == 7 && works ? 0 : 1);
}

// 52
TEST(PoolHost, whose_forked_child_exits) {
  Mark mark;
  Victim victim("PoolVictim.DISABLED_forks_and_exits");
  const auto status = victim.wait_status(20s);
  ASSERT_TRUE(status);
  EXPECT_EQ(*status, 0);
  EXPECT_TRUE(mark.gone_within(3s));
}

}  // namespace
}  // namespace reeve::test
