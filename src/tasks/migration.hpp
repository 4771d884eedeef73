// Brings a file of an older schema version up to date, one transaction for all steps.
#pragma once

#include <span>
#include <string>

#include "tasks/sqlite_handle.hpp"

namespace reeve::tasks::detail {

/// What leads from schema version `from` to `from + 1`.
struct MigrationStep {
  int from;
  const char* sql;
};

inline constexpr int application_id = 0x72766b31;  // "rvk1"
inline constexpr int schema_version = 2;

/// The steps of this release, in order. Version 1 is the first.
std::span<const MigrationStep> migration_steps() noexcept;

/// Refuses a file of another program and one of a newer release; changes nothing.
/// Errors: TaskError: bad_format, locked, io_error.
void check_owner(Connection& db, const std::string& path, int target = schema_version);

/// Creates the schema in an empty file, brings an older one to `target`, refuses any other.
///
/// Effect: all steps and the new version number in one transaction: a crash leaves the file as it
///         was, or done.
/// Errors: TaskError: bad_format (another program's file, a newer or unknown version),
/// storage_full,
///         io_error.
void bring_up_to_date(Connection& db, const std::string& path,
                      std::span<const MigrationStep> steps = migration_steps(),
                      int target = schema_version);

}  // namespace reeve::tasks::detail
