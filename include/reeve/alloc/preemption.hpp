// Who has to go so that a request fits: few victims, and none that would come back for revenge.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "reeve/alloc/reservation_manager.hpp"

namespace reeve::alloc {

/// Who evicted whom, among requests that still run or wait. It stays free of circles, so that a run
/// of preemptions ends and nobody evicts whom evicted it, under any rule and any tree of quotas: a
/// request that evicts again was evicted before, and a circle-free relation has no endless chain.
class EvictionHistory {
 public:
  /// False when `victim` evicted `taker`, directly or through others.
  /// Cost: O(n log n) for n evictions that `victim` made, directly or through others.
  bool may_evict(std::uint64_t taker, std::uint64_t victim) const;
  void record(std::uint64_t taker, std::uint64_t victim);
  /// Drops a request that ended for good.
  void forget(std::uint64_t identity);
  std::size_t size() const noexcept { return evicted_.size(); }

 private:
  std::map<std::uint64_t, std::vector<std::uint64_t>> evicted_;  // taker -> victims, sorted
};

/// Whom a request may displace.
struct PreemptionRules {
  bool lower_priority = true;  ///< reservations of strictly lower priority
  /// Reservations of queues that borrow more than the requester's queue would: below the lowest
  /// common ancestor of both quota nodes, the borrowed share of the requester's branch after is
  /// less than that of the victim's branch before, every node above the victim borrows, and the
  /// victim's branch borrows less without it. `lower_priority` then holds within the requester's
  /// own queue only.
  bool fair_share = false;
  /// Spares those that evicted the request before; null: no memory.
  const EvictionHistory* history = nullptr;
  /// The request's own window ahead, if it has one: judged as if it were gone, and no victim.
  ReservationId window{};
};

/// The reservations to end so that `request` fits, in the order they were chosen: borrowers first,
/// then lowest priority, then newest. Leaving out any one of them, it does not fit.
///
/// Every victim is judged after the victims before it are gone.
///
/// Errors: those of plan(); busy when no victims help. Nothing changes either way.
/// Cost:   O((log candidates + victims) * plan).
Result<std::vector<ReservationId>> find_victims(ReservationManager& manager, const Request& request,
                                                const PreemptionRules& rules = {},
                                                Strategy strategy = Strategy::balanced);

}  // namespace reeve::alloc
