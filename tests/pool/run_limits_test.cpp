// Tighter limits of one call: progress, soft and hard time, and a lease that goes on afterwards.
#include <reeve/pool/run_limits.hpp>

#include <unistd.h>

#include "tests/pool/pool_test_support.hpp"

namespace reeve::test {
namespace {

int work_in_steps(int steps) {
  for (int i = 1; i <= steps; ++i) {
    usleep(12'000);
    this_worker::report_progress(100.0 * i / steps, "step");
  }
  return steps;
}

asio::awaitable<int> with_progress(ResourcePool& pool, std::vector<double>& seen) {
  auto worker = co_await pool.acquire_worker("progress");
  RunLimits limits;
  limits.progress = [&](double percent, std::string_view note) {
    if (note == "step") seen.push_back(percent);
  };
  co_return co_await worker.run<&work_in_steps>(limits, 10);
}

void expect_progress(Isolation isolation) {
  asio::io_context context;
  ResourceConfig config = small_config();
  config.isolation = isolation;
  ResourcePool pool(context.get_executor(), config);
  std::vector<double> seen;
  EXPECT_EQ(run_in(context, with_progress(pool, seen)), 10);
  context.poll();
  ASSERT_GE(seen.size(), 3u);
  EXPECT_TRUE(std::is_sorted(seen.begin(), seen.end()));
}

// Real kernel: a task of about 120 ms.
TEST(RunLimits, progress_reaches_the_sink_from_a_process) {
  expect_progress(Isolation::process);
}
TEST(RunLimits, progress_reaches_the_sink_from_a_thread) {
  expect_progress(Isolation::thread);
}

int until_stopped() {
  while (!this_worker::stop_requested()) usleep(500);
  return 7;
}

asio::awaitable<int> soft_stop(ResourcePool& pool) {
  auto worker = co_await pool.acquire_worker("soft");
  RunLimits limits;
  limits.soft_timeout = 20ms;
  const int result = co_await worker.run<&until_stopped>(limits);
  EXPECT_FALSE(worker.revoked());
  co_return result;
}

TEST(RunLimits, soft_timeout_asks_the_task_to_stop_and_keeps_its_result) {
  for (const Isolation isolation : {Isolation::process, Isolation::thread}) {
    asio::io_context context;
    ResourceConfig config = small_config();
    config.isolation = isolation;
    ResourcePool pool(context.get_executor(), config);
    EXPECT_EQ(run_in(context, soft_stop(pool)), 7);
  }
}

int quick(int x) {
  return x;
}

asio::awaitable<int> tight_then_loose(ResourcePool& pool) {
  auto worker = co_await pool.acquire_worker("tight");
  RunLimits limits(std::chrono::milliseconds(200));
  int sum = co_await worker.run<&quick>(limits, 1);
  asio::steady_timer timer(co_await asio::this_coro::executor, 300ms);
  co_await timer.async_wait(asio::use_awaitable);  // the call's limit is over, the lease's is not
  sum += co_await worker.run<&quick>(2);
  co_return sum;
}

// Real kernel: waits 300 ms.
TEST(RunLimits, limit_of_a_call_that_has_ended_does_not_end_the_next) {
  asio::io_context context;
  ResourcePool pool(context.get_executor(), small_config());
  EXPECT_EQ(run_in(context, tight_then_loose(pool)), 3);
}

}  // namespace
}  // namespace reeve::test
