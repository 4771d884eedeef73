// Chunks add up to the same figures however they are cut.
#include <examples/study/bootstrap.hpp>
#include <examples/study/fit.hpp>

#include <cmath>
#include <reeve/base/error.hpp>

namespace study {
namespace {

const std::vector<double> x{1, 2, 3, 4, 5, 7};
const std::vector<double> y{8.3, 10.3, 19, 16, 15.6, 19.8};

int reports = 0;
double last_report = 0;
bool stop_half_way(double percent) {
  ++reports;
  last_report = percent;
  return percent < 50;
}
bool keep_going(double percent) {
  ++reports;
  last_report = percent;
  return true;
}

RC_GTEST_PROP(Bootstrap, DoesNotDependOnTheSplit, ()) {
  const auto kind = CurveKind::saturating_exponential;
  const auto cut = *rc::gen::inRange(0, 41);
  const auto seed = *rc::gen::arbitrary<std::uint64_t>();
  const auto whole = bootstrap_chunk(x, y, kind, seed, 0, 40);
  auto joined = bootstrap_chunk(x, y, kind, seed, 0, cut);
  const auto rest = bootstrap_chunk(x, y, kind, seed, cut, 40 - cut);
  RC_ASSERT(joined.failures + rest.failures == whole.failures);
  joined.estimates.insert(joined.estimates.end(), rest.estimates.begin(), rest.estimates.end());
  RC_ASSERT(joined.estimates == whole.estimates);
}

TEST(Bootstrap, CombinesChunksInAnyOrder) {
  const auto kind = CurveKind::linear;
  const auto fit = fit_curve(kind, x, y);
  std::vector<BootstrapChunk> chunks;
  for (const int first : {100, 0, 150, 50})
    chunks.push_back(bootstrap_chunk(x, y, kind, 7, first, 50));
  const auto combined = combine(fit.estimates, chunks);
  const auto whole = bootstrap_fit(x, y, kind, 200, 7);
  ASSERT_EQ(combined.done, 200);
  EXPECT_EQ(combined.failures, whole.failures);
  for (std::size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(combined.parameters[i].lower, whole.parameters[i].lower);
    EXPECT_EQ(combined.parameters[i].upper, whole.parameters[i].upper);
    EXPECT_EQ(combined.parameters[i].error, whole.parameters[i].error);
  }
}

TEST(Bootstrap, CountsResamplesThatCannotBeFitted) {
  // Two points: half of all resamples hold one of them twice.
  const auto chunk = bootstrap_chunk({0, 1}, {1, 2}, CurveKind::linear, 1, 0, 1000);
  EXPECT_NEAR(chunk.failures, 500, 80);
  EXPECT_EQ(chunk.estimates.size(), 2u * static_cast<std::size_t>(1000 - chunk.failures));
}

TEST(Bootstrap, ReportsProgressAndStopsWhenTold) {
  reports = 0;
  const auto all = bootstrap_chunk(x, y, CurveKind::linear, 1, 0, 1000, keep_going);
  EXPECT_EQ(all.done, 1000);
  EXPECT_EQ(reports, 100);
  EXPECT_EQ(last_report, 100);
  const auto half = bootstrap_chunk(x, y, CurveKind::linear, 1, 0, 1000, stop_half_way);
  EXPECT_EQ(half.done, 500);
  EXPECT_EQ(half.estimates.size() / 2 + static_cast<std::size_t>(half.failures), 500u);
}

TEST(Bootstrap, RefusesBadInput) {
  EXPECT_THROW(bootstrap_chunk({1, 2}, {1}, CurveKind::linear, 1, 0, 1), reeve::ConfigError);
  EXPECT_THROW(bootstrap_chunk({}, {}, CurveKind::linear, 1, 0, 1), reeve::ConfigError);
  EXPECT_THROW(bootstrap_chunk(x, y, CurveKind::linear, 1, -1, 1), reeve::ConfigError);
  EXPECT_THROW(bootstrap_chunk(x, y, CurveKind::linear, 1, 0, -1), reeve::ConfigError);
  EXPECT_THROW(bootstrap_chunk({1, 1}, {1, 2}, CurveKind::linear, 1, 0, 1), reeve::ConfigError);
}

TEST(Bootstrap, QuantilesInterpolate) {
  const std::vector<double> sorted{0, 10, 20};
  EXPECT_EQ(quantile(sorted, 0), 0);
  EXPECT_EQ(quantile(sorted, 0.25), 5);
  EXPECT_EQ(quantile(sorted, 1), 20);
  EXPECT_TRUE(std::isnan(quantile({}, 0.5)));
}

}  // namespace
}  // namespace study
