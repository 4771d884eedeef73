// One event of a pool's audit trail: what happened, to which lease and worker, when, why, how much.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>

namespace reeve::audit {

/// What happened. The names are the `event` field of the JSON lines; their order is not part of the
/// format.
enum class EventKind : std::uint8_t {
  acquire,   ///< a caller asks for a worker: `lease` is given out here
  grant,     ///< the lease has its worker: its clock runs
  release,   ///< the lease ends by its holder: worker returned, or a waiter gave up (cause tells)
  revoke,    ///< the lease ends by the pool: limit, crash, shutdown
  refuse,    ///< an ask that never became an acquire: queue full, pool closed; carries no lease
  spawn,     ///< a worker incarnation starts to live
  kill,      ///< SIGKILL is sent to a worker's tree
  death,     ///< a worker incarnation is gone
  resize,    ///< the pool's size changes: `limit` is the new size, `observed` the old one
  pressure,  ///< a figure nears its limit: `observed` of `limit`
  shutdown,  ///< the pool begins to stop
};
inline constexpr std::size_t event_kind_count = 11;

/// Why. One lease ends with exactly one cause.
enum class Cause : std::uint8_t {
  none,
  done,       ///< ended as it should
  timeout,    ///< wall time
  memory,     ///< memory limit
  cancelled,  ///< by the caller
  crashed,    ///< the worker died by itself: `exit_status` or `signal` says how
  lost,       ///< the worker or its warden is unreachable
  shutdown,   ///< the pool stops
  saturated,  ///< the queue of waiters is full
  degraded,   ///< workers cannot be started
  recycled,   ///< a worker is replaced on purpose: dirty, old, or grown
  shrunk,     ///< a worker goes because the pool gets smaller or was idle
};
inline constexpr std::size_t cause_count = 12;

std::string_view to_string(EventKind kind) noexcept;
std::string_view to_string(Cause cause) noexcept;

/// A short text kept in place: the first `N` bytes of what was given, cut at a UTF-8 character.
template <std::size_t N>
class ShortText {
 public:
  static_assert(N < 128);
  constexpr ShortText() noexcept = default;
  ShortText(std::string_view text) noexcept { assign(text); }    // NOLINT: texts convert
  ShortText(const char* text) noexcept { assign(text); }         // NOLINT
  ShortText(const std::string& text) noexcept { assign(text); }  // NOLINT

  std::string_view view() const noexcept { return {bytes_.data(), length()}; }
  std::size_t length() const noexcept { return length_ & 0x7f; }
  /// Whether the text given was longer.
  bool truncated() const noexcept { return (length_ & 0x80) != 0; }
  static constexpr std::size_t capacity() noexcept { return N; }
  friend bool operator==(const ShortText& a, const ShortText& b) noexcept {
    return a.length_ == b.length_ && a.view() == b.view();
  }

  void assign(std::string_view text) noexcept {
    std::size_t n = text.size();
    if (n > N) {
      n = N;
      while (n > 0 && N - n < 3 && (static_cast<unsigned char>(text[n]) & 0xc0) == 0x80) --n;
    }
    if (n != 0) std::memcpy(bytes_.data(), text.data(), n);
    length_ = static_cast<std::uint8_t>(n | (n < text.size() ? 0x80 : 0));
  }
  void mark_truncated() noexcept { length_ |= 0x80; }

 private:
  std::array<char, N> bytes_{};
  std::uint8_t length_ = 0;
};

using TaskText = ShortText<47>;
using DeviceText = ShortText<15>;

inline constexpr std::uint32_t no_worker = 0xffffffff;

/// One event. Trivially copyable and of a fixed size: a ring of them never allocates.
///
/// `sequence` is set by Ring::push, the two times by `stamp`. A worker is a slot number; its
/// incarnation counts the processes that have filled that slot, from 1. `lease` 0 means no lease.
struct Event {
  std::uint64_t sequence = 0;
  std::int64_t monotonic_ns = 0;  ///< CLOCK_MONOTONIC
  std::int64_t wall_ns = 0;       ///< CLOCK_REALTIME since 1970; may jump
  std::uint64_t lease = 0;
  std::uint64_t limit = 0;     ///< of `observed`: bytes for memory, ns for timeout
  std::uint64_t observed = 0;  ///< the figure that `limit` was held against
  std::uint64_t peak_bytes = 0;
  std::int64_t elapsed_ns =
      0;  ///< grant: waited; release and revoke: leased; death: since the kill
  std::uint32_t worker = no_worker;
  std::uint32_t incarnation = 0;
  std::int32_t pid = 0;
  std::int16_t exit_status = 0;  ///< of a death, when `signal` is 0
  std::uint8_t signal = 0;       ///< of a kill or death
  EventKind kind = EventKind::acquire;
  Cause cause = Cause::none;
  TaskText task;
  DeviceText device;

  friend bool operator==(const Event&, const Event&) noexcept = default;
};
static_assert(std::is_trivially_copyable_v<Event> && sizeof(Event) <= 192);

/// Sets both times of `event` to now. Cost: two vDSO calls, about 50 ns.
void stamp(Event& event) noexcept;

}  // namespace reeve::audit
