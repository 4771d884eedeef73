// The pure rule that says whether one more task may start.
#include <reeve/limits/usage.hpp>

#include "tests/support/pch.hpp"

namespace reeve::limits {
namespace {

constexpr Blocker with(const Sample& now, Blocker before = Blocker::none, int tasks = 0,
                       ByteSize reserved = {}, ByteSize need = {}) {
  return judge(Limits{}, now, tasks, reserved, need, before);
}

Sample cpu(double percent) {
  Sample s;
  s.cpu_percent = percent;
  return s;
}
Sample memory(double percent, ByteSize total = 100_GiB) {
  Sample s;
  s.memory_percent = percent;
  s.memory_total = total;
  return s;
}
Sample gpu(double percent) {
  Sample s;
  s.gpu_percent = percent;
  return s;
}

TEST(Judge, EachLimitBlocksFromItsValueOn) {
  EXPECT_EQ(with(cpu(79.99)), Blocker::none);
  EXPECT_EQ(with(cpu(80)), Blocker::cpu);
  EXPECT_EQ(with(memory(79.99)), Blocker::none);
  EXPECT_EQ(with(memory(80)), Blocker::memory);
  EXPECT_EQ(with(gpu(79.99)), Blocker::none);
  EXPECT_EQ(with(gpu(80)), Blocker::gpu);
  EXPECT_EQ(with({}, Blocker::none, 4), Blocker::none);
  EXPECT_EQ(with({}, Blocker::none, 5), Blocker::tasks);
}

TEST(Judge, WithoutAGpuItsLimitIsNotChecked) {
  Limits strict;
  strict.max_gpu_percent = 1;
  EXPECT_EQ(judge(strict, Sample{}, 0, {}, {}, Blocker::gpu), Blocker::none);
}

TEST(Judge, WhatBlockedMustFallTwoPointsBelowItsOwnLimit) {
  EXPECT_EQ(with(cpu(78), Blocker::cpu), Blocker::cpu);
  EXPECT_EQ(with(cpu(77.9), Blocker::cpu), Blocker::none);
  EXPECT_EQ(with(cpu(79), Blocker::memory), Blocker::none) << "only the limit that blocked";
  EXPECT_EQ(with(memory(78.5), Blocker::memory), Blocker::memory);
  EXPECT_EQ(with(gpu(78.5), Blocker::gpu), Blocker::gpu);
  EXPECT_EQ(with({}, Blocker::tasks, 4), Blocker::none) << "slots are counted, not measured";
}

TEST(Judge, ReservedAndDeclaredMemoryCountOnTopOfTheLoad) {
  EXPECT_EQ(with(memory(50), Blocker::none, 0, 20_GiB, 9_GiB), Blocker::none);
  EXPECT_EQ(with(memory(50), Blocker::none, 0, 20_GiB, 10_GiB), Blocker::memory);
  EXPECT_EQ(with(memory(50, ByteSize{}), Blocker::none, 0, 20_GiB, 10_GiB), Blocker::none)
      << "a total that is unknown divides nothing";
}

TEST(Judge, EveryBlockerHasAWord) {
  EXPECT_EQ(to_string(Blocker::none), "none");
  EXPECT_EQ(to_string(Blocker::tasks), "tasks");
  EXPECT_EQ(to_string(Blocker::cpu), "cpu");
  EXPECT_EQ(to_string(Blocker::memory), "memory");
  EXPECT_EQ(to_string(Blocker::gpu), "gpu");
  EXPECT_EQ(to_string(Blocker::queue), "queue");
  EXPECT_EQ(to_string(Blocker::lock), "lock");
}

// Else who declares nearly the limit would wait for ever, and everyone behind.
TEST(Judge, WhatATaskDeclaresIsHeldToTheLimitItself) {
  const Sample idle{.memory_percent = 0.3, .memory_total = 100_GiB};
  EXPECT_EQ(judge({}, idle, 0, {}, 79_GiB, Blocker::memory), Blocker::none);
  EXPECT_EQ(judge({}, idle, 0, {}, 80_GiB, Blocker::memory), Blocker::memory);
  EXPECT_EQ(judge({}, idle, 0, 78_GiB, 1_GiB, Blocker::memory), Blocker::memory) << "the load";
  EXPECT_EQ(judge({}, idle, 0, 78_GiB, 1_GiB, Blocker::none), Blocker::none);
}

RC_GTEST_PROP(JudgeProperty, MoreRoomNeverBlocksWhatFitted, ()) {
  const auto percent = [] { return *rc::gen::inRange(0, 1001) / 10.0; };
  Sample now;
  now.cpu_percent = percent();
  now.memory_percent = percent();
  now.memory_total = 10_GiB;
  if (*rc::gen::arbitrary<bool>()) now.gpu_percent = percent();
  const auto before = static_cast<Blocker>(*rc::gen::inRange(0, 5));
  const int tasks = *rc::gen::inRange(0, 8);
  Limits tight, wide;
  tight.max_cpu_percent = wide.max_cpu_percent = *rc::gen::inRange(1, 101);
  wide.max_cpu_percent = std::min(100.0, wide.max_cpu_percent + *rc::gen::inRange(0, 50));
  wide.max_concurrent_tasks = tight.max_concurrent_tasks + *rc::gen::inRange(0, 5);
  if (judge(tight, now, tasks, {}, {}, before) == Blocker::none)
    RC_ASSERT(judge(wide, now, tasks, {}, {}, before) == Blocker::none);
}

}  // namespace
}  // namespace reeve::limits
