// A part in a lease: what waits for it keeps it.
#pragma once

#include <memory>
#include <utility>

#include "pool/core.hpp"

namespace reeve::detail {

/// Keeps a lease's state from being used again, and the pool's, until it is destroyed; the lease
/// itself may be given back before.
class LeaseShare {
 public:
  LeaseShare(std::shared_ptr<Core> core, Lease& lease) : core_(std::move(core)), lease_(&lease) {
    const std::lock_guard lock(core_->mutex());
    ++lease.owners;
  }
  LeaseShare(LeaseShare&& other) noexcept
      : core_(std::move(other.core_)), lease_(std::exchange(other.lease_, nullptr)) {}
  LeaseShare& operator=(LeaseShare&&) = delete;
  ~LeaseShare() {
    if (lease_ != nullptr) core_->unown(*lease_);
  }

  Lease& lease() const noexcept { return *lease_; }

 private:
  std::shared_ptr<Core> core_;
  Lease* lease_;
};

}  // namespace reeve::detail
