// What a scheduler refuses. Acquires throw the pool's errors (reeve/pool/errors.hpp), too.
#pragma once

#include <optional>
#include <reeve/base/clock.hpp>
#include <reeve/base/error.hpp>

namespace reeve::bridge {

/// The workers are promised or leased to others at that time.
class ReservationRefusedError : public Error {
 public:
  ReservationRefusedError(const std::string& what, std::optional<Clock::time_point> earliest)
      : Error(what), earliest_(earliest) {}

  /// The first time at which as many workers are free for as long, as far as is known now; none if
  /// never.
  std::optional<Clock::time_point> earliest() const noexcept { return earliest_; }

 private:
  std::optional<Clock::time_point> earliest_;
};

}  // namespace reeve::bridge
