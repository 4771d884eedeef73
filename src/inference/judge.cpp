// From fits to a verdict: probabilities, strength, and which evidence is missing.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <reeve/mcmc/compare.hpp>
#include <reeve/mcmc/diagnostics.hpp>

#include "inference/fit.hpp"
#include "inference/standard.hpp"

namespace reeve::inference {
namespace {

using mcmc::Status;

struct Weighted {
  double value, weight;
};

// f(highest cause) - f(lowest cause) of each draw, in the data's units.
std::vector<double> strengths(const LinkData& data, const Mechanism& mechanism,
                              const mcmc::Run& run) {
  const Standard standard(data, mechanism.record());
  const auto [low, high] = std::minmax_element(data.x.begin(), data.x.end());
  const double from = standard.cause(*low), to = standard.cause(*high);
  std::vector<double> theta(mechanism.parameters().size()), out;
  out.reserve(run.chains().size() * run.draws());
  for (std::size_t c = 0; c < run.chains().size(); ++c)
    for (std::size_t i = 0; i < run.draws(); ++i) {
      for (std::size_t p = 0; p < theta.size(); ++p) theta[p] = run.values(p)[c][i];
      out.push_back(standard.scale * (mechanism.mean(to, theta) - mechanism.mean(from, theta)));
    }
  return out;
}

double weighted_quantile(const std::vector<Weighted>& sorted, double total, double q) {
  double below = 0;
  for (const auto& w : sorted) {
    below += w.weight;
    if (below >= q * total) return w.value;
  }
  return sorted.empty() ? std::nan("") : sorted.back().value;
}

Strength summed_up(std::vector<Weighted> draws, double interval) {
  Strength s;
  if (draws.empty()) {
    s.mean = s.sd = s.low = s.high = std::nan("");
    return s;
  }
  double total = 0, positive = 0;
  for (const auto& d : draws) {
    total += d.weight;
    s.mean += d.weight * d.value;
    positive += d.weight * (d.value > 0 ? 1 : d.value < 0 ? 0 : 0.5);
  }
  s.mean /= total;
  s.probability_positive = positive / total;
  double squares = 0;
  for (const auto& d : draws) squares += d.weight * (d.value - s.mean) * (d.value - s.mean);
  s.sd = std::sqrt(squares / total);
  std::sort(draws.begin(), draws.end(),
            [](const Weighted& a, const Weighted& b) { return a.value < b.value; });
  s.low = weighted_quantile(draws, total, (1 - interval) / 2);
  s.high = weighted_quantile(draws, total, (1 + interval) / 2);
  return s;
}

void append(std::vector<Weighted>& all, const std::vector<double>& values, double weight) {
  all.reserve(all.size() + values.size());
  for (const double v : values) all.push_back({v, weight / static_cast<double>(values.size())});
}

// At most `most` draws per chain, evenly spaced.
mcmc::Run thinned(const mcmc::Run& run, std::size_t most) {
  const std::size_t stride = (run.draws() + most - 1) / most, d = run.density().dimension();
  std::vector<mcmc::Chain> chains(run.chains().size());
  for (std::size_t c = 0; c < chains.size(); ++c)
    for (std::size_t i = 0; i < run.draws(); i += stride) {
      const auto from = run.chains()[c].q.begin() + static_cast<std::ptrdiff_t>(i * d);
      chains[c].q.insert(chains[c].q.end(), from, from + static_cast<std::ptrdiff_t>(d));
      chains[c].stats.push_back(run.chains()[c].stats[i]);
    }
  return {run.density(), std::move(chains), mcmc::Run::Unassessed{}};
}

// One relative efficiency for all observations: it only sets the length of the tails.
mcmc::Loo loo_of(const FitReport& report, const mcmc::Run& run) {
  constexpr std::size_t most = 1000;
  const auto likelihood =
      mcmc::pointwise_log_likelihood(run.draws() > most ? thinned(run, most) : run);
  const auto& d = report.diagnostics;
  const double share = d.min_ess_bulk / static_cast<double>(d.draws);
  const double efficiency = share > 0 ? std::min(share, 1.0) : 1;
  const std::vector<double> all(likelihood.size(), efficiency);
  return mcmc::psis_loo(likelihood, all);
}

void add_loo(LinkReport& report, const LinkData& data, const std::vector<Fit>& fits,
             const FitSettings& settings) {
  for (std::size_t i = 0; i < fits.size() && settings.loo != LooOf::none; ++i) {
    FitReport& f = report.fits[i];
    const bool wanted =
        settings.loo == LooOf::all || i == report.best || !fits[i].mechanism->record().effect;
    const bool cut = f.status == Status::deadline || f.status == Status::cancelled;
    if (!wanted || cut || fits[i].run->draws() * settings.chains < 100) continue;
    const double from = cpu_seconds();
    try {
      f.loo = loo_of(f, *fits[i].run);
    } catch (const ConfigError&) {
      continue;  // a row is impossible in some draw: the necessity test says that there is none
    }
    // Of the data as they are, like the marginal likelihoods.
    const std::size_t rows = data.x.size();
    const double shift = Standard(data, fits[i].mechanism->record()).log_jacobian(rows);
    f.loo->elpd += shift;
    for (double& value : f.loo->pointwise) value += shift / static_cast<double>(rows);
    f.seconds += cpu_seconds() - from;
  }
}

std::size_t best_of(const LinkReport& report) {
  std::size_t best = 0;
  double highest = -INFINITY;
  for (const bool only_ok : {true, false}) {
    for (std::size_t i = 0; i < report.fits.size(); ++i) {
      const FitReport& f = report.fits[i];
      if (only_ok && f.status != Status::ok) continue;
      const double value = f.probability.value_or(f.log_marginal.value);
      if (value > highest) highest = value, best = i;
    }
    if (highest > -INFINITY) break;
  }
  return best;
}

// Parameters of which the data say next to nothing: as wide as their prior.
std::string unlearned(const Mechanism& mechanism, const mcmc::Run& run) {
  constexpr int prior_draws = 400;
  mcmc::Random random(1, 77);
  std::string names;
  for (std::size_t p = 0; p < mechanism.parameters().size(); ++p) {
    const auto& parameter = mechanism.parameters()[p];
    mcmc::ChainDraws prior(1);
    for (int i = 0; i < prior_draws; ++i) prior[0].push_back(parameter.prior.draw(random));
    const auto& posterior = run.values(p);
    const double before = mcmc::quantile(prior, 0.75) - mcmc::quantile(prior, 0.25);
    const double after = mcmc::quantile(posterior, 0.75) - mcmc::quantile(posterior, 0.25);
    if (!(after < 0.8 * before)) names += (names.empty() ? "" : ", ") + parameter.name;
  }
  return names;
}

class Judge {
 public:
  Judge(const LinkData& data, const std::vector<Fit>& fits, const FitSettings& settings,
        LinkReport& report)
      : data_(data), fits_(fits), settings_(settings), report_(report) {
    for (std::size_t i = 0; i < fits.size(); ++i)
      if (!fits[i].mechanism->record().effect) null_ = i;
  }

