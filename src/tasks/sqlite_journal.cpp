// The SQLite journal: WAL, synchronous FULL, one exclusive connection, one transaction and one row
// of `recent` per batch.
#include <fmt/format.h>
#include <sqlite3.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "tasks/fold_plan.hpp"
#include "tasks/journal.hpp"
#include "tasks/migration.hpp"
#include "tasks/reserve_file.hpp"
#include "tasks/sqlite_handle.hpp"
#include "tasks/sqlite_rows.hpp"
#include "tasks/wal_guard.hpp"

namespace reeve::tasks::detail {
namespace {

// A batch of more rows goes into the table directly: to write it twice would gain nothing.
constexpr std::size_t recent_rows_max = 1024;
// Of one step of a pass, for each row of the last commit: a crowd's passes end soon, and a lone
// writer's next commit waits for few pages.
constexpr std::size_t fold_rows_each = 2;

// With nobody waiting the log stays small and is used over and over: a sync of a file that does not
// grow is faster.
constexpr int idle_checkpoint_frames = 1000;

class SqliteJournal final : public Journal {
 public:
  explicit SqliteJournal(const StoreConfig& config)
      : path_(config.path),
        prefix_(config.prefix),
        vfs_(config.vfs),
        sync_(config.sync),
        checkpoint_frames_(config.checkpoint_frames),
        reserve_(config.path + "-reserve", config.reserve.bytes()),
        guard_(config.vfs),
        plan_(static_cast<std::size_t>(config.checkpoint_frames) * 1024) {
    if (sqlite3_threadsafe() == 0)
      throw TaskError(TaskErrc::io_error,
                      "this SQLite was built without threads; use another build");
    open();
    reserve_.hold();
  }
  ~SqliteJournal() override { shut(); }

  JournalMeta load(const std::function<void(std::shared_ptr<RecordData>)>& record) override;
  void commit(std::span<const JournalRow> rows, const JournalMeta* meta) override;
  std::vector<std::shared_ptr<const RecordData>> take_replaced() override;
  void maintain(bool idle) noexcept override;
  void close(const JournalMeta& meta) noexcept override;

 private:
  void open();
  void shut() noexcept;
  void reopen();
  void read_recent_rows();
  void configure();
  void verify();
  void prepare();
  void put(std::uint64_t rid, const RecordData* r, bool foreign);
  void put_result(const RecordData& r);
  void put_items(std::span<const FoldPlan::Item> items);
  void write(const JournalRow& row, bool direct);
  template <class Work>
  void transact(Work work);
  void append(std::span<const JournalRow> rows, const JournalMeta* meta);
  void fold() noexcept;
  void fold_everything();
  void checkpoint() noexcept;

  static int on_wal(void* self, sqlite3*, const char*, int frames) {
    auto& journal = *static_cast<SqliteJournal*>(self);
    journal.wal_frames_ = frames;
    // Also of a full disk: SQLite takes it for committed, so this connection must not go on.
    return journal.guard_.finish() == SQLITE_OK ? SQLITE_OK : SQLITE_IOERR_WRITE;
  }

