// A table of named columns, from a CSV file or from memory.
#pragma once

#include <cstddef>
#include <iosfwd>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace reeve::inference {

/// Named columns of numbers or text. Rows are counted from 1, as in every complaint about them.
class Table {
 public:
  Table() = default;

  /// Reads a header line and comma-separated rows; a cell in double quotes may hold commas, doubled
  /// quotes and line ends. Cells stay text until a column is asked for as numbers, so columns of
  /// text do no harm.
  ///
  /// Errors: ConfigError naming file and line for a file that cannot be read, an empty or repeated
  ///         column name, a row with another number of cells, or a quote that is not closed.
  static Table read_csv(const std::string& path);
  static Table read_csv(std::istream& in, std::string file);

  /// Appends a column. Errors: ConfigError for an empty or repeated name.
  Table& add(std::string name, std::span<const double> values);
  Table& add(std::string name, std::vector<std::string> cells);

  /// The rows whose text column holds exactly `value`. Errors: ConfigError when there are none, or
  /// for an unknown column.
  Table where(std::string_view column, std::string_view value) const;

  /// One column as numbers.
  ///
  /// Errors: ConfigError naming column and row for an unknown column, and for a cell that is empty,
  ///         NA, no number, or not finite.
  std::vector<double> numbers(std::string_view column) const;

  bool has(std::string_view column) const noexcept;
  std::vector<std::string> names() const;
  std::size_t rows(std::string_view column) const;
  /// The file it was read from, or "".
  const std::string& file() const noexcept { return file_; }
  /// "row 3", or "row 3 (line 4 of cars.csv)".
  std::string row_text(std::size_t row) const;

 private:
  struct Column {
    std::string name;
    std::vector<double> numbers;
    std::vector<std::string> cells;  ///< of a text column; `numbers` is then empty
    bool text = false;
  };
  Column& push(std::string name);
  const Column& find(std::string_view column) const;

  std::vector<Column> columns_;
  std::vector<std::size_t> lines_;  ///< of each row in the file
  std::string file_;
};

}  // namespace reeve::inference
