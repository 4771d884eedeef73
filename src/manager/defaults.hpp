// What a configuration stands for where it leaves the required limits out.
#pragma once

#include <unistd.h>

#include <algorithm>
#include <reeve/pool/config.hpp>

namespace reeve::detail {

/// An hour per lease, and as much memory per worker as the machine has.
inline ResourceConfig resolved(ResourceConfig config) {
  if (config.worker_timeout.count() == 0) config.worker_timeout = std::chrono::hours(1);
  if (config.worker_memory.bytes() == 0) {
    const long pages = sysconf(_SC_PHYS_PAGES);
    const long bytes = sysconf(_SC_PAGESIZE);
    config.worker_memory = ByteSize{std::max<std::uint64_t>(
        std::uint64_t{1} << 30,
        static_cast<std::uint64_t>(std::max(pages, 0L)) * static_cast<std::uint64_t>(bytes))};
  }
  return config;
}

}  // namespace reeve::detail
