// Which processors a worker gets: one core or one NUMA node each, in turn.
#pragma once

#include <sched.h>

#include <cstddef>
#include <string>
#include <vector>

namespace reeve::os {

/// The cores and NUMA nodes that this process may run on.
///
/// Cost: reading takes 5 to 50 ms (hwloc walks sysfs); do it once.
class Topology {
 public:
  /// Reads this machine, cut down to the affinity mask of the process' main thread.
  /// Errors: SystemError when hwloc or the kernel refuses.
  static Topology read();

  /// The machine that hwloc's synthetic `description` ("numa:2 core:4 pu:2") names, cut down to
  /// `allowed`. Errors: ConfigError when hwloc does not understand it.
  static Topology synthetic(const std::string& description, const cpu_set_t& allowed);

  /// The hardware threads of each core of which at least one is allowed.
  const std::vector<cpu_set_t>& cores() const noexcept { return cores_; }
  /// The hardware threads of each NUMA node of which at least one is allowed; a machine that tells
  /// of no nodes is one node.
  const std::vector<cpu_set_t>& nodes() const noexcept { return nodes_; }
  /// The affinity mask that everything above stays within.
  const cpu_set_t& allowed() const noexcept { return allowed_; }

  /// Where worker `i` goes: round robin. With more workers than cores they share.
  const cpu_set_t& core_of(std::size_t i) const noexcept { return cores_[i % cores_.size()]; }
  const cpu_set_t& node_of(std::size_t i) const noexcept { return nodes_[i % nodes_.size()]; }

 private:
  Topology() = default;

  cpu_set_t allowed_{};
  std::vector<cpu_set_t> cores_;
  std::vector<cpu_set_t> nodes_;
};

}  // namespace reeve::os
