// Mechanisms and data that no sampler likes: the right status or a clear error, never a hang.
#include <reeve/inference/infer.hpp>

#include "tests/inference/inference_test_support.hpp"

namespace reeve::inference {
namespace {

using test::quick;
using test::simulated;

Mechanism two(const char* name, auto f) {
  auto m = mechanism<2>(name, f);
  m.parameter("a", mcmc::normal(0, 1)).parameter("b", mcmc::normal(0, 1));
  return m;
}

InferenceResult against_null(const Mechanism& m, const CausalLink& link) {
  InferOptions options;
  options.candidates = {null(), m};
  return infer_here(link, options);
}

TEST(Awkward, WhatAMechanismThrowsPassesThrough) {
  const auto m = two("throwing", [](const auto& x, auto t) {
    static int calls = 0;
    if (++calls > 2000) throw std::runtime_error("of the user");
    return t[0] + t[1] * x;
  });
  EXPECT_THROW(against_null(m, simulated(1, 1)), std::runtime_error);
}

TEST(Awkward, NanInAPartOfTheSpaceIsOutsideOfIt) {
  const auto m = two("root", [](const auto& x, auto t) {
    return t[0] + sqrt(t[1]) * x;  // NaN for negative b
  });
  const auto result = against_null(m, simulated(1, 1));
  EXPECT_EQ(result.type(), "root");
  EXPECT_EQ(result.best().status, mcmc::Status::ok) << result.to_json();
  EXPECT_GT(result.best().summary[1].q5, 0);
}

TEST(Awkward, AFlatParameterIsNotIdentified) {
  const auto m = two("flat", [](const auto& x, auto t) { return 0.0 * t[0] + t[1] * (x - 0.5); });
  const auto result = against_null(m, simulated(1, 1));
  EXPECT_EQ(result.type(), "flat");
  EXPECT_EQ(result.best().status, mcmc::Status::ok) << result.to_json();
  bool said = false;
  for (const Lack& lack : result.necessity().missing)
    said |= lack.evidence == Evidence::identifiability && lack.text.find('a') != std::string::npos;
  EXPECT_TRUE(said) << result.to_json();
}

// b = 10 and b = -10 explain the data alike, a hundred of the posterior's deviations apart. Four
// chains that all begin on one side cannot know (one seed in eight); chains that meet the other
// side must not be believed, and the weights give each its half.
TEST(Awkward, TwoModesFarApartGetHalfEach) {
  auto m = mechanism<1>("square", [](const auto& x, auto t) { return 0.01 * t[0] * t[0] * x; });
  m.parameter("b", mcmc::normal(0, 5)).scale(CauseScale::ratio).through_zero();
  InferOptions options;
  options.candidates = {null(), m};
  options.loo = LooOf::none;
  int halves = 0, blind = 0;
  for (options.seed = 1; options.seed <= 16; ++options.seed) {
    const auto result = infer_here(simulated(1, 1), options);
    const FitReport& fit = result.fit("square");
    if (fit.method == "nuts" && fit.status == mcmc::Status::ok) {
      ++blind;
      continue;
    }
    ++halves;
    EXPECT_EQ(fit.status, mcmc::Status::ok) << result.to_json();
    EXPECT_NEAR(fit.summary[0].mean, 0, 0.2 * fit.summary[0].sd) << result.to_json();
    EXPECT_GT(fit.summary[0].sd, 5);
  }
  EXPECT_GE(halves, 10);
  EXPECT_LE(blind, 6);
}

TEST(Awkward, RegressorsOfAnyScale) {
  for (const double scale : {1e-6, 1e6})
    for (const Family family : {Family::normal, Family::student}) {
      CausalLink link = simulated(1, 3, 60, scale, 1 / scale);
      std::vector<double> z;
      mcmc::Random random(2);
      for (int i = 0; i < 60; ++i) z.push_back(scale * random.normal());
      link.data.add("z", z);
      link.confounders = {"z"};
      link.family = family;
      const auto result = infer_here(link);
      EXPECT_EQ(result.type(), "linear") << scale << to_string(family);
      EXPECT_TRUE(result.conclusive()) << result.to_json();
      EXPECT_NEAR(result.strength().mean * scale, 0.99, 0.2);
    }
}

// Eight parameters from as many rows, and a cause with two values.
TEST(Awkward, HardlyAnyData) {
  const auto few = infer_here(simulated(4, 1, 6));
  EXPECT_FALSE(few.necessity().passed);
  std::vector<double> x, y;
  mcmc::Random random(6);
  for (int i = 0; i < 40; ++i) {
    x.push_back(i % 2);
    y.push_back(x.back() + 0.3 * random.normal());
  }
  Table data;
  data.add("x", x).add("y", y);
  const auto two_values = infer_here(CausalLink("x", "y", data));
  EXPECT_GT(two_values.probability_effect(), 0.99) << two_values.to_json();
  EXPECT_FALSE(two_values.necessity().passed) << "which curve cannot be told";
}

}  // namespace
}  // namespace reeve::inference
