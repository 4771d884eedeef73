// The pool's line to the audit: nothing is built when the audit is off.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <reeve/audit/event.hpp>
#include <reeve/audit/ring.hpp>
#include <reeve/audit/sink.hpp>
#include <reeve/pool/config.hpp>
#include <reeve/pool/errors.hpp>
#include <string_view>
#include <vector>

#include "process/layout.hpp"

namespace reeve::detail {

using audit::EventKind;

/// Writes events under the pool's lock; the ring's readers and the sinks need no lock of the pool.
class Journal {
 public:
  explicit Journal(const ResourceConfig& config);

  bool on() const noexcept { return ring_ != nullptr; }
  /// True if a sink waits for what was written: call `feed` outside of the lock.
  bool has_sink() const noexcept { return drain_ != nullptr; }

  /// `at`: monotonic ns. Precondition: on(); the pool's lock is held.
  void write(audit::Event& event, std::int64_t at) noexcept;
  void feed() noexcept;
  std::vector<audit::Event> events() const;

 private:
  std::unique_ptr<audit::Ring> ring_;
  std::unique_ptr<audit::Drain> drain_;
  std::int64_t last_ = 0;
  std::int64_t wall_offset_ = 0;
  std::int64_t wall_read_at_ = 0;
};

audit::Cause audit_cause(process::Cause cause) noexcept;

}  // namespace reeve::detail
