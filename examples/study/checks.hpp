// Figures that must hold; the exit status of the demo.
#pragma once

#include <iosfwd>
#include <string>
#include <vector>

namespace study {

/// Collects checks, each with what was observed and its bound.
class CheckList {
 public:
  void near(std::string what, double observed, double expected, double tolerance);
  void at_most(std::string what, double observed, double bound);
  void at_least(std::string what, double observed, double bound);
  void that(std::string what, bool holds, std::string observed);

  /// One line per failed check, or per check when `all`, and a line with the counts.
  void print(std::ostream& out, bool all = true) const;

  std::size_t failed() const;
  /// 0 only if there was at least one check and none failed.
  int exit_status() const { return !checks_.empty() && failed() == 0 ? 0 : 1; }

 private:
  struct Check {
    std::string text;
    bool holds;
  };
  std::vector<Check> checks_;
};

}  // namespace study
