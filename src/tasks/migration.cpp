// The schema, and the steps between its versions.
#include "tasks/migration.hpp"

#include <fmt/format.h>
#include <sqlite3.h>

#include <algorithm>

namespace reeve::tasks::detail {
namespace {

constexpr const char* schema = R"sql(
CREATE TABLE task(
  rid INTEGER PRIMARY KEY, id TEXT NOT NULL,
  state INTEGER NOT NULL CHECK(state BETWEEN 0 AND 7),
  attempt INTEGER NOT NULL, rev INTEGER NOT NULL, progress REAL NOT NULL,
  created_ms INTEGER NOT NULL, updated_ms INTEGER NOT NULL,
  finished_ms INTEGER, expires_ms INTEGER, retry_at_ms INTEGER, ttl_ms INTEGER,
  body_hash INTEGER NOT NULL, flags INTEGER NOT NULL,
  doc BLOB, error TEXT, reason TEXT,
  CHECK((finished_ms IS NULL) = (state < 4))) STRICT;
CREATE TABLE result(rid INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT;
CREATE TABLE meta(k TEXT PRIMARY KEY, v INTEGER NOT NULL) WITHOUT ROWID, STRICT;
CREATE TABLE recent(seq INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT;
)sql";

/// Runs `work` in a transaction; an exception rolls it back.
template <class Work>
void transact(Connection& db, Work work) {
  db.run("BEGIN IMMEDIATE");
  try {
    work();
    db.run("COMMIT");
  } catch (...) {
    if (sqlite3_get_autocommit(db.get()) == 0)
      sqlite3_exec(db.get(), "ROLLBACK", nullptr, nullptr, nullptr);
    throw;
  }
}

[[noreturn]] void refuse(const std::string& what) {
  throw TaskError(TaskErrc::bad_format, what);
}

bool is_empty(Connection& db) {
  return db.number("PRAGMA application_id") == 0 && db.number("PRAGMA user_version") == 0 &&
         db.number("SELECT count(*) FROM sqlite_master") == 0;
}

}  // namespace

std::span<const MigrationStep> migration_steps() noexcept {
  static constexpr MigrationStep steps[] = {
      {1, "CREATE TABLE recent(seq INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT"},
  };
  return steps;
}

void check_owner(Connection& db, const std::string& path, int target) {
  if (is_empty(db)) return;
  const auto id = db.number("PRAGMA application_id");
  const auto version = db.number("PRAGMA user_version");
  if (id != application_id)
    refuse(
        fmt::format("'{}' is a SQLite file of another program (application id {:#x}); "
                    "give the task store a file of its own",
                    path, id));
  if (version > target)
    refuse(
        fmt::format("'{}' has schema version {}, written by a newer release; this one "
                    "reads up to {}. Update the program or give it another file",
                    path, version, target));
}

void bring_up_to_date(Connection& db, const std::string& path, std::span<const MigrationStep> steps,
                      int target) {
  check_owner(db, path, target);
  const auto set_version = [&db](int to) {
    db.run(fmt::format("PRAGMA user_version={}", to).c_str());
  };
  if (is_empty(db)) {
    transact(db, [&] {
      db.run(schema);
      db.run(fmt::format("PRAGMA application_id={}", application_id).c_str());
      set_version(schema_version);
    });
    return;
  }
  const auto version = db.number("PRAGMA user_version");
  if (version == target) return;
  transact(db, [&] {
    for (int at = static_cast<int>(version); at < target; ++at) {
      const auto step = std::find_if(steps.begin(), steps.end(),
                                     [at](const MigrationStep& s) { return s.from == at; });
      if (step == steps.end())
        refuse(
            fmt::format("'{}' has schema version {}, from which this release knows no way to "
                        "{}; restore the file, or export it with the release that wrote it",
                        path, at, target));
      db.run(step->sql);
    }
    set_version(target);
  });
}

}  // namespace reeve::tasks::detail
