// Maps SQLite's result codes to the errors of the task store.
#include "tasks/sqlite_handle.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sqlite3.h>
#include <unistd.h>

#include <cerrno>

namespace reeve::tasks::detail {

void make_file(const std::string& path) {
  // SQLite would make it readable for everyone. One that exists is not opened here: to close it
  // again would drop the locks of a store of this process that has it.
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd >= 0) {
    ::close(fd);
    return;
  }
  if (errno == EEXIST && ::faccessat(AT_FDCWD, path.c_str(), R_OK | W_OK, AT_EACCESS) == 0) return;
  const SystemError cause(errno, fmt::format("open({})", path));
  const char* remedy = cause.code() == ENOENT
                           ? "; make the folder first, or give StoreConfig::path "
                             "(TASK_STORAGE_PATH) in one that exists"
                           : "; the task store needs a file it may write";
  throw TaskError(TaskErrc::io_error, cause.what() + std::string(remedy));
}

void Connection::open(const std::string& path, const std::string& vfs) {
  close();
  path_ = path;
  const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
  const int rc = sqlite3_open_v2(path.c_str(), &db_, flags, vfs.empty() ? nullptr : vfs.c_str());
  if (rc != SQLITE_OK) fail(rc, "open");
  sqlite3_extended_result_codes(db_, 1);
}

void Connection::close() noexcept {
  if (db_ != nullptr) sqlite3_close_v2(db_);
  db_ = nullptr;
}

void Connection::run(const char* sql) {
  const int rc = sqlite3_exec(db_, sql, nullptr, nullptr, nullptr);
  if (rc != SQLITE_OK) fail(rc, sql);
}

long long Connection::number(const char* sql) {
  Statement s;
  s.prepare(*this, sql);
  return s.step() ? sqlite3_column_int64(s.get(), 0) : 0;
}

std::string Connection::text(const char* sql) {
  Statement s;
  s.prepare(*this, sql);
  if (!s.step()) return {};
  const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(s.get(), 0));
  return text ? text : "";
}

void Connection::fail(int rc, const char* what) const {
  const char* message = db_ ? sqlite3_errmsg(db_) : sqlite3_errstr(rc);
  auto say = [&](std::string_view remedy) {
    return fmt::format("task store '{}': {} ({}, SQLite code {}): {}", path_, message,
                       std::string_view(what).substr(0, 60), rc, remedy);
  };
  switch (rc & 0xff) {
    case SQLITE_FULL:
      throw TaskError(TaskErrc::storage_full, say("the disk or its quota is full; free some space. "
                                                  "Deleting tasks works meanwhile"));
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      throw TaskError(TaskErrc::locked,
                      say("another process, or another store of this one, has the file open; one "
                          "store owns a task file at a time: use that one, or close it first"));
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT:
    case SQLITE_SCHEMA:
      throw TaskError(TaskErrc::bad_format,
                      say("the file is damaged or not a task file; restore it or "
                          "give another path"));
    case SQLITE_CANTOPEN:
      throw TaskError(
          TaskErrc::io_error,
          say("no file can be opened or made there: give the path of a file in a folder "
              "that exists and may be written. What was acknowledged is kept"));
    default:
      throw TaskError(TaskErrc::io_error, say("what was acknowledged is kept; the next write tries "
                                              "again"));
  }
}

void Statement::prepare(Connection& db, const char* sql) {
  reset();
  db_ = &db;
  const int rc =
      sqlite3_prepare_v3(db.get(), sql, -1, SQLITE_PREPARE_PERSISTENT, &statement_, nullptr);
  if (rc != SQLITE_OK) db.fail(rc, sql);
}

bool Statement::step() {
  const int rc = sqlite3_step(statement_);
  if (rc == SQLITE_ROW) return true;
  if (rc != SQLITE_DONE) {
    const int extended = sqlite3_extended_errcode(db_->get());
    std::string sql = sqlite3_sql(statement_);
    try {
      db_->fail(extended, sql.c_str());
    } catch (...) {
      sqlite3_reset(statement_);
      throw;
    }
  }
  return false;
}

void Statement::finish() {
  while (step()) {
  }
  sqlite3_reset(statement_);
}

void Statement::reset() noexcept {
  if (statement_ != nullptr) sqlite3_finalize(statement_);
  statement_ = nullptr;
}

}  // namespace reeve::tasks::detail
