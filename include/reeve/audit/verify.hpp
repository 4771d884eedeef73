// Checks an audit trail against the invariants of a pool, and sums it up for people.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <reeve/audit/event.hpp>
#include <span>
#include <string>
#include <vector>

namespace reeve::audit {

/// What `verify` found.
struct Report {
  std::vector<std::string> faults;  ///< sentences; at most 100 are kept
  std::uint64_t fault_count = 0;
  std::array<std::uint64_t, event_kind_count> counts{};  ///< by EventKind
  std::uint64_t active_leases = 0;                       ///< acquired, not ended
  std::uint64_t live_workers = 0;                        ///< spawned, not dead

  bool ok() const noexcept { return fault_count == 0; }
  std::uint64_t count(EventKind kind) const noexcept {
    return counts[static_cast<std::size_t>(kind)];
  }
  /// "ok: ..." or the faults, one per line.
  std::string text() const;
};

struct VerifyOptions {
  /// The trail starts with the pool. False for a snapshot of a ring that has overwritten events:
  /// leases and workers whose beginning is missing are then believed.
  bool from_start = true;
  /// The pool has ended: no lease may be active and no worker alive.
  bool complete = false;
};

/// Checks: sequence numbers without gaps, monotonic time never backwards; acquire = release +
/// revoke + active for each lease and in total; no grant without an acquire, none twice; no two
/// live leases on one worker incarnation, none on a worker that is not alive; every kill is
/// followed by a death of that incarnation (with `complete`), no kill, second death or second spawn
/// of a dead one; spawn = death + alive.
///
/// Cost: O(n log n) time, memory for live leases and workers.
Report verify(std::span<const Event> events, VerifyOptions options = {});

/// A table for people: events by kind and cause, longest lease, slowest kill, largest peak.
std::string summary(std::span<const Event> events);

}  // namespace reeve::audit
