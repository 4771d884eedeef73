// Topology by hwloc, which stays out of the headers.
#include <hwloc.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <reeve/base/error.hpp>
#include <reeve/os/topology.hpp>

namespace reeve::os {
namespace {

struct Destroy {
  void operator()(hwloc_topology_t topology) const noexcept { hwloc_topology_destroy(topology); }
};
using Handle = std::unique_ptr<hwloc_topology, Destroy>;

Handle make() {
  hwloc_topology_t topology = nullptr;
  if (hwloc_topology_init(&topology) != 0) throw_errno("hwloc_topology_init");
  return Handle(topology);
}

// Sets that keep nothing of `allowed` are left out: other programs' cores, nodes without a core.
std::vector<cpu_set_t> sets_of(hwloc_topology_t topology, hwloc_obj_type_t type,
                               const cpu_set_t& allowed) {
  std::vector<cpu_set_t> sets;
  for (hwloc_obj_t object = nullptr;
       (object = hwloc_get_next_obj_by_type(topology, type, object)) != nullptr;) {
    cpu_set_t set{};
    if (object->cpuset == nullptr) continue;
    for (int cpu = hwloc_bitmap_first(object->cpuset); cpu >= 0 && cpu < CPU_SETSIZE;
         cpu = hwloc_bitmap_next(object->cpuset, cpu)) {
      if (CPU_ISSET(static_cast<std::size_t>(cpu), &allowed))
        CPU_SET(static_cast<std::size_t>(cpu), &set);
    }
    if (CPU_COUNT(&set) > 0) sets.push_back(set);
  }
  if (sets.empty()) sets.push_back(allowed);
  return sets;
}

}  // namespace

Topology Topology::read() {
  Topology result;
  // The main thread's mask: the calling thread may be pinned for reasons of its own.
  if (sched_getaffinity(getpid(), sizeof result.allowed_, &result.allowed_) != 0)
    throw_errno("sched_getaffinity");
  const Handle topology = make();
  if (hwloc_topology_load(topology.get()) != 0) throw_errno("hwloc_topology_load");
  result.cores_ = sets_of(topology.get(), HWLOC_OBJ_CORE, result.allowed_);
  result.nodes_ = sets_of(topology.get(), HWLOC_OBJ_NUMANODE, result.allowed_);
  return result;
}

Topology Topology::synthetic(const std::string& description, const cpu_set_t& allowed) {
  Topology result;
  result.allowed_ = allowed;
  const Handle topology = make();
  if (hwloc_topology_set_synthetic(topology.get(), description.c_str()) != 0 ||
      hwloc_topology_load(topology.get()) != 0) {
    throw ConfigError("'" + description +
                      "' is no synthetic topology; write one such as \"numa:2 core:4 pu:2\"");
  }
  result.cores_ = sets_of(topology.get(), HWLOC_OBJ_CORE, allowed);
  result.nodes_ = sets_of(topology.get(), HWLOC_OBJ_NUMANODE, allowed);
  return result;
}

}  // namespace reeve::os
