// Coroutines that use a manager are destroyed after each of their steps, and managers under their
// coroutines: every frame goes, every handle and every lease comes back.
#include "tests/manager/manager_test_support.hpp"

namespace reeve::test {
namespace {

using Token = std::shared_ptr<int>;  // one copy per living frame

constexpr int lives = 3;
constexpr int most_steps = 1000;

/// Everything that a coroutine does with a handle, once. `step` is called between.
template <class Step>
asio::awaitable<void> pool_life(ManagedPool pool, [[maybe_unused]] Token token, Step step) {
  const std::vector<int> items{1, 2, 3, 4};
  step();
  co_await pool.async_warm_up(1);
  step();
  const std::vector<int> squares = co_await pool.async_map(&square, items);
  EXPECT_EQ(squares.back(), 16);
  step();
  const int sum = co_await pool.async_submit(&add, 40, 2);
  EXPECT_EQ(sum, 42);
  step();
  {
    auto lease = co_await pool->acquire_worker("own");
    step();
    const int more = co_await lease.template run<&add>(1, 2);
    EXPECT_EQ(more, 3);
    step();
  }
}

/// And with a manager, but its shutdown.
asio::awaitable<void> whole_life(PoolManager& manager, ExecutorType type,
                                 [[maybe_unused]] Token token, int& ended) {
  const auto nothing = [] {};
  co_await pool_life(manager.get_pool(2, type), token, nothing);
  {
    const auto scope = co_await async_managed_pool(1, type, manager);
    EXPECT_EQ(scope->n_jobs(), 1u);
  }
  co_await manager.async_warm_up();
  ++ended;
}

ManagerConfig config_of(ExecutorType type) {
  ManagerConfig config;
  config.defaults.quarantine_max = 1000;
  Preset preset;
  preset.name = "kept";
  preset.config = small_config();
  preset.config.isolation = isolation_of(type);
  preset.warm_workers = 1;
  config.presets.push_back(std::move(preset));
  return config;
}

/// Runs `steps` handlers of `context`, fewer if `done`. The manager's own thread works beside it.
template <class Done>
void make_steps(asio::io_context& context, int steps, Done done) {
  const auto until = std::chrono::steady_clock::now() + 20s;
  for (int step = 0; step < steps && !done();) {
    ASSERT_LT(std::chrono::steady_clock::now(), until) << "it hangs after " << step << " steps";
    context.restart();
    step += context.run_one_for(5ms) > 0;
  }
}

class ManagerTeardown : public testing::TestWithParam<ExecutorType> {};

TEST_P(ManagerTeardown, of_its_users_after_each_step_returns_every_handle_and_lease) {
  PoolManager manager(config_of(GetParam()));
  const ManagedPool pool = manager.get_pool(2, GetParam());
  pool.warm_up();
  const Token token = std::make_shared<int>(0);
  int ended = 0;
  int steps = 0;
  for (; ended < lives && steps < most_steps; ++steps) {
    ended = 0;
    {
      asio::io_context context;
      for (int i = 0; i < lives; ++i) {
        auto life = whole_life(manager, GetParam(), token, ended);
        spawn(context, std::move(life));
      }
      make_steps(context, steps, [&] { return ended == lives; });
    }
    ASSERT_EQ(token.use_count(), 1) << "a frame is left after " << steps << " steps";
    ASSERT_FALSE(HasFatalFailure());
    ASSERT_TRUE(eventually([&] { return pool->load() == 0; }))
        << "a lease is lost after " << steps << " steps";
    std::size_t handles = 0;
    for (const ManagedPoolInfo& other : manager.stats().configs) handles += other.handles;
    ASSERT_EQ(handles, 1u) << "one is lost after " << steps << " steps";  // `pool` is one
  }
  EXPECT_EQ(ended, lives) << "not even the last run came to its end";
  EXPECT_GT(steps, 20);
  EXPECT_EQ(pool.map<&square>(std::vector{3}), std::vector{9});
}

asio::awaitable<void> end(PoolManager& manager, [[maybe_unused]] Token token, bool& ended) {
  co_await manager.async_shutdown();
  ended = true;
}

// The shutdown goes on without the coroutine that asked for it, and the thread ends with it.
TEST_P(ManagerTeardown, of_a_shutdown_after_each_step_ends_the_manager_all_the_same) {
  const Token token = std::make_shared<int>(0);
  bool ended = false;
  int steps = 0;
  for (; !ended && steps < most_steps; ++steps) {
    PoolManager manager(config_of(GetParam()));
    const ManagedPool pool = manager.get_pool(1, GetParam());
    pool.warm_up();
    {
      asio::io_context context;
      spawn(context, end(manager, token, ended));
      make_steps(context, steps, [&] { return ended; });
    }
    ASSERT_EQ(token.use_count(), 1) << "a frame is left after " << steps << " steps";
    if (!manager.is_shutdown()) {
      EXPECT_EQ(pool.submit<&square>(3).get(), 9) << "nothing was begun";
      continue;
    }
    ASSERT_TRUE(eventually([&] { return pool.health() == PoolHealth::closed; }));
    manager.shutdown();
    EXPECT_THROW(manager.executor(), PoolClosedError);
  }
  EXPECT_TRUE(ended);
  EXPECT_GE(steps, 2);
}

asio::awaitable<void> end_for(PoolManager& manager, asio::steady_timer& timer, bool& cancelled) {
  try {
    co_await manager.async_shutdown();
  } catch (const boost::system::system_error&) {
    cancelled = true;
  }
  timer.cancel();
}

TEST_P(ManagerTeardown, of_a_shutdown_by_cancellation_leaves_the_shutdown_running) {
  PoolManager manager;
  const ManagedPool pool = manager.get_pool(1, GetParam());
  static std::atomic<bool> may_end;
  may_end = false;
  auto call = manager.get_pool(1, thread).submit([] {
    while (!may_end) std::this_thread::sleep_for(1ms);
    return 5;
  });
  ASSERT_TRUE(eventually([&] { return manager.get_pool(1, thread)->load() == 1; }));
  asio::io_context context;
  asio::steady_timer timer(context, 20s);
  asio::cancellation_signal signal;
  bool cancelled = false;
  asio::co_spawn(context, end_for(manager, timer, cancelled),
                 asio::bind_cancellation_slot(signal.slot(), asio::detached));
  ASSERT_NO_FATAL_FAILURE(make_steps(context, 1000, [&] { return manager.is_shutdown(); }));
  signal.emit(asio::cancellation_type::terminal);
  context.restart();
  context.run_for(100ms);
  EXPECT_TRUE(cancelled);
  EXPECT_NE(call.wait_for(0s), std::future_status::ready);
  may_end = true;
  EXPECT_EQ(call.get(), 5);
  manager.shutdown();
}

// The coroutine runs on the manager's own thread; the manager goes when it has come so far.
TEST_P(ManagerTeardown, of_the_manager_at_each_step_leaves_no_frame) {
  const Token token = std::make_shared<int>(0);
  for (int stage = 1; stage <= 6; ++stage) {
    auto manager = std::make_unique<PoolManager>(config_of(GetParam()));
    struct Progress {
      int reached = 0;
      std::promise<void> there, go_on;
    };
    const auto progress = std::make_shared<Progress>();
    auto life = pool_life(manager->get_pool(2, GetParam()), token, [progress, stage] {
      if (++progress->reached != stage) return;
      progress->there.set_value();
      progress->go_on.get_future().wait();
    });
    asio::co_spawn(manager->executor(), std::move(life), asio::detached);
    ASSERT_EQ(progress->there.get_future().wait_for(20s), std::future_status::ready)
        << "stage " << stage;
    manager.reset();  // it does not wait for a pool that is used
    progress->go_on.set_value();
    ASSERT_TRUE(eventually([&] { return token.use_count() == 1; })) << "stage " << stage;
  }
}

INSTANTIATE_TEST_SUITE_P(Type, ManagerTeardown, testing::Values(thread, process),
                         [](const auto& test) { return std::string(to_string(test.param)); });

}  // namespace
}  // namespace reeve::test
