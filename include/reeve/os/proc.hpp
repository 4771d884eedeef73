// Reads /proc of a process through kept descriptors: memory, children, CPU clock; no allocation, no
// stdio.
#pragma once

#include <sys/types.h>
#include <time.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <reeve/os/fd.hpp>
#include <span>

namespace reeve::os {

/// Where the kernel's file systems are mounted; tests give fixture trees.
struct Roots {
  const char* proc = "/proc";
  const char* sys = "/sys";
};

/// What a read of a process's figures can find.
enum class ProcState : std::uint8_t {
  alive,
  zombie,  ///< dead, not reaped: memory figures are 0
  gone,    ///< dead and reaped (ESRCH); a pid that is used again is never mistaken for it
  error,   ///< anything else: `error` is the errno value
};

struct Statm {
  ProcState state = ProcState::error;
  int error = 0;
  std::uint64_t size_bytes = 0;      ///< address space
  std::uint64_t resident_bytes = 0;  ///< anonymous, file and shared pages in memory
  std::uint64_t shared_bytes = 0;    ///< of these: file and shared pages
  std::uint64_t data_bytes =
      0;  ///< data + stack mappings, touched or not; above what RLIMIT_DATA counts

  std::uint64_t private_bytes() const noexcept {
    return resident_bytes > shared_bytes ? resident_bytes - shared_bytes : 0;
  }
};

/// The memory of one process through a kept descriptor of /proc/PID/statm.
///
/// Open it while the process cannot have been reaped yet; from then on it names that process, not
/// the pid. Threads: `read` from any.
class StatmReader {
 public:
  StatmReader() noexcept = default;
  /// `error()` tells whether it opened. Never allocates or throws.
  explicit StatmReader(pid_t pid, const Roots& roots = {}) noexcept;
  int error() const noexcept { return error_; }
  int native_handle() const noexcept { return fd_.get(); }
  /// Async-signal-safe. Cost: one pread, about 0.25 us whatever the process's size.
  Statm read() const noexcept;

 private:
  UniqueFd fd_;
  int error_ = 0;
};

/// Parses the text of a statm file; state `error` with EPROTO when it is none.
Statm parse_statm(std::span<const char> text) noexcept;

struct Children {
  int error = 0;         ///< errno value; ESRCH or ENOENT: the process is gone
  bool complete = true;  ///< false: more children than room
  std::size_t count = 0;
};

/// The direct children of all threads of `pid` (/proc/PID/task/*/children), into `out`. The list is
/// exact only while the process is stopped; a kill of a tree repeats until nothing new appears.
/// Never allocates. Needs CONFIG_PROC_CHILDREN.
Children read_children(pid_t pid, std::span<pid_t> out, const Roots& roots = {}) noexcept;

/// The children and their descendants, breadth first. Same limits.
Children read_descendants(pid_t pid, std::span<pid_t> out, const Roots& roots = {}) noexcept;

/// The CPU time of a process, all threads, living and ended: exact where /proc/PID/stat counts 10
/// ms ticks.
class CpuClock {
 public:
  CpuClock() noexcept = default;
  /// Names the pid, not the process: guard each read with a StatmReader that was not `gone`.
  explicit CpuClock(pid_t pid) noexcept;
  /// 0, or the errno value why there is no such clock.
  int error() const noexcept { return error_; }
  struct Reading {
    int error = 0;  ///< EINVAL: reaped
    std::chrono::nanoseconds used{0};
  };
  /// Async-signal-safe. Cost: about 70 ns.
  Reading read() const noexcept;

 private:
  clockid_t clock_{};
  int error_ = no_such_device;
  static constexpr int no_such_device = 19;  // ENODEV
};

/// VmData of /proc/self/status in bytes: what RLIMIT_DATA is held against; 0 when it cannot be
/// read.
std::uint64_t vm_data_self(const Roots& roots = {}) noexcept;
/// VmData of another process, 0 when it cannot be read.
std::uint64_t vm_data(pid_t pid, const Roots& roots = {}) noexcept;
/// Threads of this process, 0 when it cannot be read.
std::size_t thread_count_self(const Roots& roots = {}) noexcept;

/// The line `key:  123 kB` of a status text as a number; -1 when it is missing.
long long status_field(std::span<const char> text, const char* key) noexcept;

}  // namespace reeve::os
