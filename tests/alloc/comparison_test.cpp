// The comparison of schedulers: series, table, plots.
#include "reeve/alloc/comparison.hpp"

#include "tests/support/pch.hpp"

namespace reeve::alloc {
namespace {

Trace two_jobs() {
  // 4 processors: the second waits 10 s for the first.
  return {.jobs = {{1, 0, seconds(10), seconds(10), 4}, {2, 0, seconds(10), seconds(10), 2}},
          .processors = 4};
}

TEST(Comparison, SeriesSayWhatHappened) {
  const auto trace = two_jobs();
  const auto replay = simulate(trace.jobs, {.processors = 4}).value();
  const auto used = utilisation_over_time(trace.jobs, replay, 4, 4);
  ASSERT_EQ(used.points.size(), 5u);
  EXPECT_DOUBLE_EQ(used.points[0].second, 1);
  EXPECT_DOUBLE_EQ(used.points[3].second, 0.5);
  EXPECT_NEAR(used.points[4].first, 20 / 3600.0, 1e-12);
  using Points = std::vector<std::pair<double, double>>;
  EXPECT_EQ(wait_distribution(trace.jobs, replay).points, (Points{{0, 0.5}, {10, 1}}));
  EXPECT_EQ(slowdown_distribution(trace.jobs, replay).points, (Points{{1, 0.5}, {2, 1}}));
  EXPECT_TRUE(utilisation_over_time({}, {}, 4).points.empty());
}

TEST(Comparison, TableHasOneLinePerRule) {
  Simulator s(two_jobs());
  ASSERT_TRUE(s.run_usual());
  EXPECT_EQ(s.run("easy", {}).refusal().code, Code::duplicate);
  EXPECT_EQ(s.runs().size(), 4u);
  EXPECT_THAT(s.table(),
              testing::HasSubstr(
                  "fcfs                    5.0         10.0       1.50    75.0%          0.0\n"));
  Trace unknown = two_jobs();
  unknown.processors = 0;
  EXPECT_EQ(Simulator(unknown).run("x", {}).refusal().code, Code::invalid_request);
  EXPECT_TRUE(Simulator(unknown, 4).run("x", {}));
}

TEST(Comparison, PlotsAreWholeDocuments) {
  Simulator s(two_jobs());
  ASSERT_TRUE(s.run_usual());
  for (const auto& svg : {s.utilisation_svg(), s.wait_svg(), s.slowdown_svg()}) {
    EXPECT_THAT(svg, testing::StartsWith("<svg xmlns="));
    EXPECT_THAT(svg, testing::EndsWith("</svg>\n"));
    EXPECT_THAT(svg, testing::HasSubstr(">conservative</text>"));
    EXPECT_THAT(svg, testing::Not(testing::HasSubstr("nan")));
    EXPECT_THAT(svg, testing::Not(testing::HasSubstr("inf")));
  }
  EXPECT_THAT(svg_plot({{"a<b&c", {}}}, {}), testing::HasSubstr("a&lt;b&amp;c"));
}

}  // namespace
}  // namespace reeve::alloc
