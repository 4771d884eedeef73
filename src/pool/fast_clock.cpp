// Rating the time stamp counter against the system's clock.
#include "pool/fast_clock.hpp"

#include <cmath>
#include <fstream>
#include <string>

#include "pool/core.hpp"

namespace reeve::detail {
namespace {

bool counter_trusted() {
#if defined(__x86_64__)
  static const bool trusted = [] {
    std::ifstream file("/sys/devices/system/clocksource/clocksource0/current_clocksource");
    std::string name;
    return file >> name && name == "tsc";
  }();
  return trusted;
#else
  return false;
#endif
}

constexpr std::int64_t span_min = 1'000'000;       // ns that a rate is measured over
constexpr std::int64_t span_max = 10'000'000'000;  // longer ago than this says nothing
constexpr std::uint64_t ticks_taken_max = 1000;    // by a reading; a fraction of a microsecond

}  // namespace

FastClock::FastClock() noexcept {
  counter_trusted();
  read();
}

std::int64_t FastClock::read() noexcept {
#if defined(__x86_64__)
  const std::uint64_t before = __rdtsc();
  const std::int64_t now = now_ns();
  const std::uint64_t taken = __rdtsc() - before;
  last_ = std::max(last_, now);
  // An interruption in between would be an error of every reading until the next.
  if (!counter_trusted() || taken > ticks_taken_max) return last_;
  const std::uint64_t ticks = before + taken / 2;
  const std::int64_t span = now - read_at_;
  if (read_at_ != 0 && span < span_min && ticks > ticks_) return last_;  // too short to rate
  if (read_at_ != 0 && span < span_max && ticks > ticks_) {
    // A machine that was suspended counted on while its clock stood: such a rate is not believed.
    const double rate = static_cast<double>(span) / static_cast<double>(ticks - ticks_);
    const bool first = rate_ == 0;
    const bool plausible = first ? rate > 0.1 && rate < 2 : std::abs(rate / rate_ - 1) < 0.01;
    rate_ = plausible ? rate : 0;
    ns_per_tick_ = static_cast<std::uint64_t>(rate * 0x1p32);
    horizon_ = plausible ? static_cast<std::uint64_t>(static_cast<double>(span_min) / rate) : 0;
  } else {
    horizon_ = 0;
  }
  read_at_ = now;
  ticks_ = ticks;
#else
  last_ = std::max(last_, now_ns());
#endif
  return last_;
}

}  // namespace reeve::detail
