// Promising workers ahead: checks, refusals as sentences.
#include <fmt/format.h>

#include "bridge/state.hpp"

namespace reeve::bridge::detail {

namespace {

double seconds(Time ns) {
  return static_cast<double>(ns) / 1e9;
}

}  // namespace

std::uint64_t State::reserve(std::string_view requester, std::size_t workers,
                             Clock::time_point start, std::chrono::nanoseconds duration,
                             const char* device) {
  const std::lock_guard lock(mutex_);
  check_open();
  const std::uint32_t who = find(requester);
  const std::string wanted = device != nullptr ? device : "";
  if (!books_.knows(wanted)) {
    throw ConfigError(fmt::format("no worker of this pool has a device '{}'; its workers have {}",
                                  wanted, fmt::join(books_.devices(), ", ")));
  }
  const std::size_t most = books_.capacity_of(wanted);
  if (workers < 1 || workers > most) {
    throw ConfigError(
        fmt::format("a reservation has 1 to {} workers, as many as there are{}, not {}; reserve "
                    "fewer or resize "
                    "the pool",
                    most, wanted.empty() ? "" : " with device " + wanted, workers));
  }
  const Time now = books_.now();
  const Time at = start.time_since_epoch().count();
  constexpr Time longest = Time{24 * 3660} * 3600 * 1'000'000'000;
  if (at < now || at - now > longest) {
    throw ConfigError(fmt::format(
        "the reservation would begin {:.3f} s {}; its start lies between now and ten years ahead",
        seconds(at < now ? now - at : at - now), at < now ? "ago" : "ahead"));
  }
  if (duration.count() <= 0 || duration.count() > longest) {
    throw ConfigError(
        fmt::format("the reservation would last {:.3f} s; that is more than 0 and at "
                    "most ten years",
                    seconds(duration.count())));
  }
  const auto id = books_.reserve(who, workers, at, duration.count(), wanted);
  if (!id) {
    const alloc::Refusal& refusal = id.refusal();
    std::optional<Clock::time_point> earliest;
    std::string when = "it never fits";
    if (refusal.earliest) {
      earliest = Clock::time_point(Clock::duration(*refusal.earliest));
      when = fmt::format("the earliest time is {:.3f} s later", seconds(*refusal.earliest - at));
    }
    const bool quota = refusal.code == alloc::Code::quota_exceeded;
    throw ReservationRefusedError(
        fmt::format("'{}' cannot have {} workers {:.3f} s from now for {:.3f} s: {} {}; {}",
                    requester, workers, seconds(at - now), seconds(duration.count()),
                    quota ? "beside its other reservations its quota and what others keep for "
                            "themselves leave"
                          : "what is leased and promised then leaves",
                    refusal.available, when),
        earliest);
  }
  dispatch();
  need_alarm(next_due(now));
  return *id;
}

void State::cancel_reservation(std::uint64_t id) noexcept {
  if (foreign()) return;
  const std::lock_guard lock(mutex_);
  if (books_.cancel(id)) dispatch();
}

}  // namespace reeve::bridge::detail
