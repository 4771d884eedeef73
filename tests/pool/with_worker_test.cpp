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

}  // namespace
}  // namespace reeve::test
