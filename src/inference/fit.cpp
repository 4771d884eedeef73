// Sampling the candidates of one link: slices, rounds, a shared deadline, checkpoints.
#include "inference/fit.hpp"

#include <time.h>

#include <algorithm>
#include <cmath>
#include <exception>
#include <optional>
#include <reeve/base/error.hpp>
#include <reeve/mcmc/compare.hpp>
#include <reeve/mcmc/smc.hpp>

#include "inference/checkpoint.hpp"
#include "inference/standard.hpp"

namespace reeve::inference {
namespace {

using mcmc::Status;

mcmc::Checks strict_checks() {
  mcmc::Checks c;
  c.rhat_limit = 1.02;
  c.ess_per_chain = 50;
  return c;
}
mcmc::Checks loose_checks() {
  mcmc::Checks c;
  c.rhat_limit = 1.05;
  c.ess_per_chain = 20;
  return c;
}

constexpr std::size_t slice = 4000;  // transitions between two looks at the watch

class Fitter {
 public:
  Fitter(const LinkData& data, const std::vector<Mechanism>& candidates,
         const FitSettings& settings, const Watch& watch)
      : data_(data),
        candidates_(candidates),
        settings_(settings),
        watch_(watch),
        checkpoints_(settings.checkpoint_folder, data.name) {}

  std::vector<Fit> run() {
    std::vector<Fit> fits(candidates_.size());
    std::vector<std::size_t> all;
    for (std::size_t i = 0; i < fits.size(); ++i) {
      fits[i].mechanism = &candidates_[i];
      densities_.push_back(density_of(data_, candidates_[i]));
      all.push_back(i);
    }
    sample(fits, all, 1);
    assess(fits);
    for (int round = 2; round <= static_cast<int>(settings_.rounds); ++round) {
      std::vector<std::size_t> again;
      for (const std::size_t i : all)
        if (!usable(fits[i])) again.push_back(i);
      if (again.empty()) break;
      if (stopped()) cut_ = true;
      if (cut_) break;
      // Chains that sit in different modes do not mix by running longer.
      std::vector<std::size_t> longer;
      for (const std::size_t i : again) {
        const bool apart = settings_.rounds > 2 && fits[i].run->diagnostics().max_rhat > 1.1;
        if (round == 2 && !apart)
          longer.push_back(i);
        else
          temper(fits[i], densities_[i], round);
      }
      if (!longer.empty()) sample(fits, longer, round);
      assess(fits);
    }
    if (!cut_) checkpoints_.remove_all();
    return fits;
  }

 private:
  // A mechanism that may matter must pass strict checks; for one that has next to no probability
  // it is enough that its chains agree, as its marginal likelihood is all that is used.
  void assess(std::vector<Fit>& fits) const {
    double highest = -INFINITY;
    for (Fit& fit : fits) {
      if (!fit.log_marginal.converged) continue;
      fit.of_data = fit.log_marginal;
      fit.of_data.value += Standard(data_, fit.mechanism->record()).log_jacobian(data_.x.size());
      highest = std::max(highest, fit.of_data.value);
    }
    for (Fit& fit : fits) {
      const bool known = fit.log_marginal.converged;
      fit.dominated = known && is_behind(fit.of_data, highest, 10);
      const Status status = fit.run->status();
      if (status == Status::deadline || status == Status::cancelled) continue;
      const bool matters = !known || fit.of_data.value > highest - 3;
      fit.run->assess(matters ? strict_checks() : loose_checks());
      // Chains that disagree are off by a few nats at most, not by this much.
      fit.left_out =
          known && fit.run->status() != Status::ok && is_behind(fit.of_data, highest, 15);
    }
  }
  bool usable(const Fit& fit) const {
    if (fit.left_out) return true;
    return fit.run->status() == Status::ok && fit.log_marginal.converged &&
           (fit.dominated || fit.log_marginal.se < settings_.se_limit);
  }
  bool stopped() const {
    if (watch_.until.stop.stop_requested()) return true;
    if (watch_.should_stop && watch_.should_stop()) return true;
    return watch_.until.deadline && watch_.until.clock->now() >= *watch_.until.deadline;
  }

  mcmc::SampleOptions options_of(std::size_t candidate, int round) const {
    mcmc::SampleOptions o;
    o.chains = settings_.chains;
    o.warmup = settings_.warmup;
    o.draws = settings_.draws;
    o.seed = settings_.seed + 1000003 * candidate;
    o.target_accept = settings_.target_accept;
    o.target_ess = settings_.target_ess;
    o.checks = strict_checks();
    if (round > 1) {
      o.draws *= 2;
      o.warmup = std::max<std::size_t>(300, 2 * o.warmup);
      o.target_accept = std::max(o.target_accept, 0.9);
      o.seed += 500009;
    }
    return o;
  }

