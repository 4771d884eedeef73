// The pair of pages that SQLite's checksum cannot tell apart, and that none reaches a disk half.
#include "tasks/wal_guard.hpp"

#include <sqlite3.h>

#include <array>
#include <cstring>
#include <map>
#include <random>

#include "tests/support/pch.hpp"
#include "tests/tasks/support/disk_vfs.hpp"

namespace reeve::tasks::detail {
namespace {

using testing::Bytes;
using testing::Disk;
using testing::DiskOp;

constexpr const char* log_path = "/disk/tasks.db-wal";
constexpr std::size_t page_size = 4096;
constexpr std::size_t hashed = 8 + page_size;

void put_number(Bytes& page, std::size_t word, std::uint32_t value) {  // as SQLite does
  for (int i = 0; i < 4; ++i)
    page[word * 4 + static_cast<std::size_t>(i)] =
        static_cast<unsigned char>(value >> (24 - 8 * i));
}

/// What a free list looks like: the next trunk, the number of leaves, the leaves.
Bytes free_list(std::initializer_list<std::uint32_t> numbers) {
  Bytes page(page_size, 'x');
  std::size_t word = 0;
  for (const auto n : numbers) put_number(page, word++, n);
  return page;
}

const Bytes zeros(page_size);
// Six leaves, and nothing behind them: they add nothing to either sum.
const Bytes like_zeros = [] {
  Bytes page = zeros;
  std::size_t word = 0;
  for (const std::uint32_t n : {0, 6, 13, 24, 16, 35, 4, 88}) put_number(page, word++, n);
  return page;
}();

// Found by the power-cut test: page 12 of one run, before and after.
const Bytes older = free_list({0, 0, 8, 24, 22, 23, 25});
const Bytes newer = free_list({0, 1, 15, 15, 14, 23, 25});

/// The first bytes of a frame's header and its page, as the checksum sees them.
Bytes message(const Bytes& page, std::uint32_t number = 12, std::uint32_t commit = 25) {
  Bytes m(hashed);
  put_number(m, 0, number);
  put_number(m, 1, commit);
  std::copy(page.begin(), page.end(), m.begin() + 8);
  return m;
}

/// The checksum that SQLite's file format documents.
std::pair<std::uint32_t, std::uint32_t> checksum(const Bytes& m) {
  std::uint32_t a = 0x2718, b = 0x3141;
  for (std::size_t i = 0; i < m.size(); i += 8) {
    std::array<std::uint32_t, 2> words;
    std::memcpy(words.data(), &m[i], 8);
    a += words[0] + b;
    b += words[1] + a;
  }
  return {a, b};
}

TEST(WalGuardTest, TwoVersionsOfAFreeListHaveOneChecksum) {
  ASSERT_NE(older, newer);
  EXPECT_EQ(checksum(message(older)), checksum(message(newer)));
  EXPECT_TRUE(may_pass_for(message(newer), message(older), 32));
}

TEST(WalGuardTest, AFreeListMayPassForAPageOfZeros) {
  EXPECT_EQ(checksum(message(like_zeros)), checksum(message(zeros)));
  EXPECT_TRUE(may_pass_for(message(like_zeros), message(zeros), 32));
}

TEST(WalGuardTest, NothingPassesForItselfOrForWhatDiffersInOneNumber) {
  EXPECT_FALSE(may_pass_for(message(newer), message(newer), 32));
  Bytes other = newer;
  put_number(other, 3, 16);
  EXPECT_FALSE(may_pass_for(message(newer), message(other), 32));
  EXPECT_FALSE(may_pass_for(message(newer), message(newer, 12, 0), 32));
}

TEST(WalGuardTest, APairIsSeenInAnySectorThatACutMayKeepAlone) {
  // The pair in the third sector of the frame, and a difference that no sum forgives in the fifth.
  Bytes fresh = free_list({}), stale = free_list({});
  std::copy_n(newer.begin(), 32, fresh.begin() + 1200);
  std::copy_n(older.begin(), 32, stale.begin() + 1200);
  put_number(stale, 600, 77);
  EXPECT_NE(checksum(message(fresh)), checksum(message(stale)));
  EXPECT_TRUE(may_pass_for(message(fresh), message(stale), 32));
}

/// Every mixture of sectors, the slow way.
bool some_mixture_passes(const Bytes& fresh, const Bytes& stale, std::uint64_t offset) {
  std::map<std::uint64_t, std::vector<std::size_t>> parts;  // 0: the header
  for (std::size_t i = 0; i < hashed; ++i)
    parts[i < 8 ? 0 : 1 + (offset + i + 16) / 512].push_back(i);
  const auto wanted = checksum(fresh);
  for (std::uint32_t chosen = 1; chosen < std::uint32_t{1} << parts.size(); ++chosen) {
    Bytes mixture = fresh;
    std::uint32_t bit = 0;
    for (const auto& [where, bytes] : parts)
      if (chosen >> bit++ & 1)
        for (const std::size_t i : bytes) mixture[i] = stale[i];
    if (mixture != fresh && checksum(mixture) == wanted) return true;
  }
  return false;
}

TEST(WalGuardTest, FindsExactlyTheMixturesThatPass) {
  std::mt19937 rng(5);
  int passed = 0;
  for (int round = 0; round < 60; ++round) {
    Bytes fresh(page_size, 'x');
    Bytes stale = fresh;
    const std::uint64_t offset = 32 + 4120 * (rng() % 40);
    for (std::size_t n = rng() % 4; n != 0; --n) {
      const std::size_t at = rng() % (page_size / 8 - 4) * 8;
      if (rng() % 2 == 0) {
        std::copy_n(newer.begin(), 24, fresh.begin() + static_cast<std::ptrdiff_t>(at));
        std::copy_n(older.begin(), 24, stale.begin() + static_cast<std::ptrdiff_t>(at));
      } else {
        put_number(stale, at / 4, static_cast<std::uint32_t>(rng() % 200));
      }
    }
    const bool expected = some_mixture_passes(message(fresh), message(stale), offset);
    passed += expected;
    EXPECT_EQ(may_pass_for(message(fresh), message(stale), offset), expected) << round;
  }
  EXPECT_GT(passed, 5);
  EXPECT_LT(passed, 55);
}

/// The log's file behind a guard, as SQLite opens and writes it.
class GuardedFile {
 public:
  explicit GuardedFile(Disk& disk) : guard_(disk.name()) {
    sqlite3_vfs* vfs = sqlite3_vfs_find(guard_.name().c_str());
    memory_.resize(static_cast<std::size_t>(vfs->szOsFile) / sizeof(std::max_align_t) + 1);
    const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_WAL;
    EXPECT_EQ(vfs->xOpen(vfs, log_path, file(), flags, nullptr), SQLITE_OK);
  }
  ~GuardedFile() { file()->pMethods->xClose(file()); }

