// The pool's line to the audit: nothing is built when the audit is off.
#pragma once

#include <cstdint>
#include <memory>
#include <reeve/pool/config.hpp>
#include <reeve/pool/errors.hpp>
#include <string_view>

#include "process/layout.hpp"

namespace reeve::detail {

enum class Step : std::uint8_t {
  acquire,
  grant,
  release,
  revoke,
  kill,
  spawn,
  death,
  resize,
  refuse,
  shutdown
};

struct JournalEntry {
  Step step;
  std::int64_t at = 0;
  std::uint64_t lease = 0;
  WorkerId worker;
  process::Cause cause = process::Cause::none;
  std::string_view task;
  std::string_view device;
  std::uint64_t limit = 0;
  std::uint64_t observed = 0;
  std::uint64_t peak = 0;
  std::int64_t elapsed = 0;
  int pid = 0;
  int status = 0;
};

class Journal {
 public:
  explicit Journal(const ResourceConfig& config) : on_(config.audit_ring > 0) {}
  bool on() const noexcept { return on_; }
  void write(const JournalEntry& entry) noexcept { (void)entry; }

 private:
  bool on_;
};

}  // namespace reeve::detail
