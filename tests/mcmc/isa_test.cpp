// Instruction sets: the same density, compiled for each that this machine has.
#include <reeve/mcmc/density.hpp>
#include <reeve/mcmc/isa.hpp>

#include <stdexcept>

#include "tests/support/pch.hpp"

namespace reeve::mcmc {
namespace {

TEST(Isa, every_one_gives_the_same_gradient) {
  const auto f = [](auto t) {
    using std::exp;
    return -0.5 * square(t[0] - t[1]) - exp(t[2]) + t[0] * t[2];
  };
  const detail::FixedModel<3, decltype(f)> model(f);
  const std::vector<double> x{0.3, -1.2, 0.7};
  std::vector<double> g(3);
  for (const Isa isa : {Isa::baseline, Isa::avx2, Isa::avx512}) {
    if (isa > best_isa()) continue;
    const double value =
        detail::select_differentiate<detail::FixedModel<3, decltype(f)>>(isa)(model, x, g);
    EXPECT_NEAR(value, -0.5 * 2.25 - std::exp(0.7) + 0.21, 1e-14) << to_string(isa);
    EXPECT_NEAR(g[0], -1.5 + 0.7, 1e-14);
    EXPECT_NEAR(g[1], 1.5, 1e-14);
    EXPECT_NEAR(g[2], 0.3 - std::exp(0.7), 1e-14);
  }
}

TEST(Isa, what_a_density_throws_reaches_the_caller) {
  const auto d = density<1>([](auto t) {
    if (value_of(t[0]) > 1) throw std::runtime_error("no");
    return t[0];
  });
  std::vector<double> g(1);
  EXPECT_THROW(d.evaluate(std::vector<double>{2.0}, g), std::runtime_error);
}

TEST(Isa, names) {
  EXPECT_STREQ(to_string(Isa::baseline), "baseline");
  EXPECT_STREQ(to_string(Isa::avx2), "avx2");
  EXPECT_STREQ(to_string(Isa::avx512), "avx512");
}

}  // namespace
}  // namespace reeve::mcmc
