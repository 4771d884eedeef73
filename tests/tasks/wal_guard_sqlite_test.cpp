// A cut between the header of a log's frame and its page, with SQLite alone and behind the guard.
#include <fmt/format.h>
#include <sqlite3.h>

#include <random>

#include "tasks/sqlite_handle.hpp"
#include "tasks/wal_guard.hpp"
#include "tests/support/pch.hpp"
#include "tests/tasks/support/disk_vfs.hpp"
#include "tests/tasks/support/platter.hpp"

namespace reeve::tasks::detail {
namespace {

using testing::Bytes;
using testing::copy_of;
using testing::Disk;
using testing::DiskOp;
using testing::Files;

constexpr const char* db_path = "/disk/t.db";
constexpr std::size_t header_size = 24, frame_size = 24 + 4096;

void open(Connection& db, const std::string& vfs) {
  db.open(db_path, vfs);
  for (const char* sql : {"PRAGMA locking_mode=EXCLUSIVE", "PRAGMA journal_mode=WAL",
                          "PRAGMA synchronous=FULL", "PRAGMA secure_delete=OFF"})
    db.run(sql);
}

/// Blobs that come and go, and a log that is used again after every sixth transaction. One thread:
/// the pages of a seed are the same each time.
void churn(const std::string& vfs, unsigned seed, int transactions) {
  Connection db;
  open(db, vfs);
  db.run("PRAGMA wal_autocheckpoint=0");
  db.run("CREATE TABLE t(k INTEGER PRIMARY KEY, b BLOB)");
  std::mt19937 rng(seed);
  for (int i = 0; i < transactions; ++i) {
    if (rng() % 2 != 0) {
      const auto size = 3000 + rng() % 9000;
      const auto key = rng() % 12;
      db.run(fmt::format("INSERT OR REPLACE INTO t VALUES({},zeroblob({}))", key, size).c_str());
    } else {
      db.run(fmt::format("DELETE FROM t WHERE k={}", rng() % 8).c_str());
    }
    if (i % 6 == 5)
      sqlite3_wal_checkpoint_v2(db.get(), nullptr, SQLITE_CHECKPOINT_PASSIVE, nullptr, nullptr);
  }
}

std::string verdict(const Files& files) {
  Disk disk("verdict");
  disk.record(false);
  disk.mount(copy_of(files));
  try {
    Connection db;
    open(db, disk.name());
    return db.text("PRAGMA quick_check(1)");
  } catch (const TaskError& e) {
    return e.what();
  }
}

void apply(Files& files, const DiskOp& op, std::size_t length) {
  auto& content = files[op.file];
  if (!content) content = std::make_shared<Bytes>();
  const std::size_t end = op.offset + op.bytes.size();
  if (content->size() < end) content->resize(end);
  std::copy_n(op.bytes.begin(), length, content->begin() + static_cast<std::ptrdiff_t>(op.offset));
}

struct Found {
  int states = 0, damaged = 0;
};

/// States with a frame's header and not its page, and those of them that cannot be recovered.
Found cut_behind_headers(const std::vector<DiskOp>& ops) {
  Files files;
  Found found;
  for (const DiskOp& op : ops) {
    switch (op.kind) {
      case DiskOp::Kind::sync:
      case DiskOp::Kind::failed_sync:
        break;
      case DiskOp::Kind::unlink:
        files.erase(op.file);
        break;
      case DiskOp::Kind::truncate:
        apply(files, op, 0);
        files[op.file]->resize(op.offset);
        break;
      case DiskOp::Kind::write:
        // The guard writes several frames at once.
        if (op.offset != 0 &&
            (op.bytes.size() == header_size || op.bytes.size() % frame_size == 0)) {
          for (std::size_t cut = header_size; cut <= op.bytes.size(); cut += frame_size) {
            apply(files, op, cut);
            ++found.states;
            found.damaged += verdict(files) != "ok";
          }
        }
        apply(files, op, op.bytes.size());
    }
  }
  return found;
}

// Found among 3,800 seeds of 100 transactions, with SQLite 3.40.1: seven of them have such a state.
constexpr unsigned found_seeds[] = {432, 1006, 1252, 2004, 2081, 3465, 3702};

TEST(WalGuardSqliteTest, ACutBeforeTheSecondHalfOfAFrameDamagesAFileWithoutTheGuard) {
  if (sqlite3_libversion_number() != 3040001)
    GTEST_SKIP() << "these seeds are those of SQLite 3.40.1; this is " << sqlite3_libversion();
  for (const unsigned seed : found_seeds) {
    Disk disk("bare");
    churn(disk.name(), seed, 100);
    EXPECT_GE(cut_behind_headers(disk.ops()).damaged, 1) << seed;
  }
}

TEST(WalGuardSqliteTest, NoCutBeforeTheSecondHalfOfAFrameDamagesAFileBehindTheGuard) {
  std::uint64_t broken = 0;
  int states = 0;
  for (const unsigned seed : found_seeds) {
    Disk disk("guarded");
    {
      const WalGuard guard(disk.name());
      churn(guard.name(), seed, 100);
      broken += guard.broken();
    }
    const Found found = cut_behind_headers(disk.ops());
    EXPECT_EQ(found.damaged, 0) << seed;
    states += found.states;
  }
  EXPECT_GT(states, 1'000);
  if (sqlite3_libversion_number() == 3040001) {
    EXPECT_GE(broken, std::size(found_seeds));
  }
}

/// A transaction that goes beyond its cache, meets a full disk in a statement that reads back what
/// went to the log, and is committed when there is space again. What a next process finds amiss.
std::string after_a_refused_read(int blob) {
  Disk disk("refused read");
  std::string amiss;
  {
    const WalGuard guard(disk.name());
    Connection db;
    open(db, guard.name());
    for (const char* sql : {"PRAGMA cache_size=10", "CREATE TABLE t(k INTEGER PRIMARY KEY, b BLOB)",
                            "CREATE TABLE u(x INTEGER UNIQUE, pad BLOB)",
                            "WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM n WHERE "
                            "i<100) INSERT INTO u SELECT i, zeroblob(900) FROM n"})
      db.run(sql);
    db.run("BEGIN");
    db.run(fmt::format("INSERT INTO t VALUES(1, randomblob({}))", blob).c_str());
    disk.full_while([] { return true; });
    try {
      db.run("UPDATE u SET x = x + 1000");
      amiss = "the disk was not full";
    } catch (const TaskError&) {
    }
    disk.full_while(nullptr);
    const bool committed = sqlite3_exec(db.get(), "COMMIT", nullptr, nullptr, nullptr) == SQLITE_OK;
    if (committed && db.number("SELECT count(*) FROM t") != 1) amiss = "lost what it committed";
    if (!committed && sqlite3_get_autocommit(db.get()) == 0) db.run("ROLLBACK");
    if (const auto found = db.text("PRAGMA quick_check(1)"); found != "ok") amiss = found;
    const Files left = disk.contents();
    Disk next("next");
    next.mount(copy_of(left));
    Connection again;
    open(again, next.name());
    if (committed && again.number("SELECT count(*) FROM t") != 1) amiss = "the next one lost it";
  }
  return amiss;
}

TEST(WalGuardSqliteTest, ARefusalThatARefusedReadBringsEndsTheWholeTransaction) {
  for (int blob = 100'000; blob < 180'000; blob += 4'000)
    EXPECT_EQ(after_a_refused_read(blob), "") << blob;
}

}  // namespace
}  // namespace reeve::tasks::detail
