// What is free of each node over time.
#pragma once

#include <optional>
#include <vector>

#include "alloc/node_fit.hpp"

namespace reeve::alloc::detail {

/// Steps of free nodes. Where MachineTimeline has a bit for each machine, this has amounts.
class NodeTimeline {
 public:
  struct Place {
    Time start = 0;
    std::vector<NodeShare> shares;
  };

  explicit NodeTimeline(const NodeFit& nodes) : nodes_(nodes) {
    reset(INT64_MIN / 4, nodes.capacity());
  }

  /// So much is free from `now` on; all else is forgotten.
  void reset(Time now, const FreeNodes& free);
  /// And so much more from `at` on. Preconditions: no step begins later.
  void add_end(Time at, std::span<const NodeShare> shares);
  void forget_before(Time now);

  /// The earliest start from `from` on, up to `latest`, at which there is a place for `duration`,
  /// and the lowest nodes of it. Cost: O(steps^2 * nodes) at worst.
  std::optional<Place> earliest_fit(Time from, Time latest, Time duration,
                                    const NodeFit::Wanted& wanted) const;

  /// Preconditions: there is room.
  void take(Time from, Time to, std::span<const NodeShare> shares) {
    change(from, to, shares, true);
  }
  void give(Time from, Time to, std::span<const NodeShare> shares) {
    change(from, to, shares, false);
  }

 private:
  struct Step {
    Time at = 0;
    std::int64_t processors = 0;  // of all nodes
    FreeNodes free;
  };
  void change(Time from, Time to, std::span<const NodeShare> shares, bool take);
  std::size_t step_of(Time at) const;
  std::size_t cut(Time at);
  void merge(std::size_t step);
  void insert(std::size_t at, Time when);

  const NodeFit& nodes_;
  std::vector<Step> steps_;   // sorted; the last lasts for ever
  std::vector<Step> spare_;   // keep their memory
  mutable FreeNodes window_;  // scratch
};

}  // namespace reeve::alloc::detail
