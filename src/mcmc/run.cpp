// Constrained draws, summaries, and the verdict on a run.
#include <reeve/base/error.hpp>
#include <reeve/mcmc/diagnostics.hpp>
#include <reeve/mcmc/run.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace reeve::mcmc {

const char* to_string(Status status) noexcept {
  switch (status) {
    case Status::ok:
      return "ok";
    case Status::not_converged:
      return "not_converged";
    case Status::deadline:
      return "deadline";
    case Status::cancelled:
      return "cancelled";
  }
  return "unknown";
}

Run::Run(Density density, std::vector<Chain> chains)
    : Run(std::move(density), std::move(chains), Unassessed{}) {
  assess({});
}

Run::Run(Density density, std::vector<Chain> chains, Unassessed)
    : density_(std::move(density)), chains_(std::move(chains)) {
  draws_ = chains_.empty() ? 0 : SIZE_MAX;
  for (const auto& chain : chains_) draws_ = std::min(draws_, chain.stats.size());
  const std::size_t d = density_.dimension(), size = density_.parameters().size();
  values_.assign(size,
                 std::vector<std::vector<double>>(chains_.size(), std::vector<double>(draws_)));
  std::vector<double> theta(size);
  for (std::size_t c = 0; c < chains_.size(); ++c)
    for (std::size_t i = 0; i < draws_; ++i) {
      density_.constrain({chains_[c].q.data() + i * d, d}, theta);
      for (std::size_t p = 0; p < size; ++p) values_[p][c][i] = theta[p];
    }
}

Run Run::shown_as(std::vector<std::string> names, std::vector<ChainDraws> values) const {
  const auto fits = [this](const ChainDraws& row) {
    return row.size() == chains_.size() && std::all_of(row.begin(), row.end(), [this](auto& chain) {
             return chain.size() == draws_;
           });
  };
  if (names.empty() || names.size() != values.size() ||
      !std::all_of(values.begin(), values.end(), fits))
    throw ConfigError(fmt::format(
        "shown_as was given {} names and {} rows; it needs a row of {} chains with {} draws each "
        "for every name",
        names.size(), values.size(), chains_.size(), draws_));
  Run run = *this;
  run.shown_ = std::move(names);
  run.values_ = std::move(values);
  run.figures_.clear();
  for (std::size_t p = 0; assessed_ && p < run.values_.size(); ++p)
    run.figures_.push_back(figures(run.values_[p]));
  return run;
}

std::vector<ParameterSummary> Run::summary() const {
  std::vector<ParameterSummary> rows;
  const auto all_names = names();
  for (std::size_t p = 0; p < values_.size(); ++p) {
    const DrawFigures f = assessed_ ? figures_[p] : figures(values_[p]);
    rows.push_back(
        {all_names[p], f.mean, f.sd, f.mcse, f.q5, f.q50, f.q95, f.rhat, f.ess_bulk, f.ess_tail});
  }
  return rows;
}

Diagnostics Run::counted() const {
  Diagnostics d;
  d.draws = draws_ * chains_.size();
  d.max_rhat = d.min_ess_bulk = d.min_ess_tail = d.min_e_bfmi = std::nan("");
  for (const auto& chain : chains_) {
    std::vector<double> energy;
    for (std::size_t i = 0; i < draws_; ++i) {
      const DrawStats& s = chain.stats[i];
      d.divergences += s.divergent;
      d.max_depth_hits += s.treedepth >= max_depth;
      d.leapfrogs += s.n_leapfrog;
      energy.push_back(s.energy);
    }
    if (algorithm == "nuts" || algorithm == "hmc")
      d.min_e_bfmi = std::fmin(d.min_e_bfmi, e_bfmi(energy));
  }
  return d;
}

void Run::assess(const Checks& checks, Status stopped) {
  if (!assessed_)
    for (const auto& x : values_) figures_.push_back(figures(x));
  assessed_ = true;
  Diagnostics d = counted();
  const auto fail = [&](std::string reason) { d.reasons.push_back(std::move(reason)); };
  const auto all_names = names();
  const double wanted = checks.ess_per_chain * static_cast<double>(chains_.size());
  std::size_t bad_rhat = 0, bad_ess = 0, constant = 0;
  std::string worst_rhat, worst_ess;
  double least = INFINITY;
  for (std::size_t p = 0; p < values_.size(); ++p) {
    const auto& x = values_[p];
    // A Cholesky factor has entries that are fixed by definition; any other constant is a stuck
    // run.
    const bool fixed = !chains_.empty() && draws_ > 0 && (x[0][0] == 0 || x[0][0] == 1) &&
                       density_.parameters().size() > density_.dimension();
    const double r = figures_[p].rhat, bulk = figures_[p].ess_bulk, tail = figures_[p].ess_tail;
    if (std::isnan(bulk)) {
      constant += fixed ? 0 : 1;
      continue;
    }
    if (!(r <= d.max_rhat)) d.max_rhat = r, worst_rhat = all_names[p];
    d.min_ess_bulk = std::fmin(d.min_ess_bulk, bulk);
    d.min_ess_tail = std::fmin(d.min_ess_tail, std::isnan(tail) ? bulk : tail);
    const double ess = std::fmin(bulk, std::isnan(tail) ? bulk : tail);
    if (ess < least) least = ess, worst_ess = all_names[p];
    const double limit = std::max(checks.rhat_limit, std::min(1.05, 1 + 10 / std::max(ess, 1.0)));
    bad_rhat += !(r <= limit);
    bad_ess += !(ess >= wanted);
  }
  if (!missing.empty()) fail(missing);
  if (draws_ < 4) fail(fmt::format("{} draws per chain; at least 4 are needed to judge", draws_));
  if (chains_.size() < 2) fail("one chain cannot show that chains agree; run at least 2");
  if (draws_ >= 4 && constant > 0)
    fail(fmt::format("{} parameters never moved or are not finite", constant));
  if (bad_rhat > 0)
    fail(fmt::format(
        "R-hat of {} parameters too high, largest {:.3f} ({}): chains disagree; run longer "
        "or reparametrise",
        bad_rhat, d.max_rhat, worst_rhat));
  if (bad_ess > 0)
    fail(fmt::format("ESS of {} parameters below {:.0f}, smallest {:.0f} ({}): run longer", bad_ess,
                     wanted, least, worst_ess));
  const auto total = static_cast<double>(std::max<std::size_t>(d.draws, 1));
  if (double(d.divergences) > checks.divergent_fraction * total)
    fail(fmt::format(
        "{} of {} transitions diverged: regions of high curvature are missed; reparametrise or "
        "raise target_accept",
        d.divergences, d.draws));
  if (d.min_e_bfmi < checks.e_bfmi)
    fail(fmt::format("E-BFMI {:.2f} is below {}: heavy tails or a funnel; reparametrise",
                     d.min_e_bfmi, checks.e_bfmi));
  if (algorithm == "nuts" && double(d.max_depth_hits) > checks.max_depth_fraction * total)
    fail(fmt::format("{} of {} trees hit depth {}: raise max_depth or rescale", d.max_depth_hits,
                     d.draws, max_depth));
  d.status = stopped != Status::ok ? stopped
             : d.reasons.empty()   ? Status::ok
                                   : Status::not_converged;
  diagnostics_ = std::move(d);
}

}  // namespace reeve::mcmc
