// Basics, reuse, life cycle and statistics: what users of managers rely on.
#include "tests/manager/manager_test_support.hpp"

namespace reeve::test {
namespace {

// ------------------------------------------------------------------------------------------------
// Basics

TEST(ManagerBasics, a_new_one_is_not_shut_down) {
  PoolManager manager;
  EXPECT_FALSE(manager.is_shutdown());
  EXPECT_FALSE(manager.stats().is_shutdown);
}

TEST(ManagerBasics, a_process_pool_maps) {
  PoolManager manager;
  const ManagedPool pool = manager.get_pool(2);
  EXPECT_EQ(pool.type(), process);
  EXPECT_EQ(pool.map<&square>(std::vector{1, 2, 3}), (std::vector{1, 4, 9}));
  EXPECT_GT(pool->status().workers.front().pid, 0);
}

TEST(ManagerBasics, a_thread_pool_is_a_thread_pool) {
  PoolManager manager;
  const ManagedPool pool = manager.get_pool(2, thread);
  EXPECT_EQ(pool.type(), thread);
  EXPECT_EQ(pool.map<&square>(std::vector{1, 2, 3}), (std::vector{1, 4, 9}));
  EXPECT_EQ(pool->config().isolation, Isolation::thread);
  EXPECT_EQ(pool->status().workers.front().pid, 0);
}

TEST(ManagerBasics, no_workers_and_negative_ones_are_rejected) {
  PoolManager manager;
  EXPECT_EQ(text_of<ConfigError>([&] { manager.get_pool(0); }), "n_jobs must be positive, got 0");
  EXPECT_EQ(text_of<ConfigError>([&] { manager.get_pool(-1); }), "n_jobs must be positive, got -1");
  EXPECT_EQ(manager.stats().creations, 0u);
}

TEST(ManagerBasics, more_than_the_host_can_do_is_rejected) {
  PoolManager manager;
  EXPECT_EQ(text_of<ConfigError>([&] { manager.get_pool(5000); }),
            "no pool of n_jobs = 5000 process workers can be made: max_workers is 5000; a pool has "
            "1 to 4096 workers, so lower it");
  EXPECT_EQ(manager.stats().active_pools, 0u);
}

TEST(ManagerBasics, an_unknown_executor_type_is_rejected) {
  PoolManager manager;
  EXPECT_EQ(text_of<ConfigError>([&] { manager.get_pool(2, "coroutine"); }),
            "executor_type must be 'process' or 'thread', got 'coroutine'");
  EXPECT_EQ(manager.get_pool(2, "thread"), manager.get_pool(2, thread));
}

// 67
TEST(ManagerBasics, get_after_shutdown_says_so) {
  PoolManager manager;
  manager.shutdown();
  EXPECT_THAT(text_of<PoolClosedError>([&] { manager.get_pool(2); }),
              testing::HasSubstr("PoolManager has been shut down"));
}

// ------------------------------------------------------------------------------------------------
// Reuse

TEST(ManagerReuse, the_same_configuration_is_the_same_pool) {
  PoolManager manager;
  const ManagedPool first = manager.get_pool(2);
  const ManagedPool second = manager.get_pool(2);
  EXPECT_EQ(first, second);
  EXPECT_EQ(&first.resource_pool(), &second.resource_pool());
  const ManagerStats stats = manager.stats();
  EXPECT_EQ(stats.hits, 1u);
  EXPECT_EQ(stats.misses, 1u);
  EXPECT_EQ(stats.creations, 1u);
}

// 67
TEST(ManagerReuse, other_numbers_and_types_are_other_pools) {
  PoolManager manager;
  const ManagedPool two = manager.get_pool(2);
  const ManagedPool four = manager.get_pool(4);
  const ManagedPool threads = manager.get_pool(2, thread);
  EXPECT_NE(two, four);
  EXPECT_NE(two, threads);
  EXPECT_NE(four, threads);
}

// 67
TEST(ManagerReuse, force_new_gives_another_and_leaks_nothing) {
  PoolManager manager;
  GetOptions anew;
  anew.force_new = true;
  ManagedPool old = manager.get_pool(2, thread);
  EXPECT_EQ(old.map<&square>(std::vector{2}), std::vector{4});
  const ManagedPool fresh = manager.get_pool(2, thread, anew);
  EXPECT_NE(old, fresh);
  EXPECT_EQ(manager.get_pool(2, thread), fresh);
  EXPECT_EQ(manager.stats().retired_pools, 1u);
  EXPECT_EQ(old.map<&square>(std::vector{3}), std::vector{9});  // it still works for its holder
  const ResourcePool seen = old.resource_pool();
  old = ManagedPool();
  EXPECT_EQ(manager.stats().retired_pools, 0u);
  EXPECT_EQ(manager.stats().active_pools, 1u);
}

TEST(ManagerReuse, squares_in_chunks_come_in_order_twice) {
  PoolManager manager;
  for (int round = 0; round < 2; ++round) {
    const ManagedPool pool = manager.get_pool(2);
    EXPECT_EQ(pool.map<&square>(std::vector{1, 2, 3, 4, 5}, 2), (std::vector{1, 4, 9, 16, 25}));
  }
  EXPECT_EQ(manager.stats().creations, 1u);
}

// ------------------------------------------------------------------------------------------------
// Life cycle

TEST(ManagerLife, shutdown_empties_and_sets_the_flag) {
  PoolManager manager;
  const ManagedPool two = manager.get_pool(2, thread);
  const ManagedPool four = manager.get_pool(4, thread);
  two.warm_up();
  EXPECT_EQ(manager.stats().active_pools, 2u);
  manager.shutdown();
  EXPECT_EQ(manager.stats().active_pools, 0u);
  EXPECT_TRUE(manager.is_shutdown());
  EXPECT_EQ(two.health(), PoolHealth::closed);
}

TEST(ManagerLife, clear_empties_and_the_manager_stays_usable) {
  PoolManager manager;
  const ManagedPool used = manager.get_pool(2, thread);
  manager.get_pool(4, thread);
  manager.clear();
  EXPECT_EQ(manager.stats().active_pools, 0u);
  EXPECT_EQ(manager.stats().retired_pools, 1u);
  EXPECT_EQ(used.map<&square>(std::vector{5}), std::vector{25});
  const ManagedPool again = manager.get_pool(2, thread);
  EXPECT_NE(again, used);
  EXPECT_EQ(again.map<&square>(std::vector{6}), std::vector{36});
}

TEST(ManagerLife, leaving_the_scope_shuts_down) {
  ManagedPool kept;
  std::optional<ResourcePool> seen;
  {
    PoolManager manager;
    seen.emplace(manager.get_pool(1, thread).resource_pool());
    kept = manager.get_pool(2, thread);
    kept.warm_up();
  }
  EXPECT_TRUE(eventually([&] { return seen->health() == PoolHealth::closed; }));
  EXPECT_TRUE(eventually([&] { return kept.health() == PoolHealth::closed; }));
}

TEST(ManagerLife, release_renews_the_usage_time) {
  Timed timed(300ms);
  timed.manager.get_pool(2, thread);
  timed.pass(200ms);
  EXPECT_TRUE(timed.manager.release_pool(2, thread));
  EXPECT_FALSE(timed.manager.release_pool(3, thread));
  timed.pass(200ms);
  EXPECT_EQ(timed.manager.stats().active_pools, 1u);
  EXPECT_EQ(timed.manager.stats().configs.front().idle, 200ms);
  timed.pass(100ms);
  EXPECT_EQ(timed.manager.stats().active_pools, 0u);
}

// ------------------------------------------------------------------------------------------------
// Edges

TEST(ManagerEdges, double_shutdown) {
  PoolManager manager;
  manager.get_pool(2, thread).warm_up();
  manager.shutdown();
  manager.shutdown();
  manager.shutdown(true);
  EXPECT_TRUE(manager.is_shutdown());
}

TEST(ManagerEdges, shutdown_without_any_pool) {
  PoolManager manager;
  manager.shutdown();
  EXPECT_TRUE(manager.is_shutdown());
}

TEST(ManagerEdges, clear_after_shutdown_is_harmless) {
  PoolManager manager;
  manager.get_pool(2, thread);
  manager.shutdown();
  manager.clear();
  manager.reap_now();
  EXPECT_FALSE(manager.release_pool(2, thread));
  EXPECT_EQ(manager.stats().active_pools, 0u);
}

TEST(ManagerEdges, statistics_are_read_during_creation) {
  PoolManager manager;
  std::atomic<bool> stop{false};
  std::thread reader([&] {
    while (!stop) {
      const ManagerStats stats = manager.stats();
      EXPECT_EQ(stats.active_pools, stats.configs.size());
    }
  });
  for (int n = 1; n <= 200; ++n) manager.get_pool(n, thread);
  stop = true;
  reader.join();
  EXPECT_EQ(manager.stats().active_pools, 200u);
}

}  // namespace
}  // namespace reeve::test