  void operator()() {
    if (!report_.conclusive)
      lack(Evidence::convergence,
           fmt::format("no probabilities: {}", fmt::join(report_.reasons, "; ")));
    const double limit = settings_.effect_limit;
    if (!null_)
      lack(Evidence::effect, "there is no null among the candidates to compare with");
    else if (!(report_.probability_effect >= limit))
      lack(Evidence::effect,
           fmt::format("P(effect) is {:.3f}; {} is asked", report_.probability_effect, limit));
    if (!(report_.probability_direction >= limit))
      lack(Evidence::direction, fmt::format("P(direction) is {:.3f}; {} is asked",
                                            report_.probability_direction, limit));
    const FitReport& best = report_.fits[report_.best];
    if (!(best.probability.value_or(0) >= settings_.mechanism_limit))
      lack(Evidence::mechanism,
           fmt::format("P({}) is {:.3f}; {} is asked", best.mechanism,
                       best.probability.value_or(std::nan("")), settings_.mechanism_limit));
    const Fit& fit = fits_[report_.best];
    if (fit.run->draws() > 3)
      if (const auto names = unlearned(*fit.mechanism, *fit.run); !names.empty())
        lack(Evidence::identifiability,
             fmt::format("the posterior of {} is nearly as wide as its prior", names));
    const std::size_t count = fit.mechanism->parameters().size() + data_.confounders.size() +
                              (has_noise(data_.family) ? 1 : 0);
    if (data_.x.size() < 5 * count)
      lack(Evidence::data, fmt::format("{} rows for {} parameters; at least {} are asked",
                                       data_.x.size(), count, 5 * count));
    check_prediction(best);
    report_.necessity.passed = report_.necessity.missing.empty();
  }

 private:
  void lack(Evidence evidence, std::string text) {
    Lack l;
    l.evidence = evidence;
    l.text = std::move(text);
    report_.necessity.missing.push_back(std::move(l));
  }

  void check_prediction(const FitReport& best) {
    if (!null_ || *null_ == report_.best) return;
    const FitReport& null = report_.fits[*null_];
    for (const FitReport* fit : {&best, &null}) {
      if (!fit->loo)
        lack(Evidence::prediction,
             fmt::format("no PSIS-LOO of {}: {}", fit->mechanism,
                         settings_.loo == LooOf::none ? "options.loo is none"
                                                      : "its draws do not allow one"));
      else if (fit->loo->bad_k > 0)
        lack(Evidence::prediction,
             fmt::format(
                 "PSIS-LOO of {} cannot be trusted in {} of {} rows (Pareto k up to {:.2f})",
                 fit->mechanism, fit->loo->bad_k, fit->loo->pointwise.size(), fit->loo->max_k));
    }
    const auto &with = best.loo, &without = null.loo;
    if (!with || !without || with->bad_k + without->bad_k > 0) return;
    const std::size_t n = with->pointwise.size();
    double difference = 0, squares = 0;
    for (std::size_t i = 0; i < n; ++i) difference += with->pointwise[i] - without->pointwise[i];
    for (std::size_t i = 0; i < n; ++i) {
      const double d = with->pointwise[i] - without->pointwise[i];
      squares += (d - difference / double(n)) * (d - difference / double(n));
    }
    const double se = std::sqrt(double(n) * squares / double(n - 1));
    if (!(difference > se))
      lack(Evidence::prediction,
           fmt::format("elpd of {} exceeds that of the null by {:.1f} with error {:.1f}",
                       best.mechanism, difference, se));
  }

