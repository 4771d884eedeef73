// Exact comparison of weighted fractions, and parts per million.
#pragma once

#include <compare>
#include <cstdint>

#include "reeve/alloc/quantity.hpp"

namespace reeve::alloc::detail {

__extension__ typedef unsigned __int128 UWide;
__extension__ typedef __int128 Wide;

// a * b * c in 192 bits.
struct Product {
  UWide high;
  std::uint64_t low;
  friend auto operator<=>(const Product& x, const Product& y) {
    return x.high != y.high
               ? (x.high < y.high ? std::strong_ordering::less : std::strong_ordering::greater)
               : x.low <=> y.low;
  }
};

inline Product multiply(std::int64_t a, std::int64_t b, std::uint32_t c) {
  const UWide ab = UWide(static_cast<std::uint64_t>(a)) * static_cast<std::uint64_t>(b);
  const UWide low = UWide(static_cast<std::uint64_t>(ab)) * c;
  return {(ab >> 64) * c + (low >> 64), static_cast<std::uint64_t>(low)};
}

// used / total, not reduced; total > 0.
struct Share {
  std::int64_t used = 0;
  std::int64_t total = 1;
};

// The largest usage / total over the dimensions with a total.
inline Share dominant(const Amounts& usage, const Amounts& total) {
  Share most;
  for (DimId d = 0; d < max_dims; ++d) {
    if (total[d] <= 0) continue;
    const auto used = usage[d] > 0 ? usage[d] : 0;
    if (multiply(used, most.total, 1) > multiply(most.used, total[d], 1)) most = {used, total[d]};
  }
  return most;
}

// a / weight_a against b / weight_b.
inline std::strong_ordering compare(Share a, std::uint32_t weight_a, Share b,
                                    std::uint32_t weight_b) {
  return multiply(a.used, b.total, weight_b) <=> multiply(b.used, a.total, weight_a);
}

// value / of in millionths, rounded down; exact enough to rank, the same everywhere.
inline std::int64_t ppm(std::int64_t value, std::int64_t of) {
  if (of == 0) return 0;
  std::int64_t product = 0;
  if (!__builtin_mul_overflow(value, std::int64_t{1'000'000}, &product)) return product / of;
  return static_cast<std::int64_t>(Wide{value} * 1'000'000 / of);
}

inline std::int64_t saturated(Wide v) {
  return v > INT64_MAX ? INT64_MAX : v < INT64_MIN ? INT64_MIN : static_cast<std::int64_t>(v);
}

}  // namespace reeve::alloc::detail
