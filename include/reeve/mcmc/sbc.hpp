// Simulation-based calibration: does the sampler, with this density, return the prior it was given?
#pragma once

#include <reeve/mcmc/sampler.hpp>

#include <functional>
#include <string>
#include <vector>

namespace reeve::mcmc {

struct SbcOptions {
  std::size_t fits = 1000;
  std::size_t thinned = 99;  ///< nearly independent draws per fit; thinned + 1 is a multiple of 20
  SampleOptions sampling{};
  std::uint64_t seed = 1;
};

struct SbcResult {
  std::vector<std::string> names;
  std::vector<std::vector<std::size_t>> counts;  ///< per parameter: 20 bins of ranks
  std::vector<double> p_value;  ///< per parameter: chi-squared with 19 degrees of freedom
  std::size_t fits = 0;
  double worst() const;
};

/// Draws theta from the prior, data from theta, fits, and counts where theta ranks among the draws:
/// a uniform rank for every parameter when prior, likelihood, Jacobians and sampler agree.
///
/// `prior` writes theta on the constrained scale; `simulate` makes the data of theta and returns
/// the density to fit, with the same parameters. Source: Talts, Betancourt, Simpson, Vehtari,
/// Gelman (2018).
SbcResult calibrate(const Parameters& parameters,
                    const std::function<void(Random&, std::span<double>)>& prior,
                    const std::function<Density(Random&, std::span<const double>)>& simulate,
                    const SbcOptions& options = {});

/// Prior draws of parameters that all have proper priors.
std::function<void(Random&, std::span<double>)> prior_of(const Parameters& parameters);

}  // namespace reeve::mcmc
