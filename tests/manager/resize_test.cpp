// Resize of a living pool: its key, its number, its preset and the pool itself change together.
#include "tests/manager/manager_test_support.hpp"

namespace reeve::test {
namespace {

TEST(ManagerResize, moves_it_to_its_new_number) {
  PoolManager manager;
  const ManagedPool pool = manager.get_pool(2, thread);
  pool.warm_up();
  pool.resize(4);
  EXPECT_EQ(pool.n_jobs(), 4u);
  EXPECT_EQ(manager.stats().configs.front().n_jobs, 4u);
  EXPECT_EQ(manager.get_pool(4, thread), pool);
  EXPECT_NE(manager.get_pool(2, thread), pool);
  pool.warm_up();
  EXPECT_EQ(pool->status().live_workers, 4u);
  EXPECT_EQ(pool.map<&square>(std::vector{1, 2, 3, 4}), (std::vector{1, 4, 9, 16}));
  EXPECT_THAT(text_of<ConfigError>([&] { pool.resize(2); }),
              testing::HasSubstr("there is a pool of 2 thread workers"));
  EXPECT_EQ(pool.n_jobs(), 4u);
  EXPECT_EQ(pool->max_workers(), 4u);
  pool.resize(1);
  EXPECT_TRUE(eventually([&] { return pool->status().live_workers == 1; }));
}

TEST(ManagerResize, before_the_first_use) {
  PoolManager manager;
  const ManagedPool pool = manager.get_pool(2, thread);
  pool.resize(3);
  pool.resize(3);
  EXPECT_EQ(pool->config().max_workers, 3u);
  EXPECT_EQ(manager.get_pool(3, thread), pool);
}

TEST(ManagerResize, to_what_no_pool_can_have_changes_nothing) {
  PoolManager manager;
  const ManagedPool pool = manager.get_pool(2, thread);
  EXPECT_EQ(text_of<ConfigError>([&] { pool.resize(-3); }), "n_jobs must be positive, got -3");
  EXPECT_THAT(text_of<ConfigError>([&] { pool.resize(9000); }), testing::HasSubstr("9000"));
  EXPECT_EQ(manager.get_pool(2, thread), pool);
}

// Nobody finds it any more, but its holders get what they asked for.
TEST(ManagerResize, of_a_retired_pool_that_was_not_used_yet) {
  PoolManager manager;
  const ManagedPool pool = manager.get_pool(2, thread);
  manager.clear();
  pool.resize(5);
  EXPECT_EQ(pool.n_jobs(), 5u);
  EXPECT_EQ(pool->max_workers(), 5u);
  pool.warm_up();
  EXPECT_EQ(pool->status().live_workers, 5u);
  EXPECT_EQ(manager.stats().configs.front().n_jobs, 5u);
  EXPECT_NE(manager.get_pool(5, thread), pool);
}

TEST(ManagerResize, of_a_closed_pool_says_so_and_changes_nothing) {
  PoolManager manager;
  const ManagedPool pool = manager.get_pool(2, thread);
  close_now(pool);
  EXPECT_THROW(pool.resize(3), PoolClosedError);
  EXPECT_EQ(pool.n_jobs(), 2u);
  EXPECT_EQ(manager.stats().configs.front().n_jobs, 2u);
  EXPECT_EQ(manager.get_pool(3, thread).map<&square>(std::vector{3}), std::vector{9});
}

TEST(ManagerResize, on_the_manager_s_own_thread_does_not_wait) {
  PoolManager manager;
  const ManagedPool pool = manager.get_pool(2, thread);
  pool.warm_up();
  std::promise<void> done;
  asio::post(manager.executor(), [&] {
    pool.resize(3);
    pool.resize(6);
    done.set_value();
  });
  done.get_future().get();
  EXPECT_EQ(pool.n_jobs(), 6u);
  EXPECT_EQ(manager.get_pool(6, thread), pool);
  EXPECT_TRUE(eventually([&] { return pool->max_workers() == 6; }));
}

// Several at a time: one of them is the last, for the key and for the pool.
TEST(ManagerResize, in_several_threads_at_a_time) {
  PoolManager manager;
  const ManagedPool pool = manager.get_pool(1, thread);
  pool.warm_up();
  for (int round = 0; round < 100; ++round) {
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i)
      threads.emplace_back([&pool, i, round] { pool.resize(2 + i + 4 * (round % 2)); });
    for (auto& each : threads) each.join();
    ASSERT_EQ(pool->max_workers(), pool.n_jobs()) << "round " << round;
    ASSERT_EQ(manager.stats().configs.front().n_jobs, pool.n_jobs());
    ASSERT_EQ(manager.get_pool(pool.n_jobs(), thread), pool);
  }
}

// ------------------------------------------------------------------------------------------------
// Presets are configurations with a name: what they ask for goes with the configuration.

Preset kept_preset(std::string name, std::size_t workers) {
  Preset preset;
  preset.name = std::move(name);
  preset.config.max_workers = workers;
  preset.config.worker_timeout = 20s;
  preset.config.worker_memory = 256_MiB;
  preset.config.isolation = Isolation::thread;
  preset.keep = true;
  return preset;
}

ManagerConfig with_presets(const ManualClock& clock, std::vector<Preset> presets) {
  ManagerConfig config;
  config.clock = &clock;
  config.idle_timeout = 1s;
  config.presets = std::move(presets);
  return config;
}

TEST(ManagerResize, of_a_preset_s_pool_leaves_the_preset) {
  ManualClock clock;
  PoolManager manager(with_presets(clock, {kept_preset("etl", 2)}));
  ManagedPool resized = manager.get_preset("etl");
  resized.warm_up();
  resized.resize(3);
  ManagedPool again = manager.get_preset("etl");
  EXPECT_NE(again, resized);
  EXPECT_EQ(again.n_jobs(), 2u);
  resized = again = ManagedPool();
  clock.advance(1s);
  manager.reap_now();
  ASSERT_EQ(manager.stats().active_pools, 1u);  // it is an ordinary pool now, and idle ones go
  EXPECT_EQ(manager.stats().configs.front().n_jobs, 2u);
}

TEST(ManagerResize, to_a_preset_s_number_makes_it_the_preset_s) {
  ManualClock clock;
  const Preset preset = kept_preset("etl", 2);
  PoolManager manager(with_presets(clock, {preset}));
  ResourceConfig three = preset.config;
  three.max_workers = 3;
  ManagedPool pool = manager.get_pool(three);
  pool.resize(2);
  EXPECT_EQ(manager.get_preset("etl"), pool);
  pool = ManagedPool();
  clock.advance(1h);
  manager.reap_now();
  EXPECT_EQ(manager.stats().active_pools, 1u);
}

TEST(ManagerPresets, hold_for_those_who_ask_by_configuration) {
  ManualClock clock;
  const Preset preset = kept_preset("etl", 2);
  PoolManager manager(with_presets(clock, {preset}));
  manager.get_pool(preset.config);
  manager.get_pool(preset.config, {}, true);
  clock.advance(1h);
  manager.reap_now();
  EXPECT_EQ(manager.stats().active_pools, 1u);
}

TEST(ManagerPresets, two_that_name_one_pool_both_hold) {
  ManualClock clock;
  Preset other = kept_preset("other", 2);
  other.keep = false;
  other.warm_workers = 1;
  PoolManager manager(with_presets(clock, {kept_preset("etl", 2), other}));
  EXPECT_EQ(manager.get_preset("etl"), manager.get_preset("other"));
  clock.advance(1h);
  manager.reap_now();
  EXPECT_EQ(manager.stats().active_pools, 1u);
}

}  // namespace
}  // namespace reeve::test
