// What the speed must not cost: power cuts, and a million tasks that expire in one second.
#include "benchmarks/tasks/measure.hpp"
#include "tests/tasks/support/expiry_flood.hpp"
#include "tests/tasks/support/power_cut.hpp"

namespace bench {

namespace testing = reeve::tasks::testing;
using reeve::tasks::DiskSync;

void power_cut_figures() {
  testing::Findings sum;
  const auto begin = Meter::now();
  for (unsigned seed = 1; sum.states < 20'000; ++seed) {
    const auto found = testing::explore(testing::live(DiskSync::full, false, seed, 40), seed, 3);
    sum.states += found.states;
    sum.lost += found.lost;
    sum.corrupt += found.corrupt;
    sum.phantom += found.phantom;
  }
  const double seconds = std::chrono::duration<double>(Meter::now() - begin).count();
  report("G6 power-cut states examined", static_cast<double>(sum.states), "", 20'000, true);
  report("G6 states with a loss, a phantom or damage",
         static_cast<double>(sum.lost + sum.corrupt + sum.phantom), "", 0, false);
  report("G6 time for them", seconds, "s", 60, false);
  const auto normal = testing::explore(testing::live(DiskSync::normal, false, 7, 10), 7, 1);
  const auto none = testing::explore(testing::live(DiskSync::full, true, 8, 10), 8, 1);
  report("G6 control, synchronous=NORMAL: states with a loss", static_cast<double>(normal.lost), "",
         static_cast<double>(normal.states) / 10, true);
  report("G6 control, a sync that does nothing: states with a loss",
         static_cast<double>(none.lost + none.corrupt), "", static_cast<double>(none.states) / 10,
         true);
}

void expiry_figures() {
  const auto f = testing::expire_flood(1'000'000, {});
  report("G9 1 M tasks expire in 1 s: p99 of gets", f.p99_ms, "ms", 5, false);
  report("G9 1 M tasks expire in 1 s: slowest get", f.worst_ms, "ms", 5, false);
  report("G9 expired tasks that were returned", static_cast<double>(f.late), "", 0, false);
  report("G9 all gone after", f.gone_s, "s", 60, false);
  report("G9 memory kept, of what they took",
         100 * (f.after_mib - f.before_mib) / (f.full_mib - f.before_mib), "%", 34, false);
}

}  // namespace bench
