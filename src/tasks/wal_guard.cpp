// Holds the frames of a commit, each header until its page comes, compares, and writes all at once.
#include "tasks/wal_guard.hpp"

#include <fmt/format.h>
#include <sqlite3.h>

#include <algorithm>
#include <array>
#include <bitset>
#include <cstring>
#include <new>
#include <utility>

namespace reeve::tasks::detail {
namespace {

constexpr int header_size = 24;      // of a frame
constexpr int log_header_size = 32;  // of the log
constexpr int page_size = 4096;      // of every file that this store makes; others pass unguarded
constexpr int frame_size = header_size + page_size;
constexpr std::size_t run_bytes = 16 * std::size_t{frame_size};  // what is held at most
constexpr int hashed_header = 8;  // the header's bytes that the checksum covers
constexpr std::uint64_t sector = 512;

struct Sums {
  std::uint32_t a = 0, b = 0;
};

/// F(-1), F(0), F(1) ... modulo 2^32, up to what a page has words.
constexpr auto fibonacci = [] {
  std::array<std::uint32_t, page_size / 4 + 4> f{1, 0};
  for (std::size_t i = 2; i < f.size(); ++i) f[i] = f[i - 1] + f[i - 2];
  return f;
}();

/// What is left of a difference when `bytes` follow that do not differ.
Sums carry(Sums s, std::size_t bytes) {
  const std::uint32_t* f = &fibonacci[bytes / 4];
  return {f[0] * s.a + f[1] * s.b, f[1] * s.a + f[2] * s.b};
}

std::uint32_t word_at(const unsigned char* from) {
  std::uint32_t word;
  std::memcpy(&word, from, sizeof word);
  return word;
}

// A header's start, the sectors of a page that begins anywhere, and one more.
constexpr std::size_t parts_max = page_size / sector + 3;

/// The sums of every choice of `parts`, at most half of them; the first is that of none.
struct Choices {
  explicit Choices(std::span<const Sums> parts) {
    for (const Sums& part : parts) {
      for (std::size_t i = 0; i < count; ++i)
        sums[count + i] = {sums[i].a + part.a, sums[i].b + part.b};
      count *= 2;
    }
  }
  std::array<Sums, std::size_t{1} << (parts_max + 1) / 2> sums{};
  std::size_t count = 1;
};

std::size_t hash(Sums s) {
  return (s.a * 0x9e3779b1U + s.b * 0x85ebca6bU) >> 24;
}

/// Whether a choice of at least one part has the sum zero. All of them are 1,024 for a page that
/// has changed everywhere: so those of one half are looked up among those of the other.
bool some_add_up_to_nothing(std::span<const Sums> parts) {
  const Choices low(parts.first(parts.size() / 2)), high(parts.subspan(parts.size() / 2));
  std::bitset<256> known;
  for (std::size_t i = 0; i < low.count; ++i) known.set(hash(low.sums[i]));
  for (std::size_t k = 0; k < high.count; ++k) {
    const Sums wanted{0 - high.sums[k].a, 0 - high.sums[k].b};
    if (!known.test(hash(wanted))) continue;
    for (std::size_t i = k == 0 ? 1 : 0; i < low.count; ++i)
      if (low.sums[i].a == wanted.a && low.sums[i].b == wanted.b) return true;
  }
  return false;
}

}  // namespace

bool may_pass_for(std::span<const unsigned char> fresh, std::span<const unsigned char> stale,
                  std::uint64_t offset) {
  // The checksum is linear: what a part that is stale adds to it depends on that part alone.
  std::array<Sums, parts_max> parts;
  std::size_t count = 0;
  for (std::size_t at = 0; at < fresh.size();) {
    // A header's start is a part of its own, and so is the page's start in the same sector.
    const std::size_t in_file = at < hashed_header ? at : at + (header_size - hashed_header);
    const auto left = static_cast<std::size_t>(sector - (offset + in_file) % sector);
    const std::size_t end = at < hashed_header ? hashed_header : std::min(fresh.size(), at + left);
    if (std::memcmp(fresh.data() + at, stale.data() + at, end - at) != 0) {
      Sums difference;
      for (std::size_t i = at; i < end; i += 8) {
        difference.a += word_at(&fresh[i]) - word_at(&stale[i]) + difference.b;
        difference.b += word_at(&fresh[i + 4]) - word_at(&stale[i + 4]) + difference.a;
      }
      parts[count++] = carry(difference, fresh.size() - end);
    }
    at = end;
  }
  return some_add_up_to_nothing(std::span(parts).first(count));
}

/// What SQLite sees as the log's file; the real one lies behind it.
struct GuardedLog {
  sqlite3_file base;
  WalGuard* guard;
  sqlite3_file* real;
  std::uint64_t unsynced_end;  // of what was written since the last sync
  bool proven;                 // what is read from it is what the disk has, but for that
  int refused;                 // the answer to the last that was held
  // Held: frames that follow one another, and at their end perhaps a header that waits for its
  // page.
  std::int64_t run_at;
  std::size_t held;          // bytes
  unsigned char *run, *old;  // the guard's: what is held, and what lies where it will be written

