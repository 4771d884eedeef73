// The SQLite journal: WAL, synchronous FULL, one exclusive connection, one transaction per batch.
#include <fcntl.h>
#include <fmt/format.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "tasks/journal.hpp"
#include "tasks/migration.hpp"
#include "tasks/sqlite_handle.hpp"

namespace reeve::tasks::detail {
namespace {

constexpr const char* upsert_sql =
    "INSERT OR REPLACE INTO task "
    "VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,?17)";

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

std::string column_text(sqlite3_stmt* s, int at) {
  const auto* text = static_cast<const char*>(sqlite3_column_blob(s, at));
  return text ? std::string(text, sqlite3_column_bytes(s, at)) : std::string();
}

class SqliteJournal final : public Journal {
 public:
  explicit SqliteJournal(const StoreConfig& config)
      : path_(config.path),
        prefix_(config.prefix),
        vfs_(config.vfs),
        sync_(config.sync),
        checkpoint_frames_(config.checkpoint_frames),
        reserve_bytes_(config.reserve.bytes()) {
    if (sqlite3_threadsafe() == 0)
      throw TaskError(TaskErrc::io_error,
                      "this SQLite was built without threads; use another build");
    open();
    make_reserve();
  }
  ~SqliteJournal() override { shut(); }

  JournalMeta load(const std::function<void(std::shared_ptr<RecordData>)>& record) override;
  void commit(std::span<const JournalRow> rows, const JournalMeta* meta) override;
  void maintain() noexcept override;
  void close(const JournalMeta& meta) noexcept override;

 private:
  void open();
  void shut() noexcept;
  void configure();
  void verify();
  void prepare();
  void write(const JournalRow& row);
  void write_meta(const JournalMeta& meta);
  void put_meta(const char* key, std::int64_t value);
  void transact(std::span<const JournalRow> rows, const JournalMeta* meta);
  void checkpoint() noexcept;
  void make_reserve() noexcept;
  bool drop_reserve() noexcept;
  std::string reserve_path() const { return path_ + "-reserve"; }

  static int on_wal(void* self, sqlite3*, const char*, int frames) {
    static_cast<SqliteJournal*>(self)->wal_frames_ = frames;
    return SQLITE_OK;
  }

