// Time as a parameter: the monotonic clock, and one that tests move by hand.
#pragma once

#include <atomic>
#include <chrono>

namespace reeve {

/// Source of monotonic time (CLOCK_MONOTONIC). Limits, TTLs and cooldowns take one as a parameter.
///
/// Threads: `now` may be called from any.
class Clock {
 public:
  using duration = std::chrono::nanoseconds;
  using time_point = std::chrono::time_point<std::chrono::steady_clock, duration>;

  virtual ~Clock() = default;
  virtual time_point now() const noexcept = 0;
};

/// The real clock. Cost: one vDSO call, about 25 ns.
class SystemClock final : public Clock {
 public:
  time_point now() const noexcept override { return std::chrono::steady_clock::now(); }
  static const SystemClock& instance() noexcept {
    static const SystemClock clock;
    return clock;
  }
};

/// A clock that stands still until a test advances it.
class ManualClock final : public Clock {
 public:
  time_point now() const noexcept override {
    return time_point{duration{now_.load(std::memory_order_acquire)}};
  }
  void advance(duration step) noexcept { now_.fetch_add(step.count(), std::memory_order_acq_rel); }

 private:
  std::atomic<duration::rep> now_{1'000'000'000};
};

}  // namespace reeve
