// What a sampler returns: draws, their statistics, and a verdict.
#pragma once

#include <reeve/mcmc/density.hpp>
#include <reeve/mcmc/diagnostics.hpp>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace reeve::mcmc {

enum class Status {
  ok,             ///< every check below passed
  not_converged,  ///< the draws are there; `reasons` says what failed
  deadline,       ///< stopped by the time limit; the draws so far are kept
  cancelled       ///< stopped by a stop token; the draws so far are kept
};
const char* to_string(Status status) noexcept;

/// One transition's figures, under the names that Stan prints with two underscores.
struct DrawStats {
  double lp = 0, accept_stat = 0, stepsize = 0, energy = 0;
  std::uint32_t treedepth = 0, n_leapfrog = 0;
  bool divergent = false;
};

struct Chain {
  std::vector<double> q;  ///< unconstrained, draw-major: q[draw * dimension + i]
  std::vector<DrawStats> stats;
};

struct ParameterSummary {
  std::string name;
  double mean, sd, mcse, q5, q50, q95, rhat, ess_bulk, ess_tail;
};

/// The checks behind Status::ok, and their limits.
struct Checks {
  /// The usual 1.01, widened for short runs to 1 + 10 / ESS (at most 1.05): even perfect chains
  /// scatter that far, because R-hat - 1 has standard error about chains / ESS.
  double rhat_limit = 1.01;
  double ess_per_chain = 100;        ///< bulk and tail, each at least this times the chains
  double divergent_fraction = 0.01;  ///< more transitions than this diverged
  double e_bfmi = 0.3;  ///< any chain's energy Bayesian fraction of missing information
  double max_depth_fraction = 0.05;  ///< more trees than this hit the depth limit
};

struct Diagnostics {
  Status status = Status::not_converged;
  std::vector<std::string> reasons;
  std::size_t draws = 0, divergences = 0, max_depth_hits = 0, leapfrogs = 0;
  double max_rhat = 0, min_ess_bulk = 0, min_ess_tail = 0, min_e_bfmi = 0;
};

/// Draws of all chains and how they came about. Chains may differ by one draw after a deadline; the
/// accessors use the common length.
class Run {
 public:
  struct Unassessed {};  ///< leaves the verdict to a later `assess`
  Run(Density density, std::vector<Chain> chains);
  Run(Density density, std::vector<Chain> chains, Unassessed);

  const Density& density() const noexcept { return density_; }
  const std::vector<Chain>& chains() const& noexcept { return chains_; }
  std::vector<Chain> chains() && noexcept { return std::move(chains_); }
  std::vector<std::string> names() const {
    return shown_.empty() ? density_.parameters().names() : shown_;
  }
  std::size_t size() const noexcept { return values_.size(); }  ///< names and rows of values
  std::size_t draws() const noexcept { return draws_; }         ///< per chain
  /// Constrained draws of one parameter: [chain][draw].
  const ChainDraws& values(std::size_t parameter) const { return values_[parameter]; }
  std::vector<ParameterSummary> summary() const;
  /// The same run under other names and values, a row for each name: draws in other units, derived
  /// quantities. It is for summaries, files and plots; `chains` stay what the density was given.
  ///
  /// Errors: ConfigError unless there is a row of `draws` values per chain for each name.
  Run shown_as(std::vector<std::string> names, std::vector<ChainDraws> values) const;
  /// Errors: none; a run without draws is not_converged (or stopped) with the reason.
  const Diagnostics& diagnostics() const noexcept { return diagnostics_; }
  Status status() const noexcept { return diagnostics_.status; }
  /// Rechecks with other limits. `stopped` overrides: deadline or cancelled stay what they are.
  void assess(const Checks& checks, Status stopped = Status::ok);

  std::size_t warmup_leapfrogs = 0;
  std::size_t warmup = 0;
  std::uint32_t max_depth = 10;
  std::uint64_t seed = 0;
  std::string algorithm = "nuts";
  /// Which part of the draws is missing, a sentence: such a run is never ok.
  std::string missing;
  std::string model = "reeve";                      ///< what the files say they are draws of
  std::vector<std::vector<double>> inverse_metric;  ///< per chain: D values, or D x D row by row
  std::vector<double> stepsize;                     ///< per chain

 private:
  Diagnostics counted() const;

  Density density_;
  std::vector<Chain> chains_;
  std::size_t draws_ = 0;
  std::vector<ChainDraws> values_;
  std::vector<std::string> shown_;    ///< names other than the density's
  std::vector<DrawFigures> figures_;  ///< of each parameter, once assessed
  bool assessed_ = false;
  Diagnostics diagnostics_;
};

}  // namespace reeve::mcmc
