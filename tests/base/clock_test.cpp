// The two clocks: the real one is the kernel's, the other moves only by hand.
#include <reeve/base/clock.hpp>

#include <time.h>

#include "tests/support/pch.hpp"

namespace reeve {
namespace {

using namespace std::chrono_literals;

Clock::time_point kernel_now() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return Clock::time_point(std::chrono::seconds(now.tv_sec) +
                           std::chrono::nanoseconds(now.tv_nsec));
}

TEST(SystemClock, is_the_monotonic_clock_of_the_kernel) {
  const Clock& clock = SystemClock::instance();
  for (int i = 0; i < 1000; ++i) {
    const auto before = kernel_now();
    const auto now = clock.now();
    const auto after = kernel_now();
    ASSERT_LE(before, now);
    ASSERT_LE(now, after);
  }
}

TEST(SystemClock, has_one_instance) {
  EXPECT_EQ(&SystemClock::instance(), &SystemClock::instance());
}

TEST(ManualClock, stands_still_until_it_is_moved) {
  ManualClock clock;
  const Clock& seen = clock;
  const auto start = seen.now();
  EXPECT_EQ(seen.now(), start);
  clock.advance(3ms);
  EXPECT_EQ(seen.now() - start, 3ms);
  clock.advance(Clock::duration(1));
  EXPECT_EQ(seen.now() - start, 3ms + 1ns);
}

// Zero often means "never": a component must not take the first instant of a test for that.
TEST(ManualClock, does_not_begin_at_zero) {
  EXPECT_GT(ManualClock().now().time_since_epoch(), 0ns);
}

TEST(ManualClock, clocks_do_not_share_their_time) {
  ManualClock one, other;
  one.advance(1h);
  EXPECT_EQ(one.now() - other.now(), 1h);
}

RC_GTEST_PROP(ManualClock, is_the_sum_of_its_steps, (const std::vector<std::uint32_t>& steps)) {
  ManualClock clock;
  auto expected = clock.now();
  for (const std::uint32_t step : steps) {
    clock.advance(Clock::duration(step));
    expected += Clock::duration(step);
    RC_ASSERT(clock.now() == expected);
  }
}

// Threads: what was written before the clock was moved is seen by whoever sees it moved.
TEST(ManualClock, moves_under_the_eyes_of_other_threads) {
  ManualClock clock;
  const auto start = clock.now();
  int written = 0;
  std::thread reader([&] {
    while (clock.now() == start) std::this_thread::yield();
    EXPECT_EQ(written, 42);
  });
  written = 42;
  clock.advance(1ns);
  reader.join();

  constexpr int steps = 10'000;
  const auto move = [&] {
    for (int i = 0; i < steps; ++i) clock.advance(1ns);
  };
  std::thread one(move), other(move);
  one.join();
  other.join();
  EXPECT_EQ(clock.now() - start, std::chrono::nanoseconds(1 + 2 * steps)) << "no step is lost";
}

}  // namespace
}  // namespace reeve
