// A table printed with aligned columns.
#pragma once

#include <iosfwd>
#include <string>
#include <vector>

namespace study {

/// Text for an HTML page.
std::string escaped(const std::string& text);

/// Columns are as wide as their widest cell; cells that start like a number are set to the right.
class Table {
 public:
  explicit Table(std::vector<std::string> header) : rows_{std::move(header)} {}
  /// Missing cells stay empty; cells beyond the header are dropped.
  void add(std::vector<std::string> row);
  void print(std::ostream& out) const;
  /// The same as an HTML table.
  std::string html() const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace study
