// What a worker starts ends with it: children, sessions, daemons, fork bombs (scenarios 46, 47).
#include <sys/mman.h>

#include "tests/pool/scenario_support.hpp"

namespace reeve::test {
namespace {

std::string kind_name(const ::testing::TestParamInfo<Kid>& info) {
  static const char* const names[] = {"child", "session", "daemon", "immune", "grandchild"};
  return names[static_cast<int>(info.param)];
}

class PoolTree : public ::testing::TestWithParam<Kid> {
 protected:
  int kind() const { return static_cast<int>(GetParam()); }
  Mark mark_;
  asio::io_context context_;
};

int start_kid_and_spin(int kind) {
  start_kid(kind);
  return spin();
}

asio::awaitable<void> call_with_limit(ResourcePool& pool, int kind) {
  auto worker = co_await pool.acquire_worker("tree");
  co_await worker.run<&start_kid_and_spin>(RunLimits(150ms), kind);
}

// 46: the limit ends what the worker started, too, and says so only when it is gone.
TEST_P(PoolTree, limit_ends_descendants) {
  ResourcePool pool(context_.get_executor(), small_config());
  try {
    run_in(context_, call_with_limit(pool, kind()));
    FAIL() << "no timeout";
  } catch (const WorkerTimeoutError& e) {
    EXPECT_TRUE(e.evidence().tree_complete) << e.what();
    EXPECT_GE(e.evidence().descendants_killed, 1u) << e.what();
  }
  EXPECT_TRUE(mark_.processes("reeve-kid").empty());
}

int start_kid_and_crash(int kind) {
  start_kid(kind);
  return crash();
}

asio::awaitable<void> call_crash(ResourcePool& pool, int kind) {
  auto worker = co_await pool.acquire_worker("tree");
  co_await worker.run<&start_kid_and_crash>(kind);
}

// 46: the kid holds every descriptor of the worker; its death is seen all the same, at once.
TEST_P(PoolTree, crash_is_seen_although_a_descendant_holds_its_descriptors) {
  ResourcePool pool(context_.get_executor(), small_config());
  const auto start = Clock::now();
  EXPECT_THROW(run_in(context_, call_crash(pool, kind())), WorkerCrashedError);
  EXPECT_LT(Clock::now() - start, 5s);
  EXPECT_TRUE(mark_.processes("reeve-kid").empty());
}

asio::awaitable<int> leave_kid_behind(ResourcePool& pool, int kind) {
  auto worker = co_await pool.acquire_worker("tree");
  co_await worker.run<&start_kid>(kind);
  co_return worker.pid();
}

asio::awaitable<int> pid_of_next(ResourcePool& pool) {
  auto worker = co_await pool.acquire_worker("next");
  co_return co_await worker.run<&own_pid>();
}

// 46: the end of the lease is the end of the tree, also when the task succeeded.
TEST_P(PoolTree, lease_end_ends_descendants) {
  ResourceConfig config = small_config();
  config.max_workers = 1;
  ResourcePool pool(context_.get_executor(), config);
  const int first = run_in(context_, leave_kid_behind(pool, kind()));
  EXPECT_NE(run_in(context_, pid_of_next(pool)), first);
  EXPECT_TRUE(mark_.gone_within(2s, "reeve-kid"));
  EXPECT_EQ(pool.status().deaths.recycled, 1u);
}

INSTANTIATE_TEST_SUITE_P(Kinds, PoolTree,
                         ::testing::Values(Kid::child, Kid::session, Kid::daemon, Kid::immune,
                                           Kid::grandchild),
                         kind_name);

// 46: everything goes with the pool.
TEST(PoolTreeEnd, nothing_is_left_after_the_pool) {
  Mark mark;
  {
    asio::io_context context;
    ResourcePool pool(context.get_executor(), small_config());
    EXPECT_THROW(run_in(context, call_with_limit(pool, 2)), WorkerTimeoutError);
    EXPECT_FALSE(mark.processes().empty());
  }
  EXPECT_TRUE(mark.gone_within(3s));
}

// A bomb that cannot hurt the machine: at most `most` processes in its whole tree.
int fork_bomb(int most) {
  prctl(PR_SET_NAME, "reeve-kid");
  static auto* count = static_cast<std::atomic<int>*>(
      mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  for (;;) {
    if (count->load() >= most) {
      pause();
      continue;
    }
    count->fetch_add(1);
    if (fork() < 0) count->fetch_sub(1);
  }
}

asio::awaitable<void> call_bomb(ResourcePool& pool) {
  auto worker = co_await pool.acquire_worker("bomb");
  co_await worker.run<&fork_bomb>(RunLimits(100ms), 60);
}

// 47: a tree that is still growing ends.
TEST(PoolTreeEnd, fork_bomb_ends) {
  Mark mark;
  asio::io_context context;
  ResourcePool pool(context.get_executor(), small_config());
  try {
    run_in(context, call_bomb(pool));
    FAIL() << "no timeout";
  } catch (const WorkerTimeoutError& e) {
    EXPECT_TRUE(e.evidence().tree_complete) << e.what();
  }
  EXPECT_TRUE(mark.gone_within(2s, "reeve-kid"));
  EXPECT_GT(run_in(context, pid_of_next(pool)), 0);
}

}  // namespace
}  // namespace reeve::test
