// The scoped form: results, exceptions, and a body that is cancelled when its lease is revoked.
#include <reeve/pool/with_worker.hpp>

#include "tests/pool/pool_test_support.hpp"

namespace reeve::test {
namespace {

int twice(int x) {
  return 2 * x;
}

asio::awaitable<int> double_body(WorkerLease& worker) {
  co_return co_await worker.run<&twice>(21);
}

asio::awaitable<int> use_scope(ResourcePool& pool) {
  co_return co_await with_worker(pool, "scope", &double_body);
}

TEST(WithWorker, returns_the_bodys_result_and_gives_the_worker_back) {
  asio::io_context context;
  ResourcePool pool(context.get_executor(), small_config());
  EXPECT_EQ(run_in(context, use_scope(pool)), 42);
  EXPECT_EQ(pool.status().active_tasks, 0u);
}

asio::awaitable<void> throwing_body(WorkerLease&) {
  throw std::domain_error("body");
  co_return;
}

asio::awaitable<void> use_throwing(ResourcePool& pool) {
  co_await with_worker(pool, "scope", &throwing_body);
}

TEST(WithWorker, rethrows_what_the_body_throws) {
  asio::io_context context;
  ResourcePool pool(context.get_executor(), small_config());
  EXPECT_THROW(run_in(context, use_throwing(pool)), std::domain_error);
  EXPECT_EQ(pool.status().active_tasks, 0u);
}

bool body_was_cancelled = false;

// Waits for something that has nothing to do with the worker.
asio::awaitable<void> dawdling_body(WorkerLease&) {
  asio::steady_timer timer(co_await asio::this_coro::executor, std::chrono::hours(1));
  try {
    co_await timer.async_wait(asio::use_awaitable);
  } catch (const boost::system::system_error&) {
    body_was_cancelled = true;
    throw;
  }
}

asio::awaitable<void> use_dawdling(ResourcePool& pool) {
  co_await with_worker(pool, "dawdle", &dawdling_body);
}

TEST(WithWorker, cancels_the_body_and_throws_the_cause_when_the_lease_is_revoked) {
  asio::io_context context;
  ResourceConfig config = small_config();
  config.worker_timeout = 50ms;
  ResourcePool pool(context.get_executor(), config);
  body_was_cancelled = false;
  EXPECT_THROW(run_in(context, use_dawdling(pool)), WorkerTimeoutError);
  EXPECT_TRUE(body_was_cancelled);
}

asio::awaitable<int> body_that_goes_on(WorkerLease& worker) {
  const int result = co_await worker.run<&twice>(20);
  std::move(worker).discard();
  asio::steady_timer timer(co_await asio::this_coro::executor, 20ms);
  co_await timer.async_wait(asio::use_awaitable);
  co_return result + 2;
}

asio::awaitable<int> use_body_that_goes_on(ResourcePool& pool) {
  const int result = co_await with_worker(pool, "goes on", &body_that_goes_on);
  co_return result;
}

TEST(WithWorker, a_body_that_gives_its_lease_back_goes_on) {
  asio::io_context context;
  ResourcePool pool(context.get_executor(), small_config());
  EXPECT_EQ(run_in(context, use_body_that_goes_on(pool)), 42);
}

asio::awaitable<void> body_without_a_lease(WorkerLease& worker) {
  {
    const WorkerLease gone = std::move(worker);
  }
  co_return;
}

asio::awaitable<void> use_body_without_a_lease(ResourcePool& pool) {
  co_await with_worker(pool, "at once", &body_without_a_lease);
}

TEST(WithWorker, a_body_that_gives_its_lease_back_at_once_leaves_the_pool_whole) {
  asio::io_context context;
  ResourcePool pool(context.get_executor(), small_config());
  run_in(context, use_body_without_a_lease(pool));
  const auto first = run_in(context, hold(pool, "first"));
  const auto second = run_in(context, hold(pool, "second"));
  EXPECT_EQ(first->task(), "first");
  EXPECT_EQ(second->task(), "second");
  EXPECT_NE(first->id(), second->id());
}

asio::awaitable<void> body_that_moves_its_lease(WorkerLease& worker) {
  const WorkerLease moved = std::move(worker);
  WorkerLease empty = std::move(worker);
  co_await dawdling_body(empty);
}

asio::awaitable<void> use_body_that_moves(ResourcePool& pool) {
  co_await with_worker(pool, "moved", &body_that_moves_its_lease);
}

TEST(WithWorker, the_cause_is_thrown_though_the_body_moved_the_lease) {
  asio::io_context context;
  ResourceConfig config = small_config();
  config.worker_timeout = 50ms;
  ResourcePool pool(context.get_executor(), config);
  EXPECT_THROW(run_in(context, use_body_that_moves(pool)), WorkerTimeoutError);
}

}  // namespace
}  // namespace reeve::test
