// Tighter limits of one call: progress, soft and hard time, and a lease that goes on afterwards.
#include <reeve/pool/run_limits.hpp>

#include <unistd.h>

#include <atomic>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/use_future.hpp>
#include <cstring>
#include <future>
#include <memory>
#include <thread>

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

// ------------------------------------------------------------------------------------------------
// Memory of one call, again after it was refused some.

std::size_t grow_by_mebibytes(std::size_t count) {
  std::vector<std::vector<char>> blocks;
  while (blocks.size() < count) blocks.emplace_back(1 << 20, 'x');
  return blocks.size();
}

// Takes three refusals for an answer.
std::size_t grow_without_exceptions(std::size_t count) {
  std::vector<std::unique_ptr<char[]>> blocks;
  blocks.reserve(count);
  for (int refused = 0; blocks.size() < count && refused < 3;) {
    std::unique_ptr<char[]> block(new (std::nothrow) char[1 << 20]);
    if (!block) {
      ++refused;
      continue;
    }
    std::memset(block.get(), 1, 1 << 20);
    blocks.push_back(std::move(block));
  }
  return blocks.size();
}

asio::awaitable<void> grow_twice(ResourcePool& pool, std::vector<WorkerMemoryError>& refusals) {
  auto worker = co_await pool.acquire_worker("fat");
  RunLimits limits;
  limits.memory = 64_MiB;
  for (int i = 0; i < 2; ++i) {
    try {
      co_await worker.run<&grow_by_mebibytes>(limits, std::size_t{200});
    } catch (const WorkerMemoryError& error) {
      refusals.push_back(error);
    }
  }
  // Looser again: as the lease.
  EXPECT_EQ(co_await worker.run<&grow_by_mebibytes>(std::size_t{100}), 100u);
}

TEST(RunLimits, memory_holds_after_the_first_refusal) {
  REEVE_SKIP_UNDER_SANITIZERS();
  asio::io_context context;
  ResourcePool pool(context.get_executor(), small_config());
  std::vector<WorkerMemoryError> refusals;
  run_in(context, grow_twice(pool, refusals));
  ASSERT_EQ(refusals.size(), 2u);
  for (const WorkerMemoryError& error : refusals) {
    EXPECT_EQ(error.evidence().memory_limit, 64_MiB);
    EXPECT_LE(error.evidence().memory_observed, 80_MiB);
  }
}

asio::awaitable<std::size_t> grow_quietly(ResourcePool& pool) {
  auto worker = co_await pool.acquire_worker("fat");
  RunLimits limits;
  limits.memory = 64_MiB;
  co_return co_await worker.run<&grow_without_exceptions>(limits, std::size_t{200});
}

TEST(RunLimits, memory_that_is_refused_without_an_exception_is_refused_again) {
  REEVE_SKIP_UNDER_SANITIZERS();
  asio::io_context context;
  ResourcePool pool(context.get_executor(), small_config());
  const std::size_t mebibytes = run_in(context, grow_quietly(pool));
  EXPECT_GT(mebibytes, 32u);
  EXPECT_LE(mebibytes, 64u + 16u) << "the limit, and what the refusal itself may use";
}

// ------------------------------------------------------------------------------------------------
// The end of a call is the end of its sink.

struct Watched {
  std::atomic<bool> over = false;
  std::atomic<int> begun = 0, late = 0;
};

void report_once() {
  this_worker::report_progress(50, "half");
}

// Real kernel: sinks of 10 ms.
asio::awaitable<void> call_with_slow_sinks(ResourcePool& pool, std::shared_ptr<Watched> watched) {
  auto worker = co_await pool.acquire_worker("slow sink");
  for (int i = 0; i < 10; ++i) {
    watched->over = false;
    RunLimits limits;
    limits.progress = [watched](double, std::string_view) {
      ++watched->begun;
      std::this_thread::sleep_for(10ms);
      if (watched->over) ++watched->late;
    };
    co_await worker.run<&report_once>(limits);
    watched->over = true;
    asio::steady_timer timer(co_await asio::this_coro::executor, 20ms);
    co_await timer.async_wait(asio::use_awaitable);
  }
}

