// Importance sampling: evidence, modes, what it refuses, and the error that it states.
#include <reeve/base/clock.hpp>
#include <reeve/base/error.hpp>
#include <reeve/mcmc/compare.hpp>
#include <reeve/mcmc/importance.hpp>

#include <cmath>

#include "tests/support/pch.hpp"

namespace reeve::mcmc {
namespace {

constexpr double log_two_pi = 1.83787706640934548356;

// 0.3 N(-5, 1) + 0.7 N(5, 1) in the first coordinate, N(0, 1) in the second, times e^2.
Density bimodal() {
  return value_density(Parameters(2), [](std::span<const double> t) {
    return 2 - log_two_pi - 0.5 * t[1] * t[1] +
           log_sum_exp(std::log(0.3) - 0.5 * square(t[0] + 5),
                       std::log(0.7) - 0.5 * square(t[0] - 5));
  });
}

TEST(Importance, finds_both_modes_and_the_evidence) {
  const auto result = sample_importance(bimodal());
  ASSERT_TRUE(result.reliable) << result.reason;
  EXPECT_NEAR(result.log_evidence, 2, 4 * result.se);
  EXPECT_LT(result.se, 0.05);
  EXPECT_LT(result.k, 0.7);
  EXPECT_EQ(result.run.algorithm, "importance");
  EXPECT_EQ(result.run.chains().size(), 4u);
  EXPECT_EQ(result.run.draws(), 250u);
  double right = 0;
  for (const auto& chain : result.run.values(0))
    for (const double x : chain) right += x > 0;
  EXPECT_NEAR(right / 1000, 0.7, 0.06);
}

// A banana: curved, with heavy correlation; its evidence is known.
TEST(Importance, states_its_error_honestly_on_a_curved_density) {
  const auto banana = value_density(Parameters(3), [](std::span<const double> t) {
    return -1.5 * log_two_pi - 0.5 * t[0] * t[0] - 0.5 * square((t[1] - t[0] * t[0]) / 0.3) -
           std::log(0.3) - 0.5 * square(t[2] - t[1]);
  });
  double squares = 0;
  constexpr int seeds = 40;
  for (int seed = 1; seed <= seeds; ++seed) {
    ImportanceOptions o;
    o.seed = static_cast<std::uint64_t>(seed);
    const auto result = sample_importance(banana, nullptr, o);
    ASSERT_TRUE(result.reliable) << result.reason;
    const double z = result.log_evidence / result.se;
    squares += z * z;
    EXPECT_LT(std::abs(z), 5) << seed;
  }
  EXPECT_LT(std::sqrt(squares / seeds), 1.6);
}

TEST(Importance, uses_priors_as_reference_and_chains_as_a_hint) {
  Parameters p;
  p.add("mu", normal(0, 10)).add("sigma", lognormal(0, 1));
  const auto d = density<2>(p, [](auto t) {
    using T = typename decltype(t)::value_type;
    T lp = 0.0;
    for (int i = 0; i < 30; ++i) lp += normal_lpdf(0.1 * i, t[0], t[1]);
    return lp;
  });
  const auto run = sample(d);
  const auto alone = sample_importance(d), hinted = sample_importance(d, &run);
  ASSERT_TRUE(alone.reliable && hinted.reliable) << alone.reason << hinted.reason;
  EXPECT_NEAR(alone.log_evidence, hinted.log_evidence, 4 * std::hypot(alone.se, hinted.se));
  EXPECT_LE(hinted.evaluations, alone.evaluations);
  for (const std::size_t i : {0u, 1u})
    EXPECT_NEAR(run.summary()[i].mean, hinted.run.summary()[i].mean, 5 * run.summary()[i].mcse);
}

// The integral of a prior alone is the share of it that its constraint leaves.
TEST(Importance, a_prior_that_its_constraint_cuts_counts_for_what_is_left) {
  const double one_sd = std::erf(std::sqrt(0.5));
  const std::pair<Parameters, double> cases[] = {
      {Parameters().positive("a", 0, normal(0, 5)), 0.5},
      {Parameters().lower("a", 1, 0, exponential(1)), std::exp(-1)},
      {Parameters().upper("a", 0, 0, student_t(4, 0, 1)), 0.5},
      {Parameters().interval("a", -1, 1, 0, normal(0, 1)), one_sd},
      {Parameters().interval("a", 0, 2, 0, half_normal(2)), one_sd}};
  for (const auto& [parameters, share] : cases) {
    const auto d = value_density(parameters, [](auto) { return 0.0; });
    const auto result = sample_importance(d);
    ASSERT_TRUE(result.reliable) << parameters.blocks()[0].prior.text() << result.reason;
    EXPECT_NEAR(result.log_evidence, std::log(share), 4 * result.se + 1e-9)
        << parameters.blocks()[0].prior.text();
  }
}

// 600 points of the priors are all that a likelihood that says little needs.
TEST(Importance, priors_that_nothing_cuts_are_the_reference) {
  for (const auto& parameters :
       {Parameters().positive("a", 0, gamma(2, 1)),
        Parameters().interval("a", -1, 3, 0, uniform(-1, 3)), Parameters().add("a", beta(2, 2)),
        Parameters().lower("a", 0, 0, half_normal(1)), Parameters().real("a", 0, normal(1, 2))}) {
    const auto d = value_density(
        parameters, [](std::span<const double> t) { return 0.1 * std::sin(5 * t[0]); });
    const auto result = sample_importance(d);
    ASSERT_TRUE(result.reliable) << parameters.blocks()[0].prior.text() << result.reason;
    EXPECT_EQ(result.evaluations, 2400u) << parameters.blocks()[0].prior.text();
    EXPECT_NEAR(result.log_evidence, 0, 0.1);
  }
}

TEST(Importance, agrees_with_the_bridge_where_a_constraint_cuts_a_prior) {
  Parameters p;
  p.positive("tau", 0, normal(0, 5)).real("mu", 0, normal(0, 5));
  const auto d = density<2>(p, [](auto t) {
    typename decltype(t)::value_type lp = 0.0;
    for (const double y : {1.0, 2.0, -1.0, 4.0}) lp += normal_lpdf(y, t[1], t[0]);
    return lp;
  });
  const LogMarginal bridge = bridge_log_marginal(sample(d));
  ASSERT_TRUE(bridge.converged);
  for (const std::uint64_t seed : {1u, 2u, 3u, 4u, 5u}) {
    ImportanceOptions o;
    o.seed = seed;
    const auto result = sample_importance(d, nullptr, o);
    ASSERT_TRUE(result.reliable) << result.reason;
    EXPECT_NEAR(result.log_evidence, bridge.value, 4 * std::hypot(result.se, bridge.se)) << seed;
  }
}

// Most of this prior's draws overflow or are zero: what remains of them has another density.
TEST(Importance, a_prior_whose_draws_overflow_is_no_reference) {
  const auto d =
      value_density(Parameters().add("x", lognormal(0, 1e4)),
                    [](std::span<const double> t) { return -0.5 * square(std::log(t[0]) / 200); });
  ImportanceOptions o;
  o.scale = 200;
  const auto result = sample_importance(d, nullptr, o);
  ASSERT_TRUE(result.reliable) << result.reason;
  EXPECT_NEAR(result.log_evidence, std::log(200 / std::hypot(1e4, 200)), 4 * result.se);
}

TEST(Importance, says_when_it_must_not_be_used) {
  // Half a cauchy times a plateau: mass far outside of every component.
  const auto heavy = value_density(Parameters(4), [](std::span<const double> t) {
    double lp = 0;
    for (const double x : t) lp -= 0.55 * std::log1p(x * x * 1e6);
    return lp;
  });
  ImportanceOptions o;
  o.max_components = 10;
  const auto result = sample_importance(heavy, nullptr, o);
  EXPECT_FALSE(result.reliable);
  EXPECT_FALSE(result.reason.empty());
  const auto nowhere = value_density(Parameters(1), [](std::span<const double>) {
    return -std::numeric_limits<double>::infinity();
  });
  EXPECT_FALSE(sample_importance(nowhere).reliable);
}

TEST(Importance, options_are_checked) {
  ImportanceOptions o;
  EXPECT_THROW(sample_importance(value_density(Parameters(13), [](auto) { return 0.0; })),
               ConfigError);
  o.islands = 1;
  EXPECT_THROW(sample_importance(bimodal(), nullptr, o), ConfigError);
  o = {};
  o.draws = 10;
  EXPECT_THROW(sample_importance(bimodal(), nullptr, o), ConfigError);
  o = {};
  o.batch = 10;
  EXPECT_THROW(sample_importance(bimodal(), nullptr, o), ConfigError);
  o = {};
  o.scale = 0;
  EXPECT_THROW(sample_importance(bimodal(), nullptr, o), ConfigError);
}

TEST(Importance, a_deadline_stops_it) {
  ManualClock clock;
  const auto slow = value_density(Parameters(1), [&](std::span<const double> t) {
    clock.advance(std::chrono::milliseconds(1));
    return -0.5 * t[0] * t[0];
  });
  const auto result =
      sample_importance(slow, nullptr, {}, StopWhen(std::chrono::milliseconds(500), clock));
  EXPECT_FALSE(result.reliable);
  EXPECT_EQ(result.run.status(), Status::deadline);
}

TEST(Importance, a_stop_request_is_noticed_within_one_evaluation) {
  for (const int after : {1, 2, 100, 599, 600, 601, 1003}) {
    std::stop_source source;
    int calls = 0;
    const auto d = value_density(Parameters(1), [&](std::span<const double> t) {
      if (++calls == after) source.request_stop();
      return -0.5 * t[0] * t[0];
    });
    const auto result = sample_importance(d, nullptr, {}, StopWhen(source.get_token()));
    EXPECT_EQ(result.run.status(), Status::cancelled);
    EXPECT_LE(calls, after + 1);
  }
}

}  // namespace
}  // namespace reeve::mcmc