  const sqlite3_io_methods& io() const { return *real->pMethods; }
  bool header_waits() const { return held % frame_size != 0; }
  std::int64_t run_end() const { return run_at + static_cast<std::int64_t>(held); }
  /// Whether the last frame is a commit: its header says how large the database then is.
  bool ends_commit() const { return word_at(&run[held - frame_size + 4]) != 0; }

  /// Before anything is read: a process that was killed has not synced what it wrote, and after a
  /// sync that failed no later one makes durable what the kernel still shows. Written again, it is
  /// either on the disk or refused.
  int prove() {
    std::array<unsigned char, 65536> block;
    sqlite3_int64 size = 0;
    if (const int rc = io().xFileSize(real, &size); rc != SQLITE_OK) return rc;
    unsynced_end = static_cast<std::uint64_t>(size);
    for (sqlite3_int64 at = 0, n = 0; at < size; at += n) {
      n = std::min<sqlite3_int64>(block.size(), size - at);
      const int count = static_cast<int>(n);
      if (const int rc = io().xRead(real, block.data(), count, at); rc != SQLITE_OK) return rc;
      if (const int rc = io().xWrite(real, block.data(), count, at); rc != SQLITE_OK) return rc;
    }
    if (const int rc = size == 0 ? SQLITE_OK : sync(SQLITE_SYNC_NORMAL); rc != SQLITE_OK) return rc;
    proven = true;
    return SQLITE_OK;
  }

  int write(const void* from, std::size_t size, sqlite3_int64 offset) {
    if (!proven)
      if (const int rc = prove(); rc != SQLITE_OK) return rc;
    unsynced_end = std::max(unsynced_end, static_cast<std::uint64_t>(offset) + size);
    return io().xWrite(real, from, static_cast<int>(size), offset);
  }
  int sync(int flags) {
    const int rc = io().xSync(real, flags);
    if (rc == SQLITE_OK) unsynced_end = 0;
    return rc;
  }
  int sync_before(std::int64_t at) {
    return static_cast<std::uint64_t>(at) < unsynced_end ? sync(SQLITE_SYNC_NORMAL) : SQLITE_OK;
  }

  void hold(const void* from, std::size_t size) {
    std::memcpy(&run[held], from, size);
    held += size;
  }
  /// Before any other operation than the next write of a run.
  int let_go() {
    if (held == 0) return SQLITE_OK;
    const bool alone = header_waits();
    const std::size_t whole = std::exchange(held, 0) - (alone ? header_size : 0);
    refused = whole == 0 ? SQLITE_OK : write_frames(whole);
    if (refused == SQLITE_OK && alone)
      refused = write_header(&run[whole], run_at + static_cast<std::int64_t>(whole));
    return refused;
  }
  /// Of a page that is there: it must be on the disk before the header that says so.
  int write_header(const unsigned char* header, std::int64_t at) {
    if (const int rc = sync_before(at); rc != SQLITE_OK) return rc;
    return write(header, header_size, at);
  }
  int write_frames(std::size_t size) {
    // What the kernel shows and the disk may not have cannot be compared.
    if (const int rc = sync_before(run_at); rc != SQLITE_OK) return rc;
    const int rc = io().xRead(real, old, static_cast<int>(size), run_at);
    // Behind the file's end there will be zeros, which xRead has filled in.
    if (rc != SQLITE_OK && rc != SQLITE_IOERR_SHORT_READ) return rc;
    for (std::size_t i = 0; i < size; i += frame_size)
      if (const int broken = break_pair(i); broken != SQLITE_OK) return broken;
    return write(run, size, run_at);
  }

