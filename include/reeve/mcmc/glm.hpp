// Generalised linear models: kernels for many regressors, and sufficient statistics for normal
// errors.
#pragma once

#include <reeve/mcmc/observations.hpp>

namespace reeve::mcmc {

/// y ~ normal(X beta, sigma). The parameters are beta (one per column of x) and sigma. The data
/// enter once, as a triangular factor of X'X: a gradient costs O(columns^2), whatever the number of
/// rows.
///
/// Errors: ConfigError for a wrong number of parameters or rows.
Density linear_regression(Parameters parameters, Columns x, std::vector<double> y);

/// y ~ family(X beta [, phi]) on the logit or log scale: Bernoulli, Poisson, negative binomial. The
/// parameters are beta and, for neg_binomial_log, phi.
///
/// Cost: one pass over X per gradient, in batches that stay in the first-level cache.
Density glm(Parameters parameters, Columns x, std::vector<double> y, Family family,
            Isa isa = best_isa());

}  // namespace reeve::mcmc
