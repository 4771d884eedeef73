// A sampler as bytes and back, and the file that survives a kill.
#include "mcmc/state.hpp"

#include <reeve/base/error.hpp>
#include <reeve/mcmc/atomic_file.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <optional>

namespace reeve::mcmc {
namespace {

constexpr std::string_view magic = "reeve.mcmc.2\n";

// Every field by itself, so that no padding byte enters the file.
template <class Archive>
void visit_options(Archive& a, SampleOptions& o) {
  a(o.algorithm), a(o.metric), a(o.adaptation), a(o.chains), a(o.warmup), a(o.draws), a(o.seed);
  a(o.target_accept), a(o.max_depth), a(o.leapfrogs), a(o.init_radius), a(o.target_ess);
  a(o.checks.rhat_limit), a(o.checks.ess_per_chain), a(o.checks.divergent_fraction),
      a(o.checks.e_bfmi);
  a(o.checks.max_depth_fraction);
}

// The first option that differs, by its value and the other's.
std::optional<std::string> difference(const SampleOptions& made, const SampleOptions& now) {
  std::optional<std::string> found;
  const auto same = [&](const char* name, auto a, auto b) {
    if (!found && a != b) found = fmt::format("{} = {}, and now it is {}", name, a, b);
  };
  same("algorithm", static_cast<int>(made.algorithm), static_cast<int>(now.algorithm));
  same("metric", static_cast<int>(made.metric), static_cast<int>(now.metric));
  same("adaptation", static_cast<int>(made.adaptation), static_cast<int>(now.adaptation));
  same("chains", made.chains, now.chains);
  same("warmup", made.warmup, now.warmup);
  same("draws", made.draws, now.draws);
  same("seed", made.seed, now.seed);
  same("target_accept", made.target_accept, now.target_accept);
  same("max_depth", made.max_depth, now.max_depth);
  same("leapfrogs", made.leapfrogs, now.leapfrogs);
  same("init_radius", made.init_radius, now.init_radius);
  same("target_ess", made.target_ess, now.target_ess);
  const Checks &a = made.checks, &b = now.checks;
  same("checks.rhat_limit", a.rhat_limit, b.rhat_limit);
  same("checks.ess_per_chain", a.ess_per_chain, b.ess_per_chain);
  same("checks.divergent_fraction", a.divergent_fraction, b.divergent_fraction);
  same("checks.e_bfmi", a.e_bfmi, b.e_bfmi);
  same("checks.max_depth_fraction", a.max_depth_fraction, b.max_depth_fraction);
  return found;
}

}  // namespace

// Of what is made with the sampler and never grows.
std::vector<std::size_t> Sampler::State::fixed_sizes() const {
  std::vector<std::size_t> sizes{search_step.size()};
  for (const auto& c : chains) sizes.insert(sizes.end(), {c.q.size(), c.g.size()});
  for (const auto& t : tunings)
    sizes.insert(sizes.end(), {static_cast<std::size_t>(t.metric.kind), t.metric.n,
                               t.metric.s.size(), t.metric.root.size(), t.metric.inverse.size(),
                               t.window.dense ? 1u : 0u, t.window.mean.size(), t.window.m2.size()});
  return sizes;
}

// What the loop relies on, of a state that was read.
bool Sampler::State::consistent() const {
  const std::size_t d = density.dimension(), rows = warm_lp.size(), planned = automatic_warmup();
  const bool length =
      options.warmup ? warmup == options.warmup : warmup >= planned && warmup < 5 * planned;
  if (!length || iteration > warmup + options.draws || next_chain >= chains.size()) return false;
  if (warm_q.size() != rows * d || warm_g.size() != rows * d) return false;
  const std::size_t least = iteration - std::min(iteration, warmup);
  return std::all_of(output.begin(), output.end(), [&](const Chain& chain) {
    const std::size_t draws = chain.stats.size();
    return draws >= least && draws <= options.draws && chain.q.size() == draws * d &&
           (iteration >= warmup || draws == 0);
  });
}

std::string Sampler::checkpoint() const {
  detail::Counter counter;
  visit_options(counter, state_->options);
  state_->visit(counter);
  detail::Writer writer = detail::begin_checkpoint(magic, state_->density, counter.bytes);
  visit_options(writer, state_->options);
  state_->visit(writer);
  return detail::seal(std::move(writer));
}

Sampler Sampler::resume(Density density, std::string_view bytes) {
  detail::Reader reader = detail::open_checkpoint(bytes, magic, density);
  SampleOptions options;
  visit_options(reader, options);
  auto state = std::make_unique<State>(std::move(density), options);
  const auto sizes = state->fixed_sizes();
  state->visit(reader);
  reader.end();
  if (state->fixed_sizes() != sizes || !state->consistent())
    detail::damaged("sizes that do not fit its options");
  return Sampler(std::move(state));
}

Run sample_resumable(const Density& density, const SampleOptions& options, const std::string& path,
                     const StopWhen& stop, std::size_t every) {
  if (every == 0) throw ConfigError("every is 0; write a checkpoint every 1 or more transitions");
  Sampler sampler(density, options);
  if (std::ifstream file(path, std::ios::binary); file) {
    const std::string bytes{std::istreambuf_iterator<char>(file), {}};
    sampler = Sampler::resume(density, bytes);
    if (const auto other = difference(sampler.options(), options))
      throw ConfigError(fmt::format(
          "the checkpoint {} was made with {}; use the same options, or remove it to start anew",
          path, *other));
  }
  while (!sampler.advance(stop, every)) {
    replace_file(path, sampler.checkpoint());
    if (sampler.stopped() != Status::ok) return std::move(sampler).result();
  }
  Run run = std::move(sampler).result();
  std::remove(path.c_str());
  return run;
}

}  // namespace reeve::mcmc
