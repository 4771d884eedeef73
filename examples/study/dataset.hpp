// A small data set read from a CSV file; every complaint names file, line and column.
#pragma once

#include <iosfwd>
#include <string>
#include <string_view>
#include <vector>

#include <reeve/base/error.hpp>

namespace study {

/// The data cannot be used; the text starts with "file:line:" where a line is to blame.
class DataError : public reeve::Error {
 public:
  using Error::Error;
};

struct Row {
  int line = 0;
  std::vector<std::string> cells;
};

struct Dataset {
  std::string file;
  std::vector<std::string> columns;
  std::vector<Row> rows;
};

/// Reads a header line and comma-separated rows (no quotes: the shipped files need none).
///
/// Errors: DataError for a missing file, an empty or repeated column name, a row with another
/// number of cells.
Dataset read_csv(const std::string& path);
Dataset read_csv(std::istream& in, std::string file);

/// The rows whose `column` holds exactly `value`. Errors: DataError when there are none.
Dataset rows_where(const Dataset& data, std::string_view column, std::string_view value);

/// One column as finite numbers. Errors: DataError naming the first cell that is not one.
std::vector<double> numbers(const Dataset& data, std::string_view column);

}  // namespace study
