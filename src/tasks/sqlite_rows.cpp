// Columns in the order of the schema.
#include "tasks/sqlite_rows.hpp"

#include <sqlite3.h>

#include <algorithm>

namespace reeve::tasks::detail {
namespace {

void bind_ms(sqlite3_stmt* s, int at, std::int64_t ms) {
  if (ms != never_ms) sqlite3_bind_int64(s, at, ms);
}

void bind_text(sqlite3_stmt* s, int at, const std::string& text) {
  if (!text.empty())
    sqlite3_bind_text(s, at, text.data(), static_cast<int>(text.size()), SQLITE_STATIC);
}

std::int64_t column_ms(sqlite3_stmt* s, int at) {
  return sqlite3_column_type(s, at) == SQLITE_NULL ? never_ms : sqlite3_column_int64(s, at);
}

}  // namespace

std::string column_text(sqlite3_stmt* s, int at) {
  const auto* text = static_cast<const char*>(sqlite3_column_blob(s, at));
  return text ? std::string(text, sqlite3_column_bytes(s, at)) : std::string();
}

void bind_row(sqlite3_stmt* s, const RecordData& r, const std::string& whole_id) {
  sqlite3_clear_bindings(s);
  sqlite3_bind_int64(s, 1, static_cast<std::int64_t>(r.rid));
  bind_text(s, 2, whole_id);
  sqlite3_bind_int(s, 3, static_cast<int>(r.state));
  sqlite3_bind_int64(s, 4, r.attempt);
  sqlite3_bind_int64(s, 5, static_cast<std::int64_t>(r.revision));
  sqlite3_bind_double(s, 6, r.progress);
  sqlite3_bind_int64(s, 7, r.created_ms);
  sqlite3_bind_int64(s, 8, r.updated_ms);
  bind_ms(s, 9, r.finished_ms);
  bind_ms(s, 10, r.expires_ms);
  bind_ms(s, 11, r.retry_at_ms);
  bind_ms(s, 12, r.ttl_ms);
  sqlite3_bind_int64(s, 13, static_cast<std::int64_t>(r.body_hash));
  sqlite3_bind_int(s, 14, r.retry_after_crash ? 1 : 0);
  if (r.fields)
    sqlite3_bind_blob(s, 15, r.fields->data(), static_cast<int>(r.fields->size()), SQLITE_STATIC);
  if (r.outcome) {
    bind_text(s, 16, r.outcome->error);
    bind_text(s, 17, r.outcome->reason);
  }
}

namespace {

/// A row of `SELECT * FROM task`; null: of another prefix.
std::shared_ptr<RecordData> read_row(sqlite3_stmt* s, std::string_view prefix) {
  std::string id = column_text(s, 1);
  if (!id.starts_with(prefix)) return nullptr;
  auto r = std::make_shared<RecordData>();
  r->rid = sqlite3_column_int64(s, 0);
  r->id = std::make_shared<const std::string>(id.substr(prefix.size()));
  r->state = static_cast<TaskState>(sqlite3_column_int(s, 2));
  r->attempt = static_cast<std::uint32_t>(sqlite3_column_int64(s, 3));
  r->revision = sqlite3_column_int64(s, 4);
  r->progress = sqlite3_column_double(s, 5);
  r->created_ms = sqlite3_column_int64(s, 6);
  r->updated_ms = sqlite3_column_int64(s, 7);
  r->finished_ms = column_ms(s, 8);
  r->expires_ms = column_ms(s, 9);
  r->retry_at_ms = column_ms(s, 10);
  r->ttl_ms = column_ms(s, 11);
  r->body_hash = static_cast<std::uint64_t>(sqlite3_column_int64(s, 12));
  r->retry_after_crash = (sqlite3_column_int(s, 13) & 1) != 0;
  if (auto doc = column_text(s, 14); !doc.empty())
    r->fields = std::make_shared<const std::string>(std::move(doc));
  Outcome outcome{{}, column_text(s, 15), column_text(s, 16)};
  if (!outcome.error.empty() || !outcome.reason.empty())
    r->outcome = std::make_shared<const Outcome>(std::move(outcome));
  return r;
}

class Loader {
 public:
  Loader(Connection& db, JournalMeta& meta,
         const std::function<void(std::shared_ptr<RecordData>)>& record)
      : meta_(meta), record_(record) {
    results_.prepare(db, "SELECT rid, body FROM result ORDER BY rid");
    more_ = results_.step();
  }

