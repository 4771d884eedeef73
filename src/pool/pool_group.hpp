// A pool's own cgroup v2 group, in which its warden makes one group per worker incarnation.
#pragma once

#include <cstdint>
#include <reeve/os/cgroup.hpp>
#include <string>

namespace reeve::detail {

/// Made below the program's own group, never elsewhere; where that is not possible `path` is empty
/// and `reason` says why. The warden removes the group when it ends; what two killed processes
/// leave behind is removed by the next pool, as soon as its maker's pid is gone and it is empty.
class PoolGroup {
 public:
  PoolGroup() = default;
  explicit PoolGroup(const os::CgroupSelf& self);

  const std::string& path() const noexcept { return path_; }
  const std::string& reason() const noexcept { return reason_; }
  /// Limits can be set on groups in it; else `memory_reason` says why not.
  bool memory() const noexcept { return memory_; }
  bool pids() const noexcept { return pids_; }
  const std::string& memory_reason() const noexcept { return memory_reason_; }

  /// A pool that asked for none.
  static PoolGroup declined();

  /// SIGKILL for everything in it, after the warden was lost.
  void kill() const noexcept;
  /// Removes it if it is empty.
  void remove() const noexcept;

 private:
  void delegate(const os::CgroupSelf& self);

  std::string path_;
  std::string reason_ = "not asked for";
  std::string memory_reason_ = "no group of our own";
  bool memory_ = false;
  bool pids_ = false;
};

/// Removes empty groups below `own_group` that pools of dead processes left.
void remove_dead_pool_groups(const std::string& own_group) noexcept;

}  // namespace reeve::detail
