// The number of workers changes under load (scenario 59).
#include <sys/resource.h>

#include <random>
#include <reeve/audit.hpp>

#include "tests/pool/scenario_support.hpp"

namespace reeve::test {
namespace {

struct Load {
  bool stop = false;
  int running = 0;
  std::uint64_t calls = 0;
  std::uint64_t crashes = 0;
  std::string fault;
};

int crash_sometimes(int number) {
  if (number % 16 == 0) raise(SIGSEGV);
  return number + 1;
}

asio::awaitable<void> work_on(ResourcePool& pool, Load& load, bool crashes) {
  ++load.running;
  for (int i = 1; !load.stop && load.fault.empty(); ++i) {
    try {
      auto worker = co_await pool.acquire_worker("load");
      const int next =
          crashes ? co_await worker.run<&crash_sometimes>(i) : co_await worker.run<&add>(i, 1);
      if (next != i + 1) load.fault = "the result of another call";
      ++load.calls;
    } catch (const WorkerCrashedError&) {
      ++load.crashes;
    } catch (const std::exception& e) {
      load.fault = e.what();
    }
  }
  --load.running;
}

asio::awaitable<void> resize_often(ResourcePool& pool, int times, std::size_t most, Load& load) {
  std::mt19937 random(59);
  for (int i = 0; i < times; ++i) {
    co_await pool.resize(1 + random() % most);
    const std::uint64_t seen = load.calls;
    while (load.calls == seen && load.fault.empty()) co_await asio::post(asio::use_awaitable);
  }
  co_await pool.resize(most);
  load.stop = true;
}

/// `times` resizes, each with at least one call between them.
void resize_under_load(ResourceConfig config, int times, bool crashes) {
  asio::io_context context;
  constexpr std::size_t most = 4;
  config.max_workers = most;
  config.audit_ring = 1 << 20;
  ResourcePool pool(context.get_executor(), config);
  Load load;
  for (int i = 0; i < 8; ++i) {
    spawn(context, work_on(pool, load, crashes && i % 4 == 0));
  }
  spawn(context, resize_often(pool, times, most, load));
  EXPECT_TRUE(run_until(
      context, [&] { return load.stop && load.running == 0; }, 60s))
      << load.fault;
  EXPECT_EQ(load.fault, "");
  EXPECT_GE(load.calls, static_cast<std::uint64_t>(times));
  const auto settled = [&] {
    const PoolStatus status = pool.status();
    return status.active_tasks == 0 && status.waiting == 0 && status.live_workers <= most;
  };
  EXPECT_TRUE(run_until(context, settled));
  EXPECT_EQ(pool.status().deaths.lost, 0u);
  EXPECT_EQ(pool.status().deaths.crashed, load.crashes);
  expect_pool_works(context, pool);
  run_in(context, pool.shutdown());
  audit::VerifyOptions options;
  options.complete = true;
  const audit::Report report = audit::verify(pool.audit_events(), options);
  EXPECT_TRUE(report.ok()) << report.text();
}

// 59
TEST(PoolResize, thousand_times_under_load_of_thread_workers) {
  ResourceConfig config = small_config();
  config.isolation = Isolation::thread;
  resize_under_load(config, 1000, false);
}
TEST(PoolResize, thousand_times_under_load) {
  resize_under_load(small_config(), 1000, false);
}
// 59
TEST(PoolResize, hundreds_of_times_while_workers_crash) {
  resize_under_load(small_config(), 300, true);
}

// 59
TEST(PoolResize, below_the_number_of_leases_waits_for_nobody) {
  asio::io_context context;
  ResourceConfig config = small_config();
  config.max_workers = 3;
  ResourcePool pool(context.get_executor(), config);
  auto first = run_in(context, hold(pool, "first"));
  auto second = run_in(context, hold(pool, "second"));
  auto third = run_in(context, hold(pool, "third"));
  run_in(context, pool.resize(1));
  EXPECT_EQ(pool.status().total_workers, 1u);
  EXPECT_EQ(pool.status().active_tasks, 3u) << "leases keep their workers";
  EXPECT_EQ(run_in(context, third->run<&add>(1, 2)), 3);
  first.reset(), second.reset();
  EXPECT_TRUE(run_until(context, [&] { return pool.status().live_workers == 1; }));
  EXPECT_FALSE(pool.try_acquire("beyond the new size"));
  third.reset();
  EXPECT_TRUE(run_until(context, [&] { return pool.status().available_workers == 1; }));
  expect_pool_works(context, pool);
}

// What a pool could not be made with it does not become.
TEST(PoolResize, to_an_impossible_size_is_refused_and_changes_nothing) {
  asio::io_context context;
  ResourceConfig config = small_config();
  config.min_workers = 2;
  ResourcePool pool(context.get_executor(), config);
  const auto refusal = [&](std::size_t size) {
    const auto error = error_of<ConfigError>(context, pool.resize(size));
    return std::string(error ? error->what() : "accepted");
  };
  EXPECT_THAT(refusal(0), testing::HasSubstr("max_workers is 0; a pool has 1 to 4096"));
  EXPECT_THAT(refusal(4097), testing::HasSubstr("max_workers is 4097"));
  EXPECT_THAT(refusal(1), testing::HasSubstr("min_workers is 2, above max_workers = 1"));
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  const rlimit few{std::min<rlim_t>(files.rlim_cur, 512), files.rlim_max};
  setrlimit(RLIMIT_NOFILE, &few);
  EXPECT_THAT(refusal(1000), testing::HasSubstr("1000 workers need"));
  setrlimit(RLIMIT_NOFILE, &files);
  EXPECT_EQ(pool.status().total_workers, config.max_workers);
  expect_pool_works(context, pool);
}

TEST(PoolResize, serves_those_who_wait_for_more) {
  asio::io_context context;
  ResourceConfig config = small_config();
  config.max_workers = 1;
  ResourcePool pool(context.get_executor(), config);
  const auto held = run_in(context, hold(pool, "held"));
  int served = 0;
  for (int i = 0; i < 3; ++i) {
    asio::co_spawn(context, call_once<&add>(pool, "waits", i, 1),
                   [&](std::exception_ptr failure, int) { served += failure == nullptr; });
  }
  ASSERT_TRUE(run_until(context, [&] { return pool.status().waiting == 3; }));
  run_in(context, pool.resize(2));
  EXPECT_TRUE(run_until(context, [&] { return served == 3; }));
}

TEST(PoolResize, refuses_senseless_sizes_and_closed_pools) {
  asio::io_context context;
  ResourcePool pool(context.get_executor(), small_config());
  EXPECT_TRUE(error_of<ConfigError>(context, pool.resize(0)));
  EXPECT_TRUE(error_of<ConfigError>(context, pool.resize(4097)));
  EXPECT_EQ(pool.status().total_workers, 2u);
  run_in(context, pool.shutdown());
  EXPECT_TRUE(error_of<PoolClosedError>(context, pool.resize(1)));
}

}  // namespace
}  // namespace reeve::test
