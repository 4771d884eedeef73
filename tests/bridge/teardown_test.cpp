// Coroutines under a scheduler are destroyed after each of their steps, and run on several threads:
// every worker comes back, to the pool and to the ledger.
#include "tests/bridge/bridge_test_support.hpp"

namespace reeve::test {
namespace {

using Token = std::shared_ptr<int>;  // one copy per living frame

SchedulerConfig urgent_and_patient() {
  SchedulerConfig config = of({{"urgent", 1, 5}, {"patient"}}, SchedulingPolicy::priority);
  config.preemption.grace = 0ms;
  return config;
}

asio::awaitable<void> patient(WorkerScheduler scheduler, [[maybe_unused]] Token token, int& ended) {
  WorkerRequest request;
  request.preemptible = true;
  for (int i = 0; i < 2; ++i) {
    try {
      auto lease = co_await scheduler.acquire_worker("patient", request);
      const int sum = co_await lease.run<&add>(40, 2);
      EXPECT_EQ(sum, 42);
    } catch (const WorkerPreemptedError&) {
    }
  }
  ++ended;
}

asio::awaitable<void> urgent(WorkerScheduler scheduler, [[maybe_unused]] Token token, int& ended) {
  for (int i = 0; i < 2; ++i) {
    auto lease = co_await scheduler.acquire_worker("urgent");
    const int sum = co_await lease.run<&add>(40, 2);
    EXPECT_EQ(sum, 42);
    const auto reserved = [&]() -> std::optional<bridge::WorkerReservation> {
      try {
        return scheduler.reserve("urgent", 1, SystemClock::instance().now() + 1h, 1h);
      } catch (const bridge::ReservationRefusedError&) {
        return std::nullopt;
      }
    }();
    co_await lease.run<&add>(1, 1);
  }
  ++ended;
}

constexpr int lives = 4;

void start_lives(asio::io_context& context, WorkerScheduler& scheduler, const Token& token,
                 int& ended) {
  for (int i = 0; i < lives / 2; ++i) {
    spawn(context, patient(scheduler, token, ended));
    spawn(context, urgent(scheduler, token, ended));
  }
}

ResourceConfig one_worker() {
  ResourceConfig config = thread_config(1);
  config.worker_timeout = 20s;
  return config;
}

TEST(BridgeTeardown, OfItsUsersAfterEachStepReturnsEveryWorker) {
  asio::io_context pools;
  ResourcePool pool(pools.get_executor(), one_worker());
  run_in(pools, pool.warm_up(1));
  WorkerScheduler scheduler(pool, urgent_and_patient());
  const Token token = std::make_shared<int>(0);
  int ended = 0;
  int steps = 0;
  for (; ended < lives && steps < 1000; ++steps) {
    ended = 0;
    {
      asio::io_context context;
      start_lives(context, scheduler, token, ended);
      const auto work = asio::make_work_guard(pools);
      for (int step = 0; step < steps && ended < lives;) {
        context.restart();
        if (context.poll_one() > 0) {
          ++step;
        } else {
          pools.restart();
          pools.run_one_for(200us);
        }
      }
    }
    ASSERT_EQ(token.use_count(), 1) << "a frame is left after " << steps << " steps";
    const auto settled = [&] {
      const auto status = scheduler.status();
      return status.leased + status.coming + status.waiting + status.reserved == 0 &&
             status.differences.empty() && pool.status().active_tasks == 0;
    };
    ASSERT_TRUE(run_until(pools, settled)) << "a worker is lost after " << steps << " steps";
  }
  EXPECT_EQ(ended, lives) << "not even the last run came to its end";
  EXPECT_GT(steps, 20);
}

TEST(BridgeTeardown, OfTheContextAfterEachStepLeavesNothing) {
  const Token token = std::make_shared<int>(0);
  int ended = 0;
  int steps = 0;
  for (; ended < lives && steps < 1000; ++steps) {
    ended = 0;
    std::optional<ResourcePool> pool;
    std::optional<WorkerScheduler> scheduler;
    {
      asio::io_context context;
      pool.emplace(context.get_executor(), one_worker());
      scheduler.emplace(*pool, urgent_and_patient());
      start_lives(context, *scheduler, token, ended);
      const auto work = asio::make_work_guard(context);
      for (int step = 0; step < steps && ended < lives; ++step) {
        context.restart();
        context.run_one_for(5ms);
      }
    }
    ASSERT_EQ(token.use_count(), 1) << "a frame is left after " << steps << " steps";
    const auto status = scheduler->status();
    ASSERT_EQ(status.leased + status.coming + status.waiting + status.reserved, 0U) << steps;
    ASSERT_TRUE(status.differences.empty());
  }
  EXPECT_EQ(ended, lives) << "not even the last run came to its end";
}

// ------------------------------------------------------------------------------------------------

struct Crowd {
  std::atomic<int> running{0};
  std::atomic<int> served{0};
  std::atomic<int> preempted{0};
  std::atomic<int> late{0};
};

asio::awaitable<void> customer(WorkerScheduler scheduler, std::string name, int number,
                               Crowd& crowd) {
  WorkerRequest request;
  for (int i = 0; i < 40; ++i) {
    request.preemptible = (number + i) % 3 != 0;
    request.priority = (number * 7 + i) % 3;
    request.timeout = std::chrono::milliseconds((number + i) % 10 == 0 ? 1 : 60'000);
    try {
      auto lease = co_await scheduler.acquire_worker(name, request);
      const int sum = co_await lease.run<&add>(20, 22);
      EXPECT_EQ(sum, 42);
      ++crowd.served;
    } catch (const WorkerPreemptedError&) {
      ++crowd.preempted;
    } catch (const AcquireTimeoutError&) {
      ++crowd.late;
    }
  }
  --crowd.running;
}

TEST(BridgeThreads, ACrowdOnFourThreadsLosesNothing) {
  asio::io_context context(4);
  ResourceConfig pool_config = thread_config(3);
  ResourcePool pool(context.get_executor(), pool_config);
  SchedulerConfig config =
      of({{"a", 2}, {"b", 1, 1}, {"c", 1, 0, WorkerQuota{1, bridge::unlimited, 0}}});
  config.preemption.grace = 1ms;
  config.preemption.by_share = true;
  WorkerScheduler scheduler(pool, config);
  Crowd crowd;
  constexpr int customers = 30;
  crowd.running = customers;
  for (int i = 0; i < customers; ++i) {
    const std::string name(1, static_cast<char>('a' + i % 3));
    spawn(context, customer(scheduler, name, i, crowd));
  }
  const auto work = asio::make_work_guard(context);
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) threads.emplace_back([&] { context.run(); });
  const auto until = std::chrono::steady_clock::now() + 90s;
  while (crowd.running > 0 && std::chrono::steady_clock::now() < until) {
    const auto status = scheduler.status();
    EXPECT_LE(status.leased + status.coming + status.reserved, 3U);
    EXPECT_TRUE(status.differences.empty());
    std::this_thread::yield();
  }
  context.stop();
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(crowd.running, 0) << "it hangs";
  EXPECT_EQ(crowd.served + crowd.preempted + crowd.late, customers * 40);
  const auto settled = [&] {
    const auto status = scheduler.status();
    return status.leased + status.coming + status.waiting == 0 && status.differences.empty() &&
           pool.status().active_tasks == 0;
  };
  EXPECT_TRUE(run_until(context, settled));
}

}  // namespace
}  // namespace reeve::test
