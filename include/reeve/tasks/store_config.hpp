// What a task store is told at its construction, and the environment variables behind it.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <optional>
#include <reeve/base/byte_size.hpp>
#include <reeve/base/clock.hpp>
#include <string>

namespace reeve::tasks {

/// Wall time in milliseconds since 1970, for what is written to disk. Deadlines run on
/// `reeve::Clock`.
class WallClock {
 public:
  virtual ~WallClock() = default;
  virtual std::int64_t now_ms() const noexcept = 0;
};

class SystemWallClock final : public WallClock {
 public:
  std::int64_t now_ms() const noexcept override;
  static const SystemWallClock& instance() noexcept;
};

/// A wall clock that a test sets, also backwards.
class ManualWallClock final : public WallClock {
 public:
  std::int64_t now_ms() const noexcept override { return now_.load(); }
  void advance(std::chrono::milliseconds step) noexcept { now_.fetch_add(step.count()); }

 private:
  std::atomic<std::int64_t> now_{1'700'000'000'000};
};

/// How long a record is kept after the transition that ended it. A record that has not ended never
/// expires. Zero: for ever.
struct Retention {
  std::chrono::milliseconds completed = std::chrono::hours{24};
  std::chrono::milliseconds failed = std::chrono::hours{24};
  std::chrono::milliseconds cancelled = std::chrono::hours{24};
  std::chrono::milliseconds interrupted{0};
};

/// What a power cut may take away.
enum class DiskSync : std::uint8_t {
  full,    ///< nothing that was acknowledged
  normal,  ///< the last moments, and so may a disk that fails to sync; a killed process loses no
           ///< more than with `full`
};

/// What happens to records that were pending when the program died.
enum class PendingOnRestart : std::uint8_t { keep, interrupt };

struct StoreConfig {
  std::string path;              ///< the database file; empty: memory only
  std::string prefix = "task:";  ///< stored in front of every id; a store sees only its own prefix
  Retention retention{};
  DiskSync sync = DiskSync::full;
  PendingOnRestart pending_on_restart = PendingOnRestart::keep;
  std::chrono::milliseconds relaxed_delay{
      1000};                        ///< relaxed writes reach the disk within, 1 ms .. 1 h
  ByteSize queue_max{64ULL << 20};  ///< bytes of writes under way; beyond, writers wait. >= 1 MiB
  ByteSize reserve{
      1ULL << 20};  ///< file given up when the disk is full, so that deletes work; 0: none
  int checkpoint_frames =
      8000;         ///< pages in the log after which it is folded into the file, 16 .. 1,000,000
  std::string vfs;  ///< a registered SQLite VFS (encryption, fault injection); empty: default
  const Clock* clock = &SystemClock::instance();
  const WallClock* wall_clock = &SystemWallClock::instance();

  /// Reads TASK_STORAGE_PATH, TASK_STORAGE_PREFIX, TASK_STORAGE_TTL (seconds, 1 to 315360000; also
  /// "0" for ever), TASK_STORAGE_SYNC (full, normal), TASK_STORAGE_RELAXED_DELAY_MS (1 to 3600000).
  ///
  /// Errors: ConfigError that names the variable, its value and the range. Never a silent default.
  static StoreConfig from_environment();
};

/// The first fault of a configuration, as a sentence.
std::optional<std::string> find_fault(const StoreConfig& config);

}  // namespace reeve::tasks
