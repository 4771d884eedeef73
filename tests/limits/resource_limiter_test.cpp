// Slots, model locks, load limits, timeouts, cancellation.
#include <reeve/limits.hpp>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <cmath>

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
    EXPECT_THAT(e.what(), ::testing::HasSubstr("tasks is at its limit (1 of 1 slots are out)"));
  }
  EXPECT_EQ(limiter.resource_usage().waiting, 0u);
}

TEST_F(LimiterTest, LoadStopsStartsWithHysteresis) {
  auto limiter = make(10);
  load(81);
  EXPECT_EQ(limiter.can_start_task().blocker, Blocker::cpu);
  load(79);
  EXPECT_TRUE(limiter.can_start_task().can_start) << "advice stopped no start";
  load(81);
  EXPECT_FALSE(limiter.try_acquire_task_slot());
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

TEST_F(LimiterTest, TheLoadIsWatchedForASlotAlsoWhileALockIsWaitedFor) {
  auto limiter = make(10);
  const auto held = limiter.acquire_model_lock_blocking("m", milliseconds{1});
  bool locked = false, granted = false;
  auto locker = [&]() -> awaitable<void> {
    const auto lock = co_await limiter.acquire_model_lock("m", std::chrono::hours{1});
    locked = true;
  };
  auto worker = [&]() -> awaitable<void> {
    const auto slot = co_await limiter.acquire_task_slot(std::chrono::hours{1});
    granted = true;
  };
  boost::asio::co_spawn(context_, locker(), boost::asio::detached);
  context_.poll();
  load(99);
  boost::asio::co_spawn(context_, worker(), boost::asio::detached);
  context_.restart();
  context_.poll();
  EXPECT_FALSE(granted);
  load(1);
  while (!granted) context_.run_one();
  EXPECT_FALSE(locked);
}

TEST_F(LimiterTest, WaitForResourcesTakesNothingAndSaysWhetherItWasPossible) {
  auto limiter = make(1);
  std::vector<bool> answers;
  auto ask = [&](milliseconds timeout) -> awaitable<void> {
    const bool possible = co_await limiter.wait_for_resources(timeout);
    answers.push_back(possible);
  };
  boost::asio::co_spawn(context_, ask(milliseconds{1}), boost::asio::detached);
  context_.run();
  EXPECT_EQ(answers, std::vector<bool>{true});
  EXPECT_EQ(limiter.resource_usage().tasks, 0);
  auto held = limiter.try_acquire_task_slot();
  boost::asio::co_spawn(context_, ask(milliseconds{1}), boost::asio::detached);
  context_.restart();
  context_.run();
  EXPECT_EQ(answers, (std::vector<bool>{true, false}));
  boost::asio::co_spawn(context_, ask(std::chrono::hours{1}), boost::asio::detached);
  context_.restart();
  context_.poll();
  held.reset();
  context_.run();
  EXPECT_EQ(answers, (std::vector<bool>{true, false, true}));
}

TEST_F(LimiterTest, WaitForResourcesBlocksACallerWithoutCoroutines) {
  auto limiter = make(1);
  EXPECT_TRUE(limiter.wait_for_resources_blocking(milliseconds{1}));
  auto held = limiter.try_acquire_task_slot();
  EXPECT_TRUE(held) << "nothing was taken";
  EXPECT_FALSE(limiter.wait_for_resources_blocking(milliseconds{1}));
  std::thread other([&held] { held.reset(); });
  EXPECT_TRUE(limiter.wait_for_resources_blocking(std::chrono::hours{1}));
  other.join();
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

TEST_F(LimiterTest, AModelHasANameOf1To256Bytes) {
  auto limiter = make();
  for (const std::size_t size : {0, 257}) {
    const std::string name(size, 'x');
    EXPECT_THROW((void)limiter.acquire_model_lock_blocking(name, milliseconds{1}), ConfigError);
    EXPECT_THROW(limiter.register_model_usage(name, 1_GiB), ConfigError);
  }
  const std::string longest(256, 'x');
  EXPECT_TRUE(limiter.acquire_model_lock_blocking(longest, milliseconds{1}));
  limiter.register_model_usage(longest, 1_GiB);
  EXPECT_EQ(limiter.resource_usage().models.size(), 1u);
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

// ------------------------------------------------------------------------------------------------
// A probe that fails, and waits that begin too late.

struct FailingProbe final : UsageProbe {
  explicit FailingProbe(int good) : good_looks(good) {}
  Sample sample() override {
    if (++looks > good_looks) throw std::runtime_error("the load cannot be read");
    return Sample{99};
  }
  int good_looks;
  std::atomic<int> looks = 0;
};

TEST_F(LimiterTest, AProbeThatThrowsLeavesTheLastSample) {
  const auto probe = std::make_shared<FailingProbe>(1);
  config_.probe = probe;
  auto limiter = make();
  for (int i = 1; i <= 3; ++i) {
    clock_.advance(milliseconds{10});
    EXPECT_EQ(limiter.can_start_task().blocker, Blocker::cpu);
    EXPECT_EQ(limiter.resource_usage().sample_age, milliseconds{10} * i);
    EXPECT_EQ(probe->looks, 1 + i) << "once per interval, also in vain";
  }
  EXPECT_EQ(limiter.resource_usage().sample.cpu_percent, 99);
}

TEST_F(LimiterTest, AProbeThatThrowsEndsNeitherTheKeeperNorAWait) {
  const auto probe = std::make_shared<FailingProbe>(1);
  config_.probe = probe;
  config_.clock = &SystemClock::instance();
  auto limiter = make();
  EXPECT_THROW((void)limiter.acquire_task_slot_blocking(milliseconds{50}), LimitTimeoutError);
  EXPECT_GE(probe->looks, 2);
}

TEST_F(LimiterTest, TheFirstLookMayFailTheConstructor) {
  config_.probe = std::make_shared<FailingProbe>(0);
  EXPECT_THROW((void)make(), std::runtime_error);
}

TEST_F(LimiterTest, AWaitThatBeginsAfterTheEndIsAborted) {
  config_.limits.max_concurrent_tasks = 1;
  auto limiter = std::make_unique<ResourceLimiter>(context_.get_executor(), config_);
  const auto held = limiter->try_acquire_task_slot();
  const auto locked = limiter->acquire_model_lock_blocking("m", milliseconds{1});
  auto slot = limiter->acquire_task_slot(std::chrono::hours{1});
  auto pass = limiter->wait_for_resources(std::chrono::hours{1});
  auto lock = limiter->acquire_model_lock("m", std::chrono::hours{1});
  auto free_lock = limiter->acquire_model_lock("free", std::chrono::hours{1});
  limiter.reset();
  int aborted = 0;
  const auto count = [&](std::exception_ptr failure, const auto&) {
    try {
      if (failure) std::rethrow_exception(failure);
    } catch (const boost::system::system_error& error) {
      aborted += error.code() == boost::asio::error::operation_aborted;
    }
  };
  boost::asio::co_spawn(context_, std::move(slot), count);
  boost::asio::co_spawn(context_, std::move(pass), count);
  boost::asio::co_spawn(context_, std::move(lock), count);
  boost::asio::co_spawn(context_, std::move(free_lock), count);
  context_.poll();
  EXPECT_EQ(aborted, 4);
}

}  // namespace
}  // namespace reeve::limits
