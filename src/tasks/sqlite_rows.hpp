// A record as a row of the table, and back; the whole table with what is newer than it.
#pragma once

#include <functional>
#include <reeve/tasks/record.hpp>
#include <string>
#include <string_view>

#include "tasks/fold_plan.hpp"
#include "tasks/journal.hpp"
#include "tasks/sqlite_handle.hpp"

namespace reeve::tasks::detail {

inline constexpr const char* upsert_sql =
    "INSERT OR REPLACE INTO task "
    "VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,?17)";

/// Binds `upsert_sql`. `whole_id` and `r` outlive the step.
void bind_row(sqlite3_stmt* s, const RecordData& r, const std::string& whole_id);
/// A text or blob; empty for NULL.
std::string column_text(sqlite3_stmt* s, int at);

/// Every record of `prefix`, in the order of their rows: the table's, unless `newer` (sorted by
/// row) says otherwise; with its result. Raises `meta`'s counters above everything that it meets.
void load_rows(Connection& db, std::string_view prefix, std::span<const FoldPlan::Item> newer,
               JournalMeta& meta, const std::function<void(std::shared_ptr<RecordData>)>& record);

/// `put` replaces one value of the table `meta`, by its key.
void write_meta(Statement& put, const JournalMeta& meta);

}  // namespace reeve::tasks::detail
