// Limits, capabilities and the OOM score of a process, typed.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <limits>

namespace reeve::os {

enum class Resource : std::uint8_t {
  data,
  address_space,
  stack,
  core,
  open_files,
  processes,
  cpu_seconds,
  file_size,
  locked_memory
};

inline constexpr std::uint64_t unlimited = std::numeric_limits<std::uint64_t>::max();

struct Limit {
  std::uint64_t soft = unlimited;
  std::uint64_t hard = unlimited;
  friend constexpr bool operator==(const Limit&, const Limit&) noexcept = default;
};

struct LimitResult {
  int error = 0;  ///< errno value
  Limit limit;
};

/// All return errno values and never allocate: they run between fork and the first task. `pid` 0 is
/// the caller.
LimitResult get_limit(Resource resource, pid_t pid = 0) noexcept;
/// EPERM: `hard` would rise without CAP_SYS_RESOURCE; EINVAL: soft > hard. May be below what is in
/// use: then nothing more can be allocated.
int set_limit(Resource resource, Limit limit, pid_t pid = 0) noexcept;
/// Raises the soft limit of open files to the hard one and returns what holds afterwards.
LimitResult raise_open_files() noexcept;

/// Takes every capability (effective, permitted, inheritable, ambient) from the calling thread:
/// otherwise root could raise its own limits again. Call it while the process has one thread.
int drop_capabilities() noexcept;
/// The effective capabilities of the calling thread as a bit set; 0 on error.
std::uint64_t effective_capabilities() noexcept;
/// PR_SET_NO_NEW_PRIVS: execve grants nothing any more. Cannot be taken back.
int set_no_new_privileges() noexcept;

/// Writes /proc/`pid`/oom_score_adj, -1000 to 1000; raising one's own needs no privilege. `pid` 0
/// is the caller.
int set_oom_score_adj(int score, pid_t pid = 0, const char* proc_root = "/proc") noexcept;

}  // namespace reeve::os
