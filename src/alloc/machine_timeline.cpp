// Sets of machines as bits, step by step.
#include "reeve/alloc/machine_timeline.hpp"

#include <algorithm>

namespace reeve::alloc {

MachineTimeline::MachineTimeline(std::int32_t count)
    : all_(static_cast<std::size_t>(count + 63) / 64, 0) {
  for (std::int32_t m = 0; m < count; ++m)
    all_[static_cast<std::size_t>(m / 64)] |= std::uint64_t{1} << (m % 64);
  reset(INT64_MIN / 4);
}

void MachineTimeline::reset(Time now) {
  steps_.assign(1, {now, all_});
}

void MachineTimeline::forget_before(Time now) {
  std::size_t keep = 0;
  while (keep + 1 < steps_.size() && steps_[keep + 1].at <= now) ++keep;
  steps_.erase(steps_.begin(), steps_.begin() + static_cast<std::ptrdiff_t>(keep));
  steps_[0].at = std::max(steps_[0].at, now);
}

std::size_t MachineTimeline::step_of(Time at) const {
  const auto after = std::upper_bound(steps_.begin(), steps_.end(), at,
                                      [](Time t, const Step& s) { return t < s.at; });
  return after == steps_.begin() ? 0 : static_cast<std::size_t>(after - steps_.begin()) - 1;
}

MachineSet MachineTimeline::free_at(Time at) const {
  return steps_[step_of(at)].free;
}

std::optional<MachineTimeline::Fit> MachineTimeline::earliest_fit(Time from, Time duration,
                                                                  std::int32_t size) const {
  const auto count_of = [](const MachineSet& set) {
    std::int32_t n = 0;
    for (auto w : set) n += __builtin_popcountll(w);
    return n;
  };
  MachineSet free;
  for (std::size_t s = step_of(from); s < steps_.size(); ++s) {
    const Time start = std::max(from, steps_[s].at);
    free = steps_[s].free;
    auto count = count_of(free);
    for (std::size_t i = s + 1;
         count >= size && i < steps_.size() && steps_[i].at - start < duration; ++i) {
      for (std::size_t w = 0; w < free.size(); ++w) free[w] &= steps_[i].free[w];
      count = count_of(free);
    }
    if (count < size) continue;
    for (std::size_t w = free.size(); count > size;) {
      --w;
      while (free[w] && count > size) {
        free[w] &= ~(std::uint64_t{1} << (63 - __builtin_clzll(free[w])));
        --count;
      }
    }
    return Fit{start, std::move(free)};
  }
  return std::nullopt;
}

void MachineTimeline::set(Time from, Time to, const MachineSet& machines, bool free) {
  if (from >= to) return;
  const auto first = cut(from);
  const auto last = cut(to);
  for (auto i = first; i < last; ++i)
    for (std::size_t w = 0; w < machines.size(); ++w)
      steps_[i].free[w] = free ? steps_[i].free[w] | machines[w] : steps_[i].free[w] & ~machines[w];
  for (auto i = std::min(last, steps_.size() - 1); i > 0 && i + 1 > first; --i)
    if (steps_[i].free == steps_[i - 1].free)
      steps_.erase(steps_.begin() + static_cast<std::ptrdiff_t>(i));
}

std::size_t MachineTimeline::cut(Time at) {
  const auto i =
      static_cast<std::size_t>(std::lower_bound(steps_.begin(), steps_.end(), at,
                                                [](const Step& s, Time t) { return s.at < t; }) -
                               steps_.begin());
  if (i < steps_.size() && steps_[i].at == at) return i;
  if (i == 0) return 0;
  steps_.insert(steps_.begin() + static_cast<std::ptrdiff_t>(i), {at, steps_[i - 1].free});
  return i;
}

}  // namespace reeve::alloc
