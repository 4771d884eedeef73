// Who is served by which worker: devices, failing starts, a pool that closes, and who hears of it.
#include <reeve/pool/resource_pool.hpp>

#include "tests/pool/pool_test_support.hpp"

namespace reeve::test {
namespace {

using Leases = std::vector<std::shared_ptr<WorkerLease>>;

AcquireOptions device(const char* name, std::chrono::milliseconds timeout = 20s) {
  AcquireOptions options;
  options.device = name;
  options.timeout = timeout;
  return options;
}

/// An acquire beside the test, and its lease.
struct Acquire {
  Acquire(asio::io_context& context, ResourcePool& pool, const AcquireOptions& options) {
    asio::co_spawn(context, take(pool, options, lease), [this](std::exception_ptr e) {
      ended = true;
      failure = e;
    });
  }
  static asio::awaitable<void> take(ResourcePool pool, AcquireOptions options,
                                    std::optional<WorkerLease>& to) {
    auto granted = co_await pool.acquire_worker("acquire", options);
    to.emplace(std::move(granted));
  }
  bool ended = false;
  std::exception_ptr failure;
  std::optional<WorkerLease> lease;
};

class PoolWaiting : public testing::Test {
 protected:
  void SetUp() override {
    config.isolation = Isolation::thread;
    config.max_workers = 1;
  }
  void turn(std::chrono::milliseconds time = 20ms) {
    run_until(context, [] { return false; }, time);
  }
  WorkerLease lease_of(ResourcePool& pool, const char* name) {
    auto lease = pool.try_acquire("holds", device(name));
    if (!lease) throw std::runtime_error("no idle worker for the test");
    return std::move(*lease);
  }
  asio::io_context context;
  ResourceConfig config = small_config();
};

TEST_F(PoolWaiting, an_idle_worker_is_not_kept_from_who_can_use_it) {
  config.max_workers = 2;
  config.devices = {"cpu", "cuda:0"};
  ResourcePool pool(context.get_executor(), config);
  run_in(context, pool.warm_up(2));
  const WorkerLease gpu = lease_of(pool, "cuda:0");
  const Acquire in_front(context, pool, device("cuda:0"));
  turn();
  ASSERT_EQ(pool.status().waiting, 1u);
  {
    const Acquire any(context, pool, AcquireOptions());
    EXPECT_TRUE(run_until(context, [&] { return any.lease.has_value(); })) << "beside an idle one";
  }
  turn();
  EXPECT_TRUE(pool.try_acquire("any"));
  EXPECT_FALSE(pool.try_acquire("gpu", device("cuda:0")));
  EXPECT_FALSE(in_front.ended);
}

TEST_F(PoolWaiting, warm_up_hears_of_a_worker_that_went_straight_to_a_waiter) {
  ResourcePool pool(context.get_executor(), config);
  const Acquire first(context, pool, AcquireOptions());
  bool warm = false;
  asio::co_spawn(context, pool.warm_up(1), [&](std::exception_ptr) { warm = true; });
  EXPECT_TRUE(run_until(context, [&] { return warm; }, 5s));
  EXPECT_TRUE(first.lease);
}

std::atomic<int> starts{0};

void fail_from_second_on() {
  if (++starts >= 2) throw std::runtime_error("no more of them");
}

TEST_F(PoolWaiting, a_living_worker_serves_while_no_other_can_be_started) {
  starts = 0;
  config.max_workers = 2;
  config.initializer = Initializer::make<&fail_from_second_on>();
  ResourcePool pool(context.get_executor(), config);
  auto first = run_in(context, hold(pool, "first"));
  EXPECT_TRUE(error_of<PoolDegradedError>(context, hold(pool, "second")));
  EXPECT_TRUE(run_until(context, [&] { return pool.health() == PoolHealth::degraded; }));
  EXPECT_NO_THROW(run_in(context, pool.resize(2)));
  first.reset();
  EXPECT_EQ(pool.health(), PoolHealth::ready) << "an acquire would be served";
  for (int i = 0; i < 3; ++i) expect_pool_works(context, pool);
  EXPECT_TRUE(pool.try_acquire("at once"));
  EXPECT_NO_THROW(run_in(context, pool.warm_up(1)));
}

void fail_the_second() {
  if (++starts == 2) throw std::runtime_error("once");
}

TEST_F(PoolWaiting, a_drain_tries_again_to_start_who_serves_the_waiting) {
  starts = 0;
  config.initializer = Initializer::make<&fail_the_second>();
  ResourcePool pool(context.get_executor(), config);
  auto first = run_in(context, hold(pool, "first"));
  Acquire second(context, pool, AcquireOptions());
  turn();
  std::optional<ShutdownReport> report;
  asio::co_spawn(context, pool.shutdown(ShutdownMode::drain, 10s),
                 [&](std::exception_ptr, ShutdownReport r) { report = r; });
  turn();
  std::move(*first).discard();
  ASSERT_TRUE(run_until(context, [&] { return second.ended; }, 5s));
  EXPECT_TRUE(second.lease) << "it was refused";
  second.lease.reset();
  ASSERT_TRUE(run_until(context, [&] { return report.has_value(); }));
  EXPECT_FALSE(report->deadline_reached);
  EXPECT_EQ(report->cancelled, 0u);
}

TEST_F(PoolWaiting, room_is_made_for_whoever_has_no_worker_not_only_for_the_first) {
  config.max_workers = 3;
  config.devices = {"cpu", "cuda:0", "cuda:1"};
  ResourcePool pool(context.get_executor(), config);
  run_in(context, pool.warm_up(3));
  const WorkerLease cpu = lease_of(pool, "cpu");
  std::optional<WorkerLease> surplus = lease_of(pool, "cuda:0");
  std::optional<WorkerLease> other = lease_of(pool, "cuda:1");
  run_in(context, pool.resize(2));
  surplus.reset();
  ASSERT_TRUE(run_until(context, [&] { return pool.status().live_workers == 2; }));
  turn();
  const Acquire wants_cpu(context, pool, device("cpu"));
  const Acquire wants_gpu(context, pool, device("cuda:0"));
  turn();
  ASSERT_EQ(pool.status().waiting, 2u);
  other.reset();
  EXPECT_TRUE(run_until(context, [&] { return wants_gpu.lease.has_value(); }, 5s));
  EXPECT_FALSE(wants_cpu.ended);
}

std::atomic<bool> go_on{false};
void be_stubborn() {
  while (!go_on) usleep(1000);
}
void count_start() {
  ++starts;
}

TEST_F(PoolWaiting, a_closed_pool_starts_nobody_for_a_thread_that_cannot_be_ended) {
  starts = 0;
  go_on = false;
  config.initializer = Initializer::make<&count_start>();
  ResourcePool pool(context.get_executor(), config);
  const auto lease = run_in(context, hold(pool, "stubborn"));
  spawn(context, lease->run<&be_stubborn>());
  turn();
  ASSERT_EQ(starts, 1);
  const auto report = run_in(context, pool.shutdown(ShutdownMode::kill, 5s));
  EXPECT_EQ(report.quarantined, 1u);
  turn(100ms);
  EXPECT_EQ(starts, 1) << "workers set themselves up in a closed pool";
  go_on = true;
}

}  // namespace
}  // namespace reeve::test
