// Very many tasks whose retention ends within one second, and a reader meanwhile.
#pragma once

#include <cstddef>
#include <string>

namespace reeve::tasks::testing {

struct FloodFindings {
  std::size_t gets = 0;
  std::size_t late = 0;  // an expired task was returned
  double p99_ms = 0, worst_ms = 0;
  double gone_s = 0;                                   // from the last expiry to an empty store
  std::size_t left = 0;                                // tasks still counted after a minute
  double before_mib = 0, full_mib = 0, after_mib = 0;  // resident memory
};

/// Fills a store (in memory when `path` is empty), then lets a second go by in which every task
/// expires, and reads tasks at random all the while. One task stays alive.
FloodFindings expire_flood(int tasks, const std::string& path);

}  // namespace reeve::tasks::testing
