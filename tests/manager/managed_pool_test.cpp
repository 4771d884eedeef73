// Handles: blocking and awaited calls, their errors, resize, and the end of the manager below them.
#include <future>
#include <list>
#include <ranges>

#include "tests/manager/manager_test_support.hpp"

namespace reeve::test {
namespace {

int throw_range() {
  throw std::out_of_range("no such row");
}
std::string greet(const std::string& name, int times) {
  return name + std::to_string(times);
}
void nothing() {}
int nap(int milliseconds) {
  std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
  return milliseconds;
}
int nap_until_stopped() {
  while (!this_worker::stop_requested()) std::this_thread::sleep_for(1ms);
  return 1;
}

TEST(ManagedPool, an_empty_one_says_so) {
  const ManagedPool none;
  EXPECT_FALSE(none);
  EXPECT_EQ(none.health(), PoolHealth::closed);
  EXPECT_THAT(text_of<std::logic_error>([&] { none.map<&square>(std::vector{1}); }),
              testing::HasSubstr("take one from get_pool"));
  EXPECT_THROW(none.n_jobs(), std::logic_error);
  EXPECT_THROW(none.submit<&nothing>(), std::logic_error);
}

TEST(ManagedPool, submit_gives_futures) {
  PoolManager manager;
  const ManagedPool pool = manager.get_pool(2);
  auto sum = pool.submit<&add>(20, 22);
  auto text = pool.submit(&greet, "a", 3);
  auto done = pool.submit<&nothing>();
  auto lambda = pool.submit([](int x) { return -x; }, 5);
  EXPECT_EQ(sum.get(), 42);
  EXPECT_EQ(text.get(), "a3");
  done.get();
  EXPECT_EQ(lambda.get(), -5);
}

TEST(ManagedPool, the_task_s_exception_comes_by_the_future) {
  PoolManager manager;
  const ManagedPool pool = manager.get_pool(1);
  auto failed = pool.submit<&throw_range>();
  EXPECT_EQ(text_of<std::out_of_range>([&] { failed.get(); }), "no such row");
  EXPECT_THROW(pool.map([](int) -> int { throw std::domain_error("bad item"); }, std::vector{1, 2}),
               std::domain_error);
}

TEST(ManagedPool, a_call_may_have_limits_of_its_own) {
  PoolManager manager;
  const ManagedPool pool = manager.get_pool(1);
  EXPECT_THROW(pool.submit<&nap>(RunLimits(30ms), 60'000).get(), WorkerTimeoutError);
  EXPECT_THROW(pool.submit(RunLimits(30ms), &nap, 60'000).get(), WorkerTimeoutError);
  EXPECT_EQ(pool.submit<&nap>(RunLimits(20s), 1).get(), 1);
}

TEST(ManagedPool, map_takes_options_and_any_range) {
  PoolManager manager;
  const ManagedPool pool = manager.get_pool(4, thread);
  std::atomic<int> reports{0};
  MapOptions options;
  options.chunk = 2;
  options.workers = 1;
  options.progress = [&](double, std::string_view) { ++reports; };
  EXPECT_EQ(pool.map(&square, std::views::iota(0, 10), options).back(), 81);
  EXPECT_EQ(reports, 5);
  EXPECT_EQ(pool->status().live_workers, 1u);
  EXPECT_EQ(pool.map(&square, std::list{2, 3}), (std::vector{4, 9}));
}

// In a pool that is shared, a short map does not fail or wait because of somebody's long call.
TEST(ManagedPool, a_map_does_with_the_workers_that_are_free) {
  PoolManager manager;
  const ManagedPool pool = manager.get_pool(2);
  auto endless = pool.submit<&nap>(60'000);
  ASSERT_TRUE(eventually([&] { return pool->load() == 1; }));
  EXPECT_EQ(pool.map<&square>(std::vector{1, 2, 3, 4}), (std::vector{1, 4, 9, 16}));
  EXPECT_EQ(pool->status().active_task_ids, std::vector<std::string>{"submit"});
  manager.shutdown(true);
  EXPECT_THROW(endless.get(), Error);
}

TEST(ManagedPool, map_of_nothing_is_nothing) {
  PoolManager manager;
  EXPECT_TRUE(manager.get_pool(2, thread).map<&square>(std::vector<int>{}).empty());
}

asio::awaitable<int> sum_up(ManagedPool pool) {
  const std::vector<int> items{1, 2, 3};
  const auto squares = co_await pool.async_map(&square, items);
  const int more = co_await pool.async_submit(&add, 1, 2);
  auto lease = co_await pool->acquire_worker("own lease");
  const int last = co_await lease.run<&add>(squares[2], more);
  co_return last;
}

TEST(ManagedPool, coroutines_await_on_their_own_executor) {
  PoolManager manager;
  asio::io_context context;
  int result = 0;
  std::thread::id where;
  asio::co_spawn(context, sum_up(manager.get_pool(2)), [&](std::exception_ptr failure, int value) {
    EXPECT_FALSE(failure);
    result = value;
    where = std::this_thread::get_id();
  });
  context.run();
  EXPECT_EQ(result, 12);
  EXPECT_EQ(where, std::this_thread::get_id());
}

TEST(ManagedPool, a_blocking_call_on_the_background_thread_is_an_error) {
  PoolManager manager;
  const ManagedPool pool = manager.get_pool(1, thread);
  std::promise<std::string> text;
  asio::post(manager.executor(), [&] {
    text.set_value(text_of<std::logic_error>([&] { pool.map<&square>(std::vector{1}); }));
  });
  EXPECT_THAT(text.get_future().get(), testing::HasSubstr("use the async_ form"));
}

TEST(ManagedPool, nothing_of_a_call_is_left_when_its_answer_is_there) {
  PoolManager manager;
  const ManagedPool pool = manager.get_pool(2, thread);
  for (int i = 0; i < 200; ++i) {
    ASSERT_EQ(pool.submit<&add>(i, 1).get(), i + 1);
    const ManagerStats stats = manager.stats();
    ASSERT_EQ(stats.running, 0u);
    ASSERT_EQ(stats.configs.front().handles, 1u);
  }
}

TEST(ManagedPool, warm_up_starts_all_workers) {
  PoolManager manager;
  const ManagedPool pool = manager.get_pool(3);
  EXPECT_FALSE(manager.stats().configs.front().started);
  pool.warm_up();
  EXPECT_TRUE(manager.stats().configs.front().started);
  EXPECT_EQ(pool->status().live_workers, 3u);
}

// ------------------------------------------------------------------------------------------------
// The end

TEST(ManagedPool, shutdown_lets_running_calls_end) {
  PoolManager manager;
  const ManagedPool pool = manager.get_pool(2);
  auto call = pool.submit<&nap>(100);
  ASSERT_TRUE(eventually([&] { return pool->load() == 1; }));
  manager.shutdown();
  EXPECT_EQ(call.wait_for(0s), std::future_status::ready);
  EXPECT_EQ(call.get(), 100);
  EXPECT_THAT(text_of<PoolClosedError>([&] { pool.map<&square>(std::vector{1}); }),
              testing::HasSubstr("was shut down or destroyed"));
  EXPECT_THROW(pool.resource_pool().try_acquire("later"), PoolClosedError);
}

TEST(ManagedPool, shutdown_by_force_kills_them) {
  PoolManager manager;
  const ManagedPool pool = manager.get_pool(1);
  auto endless = pool.submit<&nap_until_stopped>();
  auto waiting = pool.submit<&nap>(1);
  ASSERT_TRUE(eventually([&] { return pool->load() == 2; }));
  manager.shutdown(true);
  EXPECT_THROW(endless.get(), Error);
  EXPECT_THROW(waiting.get(), PoolClosedError);
}

TEST(ManagedPool, shutdown_by_force_hastens_one_that_waits) {
  PoolManager manager;
  const ManagedPool pool = manager.get_pool(1);
  auto endless = pool.submit<&nap>(60'000);
  ASSERT_TRUE(eventually([&] { return pool->load() == 1; }));
  std::thread patient([&] { manager.shutdown(); });
  ASSERT_TRUE(eventually([&] { return manager.is_shutdown(); }));
  manager.shutdown(true);
  patient.join();
  EXPECT_THROW(endless.get(), Error);
}

TEST(ManagedPool, shutdown_kills_after_its_deadline) {
  ManagerConfig config;
  config.shutdown_deadline = 50ms;
  PoolManager manager(config);
  const ManagedPool pool = manager.get_pool(1);
  auto endless = pool.submit<&nap>(60'000);
  ASSERT_TRUE(eventually([&] { return pool->load() == 1; }));
  manager.shutdown();
  EXPECT_THROW(endless.get(), Error);
}

asio::awaitable<void> end(PoolManager& manager) {
  co_await manager.async_shutdown();
}

TEST(ManagedPool, shutdown_is_awaited) {
  PoolManager manager;
  const ManagedPool pool = manager.get_pool(2);
  auto call = pool.submit<&nap>(30);
  ASSERT_TRUE(eventually([&] { return pool->load() == 1; }));
  asio::io_context context;
  spawn(context, end(manager));
  context.run();
  EXPECT_EQ(call.wait_for(0s), std::future_status::ready);
  EXPECT_TRUE(manager.is_shutdown());
}

TEST(ManagedPool, shutdown_on_the_background_thread_does_not_wait) {
  PoolManager manager;
  const ManagedPool pool = manager.get_pool(1, thread);
  auto call = pool.submit<&nap>(30);
  asio::post(manager.executor(), [&] { manager.shutdown(); });
  EXPECT_TRUE(eventually([&] { return pool.health() == PoolHealth::closed; }));
  try {
    EXPECT_EQ(call.get(), 30);
  } catch (const PoolClosedError&) {  // the shutdown came before its lease
  }
}

// "A manager destroyed while handles live": nothing lost, nothing hung.
TEST(ManagedPool, outlives_its_manager) {
  auto manager = std::make_unique<PoolManager>();
  ManagedPool pool = manager->get_pool(2);
  auto call = pool.submit<&nap>(100);
  ASSERT_TRUE(eventually([&] { return pool->load() == 1; }));
  const auto begin = std::chrono::steady_clock::now();
  manager.reset();
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 90ms);  // it did not wait
  EXPECT_EQ(call.get(), 100);
  EXPECT_THAT(text_of<PoolClosedError>([&] { pool.submit<&square>(1); }),
              testing::HasSubstr("was shut down or destroyed"));
  EXPECT_TRUE(eventually([&] { return pool.health() == PoolHealth::closed; }));
  pool = ManagedPool();
}

TEST(ManagedPool, a_lease_outlives_its_manager) {
  auto manager = std::make_unique<PoolManager>();
  asio::io_context context;
  std::shared_ptr<WorkerLease> lease;
  ResourcePool raw = manager->get_pool(1).resource_pool();
  asio::co_spawn(
      context,
      [](ResourcePool p) -> asio::awaitable<std::shared_ptr<WorkerLease>> {
        auto held = co_await p.acquire_worker("kept");
        co_return std::make_shared<WorkerLease>(std::move(held));
      }(raw),
      [&](std::exception_ptr, std::shared_ptr<WorkerLease> held) { lease = std::move(held); });
  context.run();
  ASSERT_TRUE(lease);
  manager.reset();
  int result = 0;
  asio::co_spawn(
      context,
      [](WorkerLease& held) -> asio::awaitable<int> {
        auto call = held.run<&add>(1, 2);
        co_return co_await std::move(call);
      }(*lease),
      [&](std::exception_ptr failure, int value) {
        EXPECT_FALSE(failure);
        result = value;
      });
  context.restart();
  context.run();
  EXPECT_EQ(result, 3);
}

}  // namespace
}  // namespace reeve::test
