// An SQLite VFS around another one that lets no frame of the log be taken for a valid one before
// all of it is on the disk.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

struct sqlite3_vfs;

namespace reeve::tasks::detail {

struct GuardedLog;

/// SQLite uses its log over and over: a new frame goes where an old one lies, its header first.
/// Recovery takes a frame for valid when the header's checksum is that of the page behind it. The
/// checksum is two sums of 32 bits over little-endian words, but page numbers are big-endian: two
/// versions of a page of the free list below page 256 differ in the top bytes of words only, which
/// leaves 8 bits of each sum. One such pair in 65,536 has the same checksum, and a cut that leaves
/// the new header before the old page then is a commit of a page that nobody wrote. The guard
/// compares each page with what it covers; where a torn mixture of both could pass for the new one,
/// the old is overwritten and synced first.
///
/// To compare, it holds each header until its page comes, and frames that follow one another until
/// that of the commit or another operation on the log comes: what lies there is read at once, and
/// they are written at once. SQLite also writes headers alone, last the one of the commit frame,
/// where a transaction has overwritten its own pages in the log: such a header is held until the
/// next operation or `finish`, and no page of the log that it could vouch for is then unsynced.
///
/// What it compares with must be what the disk has: at each opening, before SQLite reads the log,
/// all of it is written again and synced.
///
/// Not guarded: the copies of a commit frame with which SQLite fills up a sector, and which it
/// splits at a sync, where a VFS does not have SQLITE_IOCAP_POWERSAFE_OVERWRITE. The default one
/// has it.
///
/// Lifetime: outlives the one connection that uses its name. Threads: those of that connection.
class WalGuard {
 public:
  /// Around the VFS of that name; empty: the default one.
  explicit WalGuard(const std::string& around);
  ~WalGuard();
  WalGuard(const WalGuard&) = delete;
  WalGuard& operator=(const WalGuard&) = delete;

  const std::string& name() const noexcept { return name_; }
  /// Writes what is held. To be called from the connection's WAL hook:
  /// that comes after each commit and before anybody is told of it. Returns an SQLite code; not
  /// SQLITE_OK also if the header went before and was refused, where SQLite did not listen.
  int finish();
  /// How many frames had to be overwritten first.
  std::uint64_t broken() const noexcept { return broken_; }

  // Called by the VFS.
  sqlite3_vfs* around() const noexcept { return around_; }
  unsigned char* buffer() noexcept { return buffer_.data(); }
  void count_broken() noexcept { ++broken_; }
  void opened(GuardedLog* log) noexcept { log_ = log; }
  void closed(const GuardedLog* log) noexcept {
    if (log_ == log) log_ = nullptr;
  }

 private:
  std::string name_;
  std::unique_ptr<sqlite3_vfs> vfs_;
  sqlite3_vfs* around_ = nullptr;
  GuardedLog* log_ = nullptr;          // that is open
  std::vector<unsigned char> buffer_;  // of that log
  std::uint64_t broken_ = 0;
};

/// Could a frame of `fresh` at `offset` of the log, of which some of the sectors of 512 bytes still
/// hold `stale`, have the checksum of a whole one? Both: the first 8 bytes of the header, then the
/// page.
bool may_pass_for(std::span<const unsigned char> fresh, std::span<const unsigned char> stale,
                  std::uint64_t offset);

}  // namespace reeve::tasks::detail
