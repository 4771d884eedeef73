// Names of events and causes, and the time stamp.
#include <time.h>

#include <array>
#include <reeve/audit/event.hpp>

namespace reeve::audit {
namespace {

constexpr std::array<std::string_view, event_kind_count> kind_names{
    "acquire", "grant", "release", "revoke",   "refuse",  "spawn",
    "kill",    "death", "resize",  "pressure", "shutdown"};
constexpr std::array<std::string_view, cause_count> cause_names{
    "none", "done",     "timeout",   "memory",   "cancelled", "crashed",
    "lost", "shutdown", "saturated", "degraded", "recycled",  "shrunk"};
static_assert(!kind_names.back().empty() && !cause_names.back().empty());

std::int64_t read_clock(clockid_t clock) noexcept {
  timespec now{};
  ::clock_gettime(clock, &now);
  return static_cast<std::int64_t>(now.tv_sec) * 1'000'000'000 + now.tv_nsec;
}

}  // namespace

std::string_view to_string(EventKind kind) noexcept {
  const auto index = static_cast<std::size_t>(kind);
  return index < kind_names.size() ? kind_names[index] : "unknown";
}

std::string_view to_string(Cause cause) noexcept {
  const auto index = static_cast<std::size_t>(cause);
  return index < cause_names.size() ? cause_names[index] : "unknown";
}

void stamp(Event& event) noexcept {
  event.monotonic_ns = read_clock(CLOCK_MONOTONIC);
  event.wall_ns = read_clock(CLOCK_REALTIME);
}

}  // namespace reeve::audit
