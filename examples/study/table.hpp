// A table printed with aligned columns.
#pragma once

#include <iosfwd>
#include <string>
#include <vector>

namespace study {

/// Columns are as wide as their widest cell; cells that start like a number are set to the right.
class Table {
 public:
  explicit Table(std::vector<std::string> header) : rows_{std::move(header)} {}
  /// Missing cells stay empty; cells beyond the header are dropped.
  void add(std::vector<std::string> row);
  void print(std::ostream& out) const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace study
