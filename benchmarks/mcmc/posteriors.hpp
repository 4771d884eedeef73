// The posteriors that are measured: the densities of ours, and Stan's model and data for each.
#pragma once

#include <reeve/mcmc/diagnostics.hpp>

#include "tests/mcmc/models.hpp"

#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace reeve::mcmc::bench {

struct Posterior {
  std::string name, peer;
  Density density;
  testing::DataSet stan;              ///< the data, under Stan's names
  std::vector<std::string> integers;  ///< which of them are whole numbers
  double goal;                        ///< ESS per second over Stan's
  /// Turns our draws of each parameter into Stan's quantities, where they differ.
  std::function<void(std::vector<ChainDraws>&)> to_stan = nullptr;
};

/// Ten posteriors as their writer would write them for speed: sufficient statistics, GLM kernels,
/// gradients by hand. Eight need `root`, the folder of posteriordb.
std::vector<Posterior> fast_posteriors(const std::optional<std::string>& root);

/// Written plainly, as one templated function without a gradient; Stan's model is as plain.
std::vector<Posterior> plain_posteriors();

}  // namespace reeve::mcmc::bench
