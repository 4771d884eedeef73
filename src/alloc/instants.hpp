// Places in a short ascending list of instants.
#pragma once

#include <cstdint>

#include "reeve/alloc/result.hpp"

namespace reeve::alloc::detail {

/// The last of `count` ascending instants that is not after `t`. Preconditions: the first is not.
inline std::uint32_t last_at_most(const Time* at, std::uint32_t count, Time t) {
  std::uint32_t low = 0;
  while (count > 1) {
    const auto half = count / 2;
    low += at[low + half] <= t ? half : 0;
    count -= half;
  }
  return low;
}

/// How many of `count` ascending instants are before `t`.
inline std::uint32_t count_before(const Time* at, std::uint32_t count, Time t) {
  if (count == 0 || at[0] >= t) return 0;
  return last_at_most(at, count, t - 1) + 1;
}

}  // namespace reeve::alloc::detail
