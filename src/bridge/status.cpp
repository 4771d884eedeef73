// A scheduler as values, and as text.
#include <fmt/format.h>

#include "bridge/state.hpp"

namespace reeve::bridge {

namespace detail {

ReservationStatus State::describe(const Block& block) const {
  ReservationStatus s;
  s.id = block.id;
  s.requester = config_.requesters[block.requester].name;
  s.workers = block.workers();
  s.start = Clock::time_point(Clock::duration(block.start));
  s.end = Clock::time_point(Clock::duration(block.end));
  s.ready = block.ready();
  s.leased = block.leased();
  return s;
}

std::optional<ReservationStatus> State::status_of(std::uint64_t reservation) const {
  const std::lock_guard lock(mutex_);
  const auto at = books_.blocks().find(reservation);
  return at == books_.blocks().end() ? std::nullopt : std::optional(describe(at->second));
}

SchedulerStatus State::status() const {
  const std::lock_guard lock(mutex_);
  SchedulerStatus s;
  s.workers = books_.capacity();
  s.stopping = stopping_;
  s.closed = closed_;
  double weights = 0;
  for (const Requester& r : config_.requesters) weights += r.weight;
  for (std::uint32_t i = 0; i < requesters_.size(); ++i) {
    const Requester& config = config_.requesters[i];
    const RequesterState& state = requesters_[i];
    RequesterStatus r;
    r.name = config.name;
    r.held = state.leased;
    r.coming = state.coming;
    for (const auto& [key, level] : state.levels) r.waiting += level.queue.size();
    for (const auto& [id, block] : books_.blocks()) {
      if (block.requester == i) r.reserved += block.ready();
    }
    r.share = static_cast<double>(books_.held(i)) / static_cast<double>(books_.capacity());
    r.entitled = config.weight / weights;
    r.used = turns_.used(i, books_.now());
    r.quota = config.quota;
    r.borrowed = static_cast<std::size_t>(books_.borrowed(i));
    r.preempted = state.preempted;
    r.preempting = state.preempting;
    r.waits = state.waits;
    s.leased += r.held;
    s.coming += r.coming;
    s.reserved += r.reserved;
    s.waiting += r.waiting;
    s.requesters.push_back(std::move(r));
  }
  for (const auto& [id, block] : books_.blocks()) s.reservations.push_back(describe(block));
  s.differences = books_.differences();
  return s;
}

}  // namespace detail

std::string to_string(const SchedulerStatus& status) {
  std::string text =
      fmt::format("{} workers: {} leased, {} coming, {} reserved; {} waiting\n", status.workers,
                  status.leased, status.coming, status.reserved, status.waiting);
  for (const RequesterStatus& r : status.requesters) {
    text += fmt::format("{:<16} held {:>4}  waiting {:>5}  share {:>5.1f} % of {:>5.1f} %", r.name,
                        r.held, r.waiting, 100 * r.share, 100 * r.entitled);
    if (r.quota) text += fmt::format("  quota {:>4}  borrowed {:>4}", r.quota->nominal, r.borrowed);
    text += fmt::format("  preempted {}  longest wait {:.3f} s\n", r.preempted,
                        std::chrono::duration<double>(r.waits.longest).count());
  }
  for (const ReservationStatus& r : status.reservations) {
    text += fmt::format("reservation {} of {}: {} workers for {:.3f} s, {} ready, {} leased\n",
                        r.id, r.requester, r.workers,
                        std::chrono::duration<double>(r.end - r.start).count(), r.ready, r.leased);
  }
  return text;
}

}  // namespace reeve::bridge