TEST(RunLimits, no_sink_runs_when_its_call_has_returned) {
  for (const Isolation isolation : {Isolation::process, Isolation::thread}) {
    asio::io_context context;
    ResourceConfig config = small_config();
    config.isolation = isolation;
    ResourcePool pool(context.get_executor(), config);
    const auto watched = std::make_shared<Watched>();
    auto guard = asio::make_work_guard(context);
    std::vector<std::jthread> threads;
    for (int i = 0; i < 2; ++i) threads.emplace_back([&] { context.run(); });
    auto calls = asio::co_spawn(context, call_with_slow_sinks(pool, watched), asio::use_future);
    EXPECT_EQ(calls.wait_for(20s), std::future_status::ready);
    context.stop();
    threads.clear();
    EXPECT_GT(watched->begun, 0);
    EXPECT_EQ(watched->late, 0) << "of " << watched->begun;
  }
}

void report_for_ever() {
  for (;;) {
    this_worker::report_progress(50, "on and on");
    usleep(1000);
  }
}

asio::awaitable<void> report_until_killed(ResourcePool& pool, RunLimits limits) {
  auto worker = co_await pool.acquire_worker("talkative");
  co_await worker.run<&report_for_ever>(limits);
}

TEST(RunLimits, a_sink_may_cancel_its_own_call) {
  asio::io_context context;
  ResourcePool pool(context.get_executor(), small_config());
  asio::cancellation_signal signal;
  int reports = 0;
  RunLimits limits;
  limits.progress = [&](double, std::string_view) {
    ++reports;
    signal.emit(asio::cancellation_type::terminal);
  };
  bool ended = false;
  asio::co_spawn(context, report_until_killed(pool, limits),
                 asio::bind_cancellation_slot(signal.slot(), [&](std::exception_ptr failure) {
                   ended = true;
                   EXPECT_TRUE(failure);
                 }));
  EXPECT_TRUE(run_until(context, [&] { return ended; }));
  EXPECT_EQ(reports, 1);
  expect_pool_works(context, pool);
}

void report_until_stopped() {
  while (!this_worker::stop_requested()) {
    this_worker::report_progress(50, "on and on");
    usleep(1000);
  }
}

asio::awaitable<void> report_in_the_open(ResourcePool& pool, RunLimits limits) {
  auto worker = co_await pool.acquire_worker("open");
  co_await worker.run<&report_until_stopped>(limits);
}

asio::awaitable<void> report_in_a_scope(ResourcePool& pool, RunLimits limits) {
  auto body = [limits](WorkerLease& worker) -> asio::awaitable<void> {
    auto call = worker.run<&report_until_stopped>(limits);
    co_await std::move(call);
  };
  auto scope = with_worker(pool, "scoped", body);
  co_await std::move(scope);
}

RunLimits throwing_sink(int& calls) {
  RunLimits limits;
  limits.progress = [&calls](double, std::string_view) {
    ++calls;
    throw std::domain_error("from a sink");
  };
  return limits;
}

// 16
TEST(PoolCallback, of_progress_that_throws_ends_its_call_and_no_other) {
  for (const Isolation isolation : {Isolation::process, Isolation::thread}) {
    for (const auto use : {report_in_the_open, report_in_a_scope}) {
      asio::io_context context;
      ResourceConfig config = small_config();
      config.isolation = isolation;
      ResourcePool pool(context.get_executor(), config);
      int calls = 0;
      const auto failure = error_of<std::domain_error>(context, use(pool, throwing_sink(calls)));
      ASSERT_TRUE(failure);
      EXPECT_STREQ(failure->what(), "from a sink");
      EXPECT_EQ(calls, 1);
      EXPECT_EQ(pool.status().active_tasks, 0u);
      expect_pool_works(context, pool);
    }
  }
}

int report_and_return(int value) {
  this_worker::report_progress(50, "half");
  return value;
}

asio::awaitable<void> survive_a_sink(ResourcePool& pool, RunLimits limits, int& caught) {
  auto worker = co_await pool.acquire_worker("twice");
  try {
    co_await worker.run<&report_and_return>(limits, 7);
  } catch (const std::domain_error&) {
    ++caught;
  }
  if (worker.revoked()) co_return;
  const int again = co_await worker.run<&report_and_return>(8);
  EXPECT_EQ(again, 8);
}

// 16: the sink throws while the reply is on its way, or is in.
TEST(PoolCallback, of_progress_that_throws_as_the_reply_comes_leaves_a_lease_that_works_or_ended) {
  asio::io_context context;
  ResourcePool pool(context.get_executor(), small_config());
  int calls = 0, caught = 0;
  for (int i = 0; i < 50; ++i) run_in(context, survive_a_sink(pool, throwing_sink(calls), caught));
  EXPECT_GT(calls, 0);
  EXPECT_EQ(caught, calls) << "what a sink throws comes out of run";
  expect_pool_works(context, pool);
}

}  // namespace
}  // namespace reeve::test