  // Advances all samplers; while there is a deadline, each in turn gets its share of what is left.
  void sample(std::vector<Fit>& fits, const std::vector<std::size_t>& which, int round) {
    std::vector<std::optional<mcmc::Sampler>> samplers(fits.size());
    std::vector<std::size_t> open = which;
    for (const std::size_t i : which) samplers[i] = start(i, round);
    while (!open.empty() && !stopped()) {
      std::vector<std::size_t> left;
      for (std::size_t at = 0; at < open.size(); ++at) {
        const std::size_t i = open[at];
        const double from = cpu_seconds();
        if (!advance(*samplers[i], i, round, open.size() - at)) left.push_back(i);
        fits[i].seconds += cpu_seconds() - from;
        report_progress(samplers, which, round);
      }
      open = left;
    }
    for (const std::size_t i : which) {
      const double from = cpu_seconds();
      cut_ |= !samplers[i]->finished();
      if (!samplers[i]->finished())
        checkpoints_.write(candidates_[i].name(), round, samplers[i]->checkpoint());
      finish(fits[i], *samplers[i], i, round);
      fits[i].seconds += cpu_seconds() - from;
    }
  }

  mcmc::Sampler start(std::size_t i, int round) {
    if (auto bytes = checkpoints_.read(candidates_[i].name(), round))
      return mcmc::Sampler::resume(densities_[i], *bytes);
    return mcmc::Sampler(densities_[i], options_of(i, round));
  }

  bool advance(mcmc::Sampler& sampler, std::size_t i, int round, std::size_t sharers) {
    mcmc::StopWhen until = watch_.until;
    if (until.deadline) {
      const auto now = until.clock->now();
      const auto share = (*until.deadline - now) / static_cast<long>(sharers);
      until.deadline = now + std::max<Clock::duration>(share, Clock::duration::zero());
    }
    const std::size_t step = checkpoints_.enabled() ? settings_.checkpoint_every : slice;
    for (;;) {
      const bool done = sampler.advance(until, step);
      if (checkpoints_.enabled())
        checkpoints_.write(candidates_[i].name(), round, sampler.checkpoint());
      if (done) return true;
      if (sampler.stopped() != Status::ok || stopped()) return false;
    }
  }

  void report_progress(const std::vector<std::optional<mcmc::Sampler>>& samplers,
                       const std::vector<std::size_t>& which, int round) const {
    if (!watch_.progress) return;
    std::size_t done = 0;
    for (const std::size_t i : which) done += samplers[i]->finished();
    const double share = static_cast<double>(done) / static_cast<double>(which.size());
    watch_.progress(round == 1 ? 80 * share : 80 + 20 * share, data_.name);
  }

  // A run that was cut short says why; its draws are used as far as they go.
  void finish(Fit& fit, const mcmc::Sampler& sampler, std::size_t i, int round) const {
    auto run = std::make_unique<mcmc::Run>(sampler.result());
    if (fit.run && !sampler.finished() && run->draws() < fit.run->draws()) return;
    fit.run = std::move(run);
    fit.rounds = round;
    if (!sampler.finished()) {
      const bool asked = watch_.until.stop.stop_requested();
      fit.run->assess(options_of(i, round).checks, asked ? Status::cancelled : Status::deadline);
    }
    fit.log_marginal = mcmc::LogMarginal();
    fit.log_marginal.value = fit.log_marginal.se = std::nan("");
    fit.of_data = fit.log_marginal;
    try {
      if (fit.run->draws() * settings_.chains >= 100)
        fit.log_marginal = mcmc::bridge_log_marginal(*fit.run, settings_.seed);
    } catch (const ConfigError&) {  // the draws do not span the space: there is no estimate
    }
  }

  void temper(Fit& fit, const mcmc::Density& density, int round) {
    const double from = cpu_seconds();
    mcmc::SmcOptions o;
    const bool rough = fit.dominated && round == 2;
    o.seed = settings_.seed + 7 * static_cast<std::uint64_t>(round);
    o.particles = rough ? 200 : 500 * static_cast<std::size_t>(round - 1);
    o.islands = rough ? 2 : 4;
    o.checks = strict_checks();
    mcmc::SmcResult smc = mcmc::sample_smc(density, o, watch_.until);
    fit.seconds += cpu_seconds() - from;
    const Status status = smc.run.status();
    if (status == Status::deadline || status == Status::cancelled) {
      cut_ = true;
      return;  // keep what there was
    }
    fit.run = std::make_unique<mcmc::Run>(std::move(smc.run));
    fit.log_marginal = mcmc::LogMarginal();
    fit.log_marginal.value = smc.log_evidence;
    fit.log_marginal.se = smc.se;
    fit.log_marginal.converged = std::isfinite(smc.log_evidence);
    fit.method = "smc";
    fit.rounds = round;
  }

  const LinkData& data_;
  const std::vector<Mechanism>& candidates_;
  const FitSettings& settings_;
  const Watch& watch_;
  Checkpoints checkpoints_;
  std::vector<mcmc::Density> densities_;
  bool cut_ = false;  ///< something was left undone
};

}  // namespace

double cpu_seconds() {
  timespec t{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

bool is_behind(const mcmc::LogMarginal& marginal, double highest, double margin) {
  return marginal.se < 1 && marginal.value + 6 * marginal.se < highest - margin;
}

std::vector<Fit> fit_all(const LinkData& data, const std::vector<Mechanism>& candidates,
                         const FitSettings& settings, const Watch& watch) {
  return Fitter(data, candidates, settings, watch).run();
}

}  // namespace reeve::inference
