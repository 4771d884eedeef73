// CSV files and columns in memory.
#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <fstream>
#include <istream>
#include <reeve/base/error.hpp>
#include <reeve/inference/table.hpp>

namespace reeve::inference {
namespace {

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t' || text.back() == '\r'))
    text.remove_suffix(1);
  return text;
}

// The cells of one record, line by line; a cell in double quotes may hold commas, doubled quotes
// and line ends.
class Record {
 public:
  void add(std::string_view line) {
    const std::size_t blanks = line.find_last_not_of(" \t\r") + 1;  // behind the last cell
    for (std::size_t i = 0; i < line.size(); ++i) {
      const char c = line[i];
      if (i >= blanks && !quoted_) break;
      if (quoted_ && c == '"' && i + 1 < line.size() && line[i + 1] == '"') {
        cells_.back() += c;
        ++i;
      } else if (c == '"' && (quoted_ || trimmed(cells_.back()).empty())) {
        if (!quoted_) cells_.back().clear();
        quoted_ = !quoted_;
        was_quoted_ = true;
      } else if (c == ',' && !quoted_) {
        close();
        cells_.emplace_back();
      } else if (!was_quoted_ || quoted_) {
        cells_.back() += c;
      } else if (c != ' ' && c != '\t') {
        after_ = true;
      }
    }
  }
  void end_line() { cells_.back() += '\n'; }
  bool open() const noexcept { return quoted_; }  ///< a quote is not closed yet
  bool after() const noexcept { return after_; }  ///< something follows a closing quote
  std::vector<std::string> cells() && {
    close();
    return std::move(cells_);
  }

 private:
  void close() {
    if (!was_quoted_) cells_.back() = std::string(trimmed(cells_.back()));
    was_quoted_ = false;
  }

  std::vector<std::string> cells_{1};
  bool quoted_ = false, was_quoted_ = false, after_ = false;
};

// Reads on while a quoted cell goes over the line's end.
std::vector<std::string> whole_record(std::istream& in, std::string& line, const std::string& file,
                                      std::size_t& number) {
  const std::size_t first = number;
  Record record;
  record.add(line);
  while (record.open()) {
    if (!std::getline(in, line))
      throw ConfigError(
          fmt::format("{}:{}: a quoted cell is not closed; close it, or double a "
                      "quote that is meant",
                      file, first));
    ++number;
    record.end_line();
    record.add(line);
  }
  if (record.after())
    throw ConfigError(
        fmt::format("{}:{}: a cell goes on after its closing quote; double a quote that is meant",
                    file, first));
  return std::move(record).cells();
}

}  // namespace

Table Table::read_csv(const std::string& path) {
  std::ifstream in(path);
  if (!in) throw ConfigError(fmt::format("{}: cannot be read; check the path", path));
  return read_csv(in, path);
}

Table Table::read_csv(std::istream& in, std::string file) {
  Table table;
  table.file_ = std::move(file);
  std::string line;
  std::size_t number = 0;
  while (std::getline(in, line)) {
    ++number;
    if (number == 1 && line.starts_with("\xEF\xBB\xBF")) line.erase(0, 3);
    if (trimmed(line).empty()) continue;
    const std::size_t first = number;
    std::vector<std::string> cells = whole_record(in, line, table.file_, number);
    if (table.columns_.empty()) {
      for (auto& name : cells) {
        if (name.empty() || table.has(name))
          throw ConfigError(fmt::format("{}:{}: the column name '{}' is {}; name each column once",
                                        table.file_, first, name,
                                        name.empty() ? "empty" : "there twice"));
        table.push(std::move(name)).text = true;
      }
      continue;
    }
    if (cells.size() != table.columns_.size())
      throw ConfigError(fmt::format("{}:{}: {} cells in this row; the header has {}", table.file_,
                                    first, cells.size(), table.columns_.size()));
    for (std::size_t c = 0; c < cells.size(); ++c)
      table.columns_[c].cells.push_back(std::move(cells[c]));
    table.lines_.push_back(first);
  }
  if (table.columns_.empty())
    throw ConfigError(
        fmt::format("{}: no header line; the first line names the columns", table.file_));
  return table;
}