  const LinkData& data_;
  const std::vector<Fit>& fits_;
  const FitSettings& settings_;
  LinkReport& report_;
  std::optional<std::size_t> null_;
};

FitReport report_of(const LinkData& data, const Fit& fit, const FitSettings& settings,
                    const std::vector<double>& strength) {
  FitReport r;
  r.mechanism = fit.mechanism->name();
  r.diagnostics = fit.run->diagnostics();
  r.status = r.diagnostics.status;
  r.reasons = r.diagnostics.reasons;
  if (fit.left_out)
    r.reasons.push_back("left out of the comparison, without a probability: it is too far behind");
  r.method = fit.method;
  r.rounds = fit.rounds;
  r.sampling.seed = fit.run->seed;
  r.sampling.warmup = fit.run->warmup;
  r.sampling.stepsize = fit.run->stepsize;
  r.sampling.inverse_metric = fit.run->inverse_metric;
  r.seconds = fit.seconds;
  r.log_marginal = fit.of_data;
  if (fit.run->draws() > 0) r.summary = summary_of(*fit.run, data, *fit.mechanism);
  std::vector<Weighted> draws;
  append(draws, strength, 1);
  r.strength = summed_up(std::move(draws), settings.interval);
  return r;
}

void give_probabilities(LinkReport& report, const std::vector<Fit>& fits, double se_limit) {
  std::vector<mcmc::Candidate> candidates;
  std::vector<std::size_t> compared;
  for (std::size_t i = 0; i < fits.size(); ++i) {
    if (fits[i].left_out) continue;
    compared.push_back(i);
    mcmc::Candidate c;
    c.name = report.fits[i].mechanism;
    c.log_marginal = report.fits[i].log_marginal;
    if (fits[i].dominated) c.log_marginal.se = 0;  // next to nothing, give or take its error
    c.status = report.fits[i].status;
    c.log_prior = log_weight(fits[i]);
    candidates.push_back(std::move(c));
  }
  const auto p = mcmc::model_probabilities(candidates, se_limit);
  report.conclusive = p.conclusive;
  report.reasons = p.reasons;
  for (std::size_t i = 0; p.conclusive && i < compared.size(); ++i)
    report.fits[compared[i]].probability = p.probability[i];
}

}  // namespace

const char* to_string(Evidence evidence) noexcept {
  switch (evidence) {
    case Evidence::convergence:
      return "convergence";
    case Evidence::effect:
      return "effect";
    case Evidence::direction:
      return "direction";
    case Evidence::mechanism:
      return "mechanism";
    case Evidence::identifiability:
      return "identifiability";
    case Evidence::data:
      return "data";
    case Evidence::prediction:
      return "prediction";
  }
  return "unknown";
}

LinkReport judge(const LinkData& data, Fits all, const FitSettings& settings) {
  const std::vector<Fit>& fits = all.fits;
  LinkReport report;
  report.deadline_reached = all.deadline_reached;
  std::vector<std::vector<double>> strength;
  for (const Fit& fit : fits) {
    strength.push_back(strengths(data, *fit.mechanism, *fit.run));
    report.fits.push_back(report_of(data, fit, settings, strength.back()));
    report.deadline_reached |= report.fits.back().status == Status::deadline;
  }
  give_probabilities(report, fits, settings.se_limit);
  report.best = best_of(report);
  add_loo(report, data, fits, settings);
  std::vector<Weighted> mixed;
  double null_probability = std::nan("");
  for (std::size_t i = 0; i < fits.size(); ++i) {
    const double p = report.fits[i].probability.value_or(i == report.best ? 1 : 0);
    if (p > 1e-9) append(mixed, strength[i], p);
    if (report.conclusive && !fits[i].mechanism->record().effect) {
      // Several may say "no effect"; one that was left out has next to no probability.
      null_probability = report.fits[i].probability.value_or(0) +
                         (std::isnan(null_probability) ? 0 : null_probability);
    }
  }
  report.strength = summed_up(std::move(mixed), settings.interval);
  report.probability_effect = 1 - null_probability;
  const double up = report.strength.probability_positive;
  // Without a comparison the strength is the best fit's, and only a fit that holds has a direction.
  const bool believed = report.conclusive || report.fits[report.best].status == Status::ok;
  report.probability_direction = believed ? std::max(up, 1 - up) : std::nan("");
  Judge(data, fits, settings, report)();
  for (std::size_t i = 0; i < fits.size(); ++i)
    if (settings.keep == KeepDraws::all || (settings.keep == KeepDraws::best && i == report.best))
      report.fits[i].chains = std::move(*all.fits[i].run).chains();
  return report;
}

}  // namespace reeve::inference
