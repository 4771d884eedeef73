// The lock-step loop over chains: step, stop, early stop.
#include "mcmc/state.hpp"

#include <reeve/base/error.hpp>
#include <reeve/mcmc/diagnostics.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace reeve::mcmc {
namespace {

constexpr std::uint32_t shallow_depth = 4;

// A quarter more than there are, and never more than will be: long chains are what a run's memory
// is for, and are not to take it twice.
std::size_t room_for_draws(std::size_t have, std::size_t wanted) {
  constexpr std::size_t few = 1024;
  return std::min(wanted, have + std::max(few, have / 4));
}

// Before the engine takes memory for them.
const SampleOptions& checked(const SampleOptions& options, std::size_t dimension) {
  if (auto fault = find_fault(options, dimension)) throw ConfigError("SampleOptions: " + *fault);
  return options;
}

}  // namespace

std::optional<std::string> find_fault(const SampleOptions& o, std::size_t dimension) {
  if (dimension == 0) return "the density has no parameters";
  if (o.chains < 1 || o.chains > 1024) return fmt::format("chains is {}; give 1 to 1024", o.chains);
  if (o.draws < 1 || o.draws > 100'000'000)
    return fmt::format("draws is {}; give 1 to 100000000", o.draws);
  if (o.warmup > 100'000'000) return fmt::format("warmup is {}; give at most 100000000", o.warmup);
  if (!(o.target_accept >= 0 && o.target_accept < 1))
    return fmt::format(
        "target_accept is {}; it must be inside (0, 1), usually 0.8, or 0: automatic",
        o.target_accept);
  if (o.max_depth < 1 || o.max_depth > 15)
    return fmt::format("max_depth is {}; give 1 to 15", o.max_depth);
  if (o.leapfrogs < 1 || o.leapfrogs > 100'000)
    return fmt::format("leapfrogs is {}; give 1 to 100000", o.leapfrogs);
  if (!(o.init_radius >= 0) || !std::isfinite(o.init_radius))
    return fmt::format("init_radius is {}; it must be finite and not negative", o.init_radius);
  if (!(o.target_ess == 0 || o.target_ess >= 200))
    return fmt::format(
        "target_ess is {}; give 0 (off) or at least 200: below, stopping biases the errors",
        o.target_ess);
  return std::nullopt;
}

Sampler::State::State(Density d, const SampleOptions& o)
    : density(std::move(d)), options(checked(o, density.dimension())), engine(density, options) {
  const std::size_t n = density.dimension();
  const bool walk = options.algorithm == Algorithm::random_walk;
  if (!density.has_gradient() && !walk)
    throw ConfigError("this density has no gradient; choose Algorithm::random_walk or sample_smc");
  warmup = options.warmup ? options.warmup : automatic_warmup();
  metric = options.metric;
  if (walk || (metric == Metric::automatic && n <= 64)) metric = Metric::dense;
  if (metric == Metric::automatic) metric = Metric::diagonal;
  for (std::size_t c = 0; c < options.chains; ++c) {
    detail::ChainState chain;
    chain.q.resize(n);
    chain.g.resize(n);
    chain.random = Random(options.seed, c);
    chains.push_back(std::move(chain));
  }
  const bool pooled = !walk && options.adaptation == Adaptation::fisher;
  tunings.resize(pooled ? 1 : options.chains);
  search_step.assign(tunings.size(), walk ? 0 : 1);
  for (auto& t : tunings) {
    t.metric.set_unit(metric, n);
    t.step.restart(walk ? 2.38 / std::sqrt(double(n)) : 1, 10);
    t.window.reset(n, metric == Metric::dense);
  }
  output.resize(options.chains);
}

bool Sampler::State::start_chains(detail::Poll& poll) {
  const std::size_t n = density.dimension();
  for (std::size_t c = 0; c < chains.size(); ++c) {
    detail::ChainState& chain = chains[c];
    if (chain.started) continue;
    for (int attempt = 0; !chain.started; ++attempt) {
      if (attempt == (chain.given ? 1 : 100))
        throw Error(fmt::format(
            "no starting point of chain {} has a finite log density and gradient ({} tried "
            "within +-{} on the unconstrained scale); check the density, or give points "
            "with start_at",
            c, attempt, options.init_radius));
      if (poll.should_stop()) return false;
      std::vector<double> q = chain.q;
      if (!chain.given)
        for (double& x : q) x = chain.random.uniform(-options.init_radius, options.init_radius);
      std::vector<double> g(n);
      const double lp = density.has_gradient() ? density.evaluate(q, g) : density.value(q);
      if (!std::isfinite(lp)) continue;
      chain.q = q;
      chain.g = g;
      chain.lp = lp;
      chain.started = true;
    }
  }
  return true;
}

bool Sampler::State::step(detail::Poll& poll) {
  const std::size_t c = next_chain;
  const bool warm = iteration < warmup;
  detail::Tuning& t = tuning(c);
  const std::size_t which = tunings.size() == 1 ? 0 : c;
  if (search_step[which]) {
    if (!engine.find_step(chains[c], t, poll)) return false;
    t.step.restart(t.step.eps, iteration == 0 ? 10 : 2);
    search_step[which] = 0;
  }
  DrawStats stats;
  if (!warm && output[c].stats.size() > iteration - warmup) {
    // It was sampled alone and is ahead.
  } else if (!sample_one(c, poll, stats)) {
    return false;
  } else if (!warm) {
    keep(c, stats);
  } else if (options.algorithm != Algorithm::random_walk) {
    if (options.adaptation == Adaptation::fisher)
      learn_fisher(c, stats.accept_stat);
    else
      learn_windows(c, stats.accept_stat);
  }
  if (++next_chain == chains.size()) {
    next_chain = 0;
    end_iteration();
  }
  return true;
}

void Sampler::State::keep(std::size_t c, const DrawStats& stats) {
  Chain& chain = output[c];
  const std::size_t n = chains[c].q.size();
  if (chain.stats.size() == chain.stats.capacity()) {
    const std::size_t room = room_for_draws(chain.stats.size(), options.draws);
    chain.stats.reserve(room);
    chain.q.reserve(room * n);
  }
  chain.q.insert(chain.q.end(), chains[c].q.begin(), chains[c].q.end());
  chain.stats.push_back(stats);
}

bool Sampler::State::sample_one(std::size_t c, detail::Poll& poll, DrawStats& stats) {
  detail::Tuning& t = tuning(c);
  const bool warm = iteration < warmup;
  bool complete = false;
  if (options.algorithm == Algorithm::random_walk) {
    const double gain =
        std::min(1.0, double(density.dimension()) * std::pow(double(iteration) + 1, -2.0 / 3));
    complete = engine.random_walk(chains[c], t, warm, gain, poll, stats);
  } else if (options.algorithm == Algorithm::hmc) {
    complete = engine.hmc(chains[c], t, poll, stats);
  } else {
    const bool shallow =
        options.adaptation == Adaptation::fisher && iteration < shallow_iterations && warm;
    const auto depth = shallow ? std::min(options.max_depth, shallow_depth) : options.max_depth;
    complete = engine.nuts(chains[c], t, depth, poll, stats);
  }
  divergences += complete && stats.divergent;
  return complete;
}

bool Sampler::State::enough() const {
  const std::size_t draws = iteration - warmup;
  if (double(draws * chains.size()) < 0.8 * options.target_ess) return false;
  const Run run(density, output, Run::Unassessed{});
  for (std::size_t p = 0; p < density.parameters().size(); ++p) {
    const double bulk = ess_bulk(run.values(p));
    if (std::isnan(bulk) && density.parameters().size() > density.dimension()) continue;
    if (!(bulk >= options.target_ess) || !(ess_tail(run.values(p)) >= options.target_ess))
      return false;
  }
  return true;
}

Sampler::Sampler(Density density, SampleOptions options)
    : state_(std::make_unique<State>(std::move(density), options)) {}
Sampler::Sampler(std::unique_ptr<State> state) : state_(std::move(state)) {}
Sampler::~Sampler() = default;
Sampler::Sampler(Sampler&&) noexcept = default;
Sampler& Sampler::operator=(Sampler&&) noexcept = default;

void Sampler::start_at(std::span<const double> points) {
  const std::size_t n = state_->density.dimension();
  if (points.size() != n * state_->chains.size())
    throw ConfigError(
        fmt::format("start_at was given {} values; {} chains of {} parameters need {}",
                    points.size(), state_->chains.size(), n, n * state_->chains.size()));
  for (std::size_t c = 0; c < state_->chains.size(); ++c) {
    state_->chains[c].given = true;
    std::copy_n(points.begin() + static_cast<std::ptrdiff_t>(c * n), n,
                state_->chains[c].q.begin());
  }
}

bool Sampler::advance(const StopWhen& stop, std::size_t transitions) {
  State& s = *state_;
  detail::Poll poll(stop);
  s.stopped = Status::ok;
  if (s.done) return true;
  if (!s.start_chains(poll)) {
    s.stopped = poll.status();
    return false;
  }
  for (std::size_t i = 0; i < transitions && !s.done; ++i) {
    if (!s.step(poll)) {
      s.stopped = poll.status();
      return false;
    }
  }
  return s.done;
}

bool Sampler::advance_warmup(const StopWhen& stop, std::size_t transitions) {
  const State& s = *state_;
  while (s.iteration < s.warmup && transitions > 0) {  // which may grow on the way
    const std::size_t before = completed_transitions();
    const std::size_t most = std::min(transitions, s.warmup * s.chains.size() - before);
    advance(stop, most);
    if (completed_transitions() - before < most) break;
    transitions -= most;
  }
  return s.iteration >= s.warmup;
}

void Sampler::State::check_chain(std::size_t chain) const {
  if (chain >= chains.size())
    throw ConfigError(fmt::format("chain {} does not exist; there are {}", chain, chains.size()));
  if (iteration < warmup)
    throw ConfigError(
        "chains meet until the end of the warm-up; call advance_warmup until it is true");
  if (options.target_ess > 0)
    throw ConfigError("target_ess asks for all chains together; use advance");
}

bool Sampler::advance_chain(std::size_t chain, const StopWhen& stop, std::size_t transitions) {
  State& s = *state_;
  s.check_chain(chain);
  detail::Poll poll(stop);
  s.stopped = Status::ok;
  DrawStats stats;
  while (s.output[chain].stats.size() < s.options.draws && transitions-- > 0) {
    if (!s.sample_one(chain, poll, stats)) {
      s.stopped = poll.status();
      return false;
    }
    s.keep(chain, stats);
  }
  return s.output[chain].stats.size() >= s.options.draws;
}

void Sampler::take_chain(Sampler&& from, std::size_t chain) {
  State& s = *state_;
  s.check_chain(chain);
  from.state_->check_chain(chain);
  s.chains[chain] = from.state_->chains[chain];
  s.output[chain] = std::move(from.state_->output[chain]);
  if (s.tunings.size() > 1) s.tunings[chain] = from.state_->tunings[chain];
  std::size_t least = SIZE_MAX;
  for (const auto& c : s.output) least = std::min(least, c.stats.size());
  if (least > s.iteration - s.warmup) s.next_chain = 0;
  s.iteration = s.warmup + least;
  s.done = least >= s.options.draws;
}

bool Sampler::finished() const noexcept {
  return state_->done;
}
Status Sampler::stopped() const noexcept {
  return state_->stopped;
}
const SampleOptions& Sampler::options() const noexcept {
  return state_->options;
}
std::size_t Sampler::completed_transitions() const noexcept {
  return state_->iteration * state_->chains.size() + state_->next_chain;
}

Run Sampler::result() const& {
  return state_->result(state_->output);
}
Run Sampler::result() && {
  return state_->result(std::move(state_->output));
}

Run Sampler::State::result(std::vector<Chain> draws) const {
  const State& s = *this;
  Run run(s.density, std::move(draws), Run::Unassessed{});
  run.warmup = s.warmup;
  run.warmup_leapfrogs = s.iteration < s.warmup ? s.engine.leapfrogs : s.warmup_leapfrogs;
  run.max_depth = s.options.max_depth;
  run.seed = s.options.seed;
  run.algorithm = s.options.algorithm == Algorithm::nuts  ? "nuts"
                  : s.options.algorithm == Algorithm::hmc ? "hmc"
                                                          : "random_walk";
  for (std::size_t c = 0; c < s.chains.size(); ++c) {
    const detail::Tuning& t = s.tunings[s.tunings.size() == 1 ? 0 : c];
    run.inverse_metric.push_back(t.metric.s);
    run.stepsize.push_back(t.step.eps);
  }
  run.assess(s.options.checks, s.stopped);
  return run;
}

Run sample(const Density& density, const SampleOptions& options, const StopWhen& stop) {
  Sampler sampler(density, options);
  sampler.advance(stop);
  return std::move(sampler).result();
}

}  // namespace reeve::mcmc