Table::Column& Table::push(std::string name) {
  if (name.empty()) throw ConfigError("a column has an empty name; name each column once");
  if (has(name))
    throw ConfigError(fmt::format("column '{}' is there twice; name each column once", name));
  Column column;
  column.name = std::move(name);
  return columns_.emplace_back(std::move(column));
}

Table& Table::add(std::string name, std::span<const double> values) {
  push(std::move(name)).numbers.assign(values.begin(), values.end());
  return *this;
}

Table& Table::add(std::string name, std::vector<std::string> cells) {
  Column& column = push(std::move(name));
  column.cells = std::move(cells);
  column.text = true;
  return *this;
}

bool Table::has(std::string_view column) const noexcept {
  for (const auto& c : columns_)
    if (c.name == column) return true;
  return false;
}

std::vector<std::string> Table::names() const {
  std::vector<std::string> all;
  for (const auto& c : columns_) all.push_back(c.name);
  return all;
}

const Table::Column& Table::find(std::string_view column) const {
  for (const auto& c : columns_)
    if (c.name == column) return c;
  std::string known;
  for (const auto& c : columns_) known += (known.empty() ? "" : ", ") + c.name;
  throw ConfigError(fmt::format("there is no column '{}'{}; there are: {}", column,
                                file_.empty() ? "" : " in " + file_,
                                known.empty() ? "none" : known));
}

std::size_t Table::rows(std::string_view column) const {
  const Column& c = find(column);
  return c.text ? c.cells.size() : c.numbers.size();
}

std::string Table::row_text(std::size_t row) const {
  if (row >= 1 && row <= lines_.size())
    return fmt::format("row {} (line {} of {})", row, lines_[row - 1], file_);
  return fmt::format("row {}", row);
}

Table Table::where(std::string_view column, std::string_view value) const {
  const Column& key = find(column);
  std::vector<std::size_t> kept;
  for (std::size_t i = 0; i < key.cells.size(); ++i)
    if (key.cells[i] == value) kept.push_back(i);
  if (kept.empty())
    throw ConfigError(fmt::format("column '{}' holds '{}' in no row; where() compares text exactly",
                                  column, value));
  Table table;
  table.file_ = file_;
  for (const auto& from : columns_) {
    Column& to = table.push(from.name);
    to.text = from.text;
    for (const std::size_t i : kept) {
      if (from.text && i < from.cells.size()) to.cells.push_back(from.cells[i]);
      if (!from.text && i < from.numbers.size()) to.numbers.push_back(from.numbers[i]);
    }
  }
  for (const std::size_t i : kept)
    if (i < lines_.size()) table.lines_.push_back(lines_[i]);
  return table;
}

std::vector<double> Table::numbers(std::string_view name) const {
  const Column& column = find(name);
  std::vector<double> values = column.numbers;
  for (std::size_t i = 0; i < column.cells.size(); ++i) {
    const std::string& cell = column.cells[i];
    if (cell.empty() || cell == "NA")
      throw ConfigError(fmt::format("column '{}', {} is missing; drop the row or fill it in", name,
                                    row_text(i + 1)));
    double value = 0;
    const char* end = cell.data() + cell.size();
    const bool plus = cell.front() == '+' && !cell.starts_with("+-");
    const char* begin = cell.data() + (plus ? 1 : 0);
    const auto [at, error] = std::from_chars(begin, end, value);
    if (error != std::errc() || at != end)
      throw ConfigError(
          fmt::format("column '{}', {} is '{}', which is no number", name, row_text(i + 1), cell));
    values.push_back(value);
  }
  for (std::size_t i = 0; i < values.size(); ++i)
    if (!std::isfinite(values[i]))
      throw ConfigError(fmt::format("column '{}', {} is {}; every value must be finite", name,
                                    row_text(i + 1), values[i]));
  return values;
}

}  // namespace reeve::inference
