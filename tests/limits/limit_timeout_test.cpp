// What a wait that ends in vain says: which limit, with which figures, and who was in front.
#include <reeve/limits.hpp>

#include "tests/support/pch.hpp"

namespace reeve::limits {
namespace {

using boost::asio::awaitable;
using std::chrono::milliseconds;
using ::testing::HasSubstr;

struct FakeProbe final : UsageProbe {
  Sample sample() override { return now; }
  Sample now;
};

class LimitTimeout : public ::testing::Test {
 protected:
  struct Outcome {
    bool granted = false;
    Blocker blocker = Blocker::none;
    std::string text;
  };
  LimitTimeout() {
    probe_->now.memory_total = 100_GiB;
    probe_->now.memory_percent = 50;
    config_.probe = probe_;
    config_.clock = &clock_;
    config_.check_interval = milliseconds{10};
  }
  ResourceLimiter make(int tasks) {
    config_.limits.max_concurrent_tasks = tasks;
    return ResourceLimiter(context_.get_executor(), config_);
  }
  static awaitable<void> take(ResourceLimiter& limiter, milliseconds timeout, ByteSize memory,
                              Outcome& outcome) {
    try {
      const auto slot = co_await limiter.acquire_task_slot(timeout, memory);
      outcome.granted = true;
    } catch (const LimitTimeoutError& e) {
      outcome.blocker = e.blocker();
      outcome.text = e.what();
    }
  }
  void ask(ResourceLimiter& limiter, milliseconds timeout, ByteSize memory, Outcome& outcome) {
    boost::asio::co_spawn(context_, take(limiter, timeout, memory, outcome), boost::asio::detached);
  }
  void run() {
    context_.restart();
    context_.run();
  }

  std::shared_ptr<FakeProbe> probe_ = std::make_shared<FakeProbe>();
  ManualClock clock_;
  LimiterConfig config_;
  boost::asio::io_context context_;
};

TEST_F(LimitTimeout, NamesMemoryAlsoWhereASmallerOneBehindIsGranted) {
  auto limiter = make(10);
  const auto held = limiter.try_acquire_task_slot(20_GiB);
  Outcome large, small;
  ask(limiter, milliseconds{1}, 15_GiB, large);
  ask(limiter, std::chrono::hours{1}, 1_GiB, small);
  run();
  EXPECT_TRUE(small.granted);
  EXPECT_FALSE(large.granted);
  EXPECT_EQ(large.blocker, Blocker::memory);
  EXPECT_THAT(large.text, HasSubstr("memory is at its limit (50.0 % in use, 20.0 % granted lately "
                                    "and 15.0 % declared, of 80 %)"));
}

TEST_F(LimitTimeout, NamesTheQueueWhereOnlyOthersWereInTheWay) {
  auto limiter = make(10);
  const auto held = limiter.try_acquire_task_slot(20_GiB);
  Outcome large, small;
  ask(limiter, std::chrono::hours{1}, 15_GiB, large);
  ask(limiter, milliseconds{1}, 1_GiB, small);
  context_.poll();
  const StartAdvice advice = limiter.can_start_task(1_GiB);
  EXPECT_FALSE(advice.can_start);
  EXPECT_EQ(advice.blocker, Blocker::queue);
  while (small.text.empty()) context_.run_one();
  EXPECT_EQ(small.blocker, Blocker::queue);
  EXPECT_THAT(small.text, HasSubstr("no limit stood in the way and 1 others waited in front"));
  EXPECT_FALSE(large.granted);
  Limits wide = limiter.limits();
  wide.max_memory_percent = 100;
  limiter.set_limits(wide);
  run();
  EXPECT_TRUE(large.granted);
}

TEST_F(LimitTimeout, GivesTheLoadAndItsLimit) {
  const auto refused = [&] {
    auto limiter = make(10);
    Outcome outcome;
    ask(limiter, milliseconds{1}, {}, outcome);
    run();
    return outcome;
  };
  probe_->now.cpu_percent = 91.25;
  const Outcome cpu = refused();
  EXPECT_EQ(cpu.blocker, Blocker::cpu);
  EXPECT_THAT(cpu.text, HasSubstr("cpu is at its limit (91.2 % of 80 %"));
  probe_->now.cpu_percent = 0;
  probe_->now.gpu_percent = 97;
  const Outcome gpu = refused();
  EXPECT_EQ(gpu.blocker, Blocker::gpu);
  EXPECT_THAT(gpu.text, HasSubstr("gpu is at its limit (97.0 % of 80 %"));
}

TEST_F(LimitTimeout, OfALockNamesTheLockAndADeadlockItsRemedy) {
  auto limiter = make(10);
  const auto held = limiter.acquire_model_lock_blocking("m", milliseconds{1}, "task-1");
  try {
    (void)limiter.acquire_model_lock_blocking("m", milliseconds{1}, "task-2");
    FAIL();
  } catch (const LimitTimeoutError& e) {
    EXPECT_EQ(e.blocker(), Blocker::lock);
    EXPECT_THAT(e.what(), HasSubstr("'m' was locked for all of 1 ms"));
  }
  try {
    (void)limiter.acquire_model_lock_blocking("m", milliseconds{1}, "task-1");
    FAIL();
  } catch (const LimitDeadlockError& e) {
    EXPECT_THAT(e.what(), HasSubstr("release that lock first"));
  }
}

}  // namespace
}  // namespace reeve::limits
