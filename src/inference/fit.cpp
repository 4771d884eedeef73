// Sampling the candidates of one link: slices, rounds, a shared deadline, checkpoints.
#include "inference/fit.hpp"

#include <fmt/format.h>
#include <time.h>

#include <algorithm>
#include <cmath>
#include <exception>
#include <optional>
#include <reeve/base/error.hpp>
#include <reeve/mcmc/compare.hpp>
#include <reeve/mcmc/importance.hpp>
#include <reeve/mcmc/smc.hpp>

#include "inference/checkpoint.hpp"
#include "inference/climb.hpp"
#include "inference/standard.hpp"

namespace reeve::inference {
namespace {

using mcmc::Status;

mcmc::Checks loose_checks() {
  mcmc::Checks c;
  c.rhat_limit = 1.05;
  c.ess_per_chain = 20;
  return c;
}

bool cut(const Fit& fit) {
  const Status status = fit.run->status();
  return status == Status::deadline || status == Status::cancelled;
}

double log_jacobian(const LinkData& data, const Fit& fit) {
  return Standard(data, fit.mechanism->record()).log_jacobian(data.x.size());
}

constexpr double left_out_margin = 10;  // nats
constexpr std::size_t slice = 4000;     // transitions between two looks at the watch

class Fitter {
 public:
  Fitter(const LinkData& data, const std::vector<Mechanism>& candidates,
         const FitSettings& settings, const Watch& watch)
      : data_(data),
        candidates_(candidates),
        settings_(settings),
        watch_(watch),
        checkpoints_(settings.checkpoint_folder, data.name) {}

  Fits run() {
    Fits result;
    std::vector<Fit>& fits = result.fits;
    fits.resize(candidates_.size());
    std::vector<std::size_t> all;
    for (std::size_t i = 0; i < fits.size(); ++i) {
      fits[i].mechanism = &candidates_[i];
      densities_.push_back(density_of(data_, candidates_[i]));
      all.push_back(i);
    }
    if (watch_.slowest_gradient.count() > 0) refuse_slow();
    sample(fits, all, 1);
    assess(data_, fits);
    for (int round = 2; round <= static_cast<int>(settings_.rounds); ++round) {
      std::vector<std::size_t> again;
      for (const std::size_t i : all)
        if (!usable(fits[i])) again.push_back(i);
      if (again.empty() || stop_between_rounds()) break;
      repeat(fits, again, round);
      assess(data_, fits);
    }
    if (!cut_) checkpoints_.remove_all();
    result.deadline_reached = cut_ && at_deadline();
    return result;
  }

 private:
  // CPU time, of the second evaluation: the first one meets cold caches.
  void refuse_slow() const {
    for (const auto& density : densities_) {
      const std::vector<double> q(density.dimension(), 0.1);
      std::vector<double> g(q.size());
      density.evaluate(q, g);
      const double from = cpu_seconds();
      density.evaluate(q, g);
      if (cpu_seconds() - from > 1e-6 * double(watch_.slowest_gradient.count())) throw TooSlow();
    }
  }
  void repeat(std::vector<Fit>& fits, const std::vector<std::size_t>& again, int round) {
    std::vector<std::size_t> longer;
    for (const std::size_t i : again) {
      if (round == 2 && weigh(fits[i], i)) continue;
      // Chains that sit in different modes do not mix by running longer.
      const bool apart = settings_.rounds > 2 && fits[i].run->diagnostics().max_rhat > 1.1;
      if (round == 2 && !apart)
        longer.push_back(i);
      else
        temper(fits[i], densities_[i], round);
    }
    if (!longer.empty()) sample(fits, longer, round);
  }

  // The marginal likelihood of a fit, on both scales.
  void set_marginal(Fit& fit, const mcmc::LogMarginal& marginal) const {
    fit.log_marginal = fit.of_data = marginal;
    if (marginal.converged) fit.of_data.value += log_jacobian(data_, fit);
  }
  void no_marginal(Fit& fit) const {
    mcmc::LogMarginal none;
    none.value = none.se = std::nan("");
    set_marginal(fit, none);
  }
  bool usable(const Fit& fit) const {
    if (fit.left_out) return true;
    return fit.run->status() == Status::ok && fit.log_marginal.converged &&
           (fit.dominated || fit.log_marginal.se < settings_.se_limit);
  }
  bool at_deadline() const {
    return watch_.until.deadline && watch_.until.clock->now() >= *watch_.until.deadline;
  }
  bool stopped() const {
    if (watch_.until.stop.stop_requested()) return true;
    return (watch_.should_stop && watch_.should_stop()) || at_deadline();
  }
  bool stop_between_rounds() {
    cut_ = cut_ || stopped();
    return cut_;
  }

  // Advances all samplers; while there is a deadline, each in turn gets its share of what is left.
  void sample(std::vector<Fit>& fits, const std::vector<std::size_t>& which, int round) {
    std::vector<std::optional<mcmc::Sampler>> samplers(fits.size());
    std::vector<std::size_t> open = which;
    if (watch_.sampled)
      collect(samplers, which, round), open.clear();
    else
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
      finish(fits[i], std::move(*samplers[i]), round);
      samplers[i].reset();
      fits[i].seconds += cpu_seconds() - from;
    }
  }

