// Processes below a worker: finding them, measuring them, killing them all.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace reeve::process {

/// The living descendants of `root`, breadth first, without `root`. A worker is a child subreaper,
/// so that daemons that fork twice stay below it and are found here.
void list_descendants(pid_t root, std::vector<pid_t>& result);

/// The direct children of `parent` over all its threads.
void list_children(pid_t parent, std::vector<pid_t>& result);
/// Those of one of its threads.
void list_children(pid_t parent, pid_t thread, std::vector<pid_t>& result);

/// Stops, then kills everything below `root` and `root` itself (which may be a zombie already).
/// Returns how many descendants were killed. The caller reaps. Processes that keep forking are
/// stopped pass by pass.
unsigned kill_tree(pid_t root);

/// Kills children of this process that `known` does not name: orphans whose worker has died.
/// Returns how many; `signalled`, if given, gets those that it does not name yet.
unsigned kill_orphans(const std::vector<pid_t>& known, std::vector<pid_t>* signalled = nullptr);

/// Writes `text` to an existing file, such as one of a cgroup; false when that failed.
bool write_text(const std::string& path, const std::string& text);

/// Parent of `pid` from /proc, or -1 when it is gone.
pid_t parent_of(pid_t pid);

/// Private bytes (RSS minus shared) and shared bytes of one process; false when it is gone.
bool memory_of(pid_t pid, std::uint64_t& private_bytes, std::uint64_t& shared_bytes);

/// CPU time of a process in ns, 0 when it is gone.
std::int64_t cpu_time_of(pid_t pid);

/// Proportional set size from smaps_rollup: slow (milliseconds per GiB), exact about shared pages.
/// Nothing when the process is gone, or not for us to read: it is not dumpable, and we are not
/// root.
std::optional<std::uint64_t> proportional_set(pid_t pid);

}  // namespace reeve::process
