// One context on four threads: customers come, work, give up and go, while other threads look on,
// take what is free and resize the pool. Most useful under ThreadSanitizer.
#include <boost/asio/use_future.hpp>
#include <reeve/async/with_timeout.hpp>
#include <reeve/audit.hpp>

#include "tests/pool/scenario_support.hpp"

namespace reeve::test {
namespace {

constexpr int customer_count = 200;
constexpr std::size_t thread_count = 4;
constexpr std::size_t worker_count = 4;

struct Tally {
  std::atomic<int> answered{0};
  std::atomic<int> given_up{0};
  std::atomic<int> refused{0};
  std::atomic<int> handed_over{0};
  std::atomic<int> ended{0};
};

asio::awaitable<void> work(ResourcePool& pool, int x, Tally& tally) {
  auto worker = co_await pool.acquire_worker("work");
  auto call = worker.run<&double_it>(x);
  const int result = co_await std::move(call);
  EXPECT_EQ(result, 2 * x);
  ++tally.answered;
}

asio::awaitable<void> work_without_end(ResourcePool& pool) {
  auto worker = co_await pool.acquire_worker("endless");
  auto call = worker.run<&work_until_stopped>();
  co_await std::move(call);
}

// Cancelled while it waits or while it works, as it happens.
asio::awaitable<void> give_up(ResourcePool& pool, int number, Tally& tally) {
  try {
    auto work = work_without_end(pool);
    co_await async::with_timeout(std::move(work), std::chrono::milliseconds(1 + number % 60));
    ADD_FAILURE() << "endless work has ended";
  } catch (const async::TimeoutError&) {
    ++tally.given_up;
  }
}

asio::awaitable<void> be_impatient(ResourcePool& pool, int number, Tally& tally) {
  AcquireOptions options;
  options.timeout = std::chrono::milliseconds(1 + number % 7);
  try {
    auto worker = co_await pool.acquire_worker("impatient", options);
    ++tally.answered;
  } catch (const AcquireTimeoutError&) {
    ++tally.refused;
  }
}

// The lease is revoked while its body does something else, or is just done with it.
asio::awaitable<void> stay_in_scope(ResourcePool& pool, int number, Tally& tally) {
  const auto body = [number](WorkerLease& worker) -> asio::awaitable<int> {
    auto call = worker.run<&work_until_stopped>(RunLimits(std::chrono::milliseconds(5)));
    try {
      co_await std::move(call);
    } catch (const WorkerTimeoutError&) {
    }
    for (int i = 0; i < 3 * (number % 20); ++i) co_await asio::post(asio::use_awaitable);
    co_return 1;
  };
  try {
    auto scope = with_worker(pool, "scoped", body);
    tally.answered += co_await std::move(scope);
  } catch (const WorkerTimeoutError&) {
    ++tally.answered;
  }
}

// The lease ends on whichever thread comes along, half of them with a call that was never awaited.
asio::awaitable<void> hand_over(ResourcePool& pool, int number, Tally& tally) {
  auto worker = co_await pool.acquire_worker("handed over");
  if (number % 2 == 0) auto call = worker.run<&double_it>(number);
  auto kept = std::make_shared<WorkerLease>(std::move(worker));
  asio::post(pool.get_executor(), [kept = std::move(kept)]() mutable { kept.reset(); });
  ++tally.handed_over;
}

asio::awaitable<void> visit(ResourcePool& pool, int number, Tally& tally) {
  try {
    switch (number % 5) {
      case 0:
        co_await give_up(pool, number, tally);
        break;
      case 1:
        co_await be_impatient(pool, number, tally);
        break;
      case 2:
        co_await hand_over(pool, number, tally);
        break;
      case 3:
        co_await stay_in_scope(pool, number, tally);
        break;
      default:
        co_await work(pool, number, tally);
        co_await work(pool, number + 1, tally);
    }
  } catch (const std::exception& e) {
    ADD_FAILURE() << "customer " << number << ": " << e.what();
  }
  ++tally.ended;
}

void look_on(const ResourcePool& pool, const std::atomic<bool>& stop) {
  while (!stop.load()) {
    const PoolStatus status = pool.status();
    EXPECT_EQ(status.active_tasks, status.active_task_ids.size());
    EXPECT_LE(status.active_tasks, status.workers.size());
    EXPECT_LE(status.available_workers, status.total_workers);
    EXPECT_FALSE(pool.capabilities().mechanisms.empty());
    for (const audit::Event& event : pool.audit_events()) EXPECT_GT(event.sequence, 0u);
    std::this_thread::sleep_for(500us);
  }
}

void take_what_is_free(ResourcePool& pool, const std::atomic<bool>& stop) {
  for (int taken = 0; !stop.load() && taken < 2000;) {
    taken += pool.try_acquire("passer-by").has_value() ? 1 : 0;
    std::this_thread::sleep_for(200us);
  }
}

void resize_now(ResourcePool& pool, std::size_t workers) {
  asio::co_spawn(pool.get_executor(), pool.resize(workers), asio::use_future).get();
}

void resize_again_and_again(ResourcePool& pool, const std::atomic<bool>& stop) {
  // Bounded: where starts are slow, each smaller size costs workers that are missed for long.
  for (std::size_t round = 0; !stop.load() && round < 40; ++round) {
    resize_now(pool, 2 + round % 5);
    std::this_thread::sleep_for(10ms);
  }
}

template <class Done>
bool wait_until(Done done, std::chrono::seconds patience) {
  const auto until = Clock::now() + patience;
  while (!done()) {
    if (Clock::now() > until) return false;
    std::this_thread::sleep_for(1ms);
  }
  return true;
}

void expect_whole(ResourcePool& pool) {
  const auto settled = [&] {
    const PoolStatus status = pool.status();
    return status.active_tasks == 0 && status.quarantined == 0 &&
           std::none_of(status.workers.begin(), status.workers.end(), [](const WorkerStatus& w) {
             return w.state == WorkerState::ending || w.state == WorkerState::starting;
           });
  };
  EXPECT_TRUE(wait_until(settled, 20s));
  const PoolStatus status = pool.status();
  EXPECT_EQ(status.total_workers, worker_count);
  EXPECT_EQ(status.available_workers, worker_count);
  EXPECT_EQ(status.active_tasks, 0u);
  EXPECT_EQ(status.waiting, 0u);
  EXPECT_LE(status.live_workers, worker_count);
}

void expect_true_trail(const ResourcePool& pool) {
  const auto events = pool.audit_events();
  audit::VerifyOptions options;
  options.complete = true;
  const audit::Report report = audit::verify(events, options);
  EXPECT_TRUE(report.ok()) << report.text();
  EXPECT_EQ(report.active_leases, 0u);
  EXPECT_EQ(report.live_workers, 0u);
  EXPECT_EQ(report.count(audit::EventKind::grant), pool.status().grants);
}

void run_a_busy_day(Isolation isolation) {
  ResourceConfig config = small_config();
  config.isolation = isolation;
  config.max_workers = worker_count;
  config.worker_timeout = config.acquire_timeout = 60s;
  config.audit_ring = 1 << 16;
  asio::io_context context;
  auto guard = asio::make_work_guard(context);
  ResourcePool pool(context.get_executor(), config);
  Tally tally;
  for (int number = 0; number < customer_count; ++number) {
    spawn(context, visit(pool, number, tally));
  }
  std::atomic<bool> stop{false};
  std::vector<std::thread> runners, others;
  for (std::size_t i = 0; i < thread_count; ++i) runners.emplace_back([&] { context.run(); });
  others.emplace_back([&] { look_on(pool, stop); });
  others.emplace_back([&] { take_what_is_free(pool, stop); });
  others.emplace_back([&] { resize_again_and_again(pool, stop); });
  EXPECT_TRUE(wait_until([&] { return tally.ended.load() == customer_count; }, 60s));
  stop = true;
  for (std::thread& other : others) other.join();
  resize_now(pool, worker_count);
  expect_whole(pool);
  EXPECT_EQ(tally.answered + tally.refused, 4 * customer_count / 5);
  EXPECT_EQ(tally.given_up.load(), customer_count / 5);
  EXPECT_EQ(tally.handed_over.load(), customer_count / 5);
  const auto report =
      asio::co_spawn(context, pool.shutdown(ShutdownMode::drain, 20s), asio::use_future).get();
  EXPECT_FALSE(report.deadline_reached);
  guard.reset();
  for (std::thread& runner : runners) runner.join();
  expect_true_trail(pool);
}

TEST(PoolConcurrency, a_busy_day_of_processes) {
  run_a_busy_day(Isolation::process);
}

TEST(PoolConcurrency, a_busy_day_of_threads) {
  run_a_busy_day(Isolation::thread);
}

/// Kills the warden of a pool whose workers are all leased while one more acquire waits.
void lose_the_warden(asio::io_context& context) {
  ResourceConfig config = small_config();
  config.max_workers = 6;
  ResourcePool pool(context.get_executor(), config);
  std::vector<std::shared_ptr<WorkerLease>> leases;
  for (std::size_t i = 0; i < config.max_workers; ++i) {
    leases.push_back(asio::co_spawn(context, hold(pool, "holds"), asio::use_future).get());
  }
  auto waiter = asio::co_spawn(context, hold(pool, "waits"), asio::use_future);
  ASSERT_TRUE(wait_until([&] { return pool.status().waiting == 1; }, 10s));
  kill(parent_pid(leases.front()->pid()), SIGKILL);
  EXPECT_NO_THROW(waiter.get());
  for (const auto& lease : leases) {
    ASSERT_TRUE(wait_until([&] { return lease->revoked(); }, 10s));
    try {
      lease->rethrow_cause();
      ADD_FAILURE() << "a lost lease has a cause";
    } catch (const WorkerLostError& error) {
      EXPECT_THAT(error.what(), testing::EndsWith("its warden ended"));
    }
  }
}

// 49: its socket and its process end at once, and are looked at by several threads.
TEST(PoolConcurrency, a_warden_that_dies_ends_no_link_to_the_next) {
  asio::io_context context;
  auto guard = asio::make_work_guard(context);
  std::vector<std::thread> runners;
  for (std::size_t i = 0; i < thread_count; ++i) runners.emplace_back([&] { context.run(); });
  for (int round = 0; round < 20 && !testing::Test::HasFailure(); ++round) lose_the_warden(context);
  guard.reset();
  context.stop();
  for (std::thread& runner : runners) runner.join();
}

}  // namespace
}  // namespace reeve::test
