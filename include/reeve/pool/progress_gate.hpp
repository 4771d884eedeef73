// The way of a call's progress to its sink: in order, one at a time, and never after the end.
#pragma once

#include <cstdint>
#include <exception>
#include <mutex>
#include <reeve/pool/run_limits.hpp>
#include <string_view>

namespace reeve::detail {

/// Stands before a progress sink, which it calls with its lock held.
///
/// Threads: any. The sink may do anything but wait for whoever closes the gate.
class ProgressGate {
 public:
  explicit ProgressGate(RunLimits::ProgressSink sink) noexcept : sink_(std::move(sink)) {}
  ProgressGate(const ProgressGate&) = delete;
  ProgressGate& operator=(const ProgressGate&) = delete;

  /// Calls the sink, unless the gate is closed or a report with this number or a higher one (they
  /// begin with 1) was told already: this one was overtaken. Errors: what the sink throws, which
  /// is kept as `failure()`; after that the sink is not called again.
  void tell(std::uint64_t number, double percent, std::string_view note);

  /// What the sink threw; null if nothing.
  std::exception_ptr failure() const;

  /// From here on the sink is not called. Waits for a sink that runs on another thread, then ends
  /// its captures; where the sink itself closes its gate, they end with the gate.
  void close() noexcept;

 private:
  mutable std::recursive_mutex mutex_;  // recursive: a sink may end its own call
  RunLimits::ProgressSink sink_;
  std::exception_ptr failure_;
  std::uint64_t told_ = 0;
  unsigned inside_ = 0;
  bool closed_ = false;
};

}  // namespace reeve::detail
