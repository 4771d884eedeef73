// Tempered sequential Monte Carlo: for several modes, densities without gradients, and evidence.
#pragma once

#include <reeve/mcmc/sampler.hpp>

namespace reeve::mcmc {

struct SmcOptions {
  std::size_t particles = 1000;  ///< per island; at least 50
  std::size_t islands = 4;       ///< independent populations: their spread is the error; at least 2
  double scale = 3;              ///< sd of the normal reference on the unconstrained scale
  double ess_fraction = 0.5;     ///< how far the temperature moves at once; in (0.1, 0.99)
  double moves = 3;  ///< accepted moves per particle and temperature that are waited for
  std::size_t max_temperatures = 1000;
  std::uint64_t seed = 1;
  Checks checks;
};

struct SmcResult {
  Run run;  ///< one chain per island, its particles as draws
  double log_evidence = 0, se = 0;
  std::vector<double> temperatures;  ///< of the first island
};

/// Moves particles from N(0, scale^2 I) to the density through tempered distributions, by
/// random-walk Metropolis with the particles' covariance. The reference must overlap all modes.
///
/// Errors: ConfigError for a fault in the options. A stop returns the islands that are complete.
/// Cost:   about particles * islands * temperatures * 10 evaluations without gradient.
/// Source: Del Moral, Doucet, Jasra (2006); adaptive temperatures by bisection on the ESS.
SmcResult sample_smc(const Density& density, const SmcOptions& options = {},
                     const StopWhen& stop = {});

}  // namespace reeve::mcmc
