// Tighter limits for one call, and its progress.
#pragma once

#include <chrono>
#include <functional>
#include <reeve/base/byte_size.hpp>
#include <string_view>

namespace reeve {

/// What one call may use; never more than its lease has left. Zero means "as the lease".
struct RunLimits {
  using ProgressSink = std::function<void(double percent, std::string_view note)>;

  RunLimits() = default;  // user-declared on purpose: aggregates with such members break in g++ 12
  explicit RunLimits(std::chrono::milliseconds timeout_) : timeout(timeout_) {}

  std::chrono::milliseconds timeout{0};  ///< the worker is killed after this
  std::chrono::milliseconds soft_timeout{
      0};                 ///< this_worker::stop_requested() turns true after this
  ByteSize memory{0};     ///< private memory during the call
  ProgressSink progress;  ///< called on the pool's executor
};

/// How map and parallel_map cut their work.
struct MapOptions {
  MapOptions() = default;
  std::size_t chunk = 0;    ///< items per call; 0: about 2 ms of work each, measured as it goes
  std::size_t workers = 0;  ///< parallel_map: leases at a time; 0: max_workers
  RunLimits::ProgressSink progress;  ///< percent of items done
};

}  // namespace reeve
