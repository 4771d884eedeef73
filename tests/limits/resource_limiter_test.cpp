// Slots, model locks, load limits, timeouts, cancellation; a million random steps in the full run.
#include <reeve/limits.hpp>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <cmath>
#include <cstdlib>
#include <random>

#include "tests/support/pch.hpp"

namespace reeve::limits {
namespace {

using boost::asio::awaitable;
using std::chrono::milliseconds;

struct FakeProbe final : UsageProbe {
  Sample sample() override { return now; }
  Sample now;
};

class LimiterTest : public ::testing::Test {
 protected:
  LimiterTest() {
    config_.probe = probe_;
    config_.clock = &clock_;
    config_.check_interval = milliseconds{10};
  }
  ResourceLimiter make(int tasks = 2) {
    config_.limits.max_concurrent_tasks = tasks;
    return ResourceLimiter(context_.get_executor(), config_);
  }
  void load(double cpu) {
    probe_->now.cpu_percent = cpu;
    clock_.advance(milliseconds{10});
  }

  std::shared_ptr<FakeProbe> probe_ = std::make_shared<FakeProbe>();
  ManualClock clock_;
  LimiterConfig config_;
  boost::asio::io_context context_;
};

TEST_F(LimiterTest, GrantsUpToTheLimitAndTakesBack) {
  auto limiter = make(2);
  auto a = limiter.try_acquire_task_slot();
  auto b = limiter.try_acquire_task_slot();
  EXPECT_TRUE(a && b);
  EXPECT_FALSE(limiter.try_acquire_task_slot());
  EXPECT_EQ(limiter.can_start_task().blocker, Blocker::tasks);
  a.reset();
  EXPECT_TRUE(limiter.can_start_task().can_start);
  b->release();
  EXPECT_EQ(limiter.resource_usage().tasks, 0);
}

TEST_F(LimiterTest, WaitersAreServedInOrder) {
  auto limiter = make(1);
  std::vector<int> order;
  auto held = limiter.try_acquire_task_slot();
  auto worker = [&](int n) -> awaitable<void> {
    const auto slot = co_await limiter.acquire_task_slot(std::chrono::hours{1});
    order.push_back(n);
  };
  for (int n = 0; n < 50; ++n) boost::asio::co_spawn(context_, worker(n), boost::asio::detached);
  context_.poll();
  EXPECT_EQ(limiter.resource_usage().waiting, 50u);
  EXPECT_FALSE(limiter.try_acquire_task_slot());
  held.reset();
  context_.restart();
  context_.run();
  for (int n = 0; n < 50; ++n) EXPECT_EQ(order.at(n), n);
  EXPECT_EQ(limiter.resource_usage().tasks, 0);
}

TEST_F(LimiterTest, TimeoutNamesWhatStoodInTheWay) {
  auto limiter = make(1);
  const auto held = limiter.try_acquire_task_slot();
  try {
    (void)limiter.acquire_task_slot_blocking(milliseconds{1});
    FAIL();
  } catch (const LimitTimeoutError& e) {
    EXPECT_EQ(e.blocker(), Blocker::tasks);
    EXPECT_THAT(e.what(), ::testing::HasSubstr("tasks is at its limit"));
  }
  EXPECT_EQ(limiter.resource_usage().waiting, 0u);
}

TEST_F(LimiterTest, LoadStopsStartsWithHysteresis) {
  auto limiter = make(10);
  load(81);
  EXPECT_EQ(limiter.can_start_task().blocker, Blocker::cpu);
  load(79);
  EXPECT_EQ(limiter.can_start_task().blocker, Blocker::cpu);
  load(77.9);
  EXPECT_TRUE(limiter.can_start_task().can_start);
  probe_->now.gpu_percent = 95;
  load(10);
  EXPECT_EQ(limiter.can_start_task().blocker, Blocker::gpu);
}

TEST_F(LimiterTest, AWaiterStartsWhenTheLoadFalls) {
  auto limiter = make(10);
  load(99);
  EXPECT_FALSE(limiter.can_start_task().can_start);
  bool granted = false;
  auto worker = [&]() -> awaitable<void> {
    const auto slot = co_await limiter.acquire_task_slot(std::chrono::hours{1});
    granted = true;
  };
  boost::asio::co_spawn(context_, worker(), boost::asio::detached);
  context_.poll();
  EXPECT_FALSE(granted);
  load(1);
  context_.restart();
  context_.run();
  EXPECT_TRUE(granted);
}

TEST_F(LimiterTest, DeclaredMemoryIsReservedAtTheGrantAndSettles) {
  probe_->now.memory_total = 100_GiB;
  probe_->now.memory_percent = 50;
  auto limiter = make(10);
  const auto first = limiter.try_acquire_task_slot(20_GiB);
  ASSERT_TRUE(first);
  EXPECT_FALSE(limiter.try_acquire_task_slot(20_GiB));
  EXPECT_EQ(limiter.can_start_task(20_GiB).blocker, Blocker::memory);
  EXPECT_EQ(limiter.resource_usage().reserved, 20_GiB);
  clock_.advance(config_.settle_time);
  EXPECT_TRUE(limiter.try_acquire_task_slot(20_GiB))
      << "by now the sample shows what the first one uses";
  EXPECT_THROW((void)limiter.acquire_task_slot_blocking(milliseconds{1}, 90_GiB), ConfigError);
}

TEST_F(LimiterTest, CancelledWaiterLeavesItsPlace) {
  auto limiter = make(1);
  auto held = limiter.try_acquire_task_slot();
  boost::asio::cancellation_signal signal;
  bool aborted = false, second = false;
  auto worker = [&](bool* done) -> awaitable<void> {
    const auto slot = co_await limiter.acquire_task_slot(std::chrono::hours{1});
    *done = true;
  };
  bool first = false;
  boost::asio::co_spawn(context_, worker(&first),
                        boost::asio::bind_cancellation_slot(
                            signal.slot(), [&](std::exception_ptr e) { aborted = e != nullptr; }));
  boost::asio::co_spawn(context_, worker(&second), boost::asio::detached);
  context_.poll();
  signal.emit(boost::asio::cancellation_type::terminal);
  context_.restart();
  context_.poll();
  held.reset();
  context_.restart();
  context_.run();
  EXPECT_TRUE(aborted);
  EXPECT_FALSE(first);
  EXPECT_TRUE(second);
}

TEST_F(LimiterTest, ModelLockHasOneHolderInOrderAndRefusesItself) {
  auto limiter = make(5);
  auto lock = limiter.acquire_model_lock_blocking("biomedlm", milliseconds{1}, "task-1");
  EXPECT_THROW((void)limiter.acquire_model_lock_blocking("biomedlm", milliseconds{1}, "task-1"),
               LimitDeadlockError);
  EXPECT_THROW((void)limiter.acquire_model_lock_blocking("biomedlm", milliseconds{1}, "task-2"),
               LimitTimeoutError);
  EXPECT_TRUE(limiter.acquire_model_lock_blocking("other", milliseconds{1}, "task-1"));
  std::vector<int> order;
  auto worker = [&](int n) -> awaitable<void> {
    const auto mine = co_await limiter.acquire_model_lock("biomedlm", std::chrono::hours{1});
    order.push_back(n);
  };
  for (int n = 0; n < 5; ++n) boost::asio::co_spawn(context_, worker(n), boost::asio::detached);
  context_.poll();
  lock.release();
  context_.restart();
  context_.run();
  EXPECT_EQ(order, (std::vector<int>{0, 1, 2, 3, 4}));
  EXPECT_TRUE(limiter.acquire_model_lock_blocking("biomedlm", milliseconds{1}));
}

TEST_F(LimiterTest, SetLimitsIsAllOrNothingAndLoweringKillsNothing) {
  auto limiter = make(3);
  auto a = limiter.try_acquire_task_slot(), b = limiter.try_acquire_task_slot();
  Limits bad = limiter.limits();
  bad.max_concurrent_tasks = 1;
  bad.max_cpu_percent = std::nan("");
  EXPECT_THROW(limiter.set_limits(bad), ConfigError);
  EXPECT_EQ(limiter.limits().max_concurrent_tasks, 3);
  bad.max_cpu_percent = 50;
  limiter.set_limits(bad);
  EXPECT_EQ(limiter.resource_usage().tasks, 2);
  a.reset();
  EXPECT_FALSE(limiter.try_acquire_task_slot());
  b.reset();
  EXPECT_TRUE(limiter.try_acquire_task_slot());
}

TEST_F(LimiterTest, ModelUsageIsReported) {
  auto limiter = make();
  limiter.register_model_usage("biomedlm", 1_GiB);
  EXPECT_EQ(limiter.resource_usage().models.at("biomedlm"), 1_GiB);
  limiter.register_model_usage("biomedlm", {});
  EXPECT_TRUE(limiter.resource_usage().models.empty());
}

TEST(LimiterEnvironment, IsReadStrictlyAndNamesTheVariable) {
  ::setenv("MAX_CPU_PERCENT", "90.5", 1);
  ::setenv("MAX_CONCURRENT_TASKS", "7", 1);
  EXPECT_EQ(LimiterConfig::from_environment().limits.max_cpu_percent, 90.5);
  EXPECT_EQ(LimiterConfig::from_environment().limits.max_concurrent_tasks, 7);
  for (const char* bad : {"", "abc", "101", "0", "nan", "90 ", "-1"}) {
    ::setenv("MAX_CPU_PERCENT", bad, 1);
    try {
      LimiterConfig::from_environment();
      FAIL() << bad;
    } catch (const ConfigError& e) {
      EXPECT_THAT(e.what(), ::testing::HasSubstr("MAX_CPU_PERCENT"));
    }
  }
  ::unsetenv("MAX_CPU_PERCENT");
  ::unsetenv("MAX_CONCURRENT_TASKS");
}

TEST(SystemProbe, SeesThisMachine) {
  const auto sample = make_system_probe()->sample();
  EXPECT_GT(sample.memory_total, 64_MiB);
  EXPECT_GT(sample.memory_percent, 0);
  EXPECT_LE(sample.memory_percent, 100);
}

/// Random acquire, cancel and timeout from coroutines; `in_use` counts what is really held.
void stress(int steps) {
  boost::asio::io_context context;
  LimiterConfig config;
  config.probe = std::make_shared<FakeProbe>();
  config.limits.max_concurrent_tasks = 3;
  ResourceLimiter limiter(context.get_executor(), config);
  std::mt19937 random(5);
  int in_use = 0, most = 0, done = 0;
  auto worker = [&](milliseconds timeout, int hold) -> awaitable<void> {
    try {
      const auto slot = co_await limiter.acquire_task_slot(timeout);
      most = std::max(most, ++in_use);
      const std::shared_ptr<void> leave(nullptr, [&in_use](void*) { --in_use; });
      for (int i = 0; i < hold; ++i)
        co_await boost::asio::post(context, boost::asio::use_awaitable);
    } catch (const LimitTimeoutError&) {
    } catch (const boost::system::system_error&) {
    }
  };
  while (done < steps) {
    constexpr int batch = 100;
    std::vector<std::unique_ptr<boost::asio::cancellation_signal>> signals;
    for (int i = 0; i < batch; ++i) {
      signals.push_back(std::make_unique<boost::asio::cancellation_signal>());
      const milliseconds timeout = random() % 50 == 0 ? milliseconds{0} : milliseconds{60'000};
      boost::asio::co_spawn(
          context, worker(timeout, random() % 3),
          boost::asio::bind_cancellation_slot(signals.back()->slot(), [](std::exception_ptr) {}));
    }
    done += batch;
    context.restart();
    context.poll_one();
    for (int i = 0; i < 20; ++i) {
      signals[random() % batch]->emit(boost::asio::cancellation_type::terminal);
      context.poll_one();
    }
    context.restart();
    context.run();
    ASSERT_EQ(limiter.resource_usage().tasks, 0);
  }
  EXPECT_LE(most, 3);
  EXPECT_EQ(in_use, 0);
}

TEST(LimiterStress, TwentyThousandRandomSteps) {
  stress(20'000);
}
TEST(LimiterStressFull, AMillionRandomSteps) {
  stress(1'000'000);
}

TEST(LimiterThreads, SlotsFromTwoThreadsNeverExceedTheLimit) {
  boost::asio::io_context context;
  LimiterConfig config;
  config.probe = std::make_shared<FakeProbe>();
  config.limits.max_concurrent_tasks = 2;
  ResourceLimiter limiter(context.get_executor(), config);
  std::atomic<int> in_use{0}, most{0};
  auto worker = [&]() -> awaitable<void> {
    for (int i = 0; i < 200; ++i) {
      const auto slot = co_await limiter.acquire_task_slot(std::chrono::minutes{1});
      const int now = ++in_use;
      if (now > most) most = now;
      --in_use;
    }
  };
  for (int i = 0; i < 20; ++i) boost::asio::co_spawn(context, worker(), boost::asio::detached);
  std::thread other([&] { context.run(); });
  context.run();
  other.join();
  EXPECT_LE(most.load(), 2);
  EXPECT_EQ(limiter.resource_usage().tasks, 0);
}

}  // namespace
}  // namespace reeve::limits
