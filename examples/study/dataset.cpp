// CSV reader of the study.
#include "dataset.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <fstream>
#include <istream>

namespace study {
namespace {

std::vector<std::string> split(std::string_view line) {
  if (line.ends_with('\r')) line.remove_suffix(1);
  std::vector<std::string> cells;
  for (;;) {
    const auto comma = line.find(',');
    cells.emplace_back(line.substr(0, comma));
    if (comma == line.npos) return cells;
    line.remove_prefix(comma + 1);
  }
}

std::string at(const std::string& file, int line) {
  return file + ":" + std::to_string(line) + ": ";
}

void check_header(const Dataset& data) {
  for (auto name = data.columns.begin(); name != data.columns.end(); ++name) {
    if (name->empty())
      throw DataError(at(data.file, 1) + "a column has no name; give every column one");
    if (std::find(data.columns.begin(), name, *name) != name) {
      throw DataError(at(data.file, 1) + "column '" + *name +
                      "' appears twice; rename one of them");
    }
  }
}

std::size_t column_index(const Dataset& data, std::string_view column) {
  const auto found = std::find(data.columns.begin(), data.columns.end(), column);
  if (found != data.columns.end()) return static_cast<std::size_t>(found - data.columns.begin());
  std::string known;
  for (const auto& name : data.columns) known += (known.empty() ? "" : ", ") + name;
  throw DataError(at(data.file, 1) + "there is no column '" + std::string(column) +
                  "'; the file has: " + known);
}

}  // namespace

Dataset read_csv(const std::string& path) {
  std::ifstream in(path);
  if (!in) throw DataError(path + ": cannot be opened; check the path and its permissions");
  return read_csv(in, path);
}

Dataset read_csv(std::istream& in, std::string file) {
  Dataset data{.file = std::move(file), .columns = {}, .rows = {}};
  std::string line;
  if (!std::getline(in, line) || line.empty()) {
    throw DataError(at(data.file, 1) + "the header is missing; the first line names the columns");
  }
  data.columns = split(line);
  check_header(data);
  for (int number = 2; std::getline(in, line); ++number) {
    if (line.empty() || line == "\r") continue;
    Row row{.line = number, .cells = split(line)};
    if (row.cells.size() != data.columns.size()) {
      throw DataError(at(data.file, number) + "has " + std::to_string(row.cells.size()) +
                      " cells where the header names " + std::to_string(data.columns.size()) +
                      " columns");
    }
    data.rows.push_back(std::move(row));
  }
  return data;
}

Dataset rows_where(const Dataset& data, std::string_view column, std::string_view value) {
  const auto index = column_index(data, column);
  Dataset chosen{.file = data.file, .columns = data.columns, .rows = {}};
  std::copy_if(data.rows.begin(), data.rows.end(), std::back_inserter(chosen.rows),
               [&](const Row& row) { return row.cells[index] == value; });
  if (chosen.rows.empty()) {
    throw DataError(data.file + ": no row has '" + std::string(value) + "' in column '" +
                    std::string(column) + "'; check its spelling");
  }
  return chosen;
}

std::vector<double> numbers(const Dataset& data, std::string_view column) {
  const auto index = column_index(data, column);
  std::vector<double> values;
  values.reserve(data.rows.size());
  for (const auto& row : data.rows) {
    const auto& cell = row.cells[index];
    const char* const end = cell.data() + cell.size();
    double value = 0;
    const auto parsed = std::from_chars(cell.data(), end, value);
    if (parsed.ec != std::errc{} || parsed.ptr != end || !std::isfinite(value)) {
      throw DataError(at(data.file, row.line) + "column '" + std::string(column) + "' holds '" +
                      cell + "', which is not a finite number");
    }
    values.push_back(value);
  }
  return values;
}

}  // namespace study
