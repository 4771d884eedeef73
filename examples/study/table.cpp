// Column widths are found when the table is printed.
#include "table.hpp"

#include <algorithm>
#include <cctype>
#include <ostream>

namespace study {
namespace {

bool numeric(const std::string& cell) {
  const std::size_t sign = !cell.empty() && cell[0] == '-' ? 1 : 0;
  return cell.size() > sign && std::isdigit(static_cast<unsigned char>(cell[sign]));
}

}  // namespace

void Table::add(std::vector<std::string> row) {
  row.resize(rows_.front().size());
  rows_.push_back(std::move(row));
}

void Table::print(std::ostream& out) const {
  std::vector<std::size_t> widths(rows_.front().size());
  for (const auto& row : rows_) {
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  for (const auto& row : rows_) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      const std::string space(widths[i] - row[i].size(), ' ');
      line += (i == 0 ? "" : "  ") + (numeric(row[i]) ? space + row[i] : row[i] + space);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out << line << '\n';
  }
}

}  // namespace study
