// What whoever governs a pool may learn of a lease, and ask of it, without holding it.
#pragma once

#include <compare>
#include <cstdint>

namespace reeve {

/// Names one lease of one pool; keys are never reused. See ResourcePool::request_stop and preempt.
struct LeaseKey {
  std::uint32_t slot = UINT32_MAX;
  std::uint64_t serial = 0;
  friend auto operator<=>(const LeaseKey&, const LeaseKey&) = default;
};

/// Told once, when a lease ends: given back, discarded or revoked (see WorkerLease::observe).
///
/// Lifetime: kept alive by the lease until then.
/// Threads:  outside of the pool's lock, so that it may call the pool. A lease that is given back
///           tells on the thread that does it, when its worker is already free for others; a
///           revoked one on the pool's executor.
class LeaseObserver {
 public:
  virtual void on_lease_ended(std::uint64_t token) noexcept = 0;

 protected:
  ~LeaseObserver() = default;
};

}  // namespace reeve
