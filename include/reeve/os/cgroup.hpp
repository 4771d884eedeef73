// cgroup v2 below our own group: one fresh group per worker incarnation, limits where delegated,
// kill as a whole.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <reeve/os/fd.hpp>
#include <string>
#include <string_view>

namespace reeve::os {

/// Where this process stands in the v2 hierarchy, and what it may do there.
struct CgroupSelf {
  bool found = false;     ///< there is a v2 hierarchy and we can name our group in it
  bool writable = false;  ///< we may create groups below ours
  bool kill = false;      ///< groups have cgroup.kill (Linux 5.14)
  bool memory = false;    ///< memory is in our cgroup.controllers
  bool pids = false;
  std::string path;    ///< our group's directory
  std::string reason;  ///< a sentence, when something above is false
};

/// Finds our own group from `proc`/self/cgroup and `proc`/self/mountinfo; hybrid layouts are
/// understood. Never changes anything. The roots are parameters for fixture trees; `sys_prefix` is
/// put before the mount point.
CgroupSelf find_own_cgroup(const std::string& proc = "/proc", const std::string& sys_prefix = "");

/// The v2 line ("0::/path") of a cgroup file; empty when there is none.
std::optional<std::string> parse_own_cgroup(std::string_view cgroup_text);
/// The directory of group `group` by the first cgroup2 mount of a mountinfo text that shows it.
std::optional<std::string> parse_cgroup2_directory(std::string_view mountinfo_text,
                                                   std::string_view group);

struct CgroupLimits {
  std::uint64_t memory_max = 0;  ///< bytes; 0: none
  std::uint64_t pids_max = 0;    ///< 0: none
};

/// A group of our own making, for one worker incarnation: never reuse one that was killed, since a
/// process that is cloned into it dies at birth.
///
/// Memory control is tested on a fake root only: unverified on a delegated controller.
/// The destructor removes the group if it is empty and never blocks.
class Cgroup {
 public:
  Cgroup() noexcept = default;
  Cgroup(Cgroup&& other) noexcept : path_(std::exchange(other.path_, {})) {}
  Cgroup& operator=(Cgroup&& other) noexcept;
  ~Cgroup() { remove(); }

  /// Makes `self.path`/`name` with `limits`; swap is set to 0 and memory.oom.group to 1 with a
  /// memory limit. Preconditions: self.writable; `name` is one path component, else ConfigError:
  /// never outside our subtree. Errors:        SystemError (EEXIST: the name is taken).
  static Cgroup create(const CgroupSelf& self, std::string_view name, CgroupLimits limits = {});

  const std::string& path() const noexcept { return path_; }
  explicit operator bool() const noexcept { return !path_.empty(); }
  /// A descriptor of the directory for clone3(CLONE_INTO_CGROUP).
  UniqueFd open() const;
  /// Moves a process in. Returns an errno value.
  int add(pid_t pid) const noexcept;
  /// SIGKILLs all processes in the group and below, also those forking meanwhile. Returns an errno
  /// value.
  int kill() const noexcept;
  /// Whether any process is left; true also when it cannot be read.
  bool populated() const noexcept;
  /// Waits for populated 0 by poll on cgroup.events; false when `limit` has passed first.
  bool wait_empty(std::chrono::milliseconds limit) const noexcept;
  /// memory.peak; empty where the kernel has none.
  std::optional<std::uint64_t> memory_peak() const;
  /// oom_kill of memory.events; empty without memory control.
  std::optional<std::uint64_t> oom_kills() const;
  /// rmdir. Returns an errno value (EBUSY: processes are left).
  int remove() noexcept;

 private:
  explicit Cgroup(std::string path) noexcept : path_(std::move(path)) {}
  std::string path_;
};

}  // namespace reeve::os
