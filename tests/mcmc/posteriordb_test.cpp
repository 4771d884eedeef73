// Eight reference posteriors of posteriordb, and two that must be reported as failed.
#include <reeve/mcmc/diagnostics.hpp>
#include <reeve/mcmc/sampler.hpp>

#include "tests/mcmc/models.hpp"
#include "tests/support/pch.hpp"

namespace reeve::mcmc {
namespace {

using testing::Posterior;

struct Scores {
  std::vector<double> z;
  double worst_quantile = 0;  // |z| of the 5 % and 95 % quantiles
  double worst_rhat = 0;
  std::size_t divergences = 0, not_ok = 0;
};

// Reference parameters that are not parameters of ours: computed from the draws.
ChainDraws quantity(const Run& run, const std::string& name) {
  const auto names = run.names();
  const auto at = [&](const std::string& n) {
    return run.values(
        static_cast<std::size_t>(std::find(names.begin(), names.end(), n) - names.begin()));
  };
  ChainDraws x;
  if (name.starts_with("theta.")) {
    x = at("theta_trans." + name.substr(6));
    const ChainDraws mu = at("mu"), tau = at("tau");
    for (std::size_t c = 0; c < x.size(); ++c)
      for (std::size_t i = 0; i < x[c].size(); ++i) x[c][i] = mu[c][i] + tau[c][i] * x[c][i];
  } else if (name == "beta1") {
    x = at("b");
    const ChainDraws a = at("alpha1");
    for (std::size_t c = 0; c < x.size(); ++c)
      for (std::size_t i = 0; i < x[c].size(); ++i) x[c][i] *= 1 - a[c][i];
  } else {
    x = at(name);
  }
  return x;
}

// The reference's error comes of 10,000 independent draws of the same distribution.
double quantile_z(const ChainDraws& x, double probability, double reference) {
  const double both = std::sqrt(1 + ess_quantile(x, probability) / 10'000);
  return (quantile(x, probability) - reference) / (mcse_quantile(x, probability) * both);
}

void score(const Posterior& posterior, std::uint64_t seed, Scores& scores) {
  const std::string root = *testing::posteriordb();
  const Density d = posterior.make(testing::read_data(root + "/data/" + posterior.data + ".json"));
  SampleOptions options;
  options.seed = seed;
  const auto run = sample(d, options);
  const auto& diagnostics = run.diagnostics();
  scores.divergences += diagnostics.divergences;
  scores.not_ok += run.status() != Status::ok;
  for (const auto& [name, ref] :
       testing::read_reference(root + "/summary/" + posterior.summary + ".json")) {
    ChainDraws x = quantity(run, name);
    scores.worst_rhat = std::max(scores.worst_rhat, rhat(x));
    scores.z.push_back((mean(x) - ref.mean) / std::hypot(mcse_mean(x), ref.sd / 100));
    for (const double z : {quantile_z(x, 0.05, ref.q5), quantile_z(x, 0.95, ref.q95)})
      scores.worst_quantile = std::max(scores.worst_quantile, std::abs(z));
    for (auto& chain : x)
      for (double& v : chain) v *= v;
    scores.z.push_back((mean(x) - ref.mean_square) / std::hypot(mcse_mean(x), ref.sd_square / 100));
  }
}

class Posteriordb : public ::testing::TestWithParam<int> {};

TEST_P(Posteriordb, five_seeds_agree_with_the_reference) {
  if (!testing::posteriordb())
    GTEST_SKIP() << "set REEVE_DATA_DIR to the folder that holds posteriordb/";
  const Posterior& posterior = testing::posteriors()[static_cast<std::size_t>(GetParam())];
  Scores s;
  for (std::uint64_t seed = 1; seed <= 5; ++seed) score(posterior, seed, s);
  double worst = 0, squares = 0;
  for (const double z : s.z) {
    worst = std::max(worst, std::abs(z));
    squares += z * z / static_cast<double>(s.z.size());
  }
  std::printf(
      "%-14s max|z| %.2f (quantiles %.2f) rms %.2f R-hat %.4f divergences %zu of 20000 not "
      "ok %zu of 5\n",
      posterior.name, worst, s.worst_quantile, std::sqrt(squares), s.worst_rhat, s.divergences,
      s.not_ok);
  EXPECT_LT(worst, 4.5);
  EXPECT_LT(s.worst_quantile, 5);
  EXPECT_LT(s.worst_rhat, 1.01);
  EXPECT_LT(s.divergences, 20000u / 50);
  EXPECT_EQ(s.not_ok, 0u);
}
INSTANTIATE_TEST_SUITE_P(All, Posteriordb, ::testing::Range(0, 8), [](const auto& param) {
  return std::string(testing::posteriors()[static_cast<std::size_t>(param.param)].name);
});

TEST(Posteriordb, z_scores_of_all_have_unit_scale) {
  if (!testing::posteriordb())
    GTEST_SKIP() << "set REEVE_DATA_DIR to the folder that holds posteriordb/";
  Scores s;
  for (const auto& posterior : testing::posteriors())
    for (std::uint64_t seed = 11; seed <= 15; ++seed) score(posterior, seed, s);
  double squares = 0;
  for (const double z : s.z) squares += z * z / static_cast<double>(s.z.size());
  std::printf("rms z of %zu: %.3f\n", s.z.size(), std::sqrt(squares));
  EXPECT_GT(std::sqrt(squares), 0.7);
  EXPECT_LT(std::sqrt(squares), 1.4);
}

TEST(HardPosteriors, the_funnel_never_ends_ok) {
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    SampleOptions options;
    options.seed = seed;
    const auto run = sample(testing::funnel(), options);
    EXPECT_EQ(run.status(), Status::not_converged) << seed;
    EXPECT_FALSE(run.diagnostics().reasons.empty());
  }
}

TEST(HardPosteriors, centered_eight_schools_never_ends_ok) {
  const testing::DataSet data{{"y", {28, 8, -3, 7, -1, 1, 18, 12}},
                              {"sigma", {15, 10, 16, 11, 9, 11, 10, 18}}};
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    SampleOptions options;
    options.seed = seed;
    const auto run = sample(testing::eight_schools_centered(data), options);
    EXPECT_EQ(run.status(), Status::not_converged) << seed;
  }
}

}  // namespace
}  // namespace reeve::mcmc
