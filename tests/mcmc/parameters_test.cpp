// Transforms: inverse, gradients and Jacobian determinants; priors integrate to one.
#include <reeve/base/error.hpp>
#include <reeve/mcmc/density.hpp>

#include <Eigen/Dense>

#include "tests/support/pch.hpp"

namespace reeve::mcmc {
namespace {

Parameters everything() {
  Parameters p;
  p.real("mu", 2).positive("tau").lower("l", -1.5).upper("u", 2.0, 2).interval("p", -1, 3);
  p.ordered("o", 4).simplex("s", 5).correlation("L", 4);
  return p;
}

RC_GTEST_PROP(Parameters, unconstrain_inverts_constrain, ()) {
  const Parameters p = everything();
  std::vector<double> q(p.free_size()), theta(p.size()), back(p.free_size());
  for (auto& x : q) x = 0.01 * *rc::gen::inRange(-200, 200);
  p.constrain(q, theta);
  p.unconstrain(theta, back);
  for (std::size_t i = 0; i < q.size(); ++i) RC_ASSERT(std::abs(q[i] - back[i]) < 1e-9);
}

RC_GTEST_PROP(Parameters, pull_back_is_the_gradient_of_density_and_jacobian, ()) {
  const Parameters p = everything();
  const auto model = [](auto t) {
    using T = typename decltype(t)::value_type;
    using std::sin;
    T sum = 0.0;
    for (std::size_t i = 0; i < t.size(); ++i) sum += sin(t[i] * (1.0 + 0.3 * double(i)));
    return sum;
  };
  const auto d = density(p, [&](const auto& t) { return model(t); });
  const auto slow = with_central_differences(Parameters(p.free_size()),
                                             [&](std::span<const double> q) { return d.value(q); });
  std::vector<double> q(p.free_size()), g(q.size()), e(q.size());
  for (auto& x : q) x = 0.01 * *rc::gen::inRange(-200, 200);
  d.evaluate(q, g);
  slow.evaluate(q, e);
  for (std::size_t i = 0; i < q.size(); ++i)
    RC_ASSERT(std::abs(g[i] - e[i]) < 1e-6 * (1 + std::abs(e[i])));
}

// log |d theta / d q| by a numerical Jacobian over the values that are free to move.
double numeric_log_det(const Parameters& p, std::vector<double> q,
                       const std::vector<std::size_t>& keep) {
  const auto n = static_cast<Eigen::Index>(q.size());
  Eigen::MatrixXd j(n, n);
  std::vector<double> up(p.size()), down(p.size());
  for (Eigen::Index c = 0; c < n; ++c) {
    const double at = q[c], h = 1e-6;
    q[c] = at + h;
    p.constrain(q, up);
    q[c] = at - h;
    p.constrain(q, down);
    q[c] = at;
    for (Eigen::Index r = 0; r < n; ++r) j(r, c) = (up[keep[r]] - down[keep[r]]) / (2 * h);
  }
  return std::log(std::abs(j.determinant()));
}

TEST(Parameters, jacobians_equal_numerical_determinants) {
  Parameters p;
  p.positive("tau")
      .lower("l", -1.5)
      .upper("u", 2.0)
      .interval("p", -1, 3)
      .ordered("o", 3)
      .simplex("s", 4);
  const std::vector<double> q{0.3, -0.4, 0.2, 0.7, -1, 0.4, 0.1, 0.5, -0.3, 0.9};
  std::vector<double> theta(p.size());
  EXPECT_NEAR(p.constrain(q, theta), numeric_log_det(p, q, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9}), 1e-7);

