// A round of a candidate: how it is sampled, and what goes on from a file.
#include <fmt/format.h>

#include <algorithm>
#include <reeve/base/error.hpp>

#include "inference/checkpoint.hpp"
#include "inference/fit.hpp"

namespace reeve::inference {
namespace {

// The first option of a checkpoint that is not what is asked for now.
std::optional<std::string> difference(const mcmc::SampleOptions& made,
                                      const mcmc::SampleOptions& now) {
  const auto differ = [](const char* name, auto a, auto b) {
    return fmt::format("{} = {}, and now it is {}", name, a, b);
  };
  if (made.chains != now.chains) return differ("chains", made.chains, now.chains);
  if (made.warmup != now.warmup) return differ("warmup", made.warmup, now.warmup);
  if (made.draws != now.draws) return differ("draws", made.draws, now.draws);
  if (made.seed != now.seed) return differ("seed", made.seed, now.seed);
  if (made.target_accept != now.target_accept)
    return differ("target_accept", made.target_accept, now.target_accept);
  if (made.target_ess != now.target_ess)
    return differ("target_ess", made.target_ess, now.target_ess);
  return std::nullopt;
}

mcmc::SampleOptions sample_options(const FitSettings& settings, std::size_t candidate, int round) {
  mcmc::SampleOptions o;
  o.chains = settings.chains;
  o.warmup = settings.warmup;
  o.draws = settings.draws;
  o.seed = settings.seed + 1000003 * candidate;
  o.target_accept = settings.target_accept;
  o.target_ess = settings.target_ess;
  o.checks = strict_checks();
  if (round > 1) {
    o.draws *= 2;
    o.warmup = std::max<std::size_t>(300, 2 * o.warmup);
    o.target_accept = std::max(o.target_accept, 0.9);
    o.seed += 500009;
  }
  return o;
}

}  // namespace

mcmc::Checks strict_checks() {
  mcmc::Checks c;
  c.rhat_limit = 1.02;
  c.ess_per_chain = 50;
  return c;
}
std::optional<mcmc::Sampler> go_on_sampling(const mcmc::Density& density, std::string_view name,
                                            const FitSettings& settings, std::size_t candidate,
                                            int round, const Checkpoints& files) {
  const auto bytes = files.read(name, round);
  if (!bytes) return std::nullopt;
  std::optional<mcmc::Sampler> sampler;
  try {
    sampler.emplace(mcmc::Sampler::resume(density, *bytes));
  } catch (const ConfigError& error) {
    throw ConfigError(
        fmt::format("nothing goes on from {}: {}", files.path(name, round), error.what()));
  }
  mcmc::SampleOptions made = sampler->options();
  mcmc::SampleOptions now = sample_options(settings, candidate, round);
  made.seed -= now.seed - settings.seed;  // as the user gave it
  now.seed = settings.seed;
  if (const auto other = difference(made, now))
    throw ConfigError(fmt::format(
        "the checkpoint {} was made with {}; use the same options, or remove the link's files, {}, "
        "to start anew",
        files.path(name, round), *other, files.pattern()));
  return sampler;
}

mcmc::Sampler begin_sampling(const mcmc::Density& density, const Mechanism& mechanism,
                             const FitSettings& settings, std::size_t candidate, int round,
                             const Checkpoints& files) {
  if (auto saved = go_on_sampling(density, mechanism.name(), settings, candidate, round, files))
    return std::move(*saved);
  return mcmc::Sampler(density, sample_options(settings, candidate, round));
}

}  // namespace reeve::inference
