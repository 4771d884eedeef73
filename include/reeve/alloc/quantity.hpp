// Exact amounts: canonical int64 units, a unit table, and vectors of up to eight dimensions.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "reeve/alloc/result.hpp"

namespace reeve::alloc {

/// What kind of thing a resource is.
enum class ResourceType : std::uint8_t {
  compute,
  memory,
  storage,
  network,
  gpu,
  specialized,
  custom
};

const char* to_string(ResourceType) noexcept;

/// What a unit measures. Canonical units: milli-core, byte, bit per second, milli-GPU, item.
enum class UnitFamily : std::uint8_t { cores, bytes, bandwidth, gpus, items };

/// The family in which amounts of a type are counted.
UnitFamily family_of(ResourceType) noexcept;

/// What refusals count amounts of a type in: the canonical unit of its family.
Counted counted_in(ResourceType) noexcept;

/// One row of the unit table: 1 `name` is `numerator / denominator` canonical units, exactly.
struct Unit {
  std::string_view name;
  UnitFamily family;
  std::int64_t numerator;
  std::int64_t denominator;
};

std::span<const Unit> unit_table() noexcept;

/// A whole number of units: `Amount{50, "cores"}`.
struct Amount {
  std::int64_t value = 0;
  std::string_view unit;
};

/// Turns `amount` into canonical units of `type`.
///
/// Errors: invalid_amount (value <= 0), unknown_unit, unit_mismatch, inexact_amount, overflow.
Result<std::int64_t> to_canonical(Amount amount, ResourceType type);

/// Reads "1.5 GiB", "0.1 cores" or "250 millicores" without going through floating point.
///
/// Errors: as to_canonical; invalid_amount also for text that is no decimal number.
Result<std::int64_t> parse_amount(std::string_view text, ResourceType type);

/// A column of `Amounts`; given out by Dimensions::add.
using DimId = std::uint8_t;
inline constexpr std::size_t max_dims = 8;

/// Exact amounts in canonical units. An absent dimension is 0.
class Amounts {
 public:
  constexpr Amounts() = default;
  static constexpr Amounts of(DimId dim, std::int64_t value) {
    Amounts a;
    a[dim] = value;
    return a;
  }

  constexpr std::int64_t& operator[](DimId dim) { return values_[dim]; }
  constexpr std::int64_t operator[](DimId dim) const { return values_[dim]; }

  /// Every dimension at most that of `other`.
  constexpr bool fits(const Amounts& other) const {
    for (std::size_t d = 0; d < max_dims; ++d)
      if (values_[d] > other.values_[d]) return false;
    return true;
  }
  constexpr bool any_negative() const {
    for (auto v : values_)
      if (v < 0) return true;
    return false;
  }
  constexpr bool is_zero() const { return *this == Amounts{}; }

  /// Preconditions: no dimension leaves 64 bits; the ledger bounds its totals at registration.
  constexpr Amounts& operator+=(const Amounts& other) {
    for (std::size_t d = 0; d < max_dims; ++d) values_[d] += other.values_[d];
    return *this;
  }
  constexpr Amounts& operator-=(const Amounts& other) {
    for (std::size_t d = 0; d < max_dims; ++d) values_[d] -= other.values_[d];
    return *this;
  }
  friend constexpr Amounts operator+(Amounts a, const Amounts& b) { return a += b; }
  friend constexpr Amounts operator-(Amounts a, const Amounts& b) { return a -= b; }
  friend constexpr bool operator==(const Amounts&, const Amounts&) = default;

  /// False, and `*this` unchanged, when a dimension of `other * times` added would leave 64 bits.
  bool add_checked(const Amounts& other, std::int64_t times = 1) noexcept;

 private:
  std::array<std::int64_t, max_dims> values_{};
};

/// Upper bounds in canonical units. An absent dimension is unlimited.
class Limits {
 public:
  static constexpr std::int64_t unlimited = INT64_MAX;

  constexpr Limits() { values_.fill(unlimited); }
  /// Nothing at all: 0 in every dimension.
  static constexpr Limits none() {
    Limits l;
    l.values_.fill(0);
    return l;
  }
  static constexpr Limits of(DimId dim, std::int64_t value) {
    Limits l;
    l[dim] = value;
    return l;
  }
  constexpr std::int64_t& operator[](DimId dim) { return values_[dim]; }
  constexpr std::int64_t operator[](DimId dim) const { return values_[dim]; }
  friend constexpr bool operator==(const Limits&, const Limits&) = default;

 private:
  std::array<std::int64_t, max_dims> values_{};
};

/// One column: its name and how it is counted.
struct Dimension {
  std::string name;
  ResourceType type = ResourceType::custom;
};

/// The columns of one cluster, at most eight.
class Dimensions {
 public:
  /// One column per resource type, named after it: "compute", "memory", ...
  static Dimensions standard();

  /// Adds a column.
  /// Errors: invalid_request (no name), duplicate; overflow after the eighth.
  Result<DimId> add(std::string name, ResourceType type);

  /// Errors: unknown_dimension.
  Result<DimId> find(std::string_view name) const;
  /// The first column of that type.
  /// Errors: unknown_dimension.
  Result<DimId> find(ResourceType type) const;

  std::size_t size() const noexcept { return all_.size(); }
  /// Preconditions: `dim` was given out by this object.
  const Dimension& operator[](DimId dim) const { return all_[dim]; }

 private:
  std::vector<Dimension> all_;
};

}  // namespace reeve::alloc