  /// `commit`: the size of the database, where the frame ends a commit. Returns the last answer.
  int write_frame(const Bytes& page, unsigned char salt, int number = 0,
                  std::uint32_t commit = 25) {
    Bytes header(24, salt);
    put_number(header, 0, 12);
    put_number(header, 1, commit);
    const sqlite3_int64 at = 32 + number * static_cast<sqlite3_int64>(24 + page_size);
    const int rc = file()->pMethods->xWrite(file(), header.data(), 24, at);
    return rc != SQLITE_OK ? rc : file()->pMethods->xWrite(file(), page.data(), page_size, at + 24);
  }
  void write_header() {
    const Bytes header(24, 'h');
    EXPECT_EQ(file()->pMethods->xWrite(file(), header.data(), 24, 32), SQLITE_OK);
  }
  void write_page(const Bytes& page) {
    EXPECT_EQ(file()->pMethods->xWrite(file(), page.data(), page_size, 56), SQLITE_OK);
  }
  int ask_size() {
    sqlite3_int64 size = 0;
    return file()->pMethods->xFileSize(file(), &size);
  }
  void sync() { EXPECT_EQ(file()->pMethods->xSync(file(), SQLITE_SYNC_NORMAL), SQLITE_OK); }
  int finish() { return guard_.finish(); }
  std::uint64_t broken() const { return guard_.broken(); }

