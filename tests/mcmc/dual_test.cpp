// Dual, Pack and the tape: derivatives equal central differences, SIMD functions equal libm.
#include <reeve/base/error.hpp>
#include <reeve/mcmc/density.hpp>
#include <reeve/mcmc/observations.hpp>
#include <reeve/mcmc/pack.hpp>

#include "tests/support/pch.hpp"

namespace reeve::mcmc {
namespace {

struct Everything {
  template <class T>
  T operator()(std::span<const T> t) const {
    using std::cos, std::exp, std::lgamma, std::log, std::log1p, std::pow, std::sin, std::sqrt,
        std::tanh;
    T s = 3.0 * t[0] - t[1] / 2.0 + 1.0 / t[2];
    s += exp(t[0]) * log(t[1]) + log1p(t[2]) - sqrt(t[1]);
    s -= tanh(t[0] * t[2]) / t[1];
    s *= sin(t[0]) + cos(t[2]) + 3.0;
    s = s + pow(t[1], 2.5) + pow(t[2], t[0]) + lgamma(t[1]) + normal_lpdf(t[0], t[1], t[2]);
    if (t[0] > 0.0) s = -s;
    return s + log_sum_exp(t[0], t[1]);
  }
};

RC_GTEST_PROP(Autodiff, dual_chunk_and_tape_agree_with_central_differences, ()) {
  const auto draw = [] { return 0.3 + 0.01 * *rc::gen::inRange(0, 200); };
  std::vector<double> x(60, 0.5);
  for (int i = 0; i < 3; ++i) x[i] = draw();
  const std::span<const double> three(x.data(), 3);
  const auto differences = with_central_differences(Parameters(3), Everything{});
  std::vector<double> expected(3), g(3), g60(60);
  const double value = differences.evaluate(three, expected);
  const auto check = [&](const Density& d) {
    const std::size_t n = d.dimension();
    RC_ASSERT(std::abs(d.evaluate(std::span<const double>(x.data(), n),
                                  std::span<double>(g60.data(), n)) -
                       value) < 1e-12 * (1 + std::abs(value)));
    for (int i = 0; i < 3; ++i)
      RC_ASSERT(std::abs(g60[i] - expected[i]) < 1e-6 * (1 + std::abs(expected[i])));
  };
  check(density<3>(Everything{}));
  check(density(3, Everything{}));
  check(density(60, Everything{}));  // above 48: the tape
  for (int i = 3; i < 60; ++i) RC_ASSERT(g60[i] == 0);
}

TEST(Autodiff, log1p_exp_and_bernoulli_neither_overflow_nor_lose_digits) {
  for (const double x : {-800.0, -40.0, -1.0, 0.0, 1e-9, 3.0, 40.0, 800.0}) {
    const double want = x > 0 ? x + std::log1p(std::exp(-x)) : std::log1p(std::exp(x));
    const double slope = 1 / (1 + std::exp(-x));
    const auto d = log1p_exp(Dual<2>::variable(x, 1));
    const auto pack = log1p_exp(Dual<2, Pack<4>>::variable(Pack<4>(x), 1));
    EXPECT_NEAR(log1p_exp(x), want, 1e-15 * want);
    EXPECT_NEAR(d.value, want, 1e-15 * want);
    EXPECT_NEAR(d.partial[1], slope, 1e-15 * slope);
    EXPECT_EQ(d.partial[0], 0);
    EXPECT_NEAR(pack.value.v[3], want, 4e-15 * want + 1e-300);
    EXPECT_NEAR(pack.partial[1].v[0], slope, 1e-15 * slope + 1e-300);
    EXPECT_NEAR(bernoulli_logit_lpmf(1, x), x - want, 1e-14 * std::abs(x));
    EXPECT_NEAR(bernoulli_logit_lpmf(0.0, Dual<2>::variable(x, 0)).value, -want, 1e-15 * want);
  }
}

template <class F, class G>
void expect_close(F f, G reference, double low, double high, double tolerance) {
  for (int i = 0; i <= 4000; ++i) {
    const double x = low + (high - low) * i / 4000;
    const double want = reference(x);
    const double got = f(Pack<4>(x)).v[i % 4];
    EXPECT_NEAR(got, want, tolerance * std::abs(want) + 1e-300) << "at " << x;
  }
}

TEST(Pack, functions_equal_libm_to_a_few_ulp) {
  expect_close([](auto p) { return exp(p); }, [](double x) { return std::exp(x); }, -700, 700,
               4e-16);
  expect_close([](auto p) { return exp(p); }, [](double x) { return std::exp(x); }, -2, 2, 4e-16);
  expect_close([](auto p) { return log(p); }, [](double x) { return std::log(x); }, 1e-300, 1e3,
               4e-16);
  expect_close([](auto p) { return log(p); }, [](double x) { return std::log(x); }, .5, 2, 4e-16);
  expect_close([](auto p) { return log1p(p); }, [](double x) { return std::log1p(x); }, -.9, 9,
               2e-15);
  expect_close([](auto p) { return tanh(p); }, [](double x) { return std::tanh(x); }, -20, 20,
               8e-16);
}

TEST(Pack, functions_at_the_edges) {
  const double inf = std::numeric_limits<double>::infinity();
  EXPECT_EQ(exp(Pack<2>(-800)).v[0], 0);
  EXPECT_EQ(exp(Pack<2>(800)).v[0], inf);
  EXPECT_EQ(exp(Pack<2>(inf)).v[0], inf);
  EXPECT_EQ(log(Pack<2>(0)).v[0], -inf);
  EXPECT_EQ(log(Pack<2>(inf)).v[0], inf);
  EXPECT_TRUE(std::isnan(log(Pack<2>(-1)).v[0]));
  EXPECT_TRUE(std::isnan(exp(Pack<2>(std::nan(""))).v[0]));
  EXPECT_NEAR(log(Pack<2>(5e-324)).v[0], std::log(5e-324), 1e-12);
  EXPECT_EQ(tanh(Pack<2>(500)).v[0], 1);
}

TEST(Digamma, known_values) {
  EXPECT_NEAR(digamma(1), -0.57721566490153286061, 1e-15);
  EXPECT_NEAR(digamma(0.5), -1.96351002602142347944, 1e-14);
  EXPECT_NEAR(digamma(100), 4.60016185273808, 1e-14);
}

struct Emax {
  static constexpr std::size_t parameters = 3;
  template <class X, class T>
  static T f(const X& x, std::span<const T> t) {
    return t[0] + t[1] * x / (x + t[2]);
  }
};
struct NormalEmax {
  static constexpr std::size_t parameters = 4;
  template <class X, class T>
  static T log_likelihood(const X& row, std::span<const T> t) {
    return normal_lpdf(row[1], Emax::f(row[0], t), t[3]);
  }
};

class Kernels : public ::testing::TestWithParam<std::size_t> {};

TEST_P(Kernels, every_instruction_set_and_both_forms_agree_with_plain_duals) {
  const std::size_t n = GetParam();
  Random random(n);
  std::vector<double> x(n), y(n);
  for (std::size_t i = 0; i < n; ++i) {
    x[i] = random.uniform(0.1, 3);
    y[i] = random.normal();
  }
  auto plain = density<4>([&](auto t) {
    using T = typename decltype(t)::value_type;
    T sum = 0.0;
    for (std::size_t i = 0; i < n; ++i) sum += normal_lpdf(y[i], Emax::f(x[i], t), t[3]);
    return sum;
  });
  const std::vector<double> q{0.3, 1.2, 0.7, 0.9};
  std::vector<double> expected(4), g(4);
  const double value = plain.evaluate(q, expected);
  for (const Isa isa : {Isa::baseline, Isa::avx2, Isa::avx512}) {
    if (isa > best_isa()) continue;
    const auto sum = observations<NormalEmax>(Parameters(4), Columns({x, y}), isa);
    const auto mean = regression<Emax>(Parameters(4), Columns({x, y}), Family::normal, 4, isa);
    for (const auto& d : {sum, mean}) {
      EXPECT_NEAR(d.evaluate(q, g), value, 1e-12 * std::abs(value)) << to_string(isa);
      EXPECT_NEAR(d.value(q), value, 1e-12 * std::abs(value)) << to_string(isa);
      for (int i = 0; i < 4; ++i)
        EXPECT_NEAR(g[i], expected[i], 1e-11 * (1 + std::abs(expected[i]))) << to_string(isa);
    }
  }
}
INSTANTIATE_TEST_SUITE_P(Lengths, Kernels, ::testing::Values(1, 2, 3, 7, 8, 9, 16, 100, 203));

TEST(Regression, every_family_has_the_gradient_of_its_value) {
  Random random(5);
  std::vector<double> x(37), y(37);
  for (std::size_t i = 0; i < x.size(); ++i) {
    x[i] = random.uniform(0.1, 3);
    y[i] = static_cast<double>(random.below(2));
  }
  for (const Family family : {Family::normal, Family::student_t, Family::bernoulli_logit,
                              Family::poisson_log, Family::neg_binomial_log}) {
    const bool extra = family != Family::bernoulli_logit && family != Family::poisson_log;
    Parameters p;
    p.real("e0").real("emax").positive("ec50");
    if (extra) p.positive("extra");
    const auto d = regression<Emax>(p, Columns({x, y}), family);
    const auto slow = with_central_differences(
        Parameters(p.free_size()), [&](std::span<const double> q) { return d.value(q); });
    const std::vector<double> q{0.3, 0.4, -0.2, 0.1};
    std::vector<double> g(p.free_size()), e(p.free_size());
    const std::span<const double> at(q.data(), p.free_size());
    EXPECT_NEAR(d.evaluate(at, g), slow.evaluate(at, e), 1e-9);
    for (std::size_t i = 0; i < g.size(); ++i) EXPECT_NEAR(g[i], e[i], 1e-6 * (1 + std::abs(e[i])));
  }
}

TEST(Columns, errors_name_column_and_row) {
  EXPECT_THROW(Columns(std::vector<std::vector<double>>{}), ConfigError);
  EXPECT_THROW(Columns({{1, 2}, {1}}), ConfigError);
  try {
    Columns({{1, 2}, {1, std::nan("")}});
    FAIL();
  } catch (const ConfigError& e) {
    EXPECT_THAT(e.what(), ::testing::HasSubstr("column 1, row 1"));
  }
}

}  // namespace
}  // namespace reeve::mcmc
