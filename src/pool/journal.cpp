// Times and causes of audit events.
#include "pool/journal.hpp"

#include <time.h>

#include <algorithm>

namespace reeve::detail {

Journal::Journal(const ResourceConfig& config) {
  if (config.audit_ring == 0 && config.audit_sink == nullptr) return;
  ring_ = std::make_unique<audit::Ring>(std::max<std::size_t>(config.audit_ring, 256));
  if (config.audit_sink == nullptr) return;
  drain_ = std::make_unique<audit::Drain>(*ring_);
  drain_->add(config.audit_sink);
}

void Journal::write(audit::Event& event, std::int64_t at) noexcept {
  last_ = std::max(last_, at);
  // The wall clock is read once a second; in between it advances with the monotonic one.
  if (last_ - wall_read_at_ > 1'000'000'000) {
    timespec wall{};
    clock_gettime(CLOCK_REALTIME, &wall);
    wall_offset_ = std::int64_t{wall.tv_sec} * 1'000'000'000 + wall.tv_nsec - last_;
    wall_read_at_ = last_;
  }
  event.monotonic_ns = last_;
  event.wall_ns = last_ + wall_offset_;
  ring_->push(event);
}

void Journal::feed() noexcept {
  if (drain_ != nullptr) drain_->run();
}

std::vector<audit::Event> Journal::events() const {
  return ring_ != nullptr ? ring_->snapshot() : std::vector<audit::Event>{};
}

audit::Cause audit_cause(process::Cause cause) noexcept {
  switch (cause) {
    case process::Cause::none:
    case process::Cause::active:
      return audit::Cause::done;
    case process::Cause::timeout:
      return audit::Cause::timeout;
    case process::Cause::memory:
      return audit::Cause::memory;
    case process::Cause::cancelled:
      return audit::Cause::cancelled;
    case process::Cause::crashed:
      return audit::Cause::crashed;
    case process::Cause::lost:
      return audit::Cause::lost;
    case process::Cause::shutdown:
      return audit::Cause::shutdown;
  }
  return audit::Cause::none;
}

}  // namespace reeve::detail
