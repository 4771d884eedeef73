// Coroutines that use a pool are destroyed after each of their steps: every frame goes, every lease
// comes back.
#include "tests/pool/scenario_support.hpp"

namespace reeve::test {
namespace {

using Token = std::shared_ptr<int>;  // one copy per living frame

int square(int x) {
  return x * x;
}

asio::awaitable<int> call_twice(WorkerLease& lease) {
  const int first = co_await lease.run<&square>(3);
  co_return first + co_await lease.run<&add>(1, 2);
}

/// Everything one does with a pool, once.
asio::awaitable<void> whole_life(ResourcePool pool, [[maybe_unused]] Token token, int& ended) {
  const std::vector<int> items{1, 2, 3, 4};
  const codec::FunctionConstant<&square> f;
  MapOptions options;
  options.chunk = 2;
  {
    auto worker = co_await pool.acquire_worker("life");
    const int sum = co_await worker.run<&add>(RunLimits(10s), 40, 2);
    EXPECT_EQ(sum, 42);
    const std::vector<int> squares = co_await worker.map(f, items, options);
    EXPECT_EQ(squares.back(), 16);
  }
  const std::vector<int> squares = co_await parallel_map(pool, "lanes", f, items, options);
  EXPECT_EQ(squares.back(), 16);
  const auto body = &call_twice;
  const int twelve = co_await with_worker(pool, "scoped", body);
  EXPECT_EQ(twelve, 12);
  co_await pool.warm_up(1);
  ++ended;
}

asio::awaitable<void> life_and_shutdown(ResourcePool pool, [[maybe_unused]] Token token,
                                        int& ended) {
  {
    auto worker = co_await pool.acquire_worker("last");
    co_await worker.run<&add>(40, 2);
  }
  co_await pool.shutdown(ShutdownMode::drain, 5s);
  ++ended;
}

ResourceConfig config_of(Isolation isolation) {
  ResourceConfig config = small_config();
  config.isolation = isolation;
  config.quarantine_max = 1000;
  return config;
}

class PoolTeardown : public testing::TestWithParam<Isolation> {};

constexpr int lives = 3;  // one more than there are workers: somebody waits
constexpr int most_steps = 1000;

/// Runs `steps` handlers of `context`, fewer if all is done; the context of
/// the pool, if it is another, runs between.
void make_steps(asio::io_context& context, asio::io_context& pools, int steps, const int& ended,
                int all) {
  const auto work = asio::make_work_guard(pools);  // an idle pool alone is not waited for
  const auto until = Clock::now() + 10s;
  for (int step = 0; step < steps && ended < all;) {
    ASSERT_LT(Clock::now(), until) << "it hangs after " << step << " steps";
    context.restart();
    const bool alone = &context == &pools;
    if ((alone ? context.run_one_for(5ms) : context.poll_one()) > 0) {
      ++step;
    } else if (!alone) {
      pools.restart();
      pools.run_one_for(200us);
    }
  }
}

// The users' context goes, the pool's stays: it has all its workers back and goes on.
TEST_P(PoolTeardown, of_its_users_after_each_step_returns_every_lease) {
  asio::io_context pools;
  ResourcePool pool(pools.get_executor(), config_of(GetParam()));
  run_in(pools, pool.warm_up(2));
  const Token token = std::make_shared<int>(0);
  int ended = 0;
  int steps = 0;
  for (; ended < lives && steps < most_steps; ++steps) {
    ended = 0;
    {
      asio::io_context context;
      for (int i = 0; i < lives; ++i) {
        spawn(context, whole_life(pool, token, ended));
      }
      make_steps(context, pools, steps, ended, lives);
    }
    ASSERT_EQ(token.use_count(), 1) << "a frame is left after " << steps << " steps";
    ASSERT_FALSE(HasFatalFailure());
    const auto settled = [&] {
      const PoolStatus status = pool.status();
      return status.active_tasks == 0 && status.waiting == 0 && status.available_workers == 2;
    };
    ASSERT_TRUE(run_until(pools, settled)) << "a lease is lost after " << steps << " steps";
  }
  EXPECT_EQ(ended, lives) << "not even the last run came to its end";
  EXPECT_GT(steps, 20);
  expect_pool_works(pools, pool);
}

// The only context goes, and with it the pool's executor.
TEST_P(PoolTeardown, of_the_context_after_each_step_leaves_nothing) {
  Mark mark;
  const Token token = std::make_shared<int>(0);
  int ended = 0;
  int steps = 0;
  for (; ended < lives && steps < most_steps; ++steps) {
    ended = 0;
    std::optional<ResourcePool> kept;
    {
      asio::io_context context;
      kept.emplace(context.get_executor(), config_of(GetParam()));
      for (int i = 1; i < lives; ++i) {
        spawn(context, whole_life(*kept, token, ended));
      }
      auto close_it = [&, closing = false]() mutable {
        if (ended == lives - 1 && !std::exchange(closing, true)) {
          spawn(context, life_and_shutdown(*kept, token, ended));
        }
      };
      for (int step = 0; step < steps && ended < lives; ++step) {
        ASSERT_NO_FATAL_FAILURE(make_steps(context, context, 1, ended, lives));
        close_it();
      }
    }
    ASSERT_EQ(token.use_count(), 1) << "a frame is left after " << steps << " steps";
    const PoolStatus status = kept->status();
    ASSERT_EQ(status.active_tasks, 0u) << "after " << steps << " steps";
    ASSERT_EQ(status.waiting, 0u) << "after " << steps << " steps";
    EXPECT_THROW(kept->try_acquire("too late"), PoolClosedError);
  }
  EXPECT_EQ(ended, lives) << "not even the last run came to its end";
  EXPECT_TRUE(mark.gone_within(5s));
}

INSTANTIATE_TEST_SUITE_P(Isolation, PoolTeardown,
                         testing::Values(Isolation::thread, Isolation::process),
                         [](const auto& test) {
                           return test.param == Isolation::thread ? "thread" : "process";
                         });

}  // namespace
}  // namespace reeve::test
