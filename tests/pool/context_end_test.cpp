// The pool's execution context ends and its users', another, goes on: everybody who waits is told.
#include <reeve/pool/resource_pool.hpp>

#include "tests/pool/ending.hpp"
#include "tests/pool/pool_test_support.hpp"

namespace reeve::test {
namespace {

void nap() {
  usleep(300'000);
}

asio::awaitable<void> nap_on(WorkerLease& lease) {
  auto call = lease.run<&nap>();
  co_await std::move(call);
}

asio::awaitable<void> acquire_into(ResourcePool pool, std::optional<WorkerLease>& to) {
  auto lease = co_await pool.acquire_worker("user");
  to.emplace(std::move(lease));
}

class PoolContextEnd : public testing::TestWithParam<Isolation> {
 protected:
  void SetUp() override {
    ResourceConfig config = small_config();
    config.isolation = GetParam();
    config.max_workers = 1;
    pools.emplace();
    pool.emplace(pools->get_executor(), config);
    spawn(users, acquire_into(*pool, lease));
    ASSERT_TRUE(run_both([&] { return lease.has_value(); }));
  }
  template <class Done>
  bool run_both(Done done) {
    const auto until = std::chrono::steady_clock::now() + 10s;
    const auto work = asio::make_work_guard(*pools);
    while (!done()) {
      if (std::chrono::steady_clock::now() > until) return false;
      for (asio::io_context* context : {&*pools, &users}) {
        context->restart();
        context->run_for(1ms);
      }
    }
    return true;
  }
  std::optional<asio::io_context> pools;
  asio::io_context users;
  std::optional<ResourcePool> pool;
  std::optional<WorkerLease> lease;
};

TEST_P(PoolContextEnd, acquires_calls_and_watches_of_other_contexts_are_told) {
  Ending waits, calls, watches;
  std::optional<WorkerLease> never;
  asio::co_spawn(users, acquire_into(*pool, never), waits.note());
  asio::co_spawn(users, nap_on(*lease), calls.note());
  asio::co_spawn(users, lease->wait_revoked(), watches.note());
  ASSERT_TRUE(run_both([&] { return pool->status().waiting == 1; }));
  pools.reset();
  EXPECT_TRUE(run_until(users, [&] { return waits.known && calls.known && watches.known; }, 5s));
  EXPECT_THROW(waits.rethrow(), PoolClosedError);
  EXPECT_THROW(calls.rethrow(), WorkerLostError);
  EXPECT_NO_THROW(watches.rethrow());
  EXPECT_TRUE(lease->revoked());
  EXPECT_THROW(run_in(users, nap_on(*lease)), WorkerLostError);
  lease.reset();
  EXPECT_EQ(pool->status().active_tasks, 0u);
  EXPECT_EQ(pool->status().waiting, 0u);
}

TEST_P(PoolContextEnd, shutdown_and_warm_up_return) {
  Ending warm;
  bool down = false;
  asio::co_spawn(users, pool->warm_up(1), warm.note());
  run_both([&] { return warm.known; });
  asio::co_spawn(users, pool->shutdown(ShutdownMode::drain, std::chrono::hours(1)),
                 [&](std::exception_ptr, const ShutdownReport&) { down = true; });
  ASSERT_TRUE(run_both([&] { return pool->health() == PoolHealth::closed; }));
  pools.reset();
  EXPECT_TRUE(run_until(users, [&] { return down; }, 5s));
}

// Those of the dying context are destroyed with it, as ever.
TEST_P(PoolContextEnd, whoever_waits_in_the_same_context_is_destroyed) {
  Ending waits, watches;
  std::optional<WorkerLease> never;
  asio::co_spawn(*pools, acquire_into(*pool, never), waits.note());
  asio::co_spawn(*pools, lease->wait_revoked(), watches.note());
  ASSERT_TRUE(run_both([&] { return pool->status().waiting == 1; }));
  pools.reset();
  EXPECT_FALSE(waits.known);
  EXPECT_FALSE(watches.known);
  EXPECT_EQ(pool->status().waiting, 0u);
}

INSTANTIATE_TEST_SUITE_P(Isolation, PoolContextEnd,
                         testing::Values(Isolation::process, Isolation::thread),
                         [](const auto& test) {
                           return test.param == Isolation::thread ? "thread" : "process";
                         });

}  // namespace
}  // namespace reeve::test
