// What the journal has said is durable stays so: a transaction larger than SQLite's cache, a sync
// that failed and what the kernel then shows, a process that comes after.
#include "tasks/journal.hpp"

#include <fmt/format.h>

#include <map>
#include <random>

#include "tasks/sqlite_handle.hpp"
#include "tests/support/pch.hpp"
#include "tests/tasks/support/disk_vfs.hpp"
#include "tests/tasks/support/platter.hpp"
#include "tests/tasks/support/run.hpp"

namespace reeve::tasks::detail {
namespace {

using testing::code_of;
using testing::copy_of;
using testing::Disk;
using testing::DiskOp;
using testing::evict;
using testing::Files;
using testing::Platter;

constexpr const char* db_path = "/disk/tasks.db";
constexpr const char* log_path = "/disk/tasks.db-wal";
constexpr std::size_t header_size = 24;

using Revisions = std::map<std::uint64_t, std::uint64_t>;  // by row

StoreConfig config(const Disk& disk, DiskSync sync = DiskSync::full) {
  StoreConfig c;
  c.path = db_path;
  c.vfs = disk.name();
  c.reserve = ByteSize{0};
  c.sync = sync;
  return c;
}

JournalRow row(std::uint64_t rid, std::uint64_t revision, std::size_t field_bytes,
               std::size_t result_bytes = 0) {
  auto r = std::make_shared<RecordData>();
  r->id = std::make_shared<const std::string>(fmt::format("t{}", rid));
  r->fields =
      std::make_shared<const std::string>("{\"x\":\"" + std::string(field_bytes, 'f') + "\"}");
  if (result_bytes != 0)
    r->outcome = std::make_shared<const Outcome>(
        Outcome{"\"" + std::string(result_bytes, 'r') + "\"", {}, {}});
  r->rid = rid;
  r->revision = revision;
  return {rid, r};
}

Revisions load(Journal& journal) {
  Revisions all;
  journal.load([&](std::shared_ptr<RecordData> r) { all[r->rid] = r->revision; });
  return all;
}

/// What the next process finds.
Revisions found_in(const Files& files) {
  Disk next("next");
  next.mount(copy_of(files));
  return load(*open_sqlite_journal(config(next)));
}

/// What it finds after a power cut that takes all it may.
Revisions left_on(const Disk& disk) {
  Platter platter;
  for (const DiskOp& op : disk.ops()) platter.step(op);
  return found_in(platter.safe);
}

/// SQLite's cache is 16 MiB: the page of these rows goes to the log before all of the result has a
/// page, and is overwritten there with the second and third row.
const std::vector<JournalRow> larger_than_the_cache{row(1, 11, 6'000), row(2, 12, 10, 16'700'000),
                                                    row(3, 13, 6'000)};
const Revisions all_of_it{{1, 11}, {2, 12}, {3, 13}};

TEST(JournalTest, AKilledProcessLosesNoBatchThatIsLargerThanTheCache) {
  Disk disk("spilled");
  const auto journal = open_sqlite_journal(config(disk, DiskSync::normal));
  load(*journal);
  journal->commit(larger_than_the_cache, nullptr);
  EXPECT_EQ(found_in(disk.contents()), all_of_it);
  EXPECT_EQ(disk.ops().back().bytes.size(), header_size) << "it did not get to what is tested";
}

TEST(JournalTest, ABatchIsRefusedWhoseLastHeaderCannotBeWritten) {
  std::size_t writes = 0;
  {
    Disk disk("counted");
    const auto journal = open_sqlite_journal(config(disk, DiskSync::normal));
    load(*journal);
    const auto before = disk.op_count();
    journal->commit(larger_than_the_cache, nullptr);
    for (std::size_t i = before; i < disk.op_count(); ++i)
      writes += disk.ops()[i].kind == DiskOp::Kind::write;
  }
  Disk disk("refused");
  const auto journal = open_sqlite_journal(config(disk, DiskSync::normal));
  load(*journal);
  disk.fail_writes_after(writes - 1);
  EXPECT_EQ(code_of([&] { journal->commit(larger_than_the_cache, nullptr); }), TaskErrc::io_error);
  EXPECT_EQ(found_in(disk.contents()), Revisions());
  disk.fail_writes_after(SIZE_MAX);
  journal->commit(std::vector{row(6, 16, 10)}, nullptr);
  EXPECT_EQ(found_in(disk.contents()), (Revisions{{6, 16}}));
}

// The pages that do not fit into the cache go to the log before the commit, and some come back.
TEST(JournalTest, ABatchLargerThanTheCacheIsWholeOrNotThereWhicheverWriteIsRefused) {
  std::size_t writes = 0;
  {
    Disk disk("counted");
    const auto journal = open_sqlite_journal(config(disk));
    load(*journal);
    const auto before = disk.op_count();
    journal->commit(larger_than_the_cache, nullptr);
    for (std::size_t i = before; i < disk.op_count(); ++i)
      writes += disk.ops()[i].kind == DiskOp::Kind::write;
  }
  ASSERT_GT(writes, 100u);
  for (const bool full : {false, true})
    for (const std::size_t k :
         {std::size_t{0}, std::size_t{1}, writes / 3, writes - 3, writes - 1}) {
      Disk disk("refused");
      const auto journal = open_sqlite_journal(config(disk));
      load(*journal);
      std::size_t left = k;
      if (full)
        disk.full_while([&left] { return left == 0 || left-- == 0; });
      else
        disk.fail_writes_after(k);
      EXPECT_TRUE(code_of([&] { journal->commit(larger_than_the_cache, nullptr); })) << k;
      disk.full_while(nullptr);
      disk.fail_writes_after(SIZE_MAX);
      EXPECT_EQ(found_in(disk.contents()), Revisions()) << k;
      journal->commit(std::vector{row(6, 16, 10)}, nullptr);
      EXPECT_EQ(left_on(disk), (Revisions{{6, 16}})) << k;
    }
}

TEST(JournalTest, WhatACommitReplacedComesBackOnce) {
  Disk disk("replaced");
  const auto journal = open_sqlite_journal(config(disk));
  load(*journal);
  const std::vector first{row(1, 11, 10), row(2, 12, 10)}, second{row(1, 13, 10), row(2, 14, 10)};
  journal->commit(first, nullptr);
  EXPECT_TRUE(journal->take_replaced().empty());
  disk.fail_syncs(true);
  EXPECT_EQ(code_of([&] { journal->commit(second, nullptr); }), TaskErrc::io_error);
  disk.fail_syncs(false);
  journal->commit(second, nullptr);
  EXPECT_EQ(journal->take_replaced().size(), 2u);
  EXPECT_TRUE(journal->take_replaced().empty());
}

/// As the committer does it: what a failed batch may have left is written again.
class Writer {
 public:
  Writer(Disk& disk, StoreConfig config) : disk_(disk), journal_(open_sqlite_journal(config)) {
    load(*journal_);
  }
  void write(std::vector<std::uint64_t> rids) {
    std::vector<JournalRow> rows;
    Revisions next;
    for (const auto rid : std::exchange(repairs_, {}))
      if (acknowledged.contains(rid))
        rows.push_back(row(rid, acknowledged[rid], 2'000));
      else
        rows.push_back({rid, nullptr});
    for (const auto rid : rids) {
      std::erase_if(rows, [&](const JournalRow& r) { return r.rid == rid; });
      rows.push_back(row(rid, next[rid] = ++revision_, 2'000));
    }
    journal_->commit(rows, nullptr);
    for (const auto& [rid, revision] : next) acknowledged[rid] = revision;
  }
  void write_in_vain(const std::vector<std::uint64_t>& rids) {
    disk_.fail_syncs(true);
    EXPECT_EQ(code_of([&] { write(rids); }), TaskErrc::io_error);
    disk_.fail_syncs(false);
    repairs_ = rids;
  }
  void maintain() { journal_->maintain(false); }

  Revisions acknowledged;

 private:
  Disk& disk_;
  std::unique_ptr<Journal> journal_;
  std::vector<std::uint64_t> repairs_;
  std::uint64_t revision_ = 0;
};

TEST(JournalTest, WhatAFailedSyncHasDroppedIsNotBuiltUpon) {
  Disk disk("dropped");
  Writer writer(disk, config(disk));
  writer.write({1, 2});
  writer.write_in_vain({3, 4});
  writer.write({5, 6});
  EXPECT_EQ(left_on(disk), writer.acknowledged);
}

TEST(JournalTest, NorByTheNextProcess) {
  Disk disk("dropped-and-killed");
  Writer killed(disk, config(disk));  // as far as the disk can tell
  killed.write({1, 2});
  killed.write_in_vain({3, 4});
  const auto next = open_sqlite_journal(config(disk));
  load(*next);
  next->commit(std::vector{row(5, 100, 10), row(3, 101, 10), row(4, 102, 10)}, nullptr);
  EXPECT_EQ(left_on(disk), (Revisions{{1, 1}, {2, 2}, {3, 101}, {4, 102}, {5, 100}}));
}

TEST(JournalTest, AStepIntoTheTableThatTheDiskNeverGotIsTakenAgain) {
  Disk disk("evicted");
  auto small = config(disk);
  small.checkpoint_frames = 64;  // passes of 64 KiB
  Writer writer(disk, small);
  std::mt19937 random(4);
  const auto some = [&] { return std::uint64_t{1} + random() % 60; };
  int evictions = 0;
  for (int i = 0; i < 400 && evictions < 12; ++i) {
    if (random() % 4 == 0)
      writer.write({some()});  // into the table at once, unless `recent` holds that row
    else
      writer.write({some(), 61 + random() % 60});
    const auto before = disk.op_count();
    writer.maintain();
    if (disk.op_count() == before || disk.ops().back().kind == DiskOp::Kind::sync ||
        disk.ops().back().file != log_path)
      continue;
    writer.write_in_vain({some(), 61 + random() % 60});
    evict(disk, log_path);
    ++evictions;
    writer.write({some(), 61 + random() % 60});
    writer.write({some()});
    ASSERT_EQ(found_in(disk.contents()), writer.acknowledged) << "killed, at " << i;
    ASSERT_EQ(left_on(disk), writer.acknowledged) << "cut, at " << i;
  }
  EXPECT_EQ(evictions, 12);
}

TEST(JournalTest, AFullDiskWhereEvenTheLogNeedsSpaceIsRead) {
  Disk disk("full");
  const auto journal = open_sqlite_journal(config(disk));
  load(*journal);
  journal->commit(std::vector{row(1, 11, 10), row(2, 12, 10)}, nullptr);
  Disk next("full-next");
  next.mount(disk.contents());
  next.copy_on_write(true);
  next.set_capacity(0);
  const auto reader = open_sqlite_journal(config(next));
  EXPECT_EQ(load(*reader), (Revisions{{1, 11}, {2, 12}}));
  EXPECT_EQ(code_of([&] { reader->commit(std::vector{row(3, 13, 10)}, nullptr); }),
            TaskErrc::storage_full);
  next.set_capacity(SIZE_MAX);
  const auto before = next.op_count();
  reader->commit(std::vector{row(4, 14, 10)}, nullptr);
  EXPECT_EQ(next.ops()[before].offset, 0u) << "the log is written again before it grows";
  EXPECT_EQ(next.ops()[before + 1].kind, DiskOp::Kind::sync);
}

}  // namespace
}  // namespace reeve::tasks::detail
