// SQLite's connection and statement as owners that throw TaskError.
#pragma once

#include <reeve/tasks/error.hpp>
#include <string>

struct sqlite3;
struct sqlite3_stmt;

namespace reeve::tasks::detail {

/// Makes sure of a file that may be written and that nobody else may read. Throws
/// TaskError(io_error).
void make_file(const std::string& path);

class Connection {
 public:
  Connection() = default;
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  ~Connection() { close(); }

  void open(const std::string& path, const std::string& vfs);
  void close() noexcept;
  void run(const char* sql);
  long long number(const char* sql);
  std::string text(const char* sql);
  sqlite3* get() const noexcept { return db_; }
  /// Throws the TaskError that `rc` means.
  [[noreturn]] void fail(int rc, const char* what) const;

 private:
  sqlite3* db_ = nullptr;
  std::string path_;
};

class Statement {
 public:
  Statement() = default;
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;
  ~Statement() { reset(); }

  void prepare(Connection& db, const char* sql);
  /// True: a row is there.
  bool step();
  /// Steps to the end and rewinds.
  void finish();
  void reset() noexcept;
  sqlite3_stmt* get() const noexcept { return statement_; }

 private:
  Connection* db_ = nullptr;
  sqlite3_stmt* statement_ = nullptr;
};

}  // namespace reeve::tasks::detail
