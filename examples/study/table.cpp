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

std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '<')
      out += "&lt;";
    else if (c == '&')
      out += "&amp;";
    else
      out += c;
  }
  return out;
}

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

std::string Table::html() const {
  std::string out = "<table>\n";
  for (const auto& row : rows_) {
    const bool header = &row == &rows_.front();
    out += "<tr>";
    for (const auto& cell : row) {
      const char* attribute = !header && !numeric(cell) ? " class=text" : "";
      out += (header ? "<th>" : "<td" + std::string(attribute) + ">") + escaped(cell) +
             (header ? "</th>" : "</td>");
    }
    out += "</tr>\n";
  }
  return out + "</table>\n";
}

}  // namespace study
