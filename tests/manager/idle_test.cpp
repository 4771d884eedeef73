// Idle pools go, used ones stay; eviction; presets; health. Time is moved by hand.
#include <signal.h>

#include "tests/manager/manager_test_support.hpp"

namespace reeve::test {
namespace {

int own_pid() {
  return getpid();
}
std::atomic<bool> go_on{false};
int wait_for_word() {
  while (!go_on) std::this_thread::sleep_for(1ms);
  return 1;
}

// ------------------------------------------------------------------------------------------------
// Reaping

TEST(ManagerIdle, an_idle_pool_goes_after_its_timeout) {
  Timed timed(200ms);
  std::optional<ResourcePool> seen;
  seen.emplace(timed.manager.get_pool(2, thread).resource_pool());
  timed.pass(199ms);
  EXPECT_EQ(timed.manager.stats().active_pools, 1u);
  timed.pass(101ms);
  EXPECT_EQ(timed.manager.stats().active_pools, 0u);
  EXPECT_EQ(timed.manager.stats().reaped, 1u);
}

TEST(ManagerIdle, without_a_timeout_it_never_goes) {
  Timed timed(std::nullopt);
  timed.manager.get_pool(2, thread);
  timed.pass(std::chrono::hours(24 * 365));
  EXPECT_EQ(timed.manager.stats().active_pools, 1u);
}

TEST(ManagerIdle, a_timeout_of_zero_closes_at_once) {
  Timed timed(0ms);
  timed.manager.get_pool(2, thread);
  timed.pass(0ms);
  EXPECT_EQ(timed.manager.stats().active_pools, 0u);
}

TEST(ManagerIdle, one_that_is_used_stays) {
  Timed timed(300ms);
  timed.manager.get_pool(2, thread);
  for (int i = 0; i < 10; ++i) {
    timed.pass(100ms);
    timed.manager.get_pool(2, thread);
  }
  EXPECT_EQ(timed.manager.stats().creations, 1u);
  EXPECT_EQ(timed.manager.stats().reaped, 0u);
}

TEST(ManagerIdle, each_by_its_own_clock) {
  Timed timed(300ms);
  timed.manager.get_pool(1, thread);
  timed.pass(100ms);
  timed.manager.get_pool(2, thread);
  timed.pass(100ms);
  timed.manager.get_pool(1, thread);  // used again: now the younger one
  timed.pass(200ms);
  ASSERT_EQ(timed.manager.stats().active_pools, 1u);
  EXPECT_EQ(timed.manager.stats().configs.front().n_jobs, 1u);
}

// 67
TEST(ManagerIdle, a_handle_is_use) {
  Timed timed(300ms);
  ManagedPool held = timed.manager.get_pool(2, thread);
  ManagedPool copy = held;
  held = ManagedPool();
  timed.pass(1h);
  EXPECT_EQ(timed.manager.stats().active_pools, 1u);
  copy = ManagedPool();
  timed.pass(299ms);  // the clock starts when the last one goes
  EXPECT_EQ(timed.manager.stats().active_pools, 1u);
  timed.pass(1ms);
  EXPECT_EQ(timed.manager.stats().active_pools, 0u);
}

TEST(ManagerIdle, a_running_call_is_use) {
  Timed timed(300ms);
  go_on = false;
  auto running = timed.manager.get_pool(1, thread).submit<&wait_for_word>();
  timed.pass(1h);
  EXPECT_EQ(timed.manager.stats().active_pools, 1u);
  go_on = true;
  EXPECT_EQ(running.get(), 1);
  timed.pass(299ms);
  EXPECT_EQ(timed.manager.stats().active_pools, 1u);
  timed.pass(1ms);
  EXPECT_EQ(timed.manager.stats().active_pools, 0u);
}

std::shared_ptr<WorkerLease> lease_of(const ManagedPool& pool) {
  asio::io_context context;
  return run_in(context, hold(pool.resource_pool(), "held"));
}

TEST(ManagerIdle, a_lease_is_use_also_without_a_handle) {
  Timed timed(800ms);
  auto lease = lease_of(timed.manager.get_pool(1, thread));
  ASSERT_TRUE(lease);
  timed.pass(1h);
  EXPECT_EQ(timed.manager.stats().active_pools, 1u);
  EXPECT_EQ(timed.manager.stats().configs.front().idle, 0s);
  lease.reset();
  timed.pass(100ms);  // the reaper sees the end of the lease: the clock starts now
  timed.pass(799ms);
  EXPECT_EQ(timed.manager.stats().active_pools, 1u);
  timed.pass(1ms);
  EXPECT_EQ(timed.manager.stats().active_pools, 0u);
}

TEST(ManagerIdle, a_retired_pool_waits_for_its_lease) {
  Timed timed;
  auto lease = lease_of(timed.manager.get_pool(1, thread));
  timed.manager.clear();
  EXPECT_EQ(timed.manager.stats().retired_pools, 1u);
  EXPECT_FALSE(lease->revoked());
  lease.reset();
  timed.pass(1s);
  EXPECT_EQ(timed.manager.stats().retired_pools, 0u);
}

// With the real clock: nobody calls anything, and the processes are gone.
TEST(ManagerIdle, the_reaper_needs_no_caller) {
  ManagerConfig config;
  config.idle_timeout = 50ms;
  PoolManager manager(config);
  const int pid = manager.get_pool(1).submit<&own_pid>().get();
  EXPECT_TRUE(eventually([&] { return kill(pid, 0) != 0; }));
  EXPECT_TRUE(eventually([&] { return manager.stats().reaped == 1; }));
}

// ------------------------------------------------------------------------------------------------
// Eviction

ManagerConfig limited(std::size_t max_pools, Eviction eviction) {
  ManagerConfig config;
  config.max_pools = max_pools;
  config.eviction = eviction;
  return config;
}

std::vector<std::size_t> numbers_in(const PoolManager& manager) {
  std::vector<std::size_t> numbers;
  for (const auto& pool : manager.stats().configs) numbers.push_back(pool.n_jobs);
  std::sort(numbers.begin(), numbers.end());
  return numbers;
}

TEST(ManagerEviction, the_least_recently_used_goes) {
  PoolManager manager(limited(3, Eviction::lru));
  for (const int n : {1, 2, 3, 1, 1}) manager.get_pool(n, thread);
  manager.get_pool(4, thread);
  EXPECT_EQ(numbers_in(manager), (std::vector<std::size_t>{1, 3, 4}));
  EXPECT_EQ(manager.stats().evicted, 1u);
}

TEST(ManagerEviction, or_the_least_often_used) {
  PoolManager manager(limited(3, Eviction::lfu));
  for (const int n : {1, 1, 1, 2, 2, 3, 3, 3, 2, 3}) manager.get_pool(n, thread);
  manager.get_pool(4, thread);  // 1 and 2: three times each, 1 is older
  EXPECT_EQ(numbers_in(manager), (std::vector<std::size_t>{2, 3, 4}));
}

TEST(ManagerEviction, never_one_in_use) {
  PoolManager manager(limited(2, Eviction::lru));
  const ManagedPool first = manager.get_pool(1, thread);
  manager.get_pool(2, thread);
  const ManagedPool third = manager.get_pool(3, thread);
  EXPECT_EQ(numbers_in(manager), (std::vector<std::size_t>{1, 3}));
  EXPECT_EQ(text_of<PoolLimitError>([&] { manager.get_pool(4, thread); }),
            "2 pools exist, which is max_pools, and all of them are in use; let go of handles, or "
            "raise max_pools");
  EXPECT_EQ(manager.get_pool(1, thread), first);
}

TEST(ManagerEviction, retired_ones_count) {
  PoolManager manager(limited(2, Eviction::lru));
  GetOptions anew;
  anew.force_new = true;
  const ManagedPool old = manager.get_pool(1, thread);
  const ManagedPool fresh = manager.get_pool(1, thread, anew);
  EXPECT_THROW(manager.get_pool(1, thread, anew), PoolLimitError);
  EXPECT_EQ(manager.get_pool(1, thread), fresh);  // the refused one changed nothing
}

TEST(ManagerEviction, none_at_all) {
  PoolManager manager(limited(1, Eviction::none));
  manager.get_pool(1, thread);
  EXPECT_THAT(text_of<PoolLimitError>([&] { manager.get_pool(2, thread); }),
              testing::HasSubstr("eviction is off"));
}

// ------------------------------------------------------------------------------------------------
// Presets

ManagerConfig with_preset(bool keep, std::size_t warm) {
  Preset preset;
  preset.name = "etl";
  preset.config.max_workers = 2;
  preset.config.worker_timeout = 20s;
  preset.config.worker_memory = 256_MiB;
  preset.config.isolation = Isolation::thread;
  preset.warm_workers = warm;
  preset.keep = keep;
  ManagerConfig config;
  config.presets.push_back(std::move(preset));
  return config;
}

TEST(ManagerPresets, are_got_by_name) {
  PoolManager manager(with_preset(false, 0));
  const ManagedPool pool = manager.get_preset("etl");
  EXPECT_EQ(pool.n_jobs(), 2u);
  EXPECT_EQ(manager.get_preset("etl"), pool);
  EXPECT_EQ(manager.get_pool(manager.config().presets.front().config), pool);
  EXPECT_NE(manager.get_preset("etl", true), pool);
  EXPECT_EQ(text_of<ConfigError>([&] { manager.get_preset("elt"); }),
            "there is no preset 'elt'; there are: etl");
  PoolManager without{ManagerConfig{}};
  EXPECT_EQ(text_of<ConfigError>([&] { without.get_preset("etl"); }),
            "there is no preset 'etl', for ManagerConfig::presets is empty; add it there, or take "
            "get_pool");
}

TEST(ManagerPresets, warm_up_starts_their_workers) {
  PoolManager manager(with_preset(false, 2));
  EXPECT_EQ(manager.stats().active_pools, 0u);
  manager.warm_up();
  EXPECT_EQ(manager.get_preset("etl")->status().live_workers, 2u);
  EXPECT_EQ(manager.stats().creations, 1u);
}

TEST(ManagerPresets, kept_ones_are_neither_reaped_nor_evicted) {
  ManualClock clock;
  ManagerConfig config = with_preset(true, 1);
  config.clock = &clock;
  config.max_pools = 2;
  PoolManager manager(config);
  manager.warm_up();
  manager.get_pool(5, thread);
  clock.advance(1h);
  manager.reap_now();
  ASSERT_EQ(manager.stats().active_pools, 1u);
  manager.get_pool(6, thread);
  manager.get_pool(7, thread);
  EXPECT_EQ(numbers_in(manager), (std::vector<std::size_t>{2, 7}));
}

// ------------------------------------------------------------------------------------------------
// Aliveness

TEST(ManagerHealth, living_pools_are_alive) {
  PoolManager manager;
  for (const ExecutorType type : {process, thread}) {
    const ManagedPool pool = manager.get_pool(2, type);
    EXPECT_EQ(pool.health(), PoolHealth::ready);
    pool.warm_up();
    EXPECT_EQ(pool.health(), PoolHealth::ready);
    EXPECT_EQ(manager.get_pool(2, type), pool);
  }
}

TEST(ManagerHealth, a_closed_pool_is_dead_and_replaced) {
  PoolManager manager;
  const ManagedPool old = manager.get_pool(2, process);
  old.warm_up();
  close_now(old);
  EXPECT_EQ(old.health(), PoolHealth::closed);
  const ManagedPool fresh = manager.get_pool(2, process);
  EXPECT_NE(old, fresh);
  EXPECT_EQ(fresh.map<&square>(std::vector{3}), std::vector{9});
  EXPECT_EQ(manager.stats().replaced, 1u);
  EXPECT_EQ(manager.stats().retired_pools, 1u);
}

TEST(ManagerHealth, a_dead_pool_does_not_count_for_max_pools) {
  PoolManager manager(limited(1, Eviction::none));
  const ManagedPool old = manager.get_pool(2, thread);
  close_now(old);
  EXPECT_NE(manager.get_pool(2, thread), old);
}

// The pool replaces its workers by itself, before the next get_pool.
// 67
TEST(ManagerHealth, killed_workers_are_replaced) {
  PoolManager manager;
  const ManagedPool pool = manager.get_pool(2, process);
  pool.warm_up();
  for (const WorkerStatus& worker : pool->status().workers) kill(worker.pid, SIGKILL);
  EXPECT_TRUE(eventually([&] { return pool->status().spawns >= 4; }));
  EXPECT_EQ(manager.get_pool(2, process).map<&square>(std::vector{1, 2, 3}),
            (std::vector{1, 4, 9}));
}

void refuse_to_start() {
  throw std::runtime_error("no licence for this worker");
}

TEST(ManagerHealth, one_whose_workers_do_not_start_is_replaced) {
  PoolManager manager;
  GetOptions options;
  options.initializer = Initializer::make<&refuse_to_start>();
  const ManagedPool pool = manager.get_pool(1, process, options);
  EXPECT_THAT(text_of<PoolDegradedError>([&] {
                pool.warm_up();
                pool.submit<&own_pid>().get();
              }),
              testing::HasSubstr("no licence for this worker"));
  // It is degraded between its attempts, 250 ms at first, and five times as long after each.
  EXPECT_TRUE(eventually([&] { return pool.health() == PoolHealth::degraded; }));
  EXPECT_TRUE(eventually([&] { return manager.get_pool(1, process, options) != pool; }));
}

TEST(ManagerHealth, one_whose_threads_are_all_stuck_is_replaced) {
  go_on = false;
  ManagerConfig config;
  config.defaults.quarantine_max = 0;
  config.defaults.worker_timeout = 20ms;
  PoolManager manager(config);
  const ManagedPool pool = manager.get_pool(1, thread);
  EXPECT_THROW(pool.submit<&wait_for_word>().get(), WorkerTimeoutError);
  EXPECT_TRUE(eventually([&] { return pool.health() == PoolHealth::stuck; }));
  EXPECT_NE(manager.get_pool(1, thread), pool);
  go_on = true;
  EXPECT_TRUE(eventually([&] { return pool.health() == PoolHealth::ready; }));
}

TEST(ManagerHealth, checks_close_the_dead_and_remake_the_kept) {
  ManualClock clock;
  ManagerConfig config = with_preset(true, 1);
  config.clock = &clock;
  config.health_interval = 10s;
  PoolManager manager(config);
  manager.warm_up();
  close_now(manager.get_pool(3, thread));
  ManagedPool kept = manager.get_preset("etl");
  close_now(kept);
  clock.advance(9s);
  manager.reap_now();
  EXPECT_EQ(manager.stats().replaced, 0u);
  clock.advance(1s);
  manager.reap_now();
  EXPECT_EQ(manager.stats().replaced, 2u);
  EXPECT_EQ(manager.stats().active_pools, 1u);
  EXPECT_NE(manager.get_preset("etl"), kept);
  EXPECT_TRUE(eventually([&] { return manager.get_preset("etl")->status().live_workers == 1; }));
}

}  // namespace
}  // namespace reeve::test
