// Model comparison: marginal likelihoods by bridge sampling, PSIS-LOO, and probabilities of models.
#pragma once

#include <reeve/mcmc/run.hpp>

#include <span>
#include <string>
#include <vector>

namespace reeve::mcmc {

struct LogMarginal {
  double value =
      0;  ///< log of the integral of the density; normalised only if priors and likelihood are
  double se = 0;  ///< standard error of `value`
  int iterations = 0;
  bool converged = false;
};

/// Bridge sampling between the draws and a normal fitted to half of them, on the unconstrained
/// scale.
///
/// Errors: ConfigError for fewer than 20 draws or 2 D + 2 draws in all.
/// Source: Meng and Wong (1996); Fruehwirth-Schnatter (2004) for the error.
LogMarginal bridge_log_marginal(const Run& run, std::uint64_t seed = 1);

struct Psis {
  std::vector<double> log_weights;  ///< smoothed, normalised
  /// Pareto shape of the tail; above min(1 - 1/log10 S, 0.7): not to be trusted. Infinite where
  /// there is no fit: fewer than 5 ratios in the tail, or most of them equal. Never NaN.
  double k = 0;
};
/// Pareto-smoothed importance sampling of log ratios. A ratio of -infinity is a weight of zero.
///
/// Errors: ConfigError without ratios, for NaN or +infinity, and when all are -infinity.
/// Source: Vehtari, Simpson, Gelman, Yao, Gabry (2024); Zhang and Stephens (2009).
Psis psis(std::span<const double> log_ratios, double relative_efficiency = 1);

struct Loo {
  double elpd = 0, se = 0, p_loo = 0;
  double max_k = 0;
  std::size_t bad_k = 0;  ///< observations with k above the threshold
  std::vector<double> pointwise, k;
};
/// Leave-one-out predictive density from log_likelihood[observation][draw].
///
/// Errors: ConfigError without observations or draws, and for a value that is not finite.
Loo psis_loo(const std::vector<std::vector<double>>& log_likelihood,
             std::span<const double> relative_efficiency = {});
/// For models that know their observations (observations, regression, glm, linear_regression).
///
/// Errors: ConfigError for any other density, and where a log likelihood is not finite.
Loo psis_loo(const Run& run);
/// log_likelihood[observation][draw], chain after chain.
std::vector<std::vector<double>> pointwise_log_likelihood(const Run& run);

struct Candidate {
  std::string name;
  LogMarginal log_marginal;
  Status status = Status::ok;
  double log_prior = 0;
};
struct ModelProbabilities {
  bool conclusive = false;
  std::vector<double> probability;   ///< empty when inconclusive
  std::vector<std::string> reasons;  ///< why not
};
/// Posterior probabilities of models, or `inconclusive`: a fit that did not converge, or a marginal
/// likelihood that is not known to `se_limit`, never gets a probability.
ModelProbabilities model_probabilities(std::span<const Candidate> candidates,
                                       double se_limit = 0.1);

}  // namespace reeve::mcmc
