// How far draws can be trusted: R-hat, effective sample size, Monte Carlo errors.
#pragma once

#include <limits>
#include <span>
#include <vector>

namespace reeve::mcmc {

/// Draws of one quantity, one vector per chain. Chains of unequal length are cut to the shortest.
using ChainDraws = std::vector<std::vector<double>>;

/// All functions return NaN for fewer than 4 draws a chain, for constant draws, and for draws that
/// are not finite; they equal R's posterior 1.4.0.
///
/// Source: Vehtari, Gelman, Simpson, Carpenter, Buerkner (2021), Bayesian Analysis 16(2); Geyer
/// (1992).
double rhat_bulk(const ChainDraws& draws);    ///< rank-normalised, split
double rhat_folded(const ChainDraws& draws);  ///< of |x - median|: finds unequal scales
double rhat(const ChainDraws& draws);         ///< the larger of the two
double rhat_basic(const ChainDraws& draws);   ///< neither ranked nor split

double ess_bulk(const ChainDraws& draws);
double ess_tail(const ChainDraws& draws);  ///< the smaller of the 5 % and 95 % quantiles' ESS
double ess_mean(const ChainDraws& draws);
double ess_sd(const ChainDraws& draws);
double ess_quantile(const ChainDraws& draws, double probability);
double ess_basic(const ChainDraws& draws);  ///< not split

double mcse_mean(const ChainDraws& draws);
double mcse_sd(const ChainDraws& draws);
double mcse_quantile(const ChainDraws& draws, double probability);

double mean(const ChainDraws& draws);
double standard_deviation(const ChainDraws& draws);
double quantile(const ChainDraws& draws, double probability);  ///< linear between order statistics

/// All of a summary's row, with one sort instead of a dozen; equal to the functions above.
struct DrawFigures {
  static constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  double mean = nan, sd = nan, mcse = nan, q5 = nan, q50 = nan, q95 = nan;
  double rhat = nan, ess_bulk = nan, ess_tail = nan;
};
DrawFigures figures(const ChainDraws& draws);

/// Energy Bayesian fraction of missing information of one chain: below 0.3 the momentum cannot
/// reach the energies that the posterior has. Source: Betancourt (2016).
double e_bfmi(std::span<const double> energy);

/// Chi-squared test that `ranks` in [0, bins * width) are uniform; the p-value. For SBC.
double uniformity_p_value(std::span<const std::size_t> counts);

/// Standard normal quantile; relative error below 1e-15 for 1e-300 < p < 1.
double normal_quantile(double p);

}  // namespace reeve::mcmc
