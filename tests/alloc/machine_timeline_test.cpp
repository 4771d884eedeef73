// Identified machines against a naive table of machine and instant.
#include "reeve/alloc/machine_timeline.hpp"

#include "tests/support/pch.hpp"

namespace reeve::alloc {
namespace {

constexpr int machines = 70, length = 40;  // two words of machines

RC_GTEST_PROP(MachineTimeline, EqualsATableOfMachinesAndInstants, ()) {
  MachineTimeline timeline(machines);
  timeline.reset(0);
  bool busy[length * 4][machines] = {};
  struct Taken {
    Time from, to;
    MachineSet set;
  };
  std::vector<Taken> taken;
  for (int i = 0; i < 25; ++i) {
    if (*rc::gen::inRange(0, 4) == 0 && !taken.empty()) {
      const auto& t = taken.back();
      timeline.give(t.from, t.to, t.set);
      for (Time at = t.from; at < t.to; ++at)
        for (int m = 0; m < machines; ++m)
          if (t.set[static_cast<std::size_t>(m / 64)] >> (m % 64) & 1) busy[at][m] = false;
      taken.pop_back();
      continue;
    }
    const Time from = *rc::gen::inRange(0, length), duration = *rc::gen::inRange(1, 20);
    const int size = *rc::gen::inRange(1, machines + 1);
    const auto fit = timeline.earliest_fit(from, duration, size);
    std::optional<MachineTimeline::Fit> expected;
    for (Time start = from; !expected && start < length * 3; ++start) {
      MachineSet set(2, 0);
      int found = 0;
      for (int m = 0; m < machines && found < size; ++m) {
        bool free = true;
        for (Time at = start; at < std::min<Time>(start + duration, length * 4); ++at)
          free = free && !busy[at][m];
        if (!free) continue;
        set[static_cast<std::size_t>(m / 64)] |= std::uint64_t{1} << (m % 64);
        ++found;
      }
      if (found == size) expected = MachineTimeline::Fit{start, set};
    }
    RC_ASSERT(fit == expected);
    if (!fit || fit->start + duration >= length * 3) continue;
    timeline.take(fit->start, fit->start + duration, fit->machines);
    for (Time at = fit->start; at < fit->start + duration; ++at)
      for (int m = 0; m < machines; ++m)
        if (fit->machines[static_cast<std::size_t>(m / 64)] >> (m % 64) & 1) busy[at][m] = true;
    taken.push_back({fit->start, fit->start + duration, fit->machines});
  }
  while (!taken.empty()) {
    timeline.give(taken.back().from, taken.back().to, taken.back().set);
    taken.pop_back();
  }
  RC_ASSERT(timeline.steps() == 1u);
}

TEST(MachineTimeline, NeverMeansNothing) {
  MachineTimeline timeline(4);
  EXPECT_EQ(timeline.earliest_fit(0, 1, 5), std::nullopt);
  timeline.take(10, 20, {0b0011});
  timeline.forget_before(15);
  EXPECT_EQ(timeline.free_at(16)[0], 0b1100u);
  EXPECT_EQ(timeline.earliest_fit(16, 100, 2)->machines[0], 0b1100u);
  EXPECT_EQ(timeline.earliest_fit(16, 100, 3)->start, 20);
}

}  // namespace
}  // namespace reeve::alloc
