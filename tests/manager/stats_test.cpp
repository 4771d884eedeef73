// Statistics and their Prometheus form.
#include "tests/manager/manager_test_support.hpp"

namespace reeve::test {
namespace {

// 67
TEST(ManagerStatistics, of_an_empty_manager) {
  PoolManager manager;
  const ManagerStats stats = manager.stats();
  EXPECT_EQ(stats.active_pools, 0u);
  EXPECT_TRUE(stats.configs.empty());
  EXPECT_FALSE(stats.is_shutdown);
}

TEST(ManagerStatistics, two_configurations_with_two_idle_times) {
  Timed timed;
  timed.manager.get_pool(2, thread);
  timed.clock.advance(5s);
  timed.manager.get_pool(4, process);
  timed.clock.advance(2s);
  ManagerStats stats = timed.manager.stats();
  ASSERT_EQ(stats.configs.size(), 2u);
  std::sort(stats.configs.begin(), stats.configs.end(),
            [](const auto& a, const auto& b) { return a.n_jobs < b.n_jobs; });
  EXPECT_EQ(stats.configs[0].type, thread);
  EXPECT_EQ(stats.configs[0].idle, 7s);
  EXPECT_EQ(stats.configs[1].n_jobs, 4u);
  EXPECT_EQ(stats.configs[1].type, process);
  EXPECT_EQ(stats.configs[1].idle, 2s);
  EXPECT_EQ(stats.configs[1].uses, 1u);
  EXPECT_FALSE(stats.configs[1].started);
}

TEST(ManagerStatistics, a_pool_in_use_is_not_idle) {
  Timed timed;
  const ManagedPool held = timed.manager.get_pool(2, thread);
  const ManagedPool copy = held;
  timed.clock.advance(5s);
  const ManagedPoolInfo info = timed.manager.stats().configs.front();
  EXPECT_EQ(info.handles, 2u);
  EXPECT_EQ(info.idle, 0s);
}

TEST(ManagerStatistics, none_after_shutdown) {
  PoolManager manager;
  const ManagedPool held = manager.get_pool(2, thread);
  manager.shutdown();
  const ManagerStats stats = manager.stats();
  EXPECT_EQ(stats.active_pools, 0u);
  EXPECT_EQ(stats.retired_pools, 0u);
  EXPECT_TRUE(stats.configs.empty());
  EXPECT_TRUE(stats.is_shutdown);
}

TEST(ManagerStatistics, prometheus_text) {
  PoolManager manager;
  const ManagedPool held = manager.get_pool(2, thread);
  manager.get_pool(2, thread);
  manager.get_pool(3, thread);
  const std::string text = to_prometheus(manager.stats());
  EXPECT_THAT(text, testing::HasSubstr("# TYPE reeve_manager_hits_total counter\n"
                                       "reeve_manager_hits_total 1\n"));
  EXPECT_THAT(text, testing::HasSubstr("reeve_manager_active_pools 2\n"));
  EXPECT_THAT(text, testing::HasSubstr("reeve_manager_pools_in_use 1\n"));
  EXPECT_THAT(text, testing::HasSubstr("reeve_manager_is_shutdown 0\n"));
}

}  // namespace
}  // namespace reeve::test
