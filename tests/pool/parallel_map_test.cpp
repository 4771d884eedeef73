// map on one worker and parallel_map over several: order, failure, progress, chunks.
#include <reeve/pool/parallel_map.hpp>

#include <unistd.h>

#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/use_future.hpp>
#include <future>
#include <numeric>
#include <set>
#include <thread>

#include "tests/pool/pool_test_support.hpp"

namespace reeve::test {
namespace {

std::vector<int> numbers(int count) {
  std::vector<int> items(static_cast<std::size_t>(count));
  std::iota(items.begin(), items.end(), 0);
  return items;
}

constexpr auto square = [](int x) { return x * x; };

asio::awaitable<std::vector<int>> map_on_one(ResourcePool& pool, std::vector<int> items,
                                             std::size_t chunk) {
  auto worker = co_await pool.acquire_worker("map");
  MapOptions options;
  options.chunk = chunk;
  co_return co_await worker.map(square, items, options);
}

TEST(WorkerMap, keeps_the_order_for_every_chunk_length) {
  asio::io_context context;
  ResourcePool pool(context.get_executor(), small_config());
  for (const std::size_t chunk : {0u, 1u, 7u, 100u, 1000u}) {
    const auto results = run_in(context, map_on_one(pool, numbers(100), chunk));
    ASSERT_EQ(results.size(), 100u);
    for (int i = 0; i < 100; ++i) EXPECT_EQ(results[static_cast<std::size_t>(i)], i * i);
  }
  EXPECT_TRUE(run_in(context, map_on_one(pool, {}, 0)).empty());
}

asio::awaitable<std::vector<int>> map_pids(ResourcePool& pool) {
  MapOptions options;
  options.chunk = 1;
  co_return co_await parallel_map(
      pool, "pids",
      [](int) {
        usleep(2000);
        return static_cast<int>(getpid());
      },
      numbers(20), options);
}

// Real kernel: two workers share twenty tasks of 2 ms.
TEST(ParallelMap, uses_several_workers) {
  asio::io_context context;
  ResourcePool pool(context.get_executor(), small_config());
  run_in(context, pool.warm_up(2));
  const auto pids = run_in(context, map_pids(pool));
  EXPECT_EQ(pids.size(), 20u);
  EXPECT_EQ(std::set<int>(pids.begin(), pids.end()).size(), 2u);
  EXPECT_EQ(pool.status().active_tasks, 0u);
}

asio::awaitable<std::vector<int>> map_square(ResourcePool& pool, std::vector<double>& progress) {
  MapOptions options;
  options.chunk = 10;
  options.progress = [&](double percent, std::string_view) { progress.push_back(percent); };
  co_return co_await parallel_map(pool, "square", square, numbers(1000), options);
}

TEST(ParallelMap, keeps_the_order_and_reports_progress_up_to_the_end) {
  asio::io_context context;
  ResourcePool pool(context.get_executor(), small_config());
  std::vector<double> progress;
  const auto results = run_in(context, map_square(pool, progress));
  ASSERT_EQ(results.size(), 1000u);
  for (int i = 0; i < 1000; ++i) ASSERT_EQ(results[static_cast<std::size_t>(i)], i * i);
  ASSERT_EQ(progress.size(), 100u);
  EXPECT_EQ(*std::max_element(progress.begin(), progress.end()), 100.0);
}

asio::awaitable<std::vector<int>> map_failing(ResourcePool& pool) {
  co_return co_await parallel_map(
      pool, "fail",
      [](int x) {
        if (x == 500) throw std::range_error("item 500");
        return x;
      },
      numbers(1000));
}

TEST(ParallelMap, first_failure_ends_the_map_and_every_lease) {
  asio::io_context context;
  ResourcePool pool(context.get_executor(), small_config());
  EXPECT_THROW(run_in(context, map_failing(pool)), std::exception);
  EXPECT_TRUE(run_until(context, [&] { return pool.status().active_tasks == 0; }));
}

// One of two workers is taken for long: the other does the map, and nobody waits for the first.
TEST(ParallelMap, needs_no_more_workers_than_are_free) {
  asio::io_context context;
  ResourcePool pool(context.get_executor(), small_config());
  const auto held = run_in(context, hold(pool, "long"));
  const auto squares = run_in(context, parallel_map(pool, "map", square, numbers(50)));
  EXPECT_EQ(squares.size(), 50u);
  EXPECT_EQ(squares.back(), 49 * 49);
  EXPECT_TRUE(run_until(context, [&] { return pool.load() == 1; }));  // its second lane has left
}

TEST(ParallelMap, a_lane_without_a_worker_in_time_is_no_failure) {
  asio::io_context context;
  ResourceConfig config = small_config();
  config.acquire_timeout = 300ms;
  ResourcePool pool(context.get_executor(), config);
  const auto held = run_in(context, hold(pool, "long"));
  MapOptions options;
  options.chunk = 1;
  const auto slowly = [](int x) {
    usleep(50'000);
    return x;
  };
  EXPECT_EQ(run_in(context, parallel_map(pool, "map", slowly, numbers(10), options)).size(), 10u);
  const auto other = run_in(context, hold(pool, "long, too"));
  EXPECT_TRUE(error_of<AcquireTimeoutError>(
      context, parallel_map(pool, "map", square, numbers(10), options)));
}

TEST(ParallelMap, a_failure_in_the_last_chunk_is_not_lost) {
  asio::io_context context;
  ResourcePool pool(context.get_executor(), small_config());
  MapOptions options;
  options.chunk = 1;
  const auto last_fails = [](int x) {
    if (x == 9) throw std::out_of_range("nine");
    return x;
  };
  const auto error = error_of<std::out_of_range>(
      context, parallel_map(pool, "map", last_fails, numbers(10), options));
  EXPECT_STREQ(error->what(), "nine");
}

// Lanes begin on other threads while the first one has handed out everything already: none of them
// may wait for a worker that it does not need.
TEST(ParallelMap, no_dismissal_is_lost_on_a_context_with_several_threads) {
  asio::io_context context;
  ResourceConfig config = small_config();
  config.isolation = Isolation::thread;
  ResourcePool pool(context.get_executor(), config);
  const auto held = run_in(context, hold(pool, "long"));
  auto work = asio::make_work_guard(context);
  context.restart();
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) threads.emplace_back([&] { context.run(); });
  MapOptions options;
  options.chunk = 8;
  options.workers = 8;
  for (int round = 0; round < 500; ++round) {
    auto job = parallel_map(pool, "map", square, numbers(8), options);
    auto squares = asio::co_spawn(context, std::move(job), asio::use_future);
    const auto state = squares.wait_for(20s);
    EXPECT_EQ(state, std::future_status::ready) << "a lane waits for ever, round " << round;
    if (state != std::future_status::ready) break;
    ASSERT_EQ(squares.get().back(), 49);
  }
  context.stop();
  for (auto& each : threads) each.join();
}

asio::awaitable<void> resize_to(ResourcePool& pool, std::size_t count) {
  co_await pool.resize(count);
}

TEST(ParallelMap, takes_as_many_workers_as_the_pool_has_now) {
  asio::io_context context;
  ResourceConfig config = small_config();
  config.isolation = Isolation::thread;
  ResourcePool pool(context.get_executor(), config);
  run_in(context, resize_to(pool, 4));
  EXPECT_EQ(pool.max_workers(), 4u);
  EXPECT_EQ(pool.config().max_workers, 2u);
  MapOptions options;
  options.chunk = 1;
  static std::atomic<int> inside;
  inside = 0;
  const auto meet = [](int) {  // returns when four are here at a time
    ++inside;
    const auto until = std::chrono::steady_clock::now() + 10s;
    while (inside < 4 && std::chrono::steady_clock::now() < until) std::this_thread::yield();
    return inside.load() >= 4;
  };
  EXPECT_EQ(run_in(context, parallel_map(pool, "map", meet, numbers(4), options)),
            (std::vector<bool>(4, true)));
}

// The fifteenth call in its worker stops its chunk: the reply has fewer results than items.
int stop_at_the_fifteenth(int x) {
  static int calls = 0;
  if (++calls == 15) codec::exchange_between_items([](std::size_t) { return false; });
  return x;
}
constexpr auto stops_a_chunk = [](int x) { return stop_at_the_fifteenth(x); };

asio::awaitable<std::vector<int>> map_with_a_stop(ResourcePool& pool) {
  auto worker = co_await pool.acquire_worker("map");
  MapOptions options;
  options.chunk = 10;
  co_return co_await worker.map(stops_a_chunk, numbers(100), options);
}

TEST(WorkerMap, a_reply_with_too_few_results_is_no_reply) {
  asio::io_context context;
  ResourceConfig config = small_config();
  config.max_workers = 1;
  ResourcePool pool(context.get_executor(), config);
  const auto error = error_of<codec::DecodeError>(context, map_with_a_stop(pool));
  ASSERT_TRUE(error);
  EXPECT_THAT(error->what(), testing::HasSubstr("5 results for 10 items"));
}

TEST(ParallelMap, a_reply_with_too_few_results_is_no_reply) {
  asio::io_context context;
  ResourceConfig config = small_config();
  config.max_workers = 1;
  ResourcePool pool(context.get_executor(), config);
  MapOptions options;
  options.chunk = 10;
  const auto error = error_of<codec::DecodeError>(
      context, parallel_map(pool, "map", stops_a_chunk, numbers(100), options));
  ASSERT_TRUE(error);
  EXPECT_THAT(error->what(), testing::HasSubstr("5 results for 10 items"));
}

// Real kernel: sinks of 2 ms on three threads.
TEST(ParallelMap, lanes_report_one_at_a_time_and_never_less_than_before) {
  asio::io_context context;
  ResourceConfig config = small_config();
  config.isolation = Isolation::thread;
  config.max_workers = 3;
  ResourcePool pool(context.get_executor(), config);
  auto work = asio::make_work_guard(context);
  std::vector<std::jthread> threads;
  for (int i = 0; i < 3; ++i) threads.emplace_back([&] { context.run(); });
  std::atomic<int> inside = 0;
  int most = 0;
  std::vector<double> seen;
  MapOptions options;
  options.chunk = 1;
  options.progress = [&](double percent, std::string_view) {
    most = std::max(most, ++inside);
    std::this_thread::sleep_for(2ms);
    seen.push_back(percent);
    --inside;
  };
  auto job = parallel_map(pool, "map", square, numbers(60), options);
  auto squares = asio::co_spawn(context, std::move(job), asio::use_future);
  ASSERT_EQ(squares.wait_for(20s), std::future_status::ready);
  EXPECT_EQ(inside, 0);
  EXPECT_EQ(most, 1);
  EXPECT_TRUE(std::is_sorted(seen.begin(), seen.end()));
  EXPECT_EQ(seen.back(), 100.0);
  context.stop();
}

// The chunk of the other lane ends later: nobody hears of it any more.
TEST(ParallelMap, a_cancelled_map_reports_no_more) {
  asio::io_context context;
  ResourcePool pool(context.get_executor(), small_config());
  run_in(context, pool.warm_up(2));
  asio::cancellation_signal signal;
  bool ended = false;
  int before = 0, after = 0;
  MapOptions options;
  options.chunk = 1;
  options.progress = [&](double, std::string_view) {
    ++(ended ? after : before);
    asio::post(context, [&] { signal.emit(asio::cancellation_type::terminal); });
  };
  const auto slowly = [](int x) {
    usleep(20'000);
    return x;
  };
  asio::co_spawn(context, parallel_map(pool, "map", slowly, numbers(50), options),
                 asio::bind_cancellation_slot(signal.slot(),
                                              [&](std::exception_ptr failure, std::vector<int>) {
                                                ended = true;
                                                EXPECT_TRUE(failure);
                                              }));
  EXPECT_TRUE(run_until(context, [&] { return ended && pool.status().active_tasks == 0; }));
  EXPECT_GE(before, 1);
  EXPECT_EQ(after, 0);
}

}  // namespace
}  // namespace reeve::test
