// Looking for short calls instead of sleeping: what is looked for comes, and nobody looks for long.
#include <reeve/pool/config.hpp>

#include <time.h>
#include <unistd.h>

#include "process/layout.hpp"
#include "tests/pool/pool_test_support.hpp"

namespace reeve::test {
namespace {

TEST(Spin, the_average_follows_short_times_fast_and_long_ones_slowly) {
  using process::blend;
  EXPECT_EQ(blend(0, 8'000), 1'000);
  EXPECT_EQ(blend(8'000, 0), 4'000);
  EXPECT_EQ(blend(0, 3'600'000'000'000), 125'000) << "an hour counts as a millisecond";
  std::int64_t average = 1'000'000;
  int calls = 0;
  for (; average > 20'000; ++calls) average = blend(average, 5'000);
  EXPECT_LE(calls, 7) << "a burst of short calls is recognised soon";
}

std::int64_t own_cpu() {
  timespec used{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
  return std::int64_t{used.tv_sec} * 1'000'000'000 + used.tv_nsec;
}
std::int64_t cpu_of_worker() {
  return own_cpu();
}
void sleep_for(int milliseconds) {
  usleep(static_cast<useconds_t>(milliseconds) * 1000);
}

asio::awaitable<std::int64_t> burst(ResourcePool& pool, int calls) {
  std::int64_t used = 0;
  auto worker = co_await pool.acquire_worker("burst");
  for (int i = 0; i < calls; ++i) {
    auto call = worker.run<&cpu_of_worker>();
    used = co_await std::move(call);
  }
  co_return used;
}

// Real processes: with spinning on, every one of many short calls is answered.
TEST(Spin, short_calls_are_answered_with_and_without) {
  for (const int spin : {0, 20, 1000}) {
    asio::io_context context;
    ResourceConfig config = small_config();
    config.spin_time = std::chrono::microseconds(spin);
    ResourcePool pool(context.get_executor(), config);
    EXPECT_GT(run_in(context, burst(pool, 2000)), 0);
  }
}

// Real processes and clocks, 300 ms of waiting after a burst: neither
// side spends more than a fraction of it.
TEST(Spin, nobody_looks_for_long) {
  asio::io_context context;
  ResourcePool pool(context.get_executor(), small_config());
  const std::int64_t worker_before = run_in(context, burst(pool, 200));
  const std::int64_t before = own_cpu();
  run_in(context, call_once<&sleep_for>(pool, "long", 300));
  const std::int64_t program = own_cpu() - before;
  EXPECT_LT(program, 100'000'000) << "ns of CPU while a worker slept";
  usleep(300'000);
  EXPECT_LT(run_in(context, burst(pool, 1)) - worker_before, 100'000'000);
}

}  // namespace
}  // namespace reeve::test
