// Reads job traces in the Standard Workload Format.
#pragma once

#include <cstdint>
#include <istream>
#include <string>
#include <vector>

#include "reeve/alloc/result.hpp"

namespace reeve::alloc {

/// One job. Times in microseconds (logs carry fractions of seconds).
struct Job {
  std::int64_t id = 0;
  Time submit = 0;
  Time run = 0;
  Time estimate = 0;      ///< requested time; the run time where the log has none
  std::int32_t size = 0;  ///< processors
};

struct Trace {
  std::vector<Job> jobs;
  std::int32_t processors = 0;  ///< MaxProcs, else MaxNodes of the header; 0: not said
  std::size_t skipped = 0;      ///< lines without run time or processors
};

struct SwfOptions {
  /// An estimate shorter than the run is raised to the run.
  bool estimate_at_least_run = true;
  /// Which field says how many processors a job takes; the other one stands in where it is unknown.
  enum class Size : std::uint8_t { used, requested } size = Size::used;
};

/// Reads up to 18 fields a line; `;` starts a comment; -1 means unknown; missing trailing fields
/// count as -1. Times may have fractions and are rounded to microseconds, to one at least; numbers
/// of processors are whole. Jobs that never ran are skipped and counted.
///
/// Errors: malformed, naming line number, field and reason.
Result<Trace> read_swf(std::istream& in, SwfOptions options = {});

inline constexpr Time seconds(std::int64_t s) {
  return s * 1'000'000;
}

}  // namespace reeve::alloc
