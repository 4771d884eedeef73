// Advisors: triggers, hysteresis, and forecasts that must earn trust.
#include "reeve/alloc/scaling.hpp"

#include <cmath>

#include "tests/support/pch.hpp"

namespace reeve::alloc {
namespace {

std::vector<LoadSample> loads(const std::vector<double>& u) {
  std::vector<LoadSample> window;
  for (std::size_t i = 0; i < u.size(); ++i)
    window.push_back({static_cast<Time>(i) * 60'000'000'000, u[i]});
  return window;
}

TEST(Scaling, NothingDueIsAnAnswerToo) {  // seed defect 13: crashed whenever no scaling was due
  EXPECT_EQ(advise_by_threshold(loads({0.5}), 3), (ScalingAdvice{0, ScalingTrigger::none}));
  EXPECT_EQ(advise_by_threshold({}, 3), ScalingAdvice{});
  EXPECT_EQ(advise_by_rate(loads({0.5, 0.5, 0.5}), 3), ScalingAdvice{});
  EXPECT_EQ(advise_by_forecast(loads({0.5}), 3), ScalingAdvice{});
  EXPECT_STREQ(to_string(ScalingTrigger::none), "none");
}

TEST(Scaling, ThresholdsNameTheirTrigger) {
  EXPECT_EQ(advise_by_threshold(loads({0.8}), 3), (ScalingAdvice{1, ScalingTrigger::utilisation}));
  EXPECT_EQ(advise_by_threshold(loads({0.2}), 3), (ScalingAdvice{-1, ScalingTrigger::utilisation}));
  LoadSample busy{0, 0.5, 5, 0};
  EXPECT_EQ(advise_by_threshold({&busy, 1}, 3).trigger, ScalingTrigger::contention);
  LoadSample slow{0, 0.1, 0, 10};
  EXPECT_EQ(advise_by_threshold({&slow, 1}, 3), (ScalingAdvice{1, ScalingTrigger::waiting}));
  LoadSample waits{0, 0.1, 0, 1};
  EXPECT_EQ(advise_by_threshold({&waits, 1}, 3), ScalingAdvice{}) << "somebody waits: no shrinking";
}

TEST(Scaling, LimitsBoundEveryAdvice) {
  EXPECT_EQ(advise_by_threshold(loads({0.9}), 4, {}, {.size_max = 5, .step = 3}).change, 1);
  EXPECT_EQ(advise_by_threshold(loads({0.9}), 5, {}, {.size_max = 5}), ScalingAdvice{});
  EXPECT_EQ(advise_by_threshold(loads({0.1}), 1), ScalingAdvice{});
  EXPECT_EQ(advise_by_threshold(loads({0.1}), 5, {}, {.size_min = 4, .step = 9}).change, -1);
}

TEST(Scaling, RateHasADeadBand) {
  EXPECT_EQ(advise_by_rate(loads({0.1, 0.2, 0.3}), 3), (ScalingAdvice{1, ScalingTrigger::rate}));
  EXPECT_EQ(advise_by_rate(loads({0.3, 0.2, 0.1}), 3).change, -1);
  EXPECT_EQ(advise_by_rate(loads({0.30, 0.32, 0.34}), 3), ScalingAdvice{});
  EXPECT_EQ(advise_by_rate(loads({0.1, 0.9}), 3), ScalingAdvice{}) << "too few samples";
}

TEST(Scaling, AForecastIsTrustedWhileItBeatsPersistence) {
  std::vector<double> rising, season;
  for (int i = 0; i < 48; ++i) {
    rising.push_back(0.1 + 0.015 * i);
    season.push_back(0.5 + 0.4 * std::sin(i * 2 * 3.14159265358979 / 12));
  }
  EXPECT_TRUE(forecast(rising).trusted);
  EXPECT_NEAR(forecast(rising).value, 0.1 + 0.015 * 48, 0.01);
  EXPECT_GT(advise_by_forecast(loads(rising), 10).change, 0);
  const auto s = forecast(season, {.period = 12, .ahead = 3});
  EXPECT_TRUE(s.trusted);
  EXPECT_NEAR(s.value, 0.5 + 0.4 * std::sin(50 * 2 * 3.14159265358979 / 12), 0.05);
  // A walk without direction: persistence is as good, so nothing is advised.
  std::vector<double> walk{0.5};
  std::uint64_t x = 3;
  for (int i = 0; i < 200; ++i) {
    x = x * 6364136223846793005ULL + 1442695040888963407ULL;
    walk.push_back(walk.back() + (x >> 63 ? 0.05 : -0.05));
  }
  const auto w = forecast(walk, {.level = 0.2, .ahead = 3});
  EXPECT_FALSE(w.trusted);
  EXPECT_EQ(advise_by_forecast(loads(walk), 10, {.level = 0.2, .ahead = 3, .up = 0.1}),
            ScalingAdvice{});
  EXPECT_FALSE(forecast(std::vector<double>{0.1, 0.9}).trusted) << "too little to judge by";
}

TEST(Scaling, AForecastChangesInOneStepToTheTarget) {
  std::vector<double> rising;
  for (int i = 0; i < 30; ++i) rising.push_back(0.3 + 0.0199 * i);
  const auto advice = advise_by_forecast(loads(rising), 10, {.target = 0.6});
  EXPECT_EQ(advice.trigger, ScalingTrigger::predicted);
  EXPECT_EQ(advice.change, 5);  // 0.897 * 10 / 0.6 rounds up to 15
}

}  // namespace
}  // namespace reeve::alloc
