// Per-worker GPU memory by NVML: read on a thread of its own, since a driver may hang.
#pragma once

#include <sys/types.h>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <reeve/pool/config.hpp>
#include <reeve/pool/status.hpp>
#include <string>
#include <string_view>

namespace reeve::detail {

/// Questions and answers are values; the pool asks in its alarm and looks at the last answer. Not
/// for use without the pool's lock.
class GpuWatch {
 public:
  static constexpr std::int64_t interval = 100'000'000;
  static constexpr std::int64_t answer_wait = 10'000'000;

  explicit GpuWatch(const ResourceConfig& config);
  /// Waits at most a second for a reading in progress, then leaves it behind.
  ~GpuWatch();

  /// Whether workers on `device` can be watched.
  bool watches(std::string_view device) const;
  /// Starts a reading of all watched devices if none is under way and the last is old enough.
  /// Returns when to come back.
  std::int64_t ask(std::int64_t now);
  /// What the tree below `pid` uses on `device`, if a reading that began after `since` tells.
  std::optional<std::uint64_t> usage(std::string_view device, pid_t pid, std::int64_t since) const;
  Capability capability() const;

 private:
  struct Reader;
  std::optional<unsigned> index_of(std::string_view device) const;

  ByteSize limit_;
  std::string visible_;  // CUDA_VISIBLE_DEVICES as workers find it
  bool list_given_ = false;
  std::string reason_;
  std::shared_ptr<Reader> reader_;
};

}  // namespace reeve::detail
