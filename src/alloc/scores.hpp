// How much a piece would leave on a resource, and how full the resource is, in millionths.
#pragma once

#include <algorithm>

#include "alloc/fraction.hpp"

namespace reeve::alloc::detail {

/// The dimensions in which `amount` asks for something, as bits.
inline std::uint8_t dims_of(const Amounts& amount) {
  unsigned bits = 0;
  for (DimId d = 0; d < max_dims; ++d) bits |= static_cast<unsigned>(amount[d] > 0) << d;
  return static_cast<std::uint8_t>(bits);
}

/// The sum, over `dims`, of what `free` leaves of `largest`.
inline std::int64_t left_over(const Amounts& free, const Amounts& largest, std::uint8_t dims) {
  std::int64_t left = 0;
  for (DimId d = 0; d < max_dims; ++d)
    if (dims >> d & 1) left += ppm(free[d], largest[d]);
  return left;
}

/// The least, over `dims`, of what `free` leaves of `largest`.
inline std::int64_t tightest(const Amounts& free, const Amounts& largest, std::uint8_t dims) {
  std::int64_t least = INT64_MAX;
  for (DimId d = 0; d < max_dims; ++d)
    if (dims >> d & 1) least = std::min(least, ppm(free[d], largest[d]));
  return least;
}

/// The utilisation of the fullest of `dims`.
inline std::int64_t fullest(const Amounts& free, const Amounts& capacity, std::uint8_t dims) {
  std::int64_t used = 0;
  for (DimId d = 0; d < max_dims; ++d)
    if (dims >> d & 1) used = std::max(used, ppm(capacity[d] - free[d], capacity[d]));
  return used;
}

}  // namespace reeve::alloc::detail
