// The descent finds the minimum from far away, and says when there is none.
#include <examples/study/fit.hpp>

#include <cmath>

namespace study {
namespace {

std::vector<double> curve(CurveKind kind, const std::vector<double>& x,
                          const std::vector<double>& p) {
  std::vector<double> y;
  for (const double v : x) y.push_back(value(kind, v, p));
  return y;
}

struct Truth {
  CurveKind kind;
  std::vector<double> p;
};

const std::vector<Truth> truths{
    {CurveKind::linear, {-17, 4}},          {CurveKind::quadratic, {2, 0.9, 0.1}},
    {CurveKind::saturating, {212, 2}},      {CurveKind::saturating_exponential, {19, 0.5}},
    {CurveKind::logistic, {2.3, 4, 1.1}},   {CurveKind::logistic4, {-0.5, 2.3, 4, 1.1}},
    {CurveKind::asymptotic, {100, -8, -1}}, {CurveKind::power, {0.6, 1.5}},
};

TEST(Fit, RecoversExactCurvesWithoutAStart) {
  const std::vector<double> x{0.25, 0.5, 1, 2, 3, 4, 5, 6, 8, 10};
  for (const auto& truth : truths) {
    const auto fit = fit_curve(truth.kind, x, curve(truth.kind, x, truth.p));
    ASSERT_EQ(fit.status, FitStatus::converged) << family(truth.kind).name;
    for (std::size_t i = 0; i < truth.p.size(); ++i) {
      EXPECT_NEAR(fit.estimates[i], truth.p[i], 1e-6 * std::abs(truth.p[i]))
          << family(truth.kind).name;
    }
  }
}

TEST(Fit, SurvivesBadStarts) {
  const std::vector<double> x{0.02, 0.02, 0.06, 0.06, 0.11, 0.11, 0.22, 0.22, 0.56, 0.56, 1.1, 1.1};
  const std::vector<double> y{76, 47, 97, 107, 123, 139, 159, 152, 191, 201, 207, 200};
  for (const double height : {0.01, 1.0, 1e4}) {
    for (const double k : {1e-3, 0.1, 10.0}) {
      const auto fit = fit_curve(CurveKind::saturating, x, y, std::vector<double>{height, k});
      ASSERT_EQ(fit.status, FitStatus::converged) << height << ", " << k;
      EXPECT_NEAR(fit.estimates[0], 212.68370, 2e-3);
    }
  }
}

TEST(Fit, SaysWhenTheDataCannotTell) {
  const std::vector<double> same{2, 2, 2}, y{1, 2, 3}, x{1, 2, 3};
  EXPECT_EQ(fit_curve(CurveKind::linear, same, y).status, FitStatus::not_identified);
  EXPECT_NE(fit_curve(CurveKind::logistic4, x, y).status, FitStatus::converged);
  EXPECT_NE(fit_curve(CurveKind::saturating, x, std::vector<double>{0, 0, 0}).status,
            FitStatus::converged);
}

// Values of any size never make the descent hang, throw or invent an estimate.
RC_GTEST_PROP(Fit, EndsOnAnything, ()) {
  const auto kind = static_cast<CurveKind>(*rc::gen::inRange<int>(0, int{curve_kind_count}));
  const auto size = *rc::gen::inRange<std::size_t>(1, 12);
  const auto exponent = *rc::gen::inRange(-6, 7);
  std::vector<double> x, y;
  for (std::size_t i = 0; i < size; ++i) {
    x.push_back(*rc::gen::inRange(0, 20) / 2.0);
    y.push_back(*rc::gen::inRange(-100, 100) * std::pow(10.0, exponent));
  }
  const auto fit = fit_curve(kind, x, y);
  if (fit.status != FitStatus::converged) return;
  RC_ASSERT(in_domain(kind, fit.estimates));
  for (const double v : fit.estimates) RC_ASSERT(std::isfinite(v));
}

}  // namespace
}  // namespace study
