// The analytic gradients agree with differences of the values.
#include <examples/study/curves.hpp>

#include <cmath>

namespace study {
namespace {

std::vector<double> sensible(CurveKind kind) {
  switch (kind) {
    case CurveKind::linear:
      return {-17, 4};
    case CurveKind::quadratic:
      return {2, 0.9, 0.1};
    case CurveKind::saturating:
      return {212, 0.6};
    case CurveKind::saturating_exponential:
      return {19, 0.5};
    case CurveKind::logistic:
      return {2.3, 1.5, 1.1};
    case CurveKind::logistic4:
      return {-0.1, 2.3, 1.5, -0.9};
    case CurveKind::asymptotic:
      return {100, -8, -3};
    case CurveKind::power:
      return {0.6, 1.5};
  }
  return {};
}

TEST(Curves, GradientsMatchDifferences) {
  for (std::size_t k = 0; k < curve_kind_count; ++k) {
    const auto kind = static_cast<CurveKind>(k);
    const auto p = sensible(kind);
    ASSERT_EQ(p.size(), family(kind).parameters.size()) << family(kind).name;
    for (const double x : {0.0, 0.02, 1.0, 1.5, 7.0, 25.0}) {
      std::vector<double> slope(p.size());
      gradient(kind, x, p, slope);
      for (std::size_t i = 0; i < p.size(); ++i) {
        const double h = 1e-5 * std::abs(p[i]);
        auto up = p, down = p;
        up[i] += h;
        down[i] -= h;
        const double difference = (value(kind, x, up) - value(kind, x, down)) / (2 * h);
        EXPECT_NEAR(slope[i], difference, 1e-6 * (1 + std::abs(difference)))
            << family(kind).name << ", parameter " << family(kind).parameters[i] << ", x = " << x;
      }
    }
  }
}

TEST(Curves, DomainExcludesPolesAndFlatCurves) {
  EXPECT_FALSE(in_domain(CurveKind::saturating, std::vector<double>{1, 0}));
  EXPECT_FALSE(in_domain(CurveKind::saturating_exponential, std::vector<double>{1, -1}));
  EXPECT_FALSE(in_domain(CurveKind::logistic, std::vector<double>{1, 1, 0}));
  EXPECT_FALSE(in_domain(CurveKind::logistic4, std::vector<double>{1, 1, 1, 0}));
}

TEST(Curves, GuessesAreFiniteAndInTheDomain) {
  const std::vector<std::vector<double>> ys{
      {1, 2, 3}, {3, 2, 1}, {5, 5, 5}, {0, 0, 0}, {-1, -2, -9}};
  for (std::size_t k = 0; k < curve_kind_count; ++k) {
    for (const auto& y : ys) {
      const auto list = guesses(static_cast<CurveKind>(k), std::vector<double>{0, 1, 2}, y);
      ASSERT_FALSE(list.empty());
      for (const auto& p : list) {
        EXPECT_TRUE(in_domain(static_cast<CurveKind>(k), p));
        for (const double v : p) EXPECT_TRUE(std::isfinite(v));
      }
    }
  }
}

}  // namespace
}  // namespace study