  std::string path_, prefix_, vfs_, text_;
  DiskSync sync_;
  int checkpoint_frames_;
  std::uint64_t reserve_bytes_;
  Connection db_;
  Statement upsert_, put_result_, erase_, erase_result_, put_meta_, begin_, commit_;
  int wal_frames_ = 0;
  bool reserve_there_ = false;
  bool must_reopen_ = false;
};

void SqliteJournal::open() {
  if (vfs_.empty()) {
    // Create the file ourselves: SQLite would make it readable for everyone.
    const int fd = ::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
      const SystemError cause(errno, fmt::format("open({})", path_));
      throw TaskError(TaskErrc::io_error,
                      std::string(cause.what()) + "; the task store needs a file it may write");
    }
    ::close(fd);
  }
  db_.open(path_, vfs_);
  configure();
  bring_up_to_date(db_, path_);
  prepare();
  must_reopen_ = false;
}

void SqliteJournal::configure() {
  db_.run("PRAGMA locking_mode=EXCLUSIVE");
  // The change to WAL itself goes through a rollback journal. EXTRA makes its removal durable: a
  // power cut that brought it back would undo the change, and the log with all its rows would be
  // ignored.
  db_.run("PRAGMA synchronous=EXTRA");
  db_.run("PRAGMA journal_mode=WAL");
  db_.run(sync_ == DiskSync::full ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL");
  db_.run("PRAGMA secure_delete=OFF");
  db_.run("PRAGMA wal_autocheckpoint=0");  // checkpoint() does it, to see its errors
  db_.run("PRAGMA journal_size_limit=67108864");
  db_.run("PRAGMA cache_size=-8192");
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
  put_meta_.prepare(db_, "INSERT OR REPLACE INTO meta VALUES(?1,?2)");
  begin_.prepare(db_, "BEGIN IMMEDIATE");
  commit_.prepare(db_, "COMMIT");
}

void SqliteJournal::shut() noexcept {
  for (Statement* s :
       {&upsert_, &put_result_, &erase_, &erase_result_, &put_meta_, &begin_, &commit_})
    s->reset();
  db_.close();
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
  Statement results;
  results.prepare(db_, "SELECT rid, body FROM result ORDER BY rid");
  bool more_results = results.step();
  std::shared_ptr<const Outcome> shared;
  Statement rows;
  rows.prepare(db_, "SELECT * FROM task ORDER BY rid");
  while (rows.step()) {
    sqlite3_stmt* s = rows.get();
    auto r = std::make_shared<RecordData>();
    r->rid = sqlite3_column_int64(s, 0);
    meta.next_rid = std::max(meta.next_rid, r->rid + 1);
    const std::string id = column_text(s, 1);
    r->revision = sqlite3_column_int64(s, 4);
    meta.next_revision = std::max(meta.next_revision, r->revision + 1);
    while (more_results &&
           sqlite3_column_int64(results.get(), 0) < static_cast<std::int64_t>(r->rid))
      more_results = results.step();
    if (!id.starts_with(prefix_)) continue;
    r->id = std::make_shared<const std::string>(id.substr(prefix_.size()));
    r->state = static_cast<TaskState>(sqlite3_column_int(s, 2));
    r->attempt = static_cast<std::uint32_t>(sqlite3_column_int64(s, 3));
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
    if (more_results && sqlite3_column_int64(results.get(), 0) == static_cast<std::int64_t>(r->rid))
      outcome.result = column_text(results.get(), 1);
    if (outcome.result.empty() && outcome.error.empty()) {
      if (!outcome.reason.empty()) {  // one of very few words: said once for all who share it
        if (!shared || shared->reason != outcome.reason)
          shared = std::make_shared<const Outcome>(std::move(outcome));
        r->outcome = shared;
      }
    } else {
      r->outcome = std::make_shared<const Outcome>(std::move(outcome));
    }
    record(std::move(r));
  }
  return meta;
}

void SqliteJournal::write(const JournalRow& row) {
  if (!row.data) {
    for (Statement* s : {&erase_, &erase_result_}) {
      sqlite3_bind_int64(s->get(), 1, static_cast<std::int64_t>(row.rid));
      s->finish();
    }
    return;
  }
  const RecordData& r = *row.data;
  sqlite3_stmt* s = upsert_.get();
  sqlite3_clear_bindings(s);
  text_ = prefix_;
  text_ += *r.id;
  sqlite3_bind_int64(s, 1, static_cast<std::int64_t>(r.rid));
  bind_text(s, 2, text_);
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
  upsert_.finish();
  if (r.outcome && !r.outcome->result.empty()) {
    sqlite3_stmt* p = put_result_.get();
    sqlite3_bind_int64(p, 1, static_cast<std::int64_t>(r.rid));
    sqlite3_bind_blob(p, 2, r.outcome->result.data(), static_cast<int>(r.outcome->result.size()),
                      SQLITE_STATIC);
    put_result_.finish();
  }
}

void SqliteJournal::put_meta(const char* key, std::int64_t value) {
  sqlite3_bind_text(put_meta_.get(), 1, key, -1, SQLITE_STATIC);
  sqlite3_bind_int64(put_meta_.get(), 2, value);
  put_meta_.finish();
}

void SqliteJournal::write_meta(const JournalMeta& meta) {
  put_meta("epoch", static_cast<std::int64_t>(meta.epoch));
  put_meta("next_revision", static_cast<std::int64_t>(meta.next_revision));
  put_meta("next_rid", static_cast<std::int64_t>(meta.next_rid));
  put_meta("last_wall_ms", meta.last_wall_ms);
  put_meta("clean_shutdown", meta.clean ? 1 : 0);
}

void SqliteJournal::transact(std::span<const JournalRow> rows, const JournalMeta* meta) {
  begin_.finish();
  try {
    for (const JournalRow& row : rows) write(row);
    if (meta) write_meta(*meta);
    commit_.finish();
  } catch (...) {
    if (sqlite3_get_autocommit(db_.get()) == 0)
      sqlite3_exec(db_.get(), "ROLLBACK", nullptr, nullptr, nullptr);
    throw;
  }
}

void SqliteJournal::commit(std::span<const JournalRow> rows, const JournalMeta* meta) {
  if (must_reopen_) {
    // A descriptor whose sync failed is never trusted again: the kernel may have dropped its pages.
    shut();
    open();
  }
  try {
    transact(rows, meta);
  } catch (const TaskError& e) {
    must_reopen_ = e.code() != TaskErrc::storage_full;
    const bool only_erases =
        std::all_of(rows.begin(), rows.end(), [](const JournalRow& r) { return !r.data; });
    if (e.code() != TaskErrc::storage_full || !only_erases || !drop_reserve()) throw;
    transact(rows, meta);
  }
}

void SqliteJournal::maintain() noexcept {
  if (must_reopen_) return;
  if (wal_frames_ >= checkpoint_frames_) checkpoint();
  if (!reserve_there_) make_reserve();
}

void SqliteJournal::checkpoint() noexcept {
  // A failure here loses nothing, the log keeps every row; but the connection is not used again.
  const int rc =
      sqlite3_wal_checkpoint_v2(db_.get(), nullptr, SQLITE_CHECKPOINT_PASSIVE, nullptr, nullptr);
  if (rc != SQLITE_OK && rc != SQLITE_BUSY && (rc & 0xff) != SQLITE_FULL) must_reopen_ = true;
  wal_frames_ = 0;
}

void SqliteJournal::make_reserve() noexcept {
  if (reserve_bytes_ == 0) return;
  const int fd = ::open(reserve_path().c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return;
  const int rc = ::posix_fallocate(fd, 0, static_cast<off_t>(reserve_bytes_));
  ::close(fd);
  if (rc == 0)
    reserve_there_ = true;
  else
    ::unlink(reserve_path().c_str());
}

bool SqliteJournal::drop_reserve() noexcept {
  return std::exchange(reserve_there_, false) && ::unlink(reserve_path().c_str()) == 0;
}

void SqliteJournal::close(const JournalMeta& meta) noexcept {
  try {
    if (!must_reopen_) transact({}, &meta);
  } catch (const TaskError&) {
    // The next start then finds an unclean shutdown and checks the file: nothing is lost.
  }
  shut();
  if (reserve_there_) ::unlink(reserve_path().c_str());
}

}  // namespace

std::unique_ptr<Journal> open_sqlite_journal(const StoreConfig& config) {
  return std::make_unique<SqliteJournal>(config);
}

}  // namespace reeve::tasks::detail
