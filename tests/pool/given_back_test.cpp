// A lease that is given back while somebody still uses it: everybody who waits is told.
#include <reeve/pool/worker_lease.hpp>

#include <signal.h>
#include <unistd.h>

#include <thread>

#include "tests/pool/audit_support.hpp"
#include "tests/pool/ending.hpp"

namespace reeve::test {
namespace {

void spin() {
  for (volatile bool on = true; on;) continue;
}
void take_400_ms() {
  usleep(400'000);
}

asio::awaitable<void> spin_on(WorkerLease& lease) {
  auto call = lease.run<&spin>();
  co_await std::move(call);
}

class GivenBack : public testing::TestWithParam<Isolation> {
 protected:
  bool of_processes() const { return GetParam() == Isolation::process; }
  ResourceConfig config() const {
    ResourceConfig result = small_config();
    result.isolation = GetParam();
    return result;
  }
  asio::io_context context;
};

void heed() {
  while (!this_worker::stop_requested()) usleep(1000);
}

asio::awaitable<void> heed_on(WorkerLease& lease) {
  auto call = lease.run<&heed>();
  co_await std::move(call);
}

TEST_P(GivenBack, in_mid_call_the_call_ends) {
  ResourcePool pool(context.get_executor(), config());
  auto lease = run_in(context, hold(pool, "left"));
  Ending ending;
  asio::co_spawn(context, heed_on(*lease), ending.note());
  context.restart();
  context.run_for(20ms);
  lease.reset();
  ASSERT_TRUE(run_until(context, [&] { return ending.known; }));
  EXPECT_THROW(ending.rethrow(), WorkerLostError);
  expect_pool_works(context, pool);
  EXPECT_EQ(pool.status().active_tasks, 0u);
  EXPECT_EQ(pool.status().deaths.cancelled, 1u);
  expect_audit_holds(pool);
}

TEST_P(GivenBack, whoever_waits_for_its_revocation_is_woken) {
  ResourcePool pool(context.get_executor(), config());
  auto lease = run_in(context, hold(pool, "watched"));
  Ending ending;
  asio::co_spawn(context, lease->wait_revoked(), ending.note());
  context.restart();
  context.run_for(5ms);
  ASSERT_FALSE(ending.known);
  lease.reset();
  ASSERT_TRUE(run_until(context, [&] { return ending.known; }));
  EXPECT_NO_THROW(ending.rethrow());
  expect_pool_works(context, pool);
}

TEST_P(GivenBack, before_its_watch_has_begun_the_watch_ends) {
  ResourcePool pool(context.get_executor(), config());
  auto lease = run_in(context, hold(pool, "watched late"));
  Ending ending;
  asio::co_spawn(context, lease->wait_revoked(), ending.note());
  lease.reset();
  ASSERT_TRUE(run_until(context, [&] { return ending.known; }));
  EXPECT_NO_THROW(ending.rethrow());
  const auto first = run_in(context, hold(pool, "first"));
  const auto second = run_in(context, hold(pool, "second"));
  EXPECT_EQ(first->task(), "first") << "two leases, one memory";
  EXPECT_NE(first->id(), second->id());
}

TEST_P(GivenBack, with_a_watch_that_never_begins_leaves_nothing) {
  ResourcePool pool(context.get_executor(), config());
  {
    auto lease = run_in(context, hold(pool, "never watched"));
    auto watch = lease->wait_revoked();
    lease.reset();
  }
  expect_pool_works(context, pool);
  EXPECT_EQ(pool.status().active_tasks, 0u);
}

asio::awaitable<void> call_when_time_is_up(ResourcePool& pool) {
  auto lease = co_await pool.acquire_worker("late");
  asio::steady_timer timer(co_await asio::this_coro::executor, 101ms);
  asio::steady_timer soon(co_await asio::this_coro::executor, 5ms);
  co_await soon.async_wait(asio::use_awaitable);  // the pool's alarm is set
  std::this_thread::sleep_for(120ms);             // it and the timer ring in the same turn
  co_await timer.async_wait(asio::use_awaitable);
  auto call = lease.run<&heed>();
  co_await std::move(call);
}

// What ended the lease has not been told yet when the call comes.
TEST_P(GivenBack, a_call_that_comes_as_the_time_is_up_ends) {
  ResourceConfig late = config();
  late.worker_timeout = 100ms;
  ResourcePool pool(context.get_executor(), late);
  run_in(context, pool.warm_up(1));
  const auto error = error_of<WorkerTimeoutError>(context, call_when_time_is_up(pool), 5s);
  ASSERT_TRUE(error);
  EXPECT_EQ(error->evidence().time_limit, 100ms);
  expect_pool_works(context, pool);
}

INSTANTIATE_TEST_SUITE_P(Isolation, GivenBack,
                         testing::Values(Isolation::process, Isolation::thread),
                         [](const auto& test) {
                           return test.param == Isolation::thread ? "thread" : "process";
                         });

// The warden has ended it for its time, which the program has not heard of yet.
TEST(PoolGivenBack, after_its_time_the_call_hears_of_the_time) {
  asio::io_context context;
  ResourceConfig config = small_config();
  config.worker_timeout = 100ms;
  ResourcePool pool(context.get_executor(), config);
  auto lease = run_in(context, hold(pool, "late"));
  const int pid = lease->pid();
  Ending ending;
  asio::co_spawn(context, spin_on(*lease), ending.note());
  context.restart();
  context.run_for(20ms);
  for (int i = 0; i < 5000 && kill(pid, 0) == 0; ++i) usleep(1000);  // the context sleeps
  lease.reset();
  ASSERT_TRUE(run_until(context, [&] { return ending.known; }));
  try {
    ending.rethrow();
    ADD_FAILURE() << "nothing was thrown";
  } catch (const WorkerTimeoutError& error) {
    EXPECT_EQ(error.evidence().mechanism, "deadline");
    EXPECT_GE(error.evidence().elapsed, error.evidence().time_limit);
  }
  expect_pool_works(context, pool);
  EXPECT_EQ(pool.status().deaths.timeout, 1u);
  expect_audit_holds(pool);
}

/// A lease whose worker was killed, so that the next one sets itself up under it, for 400 ms.
class BetweenWorkers : public testing::Test {
 protected:
  void SetUp() override {
    config.max_workers = 1;
    config.initializer = Initializer::make<&take_400_ms>();
    config.idle_timeout = 200ms;
  }
  std::shared_ptr<WorkerLease> kill_worker_of_a_lease() {
    auto lease = run_in(context, take());
    const int first = lease->pid();
    kill(first, SIGKILL);
    const auto comes = [&] { return next().state == WorkerState::starting && next().pid > 0; };
    EXPECT_TRUE(run_until(context, comes));
    EXPECT_NE(next().pid, first);
    return lease;
  }
  bool has_workers() const {
    for (const WorkerStatus& worker : pool->status().workers) {
      if (worker.state != WorkerState::empty) return true;
    }
    return false;
  }
  WorkerStatus next() const { return pool->status().workers.at(0); }
  // Counts that do not add up would keep it from starting anybody once the idle ones are gone.
  void expect_a_worker_for_the_next() {
    EXPECT_TRUE(run_until(context, [&] { return pool->status().available_workers == 1; }));
    const auto gone = [&] { return pool->status().deaths.recycled > 0 && !has_workers(); };
    EXPECT_TRUE(run_until(context, gone));
    AcquireOptions options;
    options.timeout = 5s;
    EXPECT_NO_THROW(run_in(context, give_back_at_once(options)));
    expect_audit_holds(*pool);
  }
  asio::awaitable<std::shared_ptr<WorkerLease>> take() {
    auto lease = co_await pool->acquire_worker("first", lease_options);
    co_return std::make_shared<WorkerLease>(std::move(lease));
  }
  asio::awaitable<void> give_back_at_once(AcquireOptions options) {
    auto worker = co_await pool->acquire_worker("second", options);
    EXPECT_GT(worker.pid(), 0);
  }
  asio::io_context context;
  ResourceConfig config = small_config();
  AcquireOptions lease_options;
  std::optional<ResourcePool> pool;
};

TEST_F(BetweenWorkers, a_lease_is_given_back_in_mid_call) {
  pool.emplace(context.get_executor(), config);
  auto lease = kill_worker_of_a_lease();
  Ending ending;
  asio::co_spawn(context, spin_on(*lease), ending.note());
  context.restart();
  context.run_for(20ms);
  lease.reset();
  ASSERT_TRUE(run_until(context, [&] { return ending.known; }));
  EXPECT_THROW(ending.rethrow(), WorkerLostError);
  expect_a_worker_for_the_next();
}

TEST_F(BetweenWorkers, a_lease_is_given_back_after_its_time) {
  lease_options.time_limit = 300ms;
  pool.emplace(context.get_executor(), config);
  run_in(context, pool->warm_up(1));
  auto lease = kill_worker_of_a_lease();
  const int pid = next().pid;
  for (int i = 0; i < 5000 && kill(pid, 0) == 0; ++i) usleep(1000);  // the context sleeps
  EXPECT_FALSE(lease->revoked());
  lease.reset();
  expect_a_worker_for_the_next();
}

}  // namespace
}  // namespace reeve::test
