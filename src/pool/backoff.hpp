// How long to wait after a worker could not be started.
#pragma once

#include <chrono>

namespace reeve::detail {

/// 0, 10, 50, 250 ms, 1.25 s, then 5 s: the first retry is at once, a broken machine is not
/// hammered.
constexpr std::chrono::milliseconds backoff_delay(unsigned failures) noexcept {
  if (failures <= 1) return std::chrono::milliseconds{0};
  std::chrono::milliseconds delay{10};
  for (unsigned i = 2; i < failures && delay < std::chrono::seconds{5}; ++i) delay *= 5;
  return delay < std::chrono::seconds{5} ? delay : std::chrono::seconds{5};
}
static_assert(backoff_delay(1).count() == 0);
static_assert(backoff_delay(2).count() == 10);
static_assert(backoff_delay(3).count() == 50);
static_assert(backoff_delay(4).count() == 250);
static_assert(backoff_delay(5).count() == 1250);
static_assert(backoff_delay(100).count() == 5000);

/// After so many failures in a row waiters are told instead of waiting on.
inline constexpr unsigned failures_until_degraded = 4;

}  // namespace reeve::detail