  /// Of the frame that many bytes into the run.
  int break_pair(std::size_t begin) {
    constexpr std::size_t hole = header_size - hashed_header;
    const std::int64_t at = run_at + static_cast<std::int64_t>(begin);
    unsigned char* const lies_there = &old[begin];
    // Headers without what the checksum leaves out.
    std::array<unsigned char, hashed_header + page_size> fresh, stale;
    auto pack = [](const unsigned char* from, auto& to) {
      std::memcpy(to.data(), from, hashed_header);
      std::memcpy(to.data() + hashed_header, from + hashed_header + hole, page_size);
    };
    pack(&run[begin], fresh);
    pack(lies_there, stale);
    for (unsigned char filler = 0; may_pass_for(fresh, stale, static_cast<std::uint64_t>(at));) {
      std::memset(lies_there, ++filler, frame_size);
      pack(lies_there, stale);
      if (const int rc = write(lies_there, frame_size, at); rc != SQLITE_OK) return rc;
      if (const int rc = sync(SQLITE_SYNC_NORMAL); rc != SQLITE_OK) return rc;
      guard->count_broken();
    }
    return SQLITE_OK;
  }
};

namespace {

GuardedLog& log_of(sqlite3_file* f) {
  return *reinterpret_cast<GuardedLog*>(f);
}
WalGuard& guard_of(sqlite3_vfs* v) {
  return *static_cast<WalGuard*>(v->pAppData);
}
sqlite3_vfs& real_of(sqlite3_vfs* v) {
  return *guard_of(v).around();
}

/// Writes what is held, then asks the real file. A refusal is no full disk to SQLite: to one that
/// comes from a read it would answer with the end of one statement, and commit the rest of a
/// transaction that has lost frames of its log. After this one it rolls back all of it.
template <class Method, class... Args>
int pass(sqlite3_file* f, Method method, Args... args) {
  GuardedLog& log = log_of(f);
  if (log.let_go() != SQLITE_OK) return SQLITE_IOERR_WRITE;
  return (log.io().*method)(log.real, args...);
}

int close_log(sqlite3_file* f) {
  GuardedLog& log = log_of(f);
  const int held = log.let_go();
  const int rc = log.io().xClose(log.real);
  log.guard->closed(&log);
  return held != SQLITE_OK ? held : rc;
}
int read_log(sqlite3_file* f, void* to, int size, sqlite3_int64 offset) {
  return pass(f, &sqlite3_io_methods::xRead, to, size, offset);
}
int write_log(sqlite3_file* f, const void* from, int size, sqlite3_int64 offset) {
  GuardedLog& log = log_of(f);
  if (log.header_waits() && size == page_size && offset == log.run_end()) {
    log.hold(from, page_size);
    return log.ends_commit() || log.held == run_bytes ? log.let_go() : SQLITE_OK;
  }
  const bool header = size == header_size && (offset - log_header_size) % frame_size == 0;
  if (!header || log.header_waits() || offset != log.run_end())
    if (const int rc = log.let_go(); rc != SQLITE_OK) return rc;
  if (!header) return log.write(from, static_cast<std::size_t>(size), offset);
  if (log.held == 0) log.run_at = offset;
  log.hold(from, header_size);
  log.refused = SQLITE_OK;
  return SQLITE_OK;
}
int truncate_log(sqlite3_file* f, sqlite3_int64 size) {
  return pass(f, &sqlite3_io_methods::xTruncate, size);
}
int sync_log(sqlite3_file* f, int flags) {
  GuardedLog& log = log_of(f);
  if (const int rc = log.let_go(); rc != SQLITE_OK) return rc;
  return log.sync(flags);
}
int size_of_log(sqlite3_file* f, sqlite3_int64* size) {
  return pass(f, &sqlite3_io_methods::xFileSize, size);
}
int lock_log(sqlite3_file* f, int level) {
  return pass(f, &sqlite3_io_methods::xLock, level);
}
int unlock_log(sqlite3_file* f, int level) {
  return pass(f, &sqlite3_io_methods::xUnlock, level);
}
int is_log_reserved(sqlite3_file* f, int* out) {
  return pass(f, &sqlite3_io_methods::xCheckReservedLock, out);
}
int control_log(sqlite3_file* f, int what, void* with) {
  return pass(f, &sqlite3_io_methods::xFileControl, what, with);
}
int sector_of_log(sqlite3_file* f) {
  return log_of(f).io().xSectorSize(log_of(f).real);
}
int traits_of_log(sqlite3_file* f) {
  return log_of(f).io().xDeviceCharacteristics(log_of(f).real);
}

// Version 1: locks and maps of shared memory go through the database's file, which is not ours.
const sqlite3_io_methods log_methods{
    1,        close_log,  read_log,        write_log,   truncate_log,  sync_log,      size_of_log,
    lock_log, unlock_log, is_log_reserved, control_log, sector_of_log, traits_of_log, nullptr,
    nullptr,  nullptr,    nullptr,         nullptr,     nullptr};

constexpr int file_offset = (sizeof(GuardedLog) + 15) / 16 * 16;

int open_file(sqlite3_vfs* v, const char* name, sqlite3_file* f, int flags, int* out) {
  if ((flags & SQLITE_OPEN_WAL) == 0) return real_of(v).xOpen(&real_of(v), name, f, flags, out);
  f->pMethods = nullptr;
  auto* real = reinterpret_cast<sqlite3_file*>(reinterpret_cast<char*>(f) + file_offset);
  int got = flags;
  int rc = real_of(v).xOpen(&real_of(v), name, real, flags, &got);
  if (out != nullptr) *out = got;
  WalGuard& guard = guard_of(v);
  auto* log = new (f) GuardedLog{
      {}, &guard, real, 0, false, SQLITE_OK, 0, 0, guard.buffer(), guard.buffer() + run_bytes};
  if (rc == SQLITE_OK && (got & SQLITE_OPEN_READONLY) == 0) rc = log->prove();
  // A full disk where even that takes space can be read. It comes before the first write then.
  if (rc != SQLITE_OK && (rc != SQLITE_FULL || real->pMethods == nullptr)) {
    if (real->pMethods != nullptr) real->pMethods->xClose(real);
    return rc;
  }
  log->base.pMethods = &log_methods;
  log->guard->opened(log);
  return SQLITE_OK;
}

}  // namespace

int WalGuard::finish() {
  if (log_ == nullptr) return SQLITE_OK;
  log_->let_go();
  return log_->refused;
}

WalGuard::WalGuard(const std::string& around_name) : name_(around_name) {
  sqlite3_initialize();
  sqlite3_vfs* real = sqlite3_vfs_find(name_.empty() ? nullptr : name_.c_str());
  if (real == nullptr) return;  // SQLite will say so
  name_ = fmt::format("reeve-wal-guard-{}", static_cast<const void*>(this));
  buffer_.resize(2 * run_bytes);
  vfs_ = std::make_unique<sqlite3_vfs>();
  vfs_->iVersion = 1;
  vfs_->szOsFile = file_offset + real->szOsFile;
  vfs_->mxPathname = real->mxPathname;
  vfs_->zName = name_.c_str();
  vfs_->pAppData = this;
  vfs_->xOpen = open_file;
  vfs_->xDelete = [](sqlite3_vfs* v, const char* name, int sync) {
    return real_of(v).xDelete(&real_of(v), name, sync);
  };
  vfs_->xAccess = [](sqlite3_vfs* v, const char* name, int flags, int* out) {
    return real_of(v).xAccess(&real_of(v), name, flags, out);
  };
  vfs_->xFullPathname = [](sqlite3_vfs* v, const char* name, int size, char* out) {
    return real_of(v).xFullPathname(&real_of(v), name, size, out);
  };
  vfs_->xRandomness = [](sqlite3_vfs* v, int size, char* out) {
    return real_of(v).xRandomness(&real_of(v), size, out);
  };
  vfs_->xSleep = [](sqlite3_vfs* v, int us) { return real_of(v).xSleep(&real_of(v), us); };
  vfs_->xCurrentTime = [](sqlite3_vfs* v, double* out) {
    return real_of(v).xCurrentTime(&real_of(v), out);
  };
  vfs_->xGetLastError = [](sqlite3_vfs* v, int size, char* out) {
    return real_of(v).xGetLastError(&real_of(v), size, out);
  };
  around_ = real;
  sqlite3_vfs_register(vfs_.get(), 0);
}

WalGuard::~WalGuard() {
  if (vfs_) sqlite3_vfs_unregister(vfs_.get());
}

}  // namespace reeve::tasks::detail
