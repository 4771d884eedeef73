// Stan's own sampler as a peer: what it was given, what it drew, and what that cost.
#pragma once

#include <reeve/mcmc/diagnostics.hpp>

#include "tests/mcmc/models.hpp"

#include <optional>
#include <string>
#include <vector>

namespace reeve::mcmc::bench {

/// Medians over seeds. ESS is min(bulk, tail) over all parameters.
struct Figures {
  double ess_per_second = 0;           ///< warm-up included
  double ess_per_second_sampling = 0;  ///< the sampling phase alone
  double ess_per_kilogradient = 0;     ///< warm-up included
  double nanoseconds = 0;              ///< of one gradient
};

/// Of Stan's metrics.
struct PeerFigures {
  Figures best;                       ///< of diag_e and dense_e, figure by figure
  double default_ess_per_second = 0;  ///< of diag_e, which is what Stan does unasked
};

double median(std::vector<double> x);

/// min(bulk, tail) over all quantities.
double least_ess(const std::vector<ChainDraws>& draws);

/// CPU seconds of this thread.
double cpu_seconds();

/// Where the peers are that run_stan_peer.sh builds, one program per model.
struct StanPeers {
  std::string folder;
  int seeds = 3;

  /// Nothing when the peer is not there or fails.
  std::optional<PeerFigures> measure(const std::string& peer, const testing::DataSet& data,
                                     const std::vector<std::string>& integers,
                                     std::size_t dimension) const;
};

}  // namespace reeve::mcmc::bench
