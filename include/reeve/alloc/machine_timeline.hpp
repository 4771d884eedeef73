// Which machines are free over time, by number.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "reeve/alloc/result.hpp"

namespace reeve::alloc {

/// One bit per machine, 64 in a word.
using MachineSet = std::vector<std::uint64_t>;

/// The free machines of every instant. Where Timeline counts, this one names: a reservation keeps
/// the same machines all along, so that it may start later than counting says.
///
/// Threads: one at a time.
class MachineTimeline {
 public:
  struct Fit {
    Time start = 0;
    MachineSet machines;
    friend bool operator==(const Fit&, const Fit&) = default;
  };

  /// Machines 0 ... count - 1, all free at all times.
  explicit MachineTimeline(std::int32_t count);

  /// All machines are free from `now` on; what was before is forgotten.
  void reset(Time now);
  /// Forgets what was before `now`.
  void forget_before(Time now);

  /// The earliest start from `from` on at which `size` machines are free for `duration`, and the
  /// lowest of them. Nothing if that never happens. Cost: O(steps^2 * machines / 64) at worst; the
  /// scan of a start ends when too few are left.
  std::optional<Fit> earliest_fit(Time from, Time duration, std::int32_t size) const;

  /// Takes machines during `[from, to)`, or gives them back.
  /// Cost: O(steps * machines / 64).
  void take(Time from, Time to, const MachineSet& machines) { set(from, to, machines, false); }
  void give(Time from, Time to, const MachineSet& machines) { set(from, to, machines, true); }

  MachineSet free_at(Time at) const;
  std::size_t steps() const noexcept { return steps_.size(); }

 private:
  struct Step {
    Time at;
    MachineSet free;
  };
  void set(Time from, Time to, const MachineSet& machines, bool free);
  std::size_t cut(Time at);
  std::size_t step_of(Time at) const;

  MachineSet all_;
  std::vector<Step> steps_;  // sorted; the last lasts for ever
};

}  // namespace reeve::alloc
