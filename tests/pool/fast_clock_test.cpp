// The pool's cheap clock against the system's.
#include "pool/fast_clock.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "pool/core.hpp"

namespace reeve::detail {
namespace {

// Real clocks: what a reading differs by is bounded by the two system readings around it.
TEST(FastClockTest, AgreesWithTheSystemClockAndNeverGoesBack) {
  FastClock clock;
  std::vector<std::int64_t> outside;
  std::int64_t last = 0;
  const std::int64_t end = now_ns() + 30'000'000;
  for (std::int64_t before = now_ns(); before < end;) {
    const std::int64_t reading = clock.now();
    const std::int64_t after = now_ns();
    EXPECT_GE(reading, last);
    last = reading;
    outside.push_back(std::max({std::int64_t{0}, before - reading, reading - after}));
    before = after;
  }
  std::ranges::nth_element(outside, outside.begin() + static_cast<long>(outside.size() * 99 / 100));
  EXPECT_LT(outside[outside.size() * 99 / 100], 1'000) << "ns outside of the readings around it";
}

TEST(FastClockTest, IsRightAfterALongPause) {
  FastClock clock;
  const std::int64_t busy_until = now_ns() + 3'000'000;
  while (now_ns() < busy_until) clock.now();
  const std::int64_t pause_until = now_ns() + 5'000'000;  // beyond the millisecond it counts
  while (now_ns() < pause_until) {
  }
  const std::int64_t before = now_ns();
  const std::int64_t reading = clock.now();
  EXPECT_GE(reading, before);
  EXPECT_LE(reading, now_ns());
}

}  // namespace
}  // namespace reeve::detail