 private:
  sqlite3_file* file() { return reinterpret_cast<sqlite3_file*>(memory_.data()); }
  WalGuard guard_;
  std::vector<std::max_align_t> memory_;
};

TEST(WalGuardTest, APairIsOverwrittenAndSyncedBeforeTheNewFrame) {
  Disk disk("guarded");
  GuardedFile log(disk);
  log.write_frame(older, 1);
  log.sync();
  const std::size_t before = disk.op_count();
  log.write_frame(newer, 2);
  EXPECT_EQ(log.broken(), 1u);
  ASSERT_EQ(disk.op_count(), before + 3);
  const auto& ops = disk.ops();
  EXPECT_EQ(ops[before].kind, DiskOp::Kind::write);
  EXPECT_EQ(ops[before].offset, 32u);
  const Bytes& filler = ops[before].bytes;
  ASSERT_EQ(filler.size(), 24 + page_size);
  EXPECT_FALSE(may_pass_for(message(newer), message(Bytes(filler.begin() + 24, filler.end())), 32));
  EXPECT_EQ(ops[before + 1].kind, DiskOp::Kind::sync);
  EXPECT_EQ(ops[before + 2].kind, DiskOp::Kind::write);
  EXPECT_TRUE(std::equal(newer.begin(), newer.end(), ops[before + 2].bytes.begin() + 24));
}

TEST(WalGuardTest, OtherFramesAreOneWriteEach) {
  Disk disk("unguarded");
  GuardedFile log(disk);
  log.write_frame(older, 1);
  log.sync();
  log.write_frame(free_list({0, 2, 8, 24}), 2);
  EXPECT_EQ(disk.op_count(), 3u);
  EXPECT_EQ(log.broken(), 0u);
}

TEST(WalGuardTest, WhatTheDiskMayNotHaveIsSyncedBeforeItIsCovered) {
  Disk disk("unsynced");
  GuardedFile log(disk);
  log.write_frame(older, 1);
  log.write_frame(free_list({0, 2, 8, 24}), 2);  // the disk may hold what was there before `older`
  ASSERT_EQ(disk.op_count(), 3u);
  EXPECT_EQ(disk.ops()[1].kind, DiskOp::Kind::sync);
}

TEST(WalGuardTest, WhereNothingLiesADiskMayShowZeros) {
  for (const std::size_t size : {std::size_t{0}, std::size_t{32 + 24 + 3000}}) {
    Disk disk("end");
    disk.mount({{log_path, std::make_shared<Bytes>(size)}});  // part of a frame, as a limit leaves
    GuardedFile log(disk);
    const std::size_t before = disk.op_count();
    log.write_frame(like_zeros, 1);
    EXPECT_EQ(log.broken(), 1u);
    ASSERT_EQ(disk.op_count(), before + 3);
    EXPECT_NE(disk.ops()[before].bytes[24], 0);
    EXPECT_EQ(disk.ops()[before + 1].kind, DiskOp::Kind::sync);
    EXPECT_EQ(disk.ops()[before + 2].bytes.size(), 24 + page_size);
  }
}

TEST(WalGuardTest, APageIsOnTheDiskBeforeAHeaderThatIsWrittenAgain) {
  Disk disk("again");
  GuardedFile log(disk);
  log.write_frame(older, 1);
  log.sync();
  const std::size_t before = disk.op_count();
  log.write_page(newer);  // SQLite overwrites a page that its transaction has in the log
  log.write_header();
  EXPECT_EQ(log.ask_size(), SQLITE_OK);
  ASSERT_EQ(disk.op_count(), before + 3);
  EXPECT_EQ(disk.ops()[before].offset, 56u);
  EXPECT_EQ(disk.ops()[before + 1].kind, DiskOp::Kind::sync);
  EXPECT_EQ(disk.ops()[before + 2].bytes, Bytes(24, 'h'));
}

TEST(WalGuardTest, WhatAKilledProcessLeftIsOnTheDiskBeforeItIsRead) {
  Disk disk("left");
  {
    GuardedFile killed(disk);
    killed.write_frame(older, 1);
  }
  ASSERT_EQ(disk.op_count(), 1u);
  Bytes left(32);
  left.insert(left.end(), disk.ops()[0].bytes.begin(), disk.ops()[0].bytes.end());
  GuardedFile log(disk);
  ASSERT_EQ(disk.op_count(), 3u);
  EXPECT_EQ(disk.ops()[1].offset, 0u);
  EXPECT_EQ(disk.ops()[1].bytes, left) << "after a sync that failed, a second one writes nothing";
  EXPECT_EQ(disk.ops()[2].kind, DiskOp::Kind::sync);
  log.write_frame(free_list({0, 2, 8, 24}), 2);
  EXPECT_EQ(disk.op_count(), 4u);
}

constexpr std::size_t frame_bytes = 24 + page_size;

TEST(WalGuardTest, TheFramesOfACommitAreOneWrite) {
  Disk disk("joined");
  GuardedFile log(disk);
  EXPECT_EQ(log.write_frame(older, 1, 0, 0), SQLITE_OK);
  EXPECT_EQ(log.write_frame(zeros, 1, 1, 0), SQLITE_OK);
  EXPECT_EQ(disk.op_count(), 0u);
  EXPECT_EQ(log.write_frame(newer, 1, 2, 25), SQLITE_OK);
  ASSERT_EQ(disk.op_count(), 1u) << "the last frame of the commit brings all";
  Bytes all;
  for (const Bytes* page : {&older, &zeros, &newer}) {
    all.insert(all.end(), 24, 1);  // its header, but for the two numbers
    all.insert(all.end(), page->begin(), page->end());
  }
  for (std::size_t i = 0; i < all.size(); i += frame_bytes)
    std::copy_n(disk.ops()[0].bytes.begin() + static_cast<std::ptrdiff_t>(i), 8, &all[i]);
  EXPECT_EQ(disk.ops()[0].bytes, all);
}

TEST(WalGuardTest, APairIsOverwrittenWhereverItIsInACommit) {
  Disk disk("inside");
  GuardedFile log(disk);
  for (int i = 0; i < 3; ++i) log.write_frame(older, 1, i, i == 2 ? 25 : 0);
  log.sync();
  const std::size_t before = disk.op_count();
  for (int i = 0; i < 3; ++i) log.write_frame(i == 1 ? newer : older, 2, i, i == 2 ? 25 : 0);
  EXPECT_EQ(log.broken(), 1u);
  ASSERT_EQ(disk.op_count(), before + 3);
  EXPECT_EQ(disk.ops()[before].offset, 32 + frame_bytes);
  EXPECT_EQ(disk.ops()[before].bytes.size(), frame_bytes);
  EXPECT_EQ(disk.ops()[before + 1].kind, DiskOp::Kind::sync);
  EXPECT_EQ(disk.ops()[before + 2].bytes.size(), 3 * frame_bytes);
}

TEST(WalGuardTest, NoFrameIsHeldAcrossAnotherOperationOrAGap) {
  Disk disk("gap");
  GuardedFile log(disk);
  log.write_frame(older, 1, 0, 0);
  EXPECT_EQ(log.ask_size(), SQLITE_OK);
  EXPECT_EQ(disk.op_count(), 1u);
  log.write_frame(older, 1, 1, 0);
  log.write_frame(older, 1, 5, 0);
  EXPECT_EQ(disk.op_count(), 2u) << "the first of two that do not follow one another";
  log.write_header();
  EXPECT_EQ(disk.op_count(), 3u);
  EXPECT_EQ(log.finish(), SQLITE_OK);
  ASSERT_EQ(disk.op_count(), 5u);
  EXPECT_EQ(disk.ops()[3].kind, DiskOp::Kind::sync) << "the header's page may not be on the disk";
}

TEST(WalGuardTest, WhatIsHeldIsWrittenBeforeAFrameOrAPageOverIt) {
  Disk disk("over");
  {
    GuardedFile log(disk);
    log.write_frame(older, 1, 0, 0);
    log.write_frame(older, 1, 1, 0);
    log.write_frame(zeros, 2, 0, 25);  // SQLite has rolled back
    ASSERT_EQ(disk.op_count(), 3u);
    EXPECT_EQ(disk.ops()[0].bytes.size(), 2 * frame_bytes);
    EXPECT_EQ(disk.ops()[1].kind, DiskOp::Kind::sync);
    EXPECT_EQ(disk.ops()[2].bytes.size(), frame_bytes);
    log.write_frame(older, 3, 1, 0);
    log.write_page(newer);  // of the first frame, while the second is held
    ASSERT_EQ(disk.op_count(), 5u);
    EXPECT_EQ(disk.ops()[3].bytes.size(), frame_bytes);
    EXPECT_EQ(disk.ops()[4].offset, 56u);
    log.write_frame(older, 3, 2, 0);
  }
  ASSERT_EQ(disk.op_count(), 6u) << "and before the file is closed";
  EXPECT_EQ(disk.ops()[5].offset, 32 + 2 * frame_bytes);
}

TEST(WalGuardTest, AsManyFramesAreHeldAsFitIntoTheBuffer) {
  Disk disk("many");
  GuardedFile log(disk);
  for (int i = 0; i < 20; ++i) log.write_frame(older, 1, i, 0);
  ASSERT_EQ(disk.op_count(), 1u);
  EXPECT_EQ(disk.ops()[0].bytes.size(), 16 * frame_bytes);
  log.write_frame(older, 1, 20, 25);
  ASSERT_EQ(disk.op_count(), 2u);
  EXPECT_EQ(disk.ops()[1].offset, 32 + 16 * frame_bytes);
  EXPECT_EQ(disk.ops()[1].bytes.size(), 5 * frame_bytes);
}

TEST(WalGuardTest, ACommitThatIsRefusedIsToldToWhoeverWritesItsLastFrame) {
  Disk disk("full");
  GuardedFile log(disk);
  disk.fail_writes(true);
  EXPECT_EQ(log.write_frame(older, 1, 0, 0), SQLITE_OK);
  EXPECT_NE(log.write_frame(older, 1, 1, 25), SQLITE_OK);
  disk.fail_writes(false);
  EXPECT_EQ(log.write_frame(older, 1, 0, 0), SQLITE_OK);
  EXPECT_EQ(log.write_frame(older, 1, 1, 25), SQLITE_OK);
  EXPECT_EQ(log.finish(), SQLITE_OK);
  ASSERT_EQ(disk.op_count(), 2u);
  EXPECT_EQ(disk.ops()[0].kind, DiskOp::Kind::sync) << "what was refused may be there in part";
  EXPECT_EQ(disk.ops()[1].bytes.size(), 2 * frame_bytes);
}

TEST(WalGuardTest, NoHeaderIsHeldWhenACommitHasEnded) {
  Disk disk("finished");
  GuardedFile log(disk);
  EXPECT_EQ(log.finish(), SQLITE_OK);
  log.write_header();
  EXPECT_EQ(disk.op_count(), 0u);
  EXPECT_EQ(log.finish(), SQLITE_OK);
  ASSERT_EQ(disk.op_count(), 1u);
  EXPECT_EQ(disk.ops()[0].bytes, Bytes(24, 'h'));
  log.write_header();
  log.sync();
  ASSERT_EQ(disk.op_count(), 4u) << "the page that it may belong to, the header, the sync";
}

TEST(WalGuardTest, AHeaderThatWasRefusedIsToldAtTheEnd) {
  Disk disk("refused");
  GuardedFile log(disk);
  log.write_header();
  disk.fail_writes(true);
  EXPECT_NE(log.ask_size(), SQLITE_OK);  // SQLite does not always look at this answer
  disk.fail_writes(false);
  EXPECT_NE(log.finish(), SQLITE_OK);
  log.write_header();
  EXPECT_EQ(log.finish(), SQLITE_OK);
}

}  // namespace
}  // namespace reeve::tasks::detail
