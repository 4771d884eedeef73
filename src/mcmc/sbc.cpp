// Ranks of prior draws among their posteriors.
#include <reeve/base/error.hpp>
#include <reeve/mcmc/diagnostics.hpp>
#include <reeve/mcmc/sbc.hpp>

#include <algorithm>

namespace reeve::mcmc {

double SbcResult::worst() const {
  return p_value.empty() ? 0 : *std::min_element(p_value.begin(), p_value.end());
}

SbcResult calibrate(const Parameters& parameters,
                    const std::function<void(Random&, std::span<double>)>& prior,
                    const std::function<Density(Random&, std::span<const double>)>& simulate,
                    const SbcOptions& options) {
  constexpr std::size_t bins = 20;
  if (options.fits == 0 || (options.thinned + 1) % bins != 0)
    throw ConfigError("SbcOptions: fits must be positive and thinned + 1 a multiple of 20");
  SbcResult result;
  result.names = parameters.names();
  result.counts.assign(parameters.size(), std::vector<std::size_t>(bins, 0));
  std::vector<double> theta(parameters.size());
  for (std::size_t fit = 0; fit < options.fits; ++fit) {
    Random random(options.seed, fit);
    prior(random, theta);
    SampleOptions sampling = options.sampling;
    sampling.seed = options.seed * 1'000'003 + fit;
    const Run run = sample(simulate(random, theta), sampling);
    const std::size_t total = run.draws() * run.chains().size();
    if (total < options.thinned)
      throw ConfigError("SBC: fewer draws than ranks; raise sampling.draws");
    for (std::size_t p = 0; p < theta.size(); ++p) {
      std::size_t rank = 0;
      for (std::size_t i = 0; i < options.thinned; ++i) {
        const std::size_t at = i * total / options.thinned;
        rank += run.values(p)[at / run.draws()][at % run.draws()] < theta[p];
      }
      ++result.counts[p][rank * bins / (options.thinned + 1)];
    }
    ++result.fits;
  }
  for (const auto& counts : result.counts) result.p_value.push_back(uniformity_p_value(counts));
  return result;
}

std::function<void(Random&, std::span<double>)> prior_of(const Parameters& parameters) {
  for (const auto& b : parameters.blocks())
    if (!b.prior.proper() || b.kind == ParameterBlock::Kind::ordered)
      throw ConfigError("parameter " + b.name + " has no prior that can be drawn from");
  return [blocks = parameters.blocks()](Random& random, std::span<double> theta) {
    std::size_t at = 0;
    for (const auto& b : blocks)
      for (std::size_t i = 0; i < b.constrained; ++i) theta[at++] = b.prior.draw(random);
  };
}

}  // namespace reeve::mcmc
