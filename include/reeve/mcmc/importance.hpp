// Importance sampling by a mixture that grows where it is needed: few parameters, several modes.
#pragma once

#include <reeve/mcmc/sampler.hpp>

#include <string>

namespace reeve::mcmc {

struct ImportanceOptions {
  std::size_t islands = 4;          ///< independent repetitions: their spread is the error; 2 to 64
  std::size_t draws = 250;          ///< per island, at most; at least 50
  std::size_t batch = 200;          ///< points per component; at least 50
  std::size_t max_components = 60;  ///< per island; then it gives up
  /// sd of the normal reference, which takes the priors' place when one of them is improper, cut by
  /// its parameter's range, or has draws that overflow.
  double scale = 3;
  std::uint64_t seed = 1;
  Checks checks;
};

struct ImportanceResult {
  Run run;  ///< one chain per island: draws picked by their weights
  double log_evidence = 0, se = 0;
  double k = 0;           ///< largest Pareto k of the islands' weights
  bool reliable = false;  ///< the weights' ESS was reached, k is below 0.7, the islands agree
  std::string reason;     ///< why not
  std::size_t evaluations = 0;
};

/// Most parameters that sample_importance takes.
constexpr std::size_t most_importance_parameters = 12;

/// Draws from the density, and its integral, by weights alone: no chain, no trajectories. Each
/// island begins with the priors (or a wide normal) and one component around each chain of `near`,
/// and adds a component around the point of greatest weight until the weights are worth
/// 2 * options.draws. Modes far apart get their share whatever the chains found. When the result is
/// not `reliable` it must not be used.
///
/// Errors: ConfigError for a fault in the options, or more than most_importance_parameters.
/// Cost:   some thousand evaluations without gradient.
/// Source: Raftery and Bao (2010), incremental mixture importance sampling; Veach and Guibas (1995)
///         for the weights; Vehtari et al. (2024) for k.
ImportanceResult sample_importance(const Density& density, const Run* near = nullptr,
                                   const ImportanceOptions& options = {},
                                   const StopWhen& stop = {});

}  // namespace reeve::mcmc