  Parameters l;
  l.correlation("L", 3);
  const std::vector<double> z{0.4, -0.3, 0.8};
  std::vector<double> t(9);
  const double log_det = l.constrain(z, t);
  const double lkj = std::log(t[4]);  // L_22^(K-2) of a flat correlation matrix, K = 3
  EXPECT_NEAR(log_det, numeric_log_det(l, z, {3, 6, 7}) + lkj, 1e-7);
  for (int i = 0; i < 3; ++i)
    EXPECT_NEAR(t[3 * i] * t[3 * i] + t[3 * i + 1] * t[3 * i + 1] + t[3 * i + 2] * t[3 * i + 2], 1,
                1e-14);
}

TEST(Parameters, errors_are_sentences) {
  EXPECT_THROW(Parameters().real(""), ConfigError);
  EXPECT_THROW(Parameters().real("a").real("a"), ConfigError);
  EXPECT_THROW(Parameters().interval("a", 2, 1), ConfigError);
  EXPECT_THROW(normal(0, 0), ConfigError);
  EXPECT_THROW(gamma(-1, 1), ConfigError);
  EXPECT_THROW(density<3>(Parameters(2), [](auto t) { return t[0]; }), ConfigError);
  const std::vector<double> outside{-1};
  std::vector<double> q(1);
  EXPECT_THROW(Parameters().positive("a").unconstrain(outside, q), ConfigError);
}

TEST(Parameters, a_prior_must_cover_the_range_of_its_parameter) {
  EXPECT_THROW(Parameters().real("x", 1, uniform(0, 1)), ConfigError);
  EXPECT_THROW(Parameters().real("x", 1, half_normal(1)), ConfigError);
  EXPECT_THROW(Parameters().real("b", 3, exponential(1)), ConfigError);
  EXPECT_THROW(Parameters().ordered("o", 3, lognormal(0, 1)), ConfigError);
  EXPECT_THROW(Parameters().positive("p", 0, uniform(0, 1)), ConfigError);
  EXPECT_THROW(Parameters().positive("p", 2, beta(2, 2)), ConfigError);
  EXPECT_THROW(Parameters().positive("p", 0, uniform(-1, 1)), ConfigError);
  EXPECT_THROW(Parameters().lower("l", -1, 0, gamma(2, 1)), ConfigError);
  EXPECT_THROW(Parameters().upper("u", 1, 0, half_cauchy(1)), ConfigError);
  EXPECT_THROW(Parameters().upper("u", 1, 0, uniform(0, 1)), ConfigError);
  EXPECT_THROW(Parameters().interval("i", -1, 1, 0, inverse_gamma(1, 1)), ConfigError);
  EXPECT_THROW(Parameters().interval("i", 0, 2, 0, beta(1, 1)), ConfigError);
  try {
    Parameters().real("slope", 3, half_normal(2));
    FAIL() << "it was taken";
  } catch (const ConfigError& e) {
    EXPECT_STREQ(e.what(),
                 "the prior half_normal(2) of parameter slope lives on [0, inf], and the parameter "
                 "on [-inf, inf]; give the parameter a range inside [0, inf], or choose a prior "
                 "that covers [-inf, inf]");
  }
}

TEST(Parameters, a_prior_may_reach_beyond_the_range_of_its_parameter) {
  Parameters p;
  p.positive("a", 2, normal(0, 1)).positive("b", 0, gamma(2, 1)).lower("c", 1, 0, exponential(1));
  p.upper("d", 0, 0, cauchy(0, 1)).interval("e", 0, 1, 2, beta(2, 2));
  p.interval("f", 0, 0.5, 0, uniform(-1, 1)).interval("g", 0, 3, 0, half_normal(1));
  p.real("h", 2, normal(0, 1)).ordered("i", 3, student_t(3, 0, 1)).real("j").positive("k");
  p.add("l", uniform(-2, 2)).add("m", lognormal(0, 1)).add("n", Prior());
  EXPECT_EQ(p.blocks().size(), 14u);
}

TEST(Prior, integrates_to_one_and_slopes_are_derivatives) {
  for (const Prior& p : {normal(1, 2), student_t(4, 1, 2), half_normal(2), lognormal(0.3, 0.7),
                         gamma(2, 3), inverse_gamma(3, 2), exponential(2), beta(2, 3),
                         uniform(-1, 3), cauchy(1, .5), half_cauchy(.5)}) {
    const double low = std::max(p.lower(), -4000.0), high = std::min(p.upper(), 4000.0);
    double sum = 0;
    const int n = 4'000'000;
    for (int i = 0; i < n; ++i) {
      double slope = 0;
      sum += std::exp(p.log_density(low + (high - low) * (i + 0.5) / n, slope));
    }
    EXPECT_NEAR(sum * (high - low) / n, 1, 1e-3) << p.text();
    const double x = p.upper() < 2 ? 0.4 : 1.3, h = 1e-6;
    double slope = 0, unused = 0;
    p.log_density(x, slope);
    EXPECT_NEAR(slope, (p.log_density(x + h, unused) - p.log_density(x - h, unused)) / (2 * h),
                1e-7)
        << p.text();
  }
}

TEST(Prior, draws_have_the_prior_s_distribution) {
  Random random(3);
  for (const Prior& p : {normal(1, 2), gamma(2, 3), gamma(0.5, 1), inverse_gamma(4, 2), beta(2, 3),
                         exponential(2), lognormal(0.1, 0.4), student_t(9, 0, 1)}) {
    double s = 0, s2 = 0, expected = 0, expected2 = 0;
    const int n = 200'000;
    for (int i = 0; i < n; ++i) {
      const double x = p.draw(random);
      s += std::atan(x);
      s2 += std::atan(x) * std::atan(x);
    }
    const double low = std::max(p.lower(), -60.0), high = std::min(p.upper(), 60.0);
    for (int i = 0; i < n; ++i) {
      double slope = 0;
      const double x = low + (high - low) * (i + 0.5) / n;
      const double w = std::exp(p.log_density(x, slope)) * (high - low) / n;
      expected += w * std::atan(x);
      expected2 += w * std::atan(x) * std::atan(x);
    }
    EXPECT_NEAR(s / n, expected, 5e-3) << p.text();
    EXPECT_NEAR(s2 / n, expected2, 6e-3) << p.text();
  }
}

TEST(Random, streams_are_reproducible_distinct_and_normal) {
  Random a(7, 1), b(7, 1), c(7, 2);
  EXPECT_EQ(a.bits(), b.bits());
  EXPECT_NE(a.bits(), c.bits());
  b.restore(a.state());
  EXPECT_EQ(a.normal(), b.normal());
  double m[5] = {};
  const int n = 2'000'000;
  for (int i = 0; i < n; ++i) {
    const double z = a.normal();
    m[1] += z, m[2] += z * z, m[3] += z * z * z * z, m[4] += std::abs(z) > 3.5;
  }
  EXPECT_NEAR(m[1] / n, 0, 5e-3);
  EXPECT_NEAR(m[2] / n, 1, 5e-3);
  EXPECT_NEAR(m[3] / n, 3, 5e-2);
  EXPECT_NEAR(m[4] / n, 4.6526e-4, 8e-5);  // the tail beyond the last layer
}

}  // namespace
}  // namespace reeve::mcmc
