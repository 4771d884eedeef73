// What a power cut may leave: every disk state that the recorded writes allow, recovered and
// compared with what had been acknowledged. Two controls that must lose data prove that the test
// can see a loss.
#include "tests/tasks/support/power_cut.hpp"

#include <cstdlib>

#include "tests/support/pch.hpp"
#include "tests/support/sanitizers.hpp"
#include "tests/tasks/support/power_log.hpp"
#include "tests/tasks/support/run.hpp"

namespace reeve::tasks {
namespace {

using testing::explore;
using testing::explore_and_keep;
using testing::Findings;
using testing::History;
using testing::live;

TEST(PowerCut, NothingAcknowledgedIsLostInTwentyThousandStates) {
  Findings sum;
  // What is looked for here are losses, not races: a tenth of it finds those, at a tenth of the
  // pace.
  const std::size_t wanted = test::thread_sanitizer ? 2'000 : 20'000;
  for (unsigned seed = 1; sum.states < wanted; ++seed) {
    const History run = live(DiskSync::full, false, seed, 40);
    ASSERT_GT(run.acks.size(), 500u);
    const Findings f = explore_and_keep(run, seed, 3);
    sum.states += f.states;
    sum.lost += f.lost;
    sum.corrupt += f.corrupt;
    sum.phantom += f.phantom;
    if (sum.first.empty()) sum.first = f.first;
    ASSERT_GT(f.states, 500u) << "the workload must reach the disk";
  }
  std::printf("power cut: %zu states, %zu lost, %zu corrupt, %zu phantom\n", sum.states, sum.lost,
              sum.corrupt, sum.phantom);
  EXPECT_GE(sum.states, wanted);
  EXPECT_EQ(sum.lost, 0u) << sum.first;
  EXPECT_EQ(sum.corrupt, 0u) << sum.first;
  EXPECT_EQ(sum.phantom, 0u) << sum.first;
}

TEST(PowerCut, FindsNothingInASavedRun) {
  const char* file = std::getenv("REEVE_POWER_CUT_RUN");
  if (file == nullptr) GTEST_SKIP() << "REEVE_POWER_CUT_RUN names no run that a failure has left";
  const auto saved = testing::load_run(file);
  const Findings f = explore(saved.run, saved.seed, saved.random_states);
  EXPECT_EQ(f.lost + f.corrupt + f.phantom, 0u) << f.first;
}

TEST(PowerCut, ASavedRunIsExaminedLikeTheRunItself) {
  const testing::TempDir dir;
  const History run = live(DiskSync::normal, false, 3, 8);
  testing::save_run(dir.file("run"), run, 3, 1);
  const auto saved = testing::load_run(dir.file("run"));
  ASSERT_FALSE(run.releases.empty());
  const Findings f = explore(run, 3, 1), g = explore(saved.run, 3, 1);
  EXPECT_EQ(f.states, g.states);
  EXPECT_EQ(f.lost, g.lost);
  EXPECT_GT(f.lost, 0u);
}

TEST(PowerCut, SeesTheLossesOfSynchronousNormal) {
  const Findings f = explore(live(DiskSync::normal, false, 7, 10), 7, 1);
  std::printf("control, synchronous=NORMAL: %zu of %zu states lost something\n", f.lost, f.states);
  EXPECT_GT(f.lost, f.states / 10);
}

TEST(PowerCut, SeesTheLossesOfADiskThatOnlyPretendsToSync) {
  const Findings f = explore(live(DiskSync::full, true, 8, 10), 8, 1);
  std::printf("control, sync stubbed out: %zu of %zu states lost something, %zu corrupt\n", f.lost,
              f.states, f.corrupt);
  EXPECT_GT(f.lost + f.corrupt, f.states / 10);
}

}  // namespace
}  // namespace reeve::tasks
