// Partials in pairs: every number of them gives the slopes of central differences.
#include <reeve/mcmc/density.hpp>
#include <reeve/mcmc/partials.hpp>

#include "tests/support/pch.hpp"

namespace reeve::mcmc {
namespace {

// Every operation once, with N partials: pairs, and one alone behind an odd number of them.
template <std::size_t N>
void expect_slopes() {
  std::vector<double> x(N), g(N), expected(N);
  for (std::size_t i = 0; i < N; ++i) x[i] = 0.4 + 0.02 * double(i);
  const auto f = [](auto t) {
    using T = typename decltype(t)::value_type;
    using std::exp, std::log;
    T s = 1.0, p = 1.0;
    for (std::size_t i = 0; i < t.size(); ++i) {
      s += t[i] * t[(i + 1) % t.size()] - 0.1 * double(i) * t[i];
      p = p / (t[i] + 2.0) + (-t[i] + 3.0) / (t[(i + 2) % t.size()] + 1.0);
      p += log1p_exp(40.0 * (t[i] - 0.7)) / 40.0;
    }
    return s / p + log(s * s + 1.0) + exp(-s);
  };
  const auto fixed = density<N>(f);
  const auto slow = with_central_differences(
      Parameters(N), [&](std::span<const double> q) { return fixed.value(q); });
  const double value = slow.evaluate(x, expected);
  for (const Density& d : {fixed, density(N, f)}) {
    EXPECT_NEAR(d.evaluate(x, g), value, 1e-12 * (1 + std::abs(value))) << N;
    for (std::size_t i = 0; i < N; ++i)
      EXPECT_NEAR(g[i], expected[i], 1e-6 * (1 + std::abs(expected[i]))) << i << " of " << N;
  }
}

TEST(Partials, every_number_of_partials_is_right) {
  expect_slopes<1>(), expect_slopes<2>(), expect_slopes<3>(), expect_slopes<4>();
  expect_slopes<5>(), expect_slopes<8>(), expect_slopes<9>(), expect_slopes<17>();
  expect_slopes<32>();
}

TEST(Partials, a_unit_has_one_lane) {
  detail::Partials<5, double> p;
  for (std::size_t i = 0; i < 7; ++i) {
    p.set_unit(i);
    for (std::size_t k = 0; k < 5; ++k) EXPECT_EQ(p[k], k == i ? 1 : 0);
  }
}

}  // namespace
}  // namespace reeve::mcmc
