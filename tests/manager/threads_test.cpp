// Many threads at a time, slow pools beside quick look-ups, initializers that ask for pools.
#include <random>

#include "tests/manager/manager_test_support.hpp"

namespace reeve::test {
namespace {

template <class Body>
void in_threads(int count, Body body) {
  std::vector<std::thread> threads;
  for (int i = 0; i < count; ++i) threads.emplace_back([&body, i] { body(i); });
  for (auto& each : threads) each.join();
}

// 67
TEST(ManagerThreads, ten_threads_and_one_configuration_make_one_pool) {
  PoolManager manager;
  std::vector<ManagedPool> pools(10);
  in_threads(10, [&](int i) {
    pools[static_cast<std::size_t>(i)] = manager.get_pool(2, thread);
    EXPECT_EQ(manager.get_pool(2, thread).map<&square>(std::vector{i}), std::vector{i * i});
  });
  for (const auto& pool : pools) EXPECT_EQ(pool, pools.front());
  EXPECT_EQ(manager.stats().creations, 1u);
  EXPECT_EQ(manager.stats().hits, 19u);
}

TEST(ManagerThreads, four_configurations_make_four_pools) {
  PoolManager manager;
  std::vector<ManagedPool> pools(12);
  in_threads(12, [&](int i) {
    pools[static_cast<std::size_t>(i)] = manager.get_pool(1 + i % 4, thread);
    EXPECT_EQ(pools[static_cast<std::size_t>(i)].submit<&square>(i).get(), i * i);
  });
  for (std::size_t i = 4; i < 12; ++i) EXPECT_EQ(pools[i], pools[i % 4]);
  EXPECT_EQ(manager.stats().active_pools, 4u);
  EXPECT_EQ(manager.stats().creations, 4u);
}

// ------------------------------------------------------------------------------------------------

std::atomic<bool> may_start{false};
std::atomic<int> starting{0};

void start_slowly() {
  ++starting;
  while (!may_start) std::this_thread::sleep_for(1ms);
}
int end_slowly() {
  ++starting;
  while (!may_start) std::this_thread::sleep_for(1ms);
  return 1;
}

TEST(ManagerThreads, look_ups_do_not_wait_for_a_pool_that_starts) {
  may_start = false;
  starting = 0;
  PoolManager manager;
  GetOptions slow;
  slow.initializer = Initializer::make<&start_slowly>();
  const ManagedPool starts = manager.get_pool(2, thread, slow);
  std::thread other([&] { starts.warm_up(); });
  ASSERT_TRUE(eventually([] { return starting > 0; }));
  EXPECT_EQ(manager.get_pool(2, thread, slow), starts);  // these return, or the test hangs
  EXPECT_EQ(manager.get_pool(2, thread).map<&square>(std::vector{2}), std::vector{4});
  EXPECT_EQ(manager.stats().active_pools, 2u);
  may_start = true;
  other.join();
}

TEST(ManagerThreads, look_ups_do_not_wait_for_a_pool_that_ends) {
  may_start = false;
  starting = 0;
  PoolManager manager;
  auto call = manager.get_pool(1, thread).submit<&end_slowly>();
  ASSERT_TRUE(eventually([] { return starting > 0; }));
  manager.clear();  // it is retired; nobody waits for its end
  EXPECT_EQ(manager.get_pool(1, thread).map<&square>(std::vector{3}), std::vector{9});
  EXPECT_EQ(manager.stats().retired_pools, 1u);
  may_start = true;
  EXPECT_EQ(call.get(), 1);
  EXPECT_TRUE(eventually([&] { return manager.stats().retired_pools == 0; }));
}

// ------------------------------------------------------------------------------------------------

PoolManager* of_initializer = nullptr;
std::atomic<int> initialized_by_pool{0};

void ask_for_pools() {  // on a worker thread of the pool that is being started
  GetOptions same;
  same.initializer = Initializer::make<&ask_for_pools>();
  const ManagedPool own = of_initializer->get_pool(2, thread, same);
  const ManagedPool other = of_initializer->get_pool(1, thread);
  initialized_by_pool += other.map<&square>(std::vector{3}).front();
}

TEST(ManagerThreads, an_initializer_may_ask_for_pools) {
  PoolManager manager;
  of_initializer = &manager;
  initialized_by_pool = 0;
  GetOptions options;
  options.initializer = Initializer::make<&ask_for_pools>();
  const ManagedPool pool = manager.get_pool(2, thread, options);
  EXPECT_EQ(pool.map<&square>(std::vector{5, 6, 7, 8}), (std::vector{25, 36, 49, 64}));
  EXPECT_GE(initialized_by_pool, 9);
  EXPECT_EQ(manager.stats().active_pools, 2u);
}

int in_worker = 0;
void ask_in_worker() {  // in a worker process, which has a global manager of its own
  in_worker = global_pool_manager().get_pool(1, thread).submit<&square>(4).get();
}
int tell() {
  return in_worker;
}

TEST(ManagerThreads, an_initializer_in_a_process_has_its_own_global_manager) {
  PoolManager manager;
  GetOptions options;
  options.initializer = Initializer::make<&ask_in_worker>();
  EXPECT_EQ(manager.get_pool(1, process, options).submit<&tell>().get(), 16);
  EXPECT_EQ(in_worker, 0);
}

// ------------------------------------------------------------------------------------------------

void random_operations(PoolManager& manager, int seed, int count) {
  std::mt19937 random(static_cast<unsigned>(seed));
  const auto below = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
  std::vector<ManagedPool> held;
  for (int i = 0; i < count; ++i) {
    GetOptions options;
    if (below(4) == 0) options.label = "other";
    const int n = 1 + below(4);
    try {
      switch (below(14)) {
        case 0:
          options.force_new = true;
          [[fallthrough]];
        case 1:
        case 2:
        case 3:
          held.push_back(manager.get_pool(n, thread, options));
          break;
        case 4:
          manager.get_pool(n, thread, options);
          break;
        case 5:
          ASSERT_EQ(manager.get_pool(n, thread, options).map<&square>(std::vector{n}),
                    std::vector{n * n});
          break;
        case 6:
          if (!held.empty()) {
            ASSERT_EQ(held.back().submit<&square>(i).get(), i * i);
          }
          break;
        case 7:
          manager.release_pool(n, thread, options);
          break;
        case 8:
          if (below(20) == 0) manager.clear();
          break;
        case 9:
          if (below(10) == 0) manager.reap_now();
          break;
        case 10:
          ASSERT_GE(manager.stats().creations, 1u);
          break;
        case 11:
          if (!held.empty() && below(10) == 0) held.back().resize(1 + below(6));
          break;
        default:
          if (!held.empty()) held.erase(held.begin() + below(static_cast<int>(held.size())));
      }
    } catch (const PoolLimitError&) {  // everybody holds everything
      held.clear();
    } catch (const ConfigError&) {  // resized to what there is already
    }
    if (held.size() > 3) held.erase(held.begin());
  }
}

void hammer(int threads, int count) {
  ManagerConfig config;
  config.idle_timeout = 1ms;
  config.max_pools = 64;
  config.defaults.quarantine_max = 0;
  PoolManager manager(config);
  manager.get_pool(1, thread);
  in_threads(threads, [&](int i) { random_operations(manager, i, count); });
  const ManagerStats stats = manager.stats();
  EXPECT_EQ(stats.running, 0u);
  for (const auto& pool : stats.configs) EXPECT_EQ(pool.handles, 0u);
  manager.shutdown();
  EXPECT_EQ(manager.stats().retired_pools, 0u);
}

// 67
TEST(ManagerThreads, sixteen_threads_do_a_thousand_random_things_each) {
  hammer(16, 1000);
}
TEST(ManagerThreadsFull, sixteen_threads_do_fifty_thousand_random_things_each) {
  hammer(16, 50'000);
}

// Everything at once, while somebody shuts down.
TEST(ManagerThreads, shutdown_among_calls) {
  for (int round = 0; round < 20; ++round) {
    PoolManager manager;
    std::atomic<int> answered{0};
    std::thread closer([&] {
      EXPECT_TRUE(eventually([&] { return answered > 20; }));
      manager.shutdown(round % 2 == 0);
    });
    in_threads(4, [&](int) {
      try {
        for (;;) {
          manager.get_pool(2, thread).map<&square>(std::vector{1, 2, 3});
          ++answered;
        }
      } catch (const Error&) {  // closed, or killed in the middle
      }
    });
    closer.join();
  }
}

}  // namespace
}  // namespace reeve::test