  void count(std::uint64_t rid, std::uint64_t revision) {
    meta_.next_rid = std::max(meta_.next_rid, rid + 1);
    meta_.next_revision = std::max(meta_.next_revision, revision + 1);
  }

  void hand_over(std::shared_ptr<RecordData> r) {
    const auto rid = static_cast<std::int64_t>(r->rid);
    while (more_ && sqlite3_column_int64(results_.get(), 0) < rid) more_ = results_.step();
    if (more_ && sqlite3_column_int64(results_.get(), 0) == rid) {
      Outcome outcome = r->outcome ? *r->outcome : Outcome();
      outcome.result = column_text(results_.get(), 1);
      r->outcome = std::make_shared<const Outcome>(std::move(outcome));
    } else if (r->outcome && r->outcome->error.empty()) {
      // One of very few words: said once for all who share it.
      if (!shared_ || shared_->reason != r->outcome->reason) shared_ = r->outcome;
      r->outcome = shared_;
    }
    record_(std::move(r));
  }

 private:
  JournalMeta& meta_;
  const std::function<void(std::shared_ptr<RecordData>)>& record_;
  Statement results_;
  bool more_ = false;
  std::shared_ptr<const Outcome> shared_;
};

}  // namespace

void load_rows(Connection& db, std::string_view prefix, std::span<const FoldPlan::Item> newer,
               JournalMeta& meta, const std::function<void(std::shared_ptr<RecordData>)>& record) {
  using Kind = RecentEntry::Kind;
  Loader loader(db, meta, record);
  Statement rows;
  rows.prepare(db, "SELECT * FROM task ORDER BY rid");
  bool more = rows.step();
  auto at = newer.begin();
  while (more || at != newer.end()) {
    const auto rid = more ? static_cast<std::uint64_t>(sqlite3_column_int64(rows.get(), 0)) : 0;
    if (at != newer.end() &&
        (!more || at->rid < rid || (at->rid == rid && at->entry.kind != Kind::in_table))) {
      loader.count(at->rid, at->entry.data ? at->entry.data->revision : 0);
      if (at->entry.kind == Kind::row && !at->entry.foreign)
        loader.hand_over(std::make_shared<RecordData>(*at->entry.data));
      if (more && at->rid == rid) more = rows.step();
      ++at;
      continue;
    }
    if (at != newer.end() && at->rid == rid) ++at;
    loader.count(rid, static_cast<std::uint64_t>(sqlite3_column_int64(rows.get(), 4)));
    if (auto r = read_row(rows.get(), prefix)) loader.hand_over(std::move(r));
    more = rows.step();
  }
}

void write_meta(Statement& put, const JournalMeta& meta) {
  const auto say = [&](const char* key, std::int64_t value) {
    sqlite3_bind_text(put.get(), 1, key, -1, SQLITE_STATIC);
    sqlite3_bind_int64(put.get(), 2, value);
    put.finish();
  };
  say("epoch", static_cast<std::int64_t>(meta.epoch));
  say("next_revision", static_cast<std::int64_t>(meta.next_revision));
  say("next_rid", static_cast<std::int64_t>(meta.next_rid));
  say("last_wall_ms", meta.last_wall_ms);
  say("clean_shutdown", meta.clean ? 1 : 0);
}

}  // namespace reeve::tasks::detail