  std::string path_, prefix_, vfs_, text_;
  DiskSync sync_;
  int checkpoint_frames_;
  ReserveFile reserve_;
  WalGuard guard_;
  Connection db_;
  Statement upsert_, put_result_, erase_, erase_result_, put_recent_, erase_recent_, put_meta_,
      begin_, commit_;
  FoldPlan plan_;
  std::string body_;                  // of the transaction under way
  std::vector<FoldPlan::Item> said_;  // by it
  std::size_t last_rows_ = 0;
  int wal_frames_ = 0;
  bool must_reopen_ = false;
};

void SqliteJournal::open() {
  if (vfs_.empty()) make_file(path_);
  db_.open(path_, guard_.name());
  // Without shared memory beside the file, also while it is only looked at.
  db_.run("PRAGMA locking_mode=EXCLUSIVE");
  // A file that is refused is left as it is, its log too.
  sqlite3_db_config(db_.get(), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
  check_owner(db_, path_);
  sqlite3_db_config(db_.get(), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, nullptr);
  configure();
  bring_up_to_date(db_, path_);
  prepare();
}

/// What the last step into the table moved may be lost with a sync: the plan follows the file.
void SqliteJournal::reopen() {
  shut();
  open();
  plan_.clear();
  read_recent_rows();
  must_reopen_ = false;
}

void SqliteJournal::configure() {
  // The change to WAL itself goes through a rollback journal. EXTRA makes its removal durable: a
  // power cut that brought it back would undo the change, and the log with all its rows would be
  // ignored.
  db_.run("PRAGMA synchronous=EXTRA");
  db_.run("PRAGMA journal_mode=WAL");
  db_.run(sync_ == DiskSync::full ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL");
  db_.run("PRAGMA secure_delete=OFF");
  db_.run("PRAGMA wal_autocheckpoint=0");  // checkpoint() does it, to see its errors
  db_.run("PRAGMA journal_size_limit=67108864");
  db_.run("PRAGMA cache_size=-16384");
  sqlite3_wal_hook(db_.get(), &on_wal, this);
  // Takes the exclusive lock now instead of at the first write.
  db_.run("BEGIN IMMEDIATE");
  db_.run("COMMIT");
}

void SqliteJournal::verify() {
  const auto answer = db_.text("PRAGMA quick_check(1)");
  if (answer != "ok")
    throw TaskError(TaskErrc::bad_format,
                    fmt::format("'{}' is damaged: {}. Restore it, or save what is left with the "
                                "sqlite3 tool's .recover",
                                path_, answer));
}

void SqliteJournal::prepare() {
  upsert_.prepare(db_, upsert_sql);
  put_result_.prepare(db_, "INSERT OR REPLACE INTO result VALUES(?1,?2)");
  erase_.prepare(db_, "DELETE FROM task WHERE rid=?1");
  erase_result_.prepare(db_, "DELETE FROM result WHERE rid=?1");
  put_recent_.prepare(db_, "INSERT INTO recent(body) VALUES(?1)");
  erase_recent_.prepare(db_, "DELETE FROM recent WHERE seq<=?1");
  put_meta_.prepare(db_, "INSERT OR REPLACE INTO meta VALUES(?1,?2)");
  begin_.prepare(db_, "BEGIN IMMEDIATE");
  commit_.prepare(db_, "COMMIT");
}

void SqliteJournal::shut() noexcept {
  for (Statement* s : {&upsert_, &put_result_, &erase_, &erase_result_, &put_recent_,
                       &erase_recent_, &put_meta_, &begin_, &commit_})
    s->reset();
  // A checkpoint of a log whose sync failed would copy whatever the kernel now shows, unchecked.
  if ((must_reopen_ || reserve_.is_short()) && db_.get() != nullptr)
    sqlite3_db_config(db_.get(), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
  db_.close();
}

void SqliteJournal::read_recent_rows() {
  Statement recent;
  recent.prepare(db_, "SELECT seq, body FROM recent ORDER BY seq");
  while (recent.step()) {
    const std::string body = column_text(recent.get(), 1);
    const bool whole = read_recent(
        body, prefix_, [this](std::uint64_t rid, RecentEntry entry) { plan_.said(rid, entry); });
    if (!whole)
      throw TaskError(TaskErrc::bad_format,
                      fmt::format("'{}' is damaged: a row of its table 'recent' cannot be read; "
                                  "restore it",
                                  path_));
    plan_.appended(sqlite3_column_int64(recent.get(), 0), body.size());
  }
}

JournalMeta SqliteJournal::load(const std::function<void(std::shared_ptr<RecordData>)>& record) {
  JournalMeta meta;
  {
    Statement all;
    all.prepare(db_, "SELECT k, v FROM meta");
    while (all.step()) {
      const std::string key = column_text(all.get(), 0);
      const auto value = sqlite3_column_int64(all.get(), 1);
      if (key == "epoch") meta.epoch = value;
      if (key == "next_revision") meta.next_revision = value;
      if (key == "next_rid") meta.next_rid = value;
      if (key == "last_wall_ms") meta.last_wall_ms = value;
      if (key == "clean_shutdown") meta.clean = value != 0;
    }
  }
  if (!meta.clean) verify();
  read_recent_rows();
  load_rows(db_, prefix_, plan_.rest(), meta, record);
  return meta;
}

void SqliteJournal::put(std::uint64_t rid, const RecordData* r, bool foreign) {
  if (r == nullptr) {
    for (Statement* s : {&erase_, &erase_result_}) {
      sqlite3_bind_int64(s->get(), 1, static_cast<std::int64_t>(rid));
      s->finish();
    }
    return;
  }
  text_ = foreign ? "" : prefix_;
  text_ += *r->id;
  bind_row(upsert_.get(), *r, text_);
  upsert_.finish();
}

void SqliteJournal::put_result(const RecordData& r) {
  if (!r.outcome || r.outcome->result.empty()) {
    if (!r.had_result) return;
    sqlite3_bind_int64(erase_result_.get(), 1, static_cast<std::int64_t>(r.rid));
    erase_result_.finish();
    return;
  }
  sqlite3_stmt* s = put_result_.get();
  sqlite3_bind_int64(s, 1, static_cast<std::int64_t>(r.rid));
  sqlite3_bind_blob(s, 2, r.outcome->result.data(), static_cast<int>(r.outcome->result.size()),
                    SQLITE_STATIC);
  put_result_.finish();
}

void SqliteJournal::write(const JournalRow& row, bool direct) {
  using Kind = RecentEntry::Kind;
  RecentEntry entry;
  if (row.data) put_result(*row.data);
  if (!direct && (!row.data || is_small(*row.data))) {
    entry.kind = row.data ? Kind::row : Kind::erased;
    entry.data = row.data;
  } else {
    put(row.rid, row.data.get(), false);
    if (!plan_.may_hold(row.rid)) return;
    entry.kind = row.data ? Kind::in_table : Kind::erased;
  }
  if (entry.kind == Kind::row)
    append_row(body_, *row.data, prefix_);
  else
    append_mark(body_, entry.kind, row.rid);
  said_.push_back({row.rid, std::move(entry)});
}

/// A descriptor whose sync failed is never trusted again: the kernel may have dropped its pages.
template <class Work>
void SqliteJournal::transact(Work work) {
  try {
    begin_.finish();
    work();
    commit_.finish();
  } catch (const std::exception& e) {
    if (sqlite3_get_autocommit(db_.get()) == 0)
      sqlite3_exec(db_.get(), "ROLLBACK", nullptr, nullptr, nullptr);
    const auto* error = dynamic_cast<const TaskError*>(&e);
    if (error != nullptr && error->code() != TaskErrc::storage_full) must_reopen_ = true;
    throw;
  }
}

void SqliteJournal::append(std::span<const JournalRow> rows, const JournalMeta* meta) {
  body_.clear();
  said_.clear();
  try {
    transact([&] {
      // One row is one page in the table, as it would be in `recent`.
      const bool direct =
          rows.size() > recent_rows_max || (rows.size() == 1 && !plan_.may_hold(rows.front().rid));
      for (const JournalRow& row : rows) write(row, direct);
      if (!body_.empty()) {
        sqlite3_bind_blob(put_recent_.get(), 1, body_.data(), static_cast<int>(body_.size()),
                          SQLITE_STATIC);
        put_recent_.finish();
      }
      if (meta) write_meta(put_meta_, *meta);
    });
  } catch (...) {
    for (const auto& item : said_) plan_.suspect(item.rid);
    throw;
  }
  if (!body_.empty()) plan_.appended(sqlite3_last_insert_rowid(db_.get()), body_.size());
  for (auto& item : said_) plan_.said(item.rid, item.entry);
  last_rows_ = rows.size();
}

void SqliteJournal::commit(std::span<const JournalRow> rows, const JournalMeta* meta) {
  if (must_reopen_) reopen();
  try {
    append(rows, meta);
  } catch (const TaskError& e) {
    const bool only_erases =
        !rows.empty() &&
        std::all_of(rows.begin(), rows.end(), [](const JournalRow& r) { return !r.data; });
    if (e.code() != TaskErrc::storage_full || !only_erases || !reserve_.give_up()) throw;
    append(rows, meta);
  }
}

std::vector<std::shared_ptr<const RecordData>> SqliteJournal::take_replaced() {
  std::vector<std::shared_ptr<const RecordData>> replaced;
  replaced.reserve(said_.size());
  for (auto& item : said_)
    if (item.entry.data) replaced.push_back(std::move(item.entry.data));
  said_.clear();
  return replaced;
}

void SqliteJournal::maintain(bool idle) noexcept {
  if (must_reopen_) return;
  reserve_.hold();
  if (reserve_.is_short()) return;  // the file would grow: that is for deletions
  fold();
  const int most = idle ? std::min(checkpoint_frames_, idle_checkpoint_frames) : checkpoint_frames_;
  if (wal_frames_ >= most && !must_reopen_) checkpoint();
}

/// One step from `recent` into the table. It is not synced: what it moves is still in `recent` on
/// any disk that has lost it, and the next commit's sync comes before whatever follows.
void SqliteJournal::fold() noexcept {
  try {
    const auto step = plan_.next(fold_rows_each * std::max<std::size_t>(last_rows_, 1));
    if (step.empty()) return;
    if (sync_ == DiskSync::full) db_.run("PRAGMA synchronous=NORMAL");
    transact([&] {
      put_items(step.rows);
      if (step.erase_through != 0) {
        sqlite3_bind_int64(erase_recent_.get(), 1, step.erase_through);
        erase_recent_.finish();
      }
    });
    plan_.done(step);
  } catch (const TaskError&) {
    // Nothing is lost: `recent` keeps what the table did not get.
  } catch (const std::bad_alloc&) {
    // The plan is unchanged: the next commit's step tries again.
  }
  try {
    if (sync_ == DiskSync::full) db_.run("PRAGMA synchronous=FULL");
  } catch (const TaskError&) {
    must_reopen_ = true;
  }
}

void SqliteJournal::fold_everything() {
  const auto rest = plan_.rest();
  transact([&] {
    put_items(rest);
    sqlite3_bind_int64(erase_recent_.get(), 1, std::numeric_limits<std::int64_t>::max());
    erase_recent_.finish();
  });
  plan_.clear();
}

void SqliteJournal::put_items(std::span<const FoldPlan::Item> items) {
  for (const auto& [rid, entry] : items)
    if (entry.kind != RecentEntry::Kind::in_table) put(rid, entry.data.get(), entry.foreign);
}

void SqliteJournal::checkpoint() noexcept {
  // A failure here loses nothing, the log keeps every row; but the connection is not used again.
  const int rc =
      sqlite3_wal_checkpoint_v2(db_.get(), nullptr, SQLITE_CHECKPOINT_PASSIVE, nullptr, nullptr);
  if (rc != SQLITE_OK && rc != SQLITE_BUSY && (rc & 0xff) != SQLITE_FULL) must_reopen_ = true;
  wal_frames_ = 0;
}

void SqliteJournal::close(const JournalMeta& meta) noexcept {
  try {
    if (!must_reopen_ && !reserve_.is_short()) fold_everything();
  } catch (const std::exception&) {
    // The next start finds the rest in `recent`.
  }
  try {
    if (!must_reopen_) append({}, &meta);
  } catch (const TaskError&) {
    // The next start then finds an unclean shutdown and checks the file: nothing is lost.
  }
  shut();
  reserve_.give_up();
}

}  // namespace

std::unique_ptr<Journal> open_sqlite_journal(const StoreConfig& config) {
  return std::make_unique<SqliteJournal>(config);
}

}  // namespace reeve::tasks::detail
