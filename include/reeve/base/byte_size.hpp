// An amount of memory that always carries its unit.
#pragma once

#include <compare>
#include <cstdint>
#include <limits>
#include <string>

namespace reeve {

/// A number of bytes. Arithmetic saturates at 0 and at the largest value instead of wrapping, so
/// that a limit computed from untrusted figures can only become stricter or "no limit", never tiny.
class ByteSize {
 public:
  constexpr ByteSize() noexcept = default;
  constexpr explicit ByteSize(std::uint64_t bytes) noexcept : bytes_(bytes) {}

  static constexpr ByteSize max() noexcept {
    return ByteSize{std::numeric_limits<std::uint64_t>::max()};
  }

  constexpr std::uint64_t bytes() const noexcept { return bytes_; }
  constexpr double mebibytes() const noexcept { return static_cast<double>(bytes_) / (1 << 20); }

  constexpr auto operator<=>(const ByteSize&) const noexcept = default;

  friend constexpr ByteSize operator+(ByteSize a, ByteSize b) noexcept {
    const std::uint64_t sum = a.bytes_ + b.bytes_;
    return sum < a.bytes_ ? max() : ByteSize{sum};
  }
  friend constexpr ByteSize operator-(ByteSize a, ByteSize b) noexcept {
    return a.bytes_ < b.bytes_ ? ByteSize{} : ByteSize{a.bytes_ - b.bytes_};
  }
  friend constexpr ByteSize operator*(ByteSize a, std::uint64_t factor) noexcept {
    if (factor != 0 && a.bytes_ > max().bytes_ / factor) return max();
    return ByteSize{a.bytes_ * factor};
  }
  friend constexpr ByteSize operator/(ByteSize a, std::uint64_t divisor) noexcept {
    return ByteSize{a.bytes_ / divisor};
  }
  constexpr ByteSize& operator+=(ByteSize other) noexcept { return *this = *this + other; }
  constexpr ByteSize& operator-=(ByteSize other) noexcept { return *this = *this - other; }

 private:
  std::uint64_t bytes_ = 0;
};

/// "512 B", "1.5 KiB", "2 GiB": binary units, at most one decimal.
std::string to_string(ByteSize size);

inline namespace literals {
inline namespace byte_size_literals {
constexpr ByteSize operator""_B(unsigned long long n) noexcept {
  return ByteSize{n};
}
constexpr ByteSize operator""_KiB(unsigned long long n) noexcept {
  return ByteSize{n} * (1ULL << 10);
}
constexpr ByteSize operator""_MiB(unsigned long long n) noexcept {
  return ByteSize{n} * (1ULL << 20);
}
constexpr ByteSize operator""_GiB(unsigned long long n) noexcept {
  return ByteSize{n} * (1ULL << 30);
}
constexpr ByteSize operator""_TiB(unsigned long long n) noexcept {
  return ByteSize{n} * (1ULL << 40);
}
}  // namespace byte_size_literals
}  // namespace literals

static_assert(2_GiB == ByteSize{2'147'483'648});
static_assert(1_KiB - 2_KiB == 0_B, "subtraction saturates at zero");
static_assert(ByteSize::max() + 1_B == ByteSize::max(), "addition saturates at the largest value");

}  // namespace reeve
