// The mechanisms' values, slopes, identities and declarations.
#include <reeve/inference/mechanism.hpp>

#include "tests/inference/inference_test_support.hpp"

namespace reeve::inference {
namespace {

using test::simulated;
using test::text_of;

std::vector<double> typical(const std::string& name) {
  if (name == "null") return {0.3};
  if (name == "linear") return {0.3, 1.5};
  if (name == "quadratic") return {0.3, 1.5, -2};
  if (name == "emax" || name == "threshold") return {0.3, 1.5, 0.4};
  if (name == "hill") return {0.3, 1.5, 0.4, 2.5};
  if (name == "sigmoid") return {0.3, 1.5, 0.4, 6};
  return {0.3, 1.5, 0.8};
}

TEST(Mechanism, ChangeIsTheEffectOverTheRange) {
  for (const auto& m : all_mechanisms()) {
    const auto theta = typical(m.name());
    const double change = m.mean(1, theta) - m.mean(0, theta);
    EXPECT_NEAR(change, m.record().effect ? 1.5 : 0, 1e-8) << m.name();
  }
}

TEST(Mechanism, DerivedQuantitiesAreTheAsymptotes) {
  const auto e = typical("emax");
  EXPECT_NEAR(emax().mean(1e9, e) - e[0], emax().code().derived(e), 1e-6);
  const auto s = typical("sigmoid");
  EXPECT_NEAR(sigmoid().mean(100, s) - sigmoid().mean(-100, s), sigmoid().code().derived(s), 1e-9);
  const auto h = typical("hill");
  EXPECT_NEAR(hill().mean(1e9, h) - h[0], hill().code().derived(h), 1e-6);
}

// Batched values and gradients on the standard scale against central differences, every mechanism
// and family.
TEST(Mechanism, GradientsEqualDifferences) {
  CausalLink link = simulated(3, 1, 27);
  std::vector<double> z, counts, bits;
  for (std::size_t i = 0; i < 27; ++i) {
    z.push_back(std::sin(double(i)));
    counts.push_back(double(i % 5));
    bits.push_back(double(i % 3 == 0));
  }
  link.data.add("z", z).add("counts", counts).add("bits", bits);
  link.confounders = {"z"};
  for (const Family family : {Family::normal, Family::student, Family::bernoulli, Family::poisson,
                              Family::negative_binomial}) {
    link.family = family;
    link.effect = family == Family::bernoulli                             ? "bits"
                  : family == Family::normal || family == Family::student ? "y"
                                                                          : "counts";
    const LinkData data = checked(link);
    for (const auto& m : all_mechanisms()) {
      const mcmc::Density d = density_of(data, m);
      std::vector<double> q(d.dimension(), 0.2), g(d.dimension()), unused(d.dimension());
      if (m.name() == "threshold") q[2] = 0.13;
      const double lp = d.evaluate(q, g);
      ASSERT_TRUE(std::isfinite(lp)) << m.name();
      EXPECT_NEAR(lp, d.value(q), 1e-9 * std::abs(lp));
      for (std::size_t i = 0; i < q.size(); ++i) {
        auto up = q, down = q;
        up[i] += 1e-5, down[i] -= 1e-5;
        const double slope = (d.value(up) - d.value(down)) / 2e-5;
        EXPECT_NEAR(g[i], slope, 2e-6 * (1 + std::abs(slope)))
            << m.name() << ", " << to_string(family) << ", parameter " << i;
      }
    }
  }
}

TEST(Mechanism, LambdasAreMechanisms) {
  auto root = mechanism<2>("root", [](const auto& x, auto t) { return t[0] + t[1] * sqrt(x); });
  root.parameter("a", mcmc::normal(0, 1)).parameter("b", mcmc::normal(0, 1));
  const std::vector<double> theta{1, 2};
  EXPECT_DOUBLE_EQ(root.mean(9, theta), 7);
  const Mechanism again = Mechanism::from(root.record());
  EXPECT_DOUBLE_EQ(again.mean(9, theta), 7);
  EXPECT_EQ(again.parameters().at(1).name, "b");
}

TEST(Mechanism, RecordsOfOtherProgramsAreRefused) {
  MechanismRecord record = emax().record();
  record.offset += 1;
  EXPECT_THROW(Mechanism::from(record), codec::FunctionError);
}

TEST(Mechanism, DeclarationsAreChecked) {
  auto m = mechanism<1>("m", [](const auto&, auto t) { return t[0]; });
  EXPECT_THROW(m.parameter("a", mcmc::Prior()), ConfigError);
  m.parameter("a", mcmc::normal(0, 1));
  EXPECT_THROW(m.parameter("a", mcmc::normal(0, 1)), ConfigError);
  EXPECT_THROW(m.parameter("sigma", mcmc::normal(0, 1)), ConfigError);
  EXPECT_THROW(m.weight(0), ConfigError);
  EXPECT_THROW(m.derived("d"), ConfigError);
  EXPECT_THROW(mechanism<1>("", [](const auto&, auto t) { return t[0]; }), ConfigError);
}

TEST(Mechanism, CandidatesMustSuitTheData) {
  const LinkData data = checked(simulated(1, 1));
  EXPECT_EQ(candidates_for(data, {}).size(), 5u);
  EXPECT_THROW(candidates_for(data, {null(), null()}), ConfigError);
  EXPECT_THROW(candidates_for(data, {mechanism<1>("m", [](const auto&, auto t) { return t[0]; })}),
               ConfigError);
  LinkData below = data;
  below.x[6] = -1;
  EXPECT_EQ(candidates_for(below, {}).size(), 4u);
  const std::string text = text_of<ConfigError>([&] { candidates_for(below, {emax()}); });
  EXPECT_NE(text.find("'x', row 7 is -1"), std::string::npos) << text;
  LinkData few = data;
  few.x.resize(4), few.y.resize(4);
  EXPECT_THROW(candidates_for(few, {sigmoid()}), ConfigError);
}

}  // namespace
}  // namespace reeve::inference
