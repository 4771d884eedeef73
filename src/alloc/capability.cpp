// Constraint checks.
#include "reeve/alloc/capability.hpp"

#include <algorithm>

namespace reeve::alloc {

Constraint needs(std::string key, CapValue value) {
  const auto kind = std::holds_alternative<std::int64_t>(value) ? Constraint::Kind::at_least
                                                                : Constraint::Kind::equals;
  return {std::move(key), kind, {std::move(value)}};
}

Result<void> validate(const Constraint& c) {
  using Kind = Constraint::Kind;
  bool good = !c.key.empty();
  switch (c.kind) {
    case Kind::at_least:
    case Kind::at_most:
      good = good && c.values.size() == 1 && std::holds_alternative<std::int64_t>(c.values[0]);
      break;
    case Kind::equals:
      good = good && c.values.size() == 1;
      break;
    case Kind::one_of:
    case Kind::none_of:
      good = good && !c.values.empty();
      break;
    case Kind::exists:
    case Kind::absent:
      good = good && c.values.empty();
      break;
  }
  if (!good) return Refusal{.code = Code::invalid_constraint, .subject = c.key};
  return {};
}

bool satisfies(const Capabilities& have, const Constraint& c) {
  using Kind = Constraint::Kind;
  const auto at = have.find(c.key);
  if (at == have.end()) return c.kind == Kind::none_of || c.kind == Kind::absent;
  const CapValue& value = at->second;
  const auto in_set = [&] {
    return std::find(c.values.begin(), c.values.end(), value) != c.values.end();
  };
  const auto* number = std::get_if<std::int64_t>(&value);
  switch (c.kind) {
    case Kind::at_least:
      return number && *number >= std::get<std::int64_t>(c.values.at(0));
    case Kind::at_most:
      return number && *number <= std::get<std::int64_t>(c.values.at(0));
    case Kind::equals:
    case Kind::one_of:
      return in_set();
    case Kind::none_of:
      return !in_set();
    case Kind::exists:
      return true;
    case Kind::absent:
      return false;
  }
  return false;
}

std::optional<std::size_t> first_unmet(const Capabilities& have,
                                       std::span<const Constraint> wanted) {
  for (std::size_t i = 0; i < wanted.size(); ++i)
    if (!satisfies(have, wanted[i])) return i;
  return std::nullopt;
}

}  // namespace reeve::alloc
