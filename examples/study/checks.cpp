// Comparisons are written so that a NaN fails them.
#include "checks.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <ostream>

namespace study {

void CheckList::near(std::string what, double observed, double expected, double tolerance) {
  that(std::move(what), std::abs(observed - expected) <= tolerance,
       fmt::format("{:.6g}, expected {:.6g} +- {:.2g}", observed, expected, tolerance));
}

void CheckList::at_most(std::string what, double observed, double bound) {
  that(std::move(what), observed <= bound, fmt::format("{:.6g}, at most {:.6g}", observed, bound));
}

void CheckList::at_least(std::string what, double observed, double bound) {
  that(std::move(what), observed >= bound, fmt::format("{:.6g}, at least {:.6g}", observed, bound));
}

void CheckList::that(std::string what, bool holds, std::string observed) {
  checks_.push_back({fmt::format("{:<6}  {}: {}", holds ? "ok" : "FAILED", what, observed), holds});
}

void CheckList::print(std::ostream& out, bool all) const {
  for (const auto& check : checks_) {
    if (all || !check.holds) out << check.text << '\n';
  }
  out << checks_.size() - failed() << " of " << checks_.size() << " checks hold\n";
}

std::size_t CheckList::failed() const {
  return static_cast<std::size_t>(
      std::count_if(checks_.begin(), checks_.end(), [](const Check& c) { return !c.holds; }));
}

}  // namespace study
