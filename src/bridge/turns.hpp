// Whose turn it is: the policy as an ordering of the allocator. No Asio.
#pragma once

#include <reeve/alloc/policy.hpp>
#include <span>
#include <vector>

#include "bridge/books.hpp"

namespace reeve::bridge::detail {

/// Threads: one at a time.
class Turns {
 public:
  explicit Turns(const SchedulerConfig& config);

  /// Position of the one that goes first. Preconditions: not empty.
  std::size_t first(const Books& books, std::span<const alloc::Pending* const> heads);

  /// `requester` holds `workers` from now on. Cost: nothing unless usage decays.
  void note(std::uint32_t requester, Time now, std::int64_t workers);
  bool decays() const noexcept { return half_life_ > 0; }
  /// Decayed worker seconds.
  double used(std::uint32_t requester, Time now) const;

 private:
  struct Usage {
    double seconds = 0;
    Time since = 0;
    std::int64_t workers = 0;
  };

  Time half_life_;
  alloc::Ordering order_;
  std::vector<alloc::UserView> users_;
  std::vector<std::string> names_;
  std::vector<Usage> usage_;
};

}  // namespace reeve::bridge::detail
