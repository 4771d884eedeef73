// Tighter limits for one call, and its progress.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <reeve/base/byte_size.hpp>
#include <string>
#include <string_view>

namespace reeve {

/// What one call may use, beside the limits of its lease, of which it never gets more. A field that
/// is left out sets no tighter limit. Zero is no such word: it, and anything negative, is an error.
///
///     reeve::RunLimits limits;             // as the lease
///     limits.timeout = 200ms;              // less time for this call
///     limits.timeout = std::nullopt;       // as the lease again
///
/// Errors: ConfigError with `find_fault`'s text by the call that is given them, before it is sent;
///         the lease stays as it is.
struct RunLimits {
  using ProgressSink = std::function<void(double percent, std::string_view note)>;

  RunLimits() = default;  // user-declared on purpose: aggregates with such members break in g++ 12
  explicit RunLimits(std::chrono::milliseconds timeout_) : timeout(timeout_) {}

  std::optional<std::chrono::milliseconds> timeout;  ///< > 0: the worker is killed after this
  /// > 0: this_worker::stop_requested() turns true after this.
  std::optional<std::chrono::milliseconds> soft_timeout;
  /// More than an empty worker takes: memory of the worker during the call, held as `worker_memory`
  /// is: by RLIMIT_DATA with `hard_memory`, and by the watch, which then allows the 16 MiB more
  /// that a refusal may use.
  std::optional<ByteSize> memory;
  /// Called on the pool's executor, with one report at a time and never an older one after a newer
  /// one; never after the call's end, which waits for a sink that runs on another thread. So a sink
  /// may cancel its call or give the lease back, but must wait neither for the call's end nor for
  /// the thread that makes the call. Reports that come too late are dropped. What it throws ends
  /// the call, and the worker if it is still at work, and comes out of `run`.
  ProgressSink progress;
};

/// The first fault of `limits` as a sentence with value, range and remedy; empty if there is none.
std::optional<std::string> find_fault(const RunLimits& limits);

/// How map and parallel_map cut their work.
struct MapOptions {
  MapOptions() = default;
  std::size_t chunk = 0;    ///< items per call; 0: about 2 ms of work each, measured as it goes
  std::size_t workers = 0;  ///< parallel_map: leases at a time; 0: max_workers
  /// Percent of items done. map: called by the coroutine that awaits it. parallel_map: by the
  /// threads of that coroutine's executor, one at a time, rising, never after the map's end.
  RunLimits::ProgressSink progress;
};

}  // namespace reeve