  void collect(std::vector<std::optional<mcmc::Sampler>>& samplers,
               const std::vector<std::size_t>& which, int round) const {
    bool all = true;
    for (const std::size_t i : which) {
      samplers[i] = watch_.sampled(i, round, densities_[i]);
      all = all && samplers[i];
    }
    if (!all) throw NotSampled();
  }

  mcmc::Sampler start(std::size_t i, int round) const {
    return begin_sampling(densities_[i], candidates_[i], settings_, i, round, checkpoints_);
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
  void finish(Fit& fit, mcmc::Sampler&& sampler, int round) const {
    const bool finished = sampler.finished();
    auto run = std::make_unique<mcmc::Run>(std::move(sampler).result());
    if (fit.run && !finished && run->draws() < fit.run->draws()) return;
    fit.run = std::move(run);
    fit.rounds = round;
    if (!finished) {
      const bool asked = watch_.until.stop.stop_requested();
      fit.run->assess(strict_checks(), asked ? Status::cancelled : Status::deadline);
    }
    no_marginal(fit);
    try {
      if (fit.run->draws() * settings_.chains >= 100)
        set_marginal(fit, mcmc::bridge_log_marginal(*fit.run, settings_.seed));
    } catch (const ConfigError&) {  // the draws do not span the space: there is no estimate
    }
  }

  // By weights, from what the chains have seen: far cheaper than longer chains, and good for
  // several modes. False when the weights are not to be trusted.
  bool weigh(Fit& fit, std::size_t i) {
    if (densities_[i].dimension() > mcmc::most_importance_parameters) return false;
    const double from = cpu_seconds();
    mcmc::ImportanceOptions o;
    o.draws = std::min<std::size_t>(settings_.draws, 1000);
    o.islands = settings_.chains;
    o.seed = settings_.seed + 1000003 * i;
    o.checks = strict_checks();
    mcmc::ImportanceResult result =
        mcmc::sample_importance(densities_[i], fit.run.get(), o, watch_.until);
    fit.seconds += cpu_seconds() - from;
    if (!result.reliable || !(result.se < settings_.se_limit)) return false;
    replace(fit, std::move(result.run), result.log_evidence, result.se, 2);
    fit.method = "importance";
    return true;
  }

  void replace(Fit& fit, mcmc::Run&& run, double log_evidence, double se, int round) const {
    fit.run = std::make_unique<mcmc::Run>(std::move(run));
    mcmc::LogMarginal marginal;
    marginal.value = log_evidence;
    marginal.se = se;
    marginal.converged = std::isfinite(log_evidence);
    if (marginal.converged)
      set_marginal(fit, marginal);
    else
      no_marginal(fit);
    fit.rounds = round;
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
    // Of the islands that are there alone it would be an evidence of those that were easy.
    const double evidence = smc.run.missing.empty() ? smc.log_evidence : std::nan("");
    replace(fit, std::move(smc.run), evidence, smc.se, round);
    fit.method = "smc";
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

double log_weight(const Fit& fit) {
  return std::log(fit.mechanism->record().weight);
}
double score(const Fit& fit) {
  return fit.of_data.value + log_weight(fit);
}
bool is_behind(const Fit& fit, double highest, double margin) {
  return fit.of_data.se < 1 && score(fit) + 6 * fit.of_data.se < highest - margin;
}

namespace {

// With priors that integrate to one, no marginal likelihood exceeds the largest likelihood. Chains
// that agree have been near it; those that disagree need not: it is climbed to.
bool cannot_matter(const LinkData& data, Fit& fit, double highest) {
  if (!std::isfinite(highest)) return false;
  const mcmc::Run& run = *fit.run;
  std::vector<double> theta(run.density().parameters().size());
  double largest = -INFINITY;
  for (std::size_t c = 0; c < run.chains().size(); ++c)
    for (std::size_t i = 0; i < run.draws(); ++i) {
      for (std::size_t p = 0; p < theta.size(); ++p) theta[p] = run.values(p)[c][i];
      largest = std::max(largest, run.density().model().evaluate(theta, {}));
    }
  const double limit = highest - left_out_margin - log_jacobian(data, fit) - log_weight(fit);
  if (!std::isfinite(largest) || !(largest < limit)) return false;
  if (run.diagnostics().max_rhat <= loose_checks().rhat_limit) return true;
  if (!fit.climbed) fit.highest_likelihood = highest_likelihood(run.density());
  fit.climbed = true;
  return fit.highest_likelihood && *fit.highest_likelihood < limit;
}

}  // namespace

void assess(const LinkData& data, std::vector<Fit>& fits) {
  for (Fit& fit : fits)
    if (!cut(fit)) fit.run->assess(loose_checks());
  double highest = -INFINITY;
  for (const Fit& fit : fits)
    if (fit.run->status() == Status::ok && fit.of_data.converged && fit.of_data.se < 1)
      highest = std::max(highest, score(fit));
  for (Fit& fit : fits) {
    const bool known = fit.of_data.converged;
    fit.dominated = known && is_behind(fit, highest, 10);
    fit.left_out = false;
    if (cut(fit)) continue;
    if (!known || score(fit) > highest - 3) fit.run->assess(strict_checks());
    fit.left_out = fit.run->status() != Status::ok && cannot_matter(data, fit, highest);
  }
}

Fits fit_all(const LinkData& data, const std::vector<Mechanism>& candidates,
             const FitSettings& settings, const Watch& watch) {
  return Fitter(data, candidates, settings, watch).run();
}

}  // namespace reeve::inference
