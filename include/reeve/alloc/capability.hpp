// What a resource is (capabilities) and what a demand insists on (constraints).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "reeve/alloc/result.hpp"

namespace reeve::alloc {

using CapValue = std::variant<std::int64_t, bool, std::string>;
using Capabilities = std::map<std::string, CapValue, std::less<>>;

/// One condition on one capability.
///
/// A missing capability satisfies only `none_of` and `absent`.
struct Constraint {
  enum class Kind : std::uint8_t {
    at_least,  ///< one whole number; the capability is a number and >= it
    at_most,   ///< one whole number; the capability is a number and <= it
    equals,    ///< one value of the same type
    one_of,    ///< a set: the capability is in it
    none_of,   ///< a set: the capability is not in it, or missing
    exists,    ///< no values
    absent,    ///< no values
  };
  std::string key;
  Kind kind = Kind::exists;
  std::vector<CapValue> values{};

  friend bool operator==(const Constraint&, const Constraint&) = default;
};

/// The usual reading of "needs `key` = `value`": a number means at least, text and truth mean
/// equal.
Constraint needs(std::string key, CapValue value);

/// Checks that the constraint itself has a meaning.
/// Errors: invalid_constraint, naming the key.
Result<void> validate(const Constraint& constraint);

bool satisfies(const Capabilities& have, const Constraint& constraint);

/// Position of the first constraint that `have` does not satisfy.
std::optional<std::size_t> first_unmet(const Capabilities& have,
                                       std::span<const Constraint> wanted);

}  // namespace reeve::alloc
