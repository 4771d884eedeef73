// Standard scales, and the density of one candidate on them.
#include "inference/standard.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <reeve/inference/infer.hpp>
#include <reeve/mcmc/diagnostics.hpp>
#include <reeve/mcmc/glm.hpp>

namespace reeve::inference {

double mean_of(const std::vector<double>& values) noexcept {
  double sum = 0;
  for (const double v : values) sum += v / static_cast<double>(values.size());
  return sum;
}

double deviation_of(const std::vector<double>& values) noexcept {
  const double mean = mean_of(values);
  double largest = 0;
  for (const double v : values) largest = std::max(largest, std::abs(v - mean));
  double sum = 0;
  for (const double v : values) sum += (v - mean) / largest * ((v - mean) / largest);
  return largest * std::sqrt(sum / static_cast<double>(values.size() - 1));
}

bool has_noise(Family family) noexcept {
  return family == Family::normal || family == Family::student ||
         family == Family::negative_binomial;
}

mcmc::Family sampler_family(Family family) noexcept {
  switch (family) {
    case Family::student:
      return mcmc::Family::student_t;
    case Family::bernoulli:
      return mcmc::Family::bernoulli_logit;
    case Family::poisson:
      return mcmc::Family::poisson_log;
    case Family::negative_binomial:
      return mcmc::Family::neg_binomial_log;
    default:
      return mcmc::Family::normal;
  }
}

Standard::Standard(const LinkData& data, const MechanismRecord& mechanism) {
  const CauseScale cause_scale = mechanism.scale;
  const auto [low, high] = std::minmax_element(data.x.begin(), data.x.end());
  if (cause_scale == CauseScale::range) from = *low, width = *high - *low;
  if (cause_scale == CauseScale::ratio) width = std::max(std::abs(*low), std::abs(*high));
  if (cause_scale == CauseScale::raw) return;
  const double mean = mean_of(data.y);
  shifts_effect = data.family == Family::normal || data.family == Family::student;
  if (shifts_effect) scale = deviation_of(data.y);
  if (mechanism.through_zero) return;
  if (shifts_effect)
    centre = mean;
  else
    centre = data.family == Family::bernoulli ? std::log(mean / (1 - mean)) : std::log(mean);
}

double Standard::factor(Unit unit) const noexcept {
  switch (unit) {
    case Unit::level:
    case Unit::change:
      return scale;
    case Unit::point:
      return width;
    case Unit::slope:
      return scale / width;
    case Unit::curvature:
      return scale / width / width;
    case Unit::rate:
      return 1 / width;
    default:
      return 1;
  }
}

double Standard::shift(Unit unit) const noexcept {
  return unit == Unit::level ? centre : unit == Unit::point ? from : 0;
}

double Standard::log_jacobian(std::size_t rows) const noexcept {
  return shifts_effect ? -static_cast<double>(rows) * std::log(scale) : 0;
}

namespace {

std::vector<double> standardised(const std::vector<double>& values, double from, double width) {
  std::vector<double> out;
  out.reserve(values.size());
  for (const double v : values) out.push_back((v - from) / width);
  return out;
}

mcmc::Parameters parameters_of(const LinkData& data, const Mechanism& mechanism, double spread) {
  mcmc::Parameters parameters;
  for (const auto& p : mechanism.parameters()) parameters.add(p.name, p.prior);
  for (const auto& name : data.confounder_names)
    parameters.add("slope." + name, mcmc::normal(0, spread));
  if (data.family == Family::negative_binomial)
    parameters.add("phi", mcmc::lognormal(1.6, 1.5));
  else if (has_noise(data.family))
    parameters.add("sigma", mcmc::half_normal(spread));
  return parameters;
}

}  // namespace

mcmc::Density density_of(const LinkData& data, const Mechanism& mechanism) {
  const bool raw = mechanism.record().scale == CauseScale::raw;
  const bool additive = data.family == Family::normal || data.family == Family::student;
  const double spread = raw && additive ? deviation_of(data.y) : 1;
  return density_on(Standard(data, mechanism.record()), spread, data, mechanism);
}

mcmc::Density density_on(const Standard& standard, double spread, const LinkData& data,
                         const Mechanism& mechanism) {
  const std::vector<double> x = standardised(data.x, standard.from, standard.width);
  std::vector<double> y =
      standard.shifts_effect ? standardised(data.y, standard.centre, standard.scale) : data.y;
  std::vector<std::vector<double>> columns;
  const bool closed = mechanism.record().linear && data.family == Family::normal;
  if (closed) {  // a column for each parameter: f with that parameter 1 and the others 0
    std::vector<double> unit(mechanism.parameters().size(), 0.0);
    for (double& one : unit) {
      one = 1;
      auto& column = columns.emplace_back();
      for (const double at : x) column.push_back(mechanism.mean(at, unit));
      one = 0;
    }
  } else {
    columns.push_back(x);
  }
  for (const auto& z : data.confounders)
    columns.push_back(standardised(z, mean_of(z), deviation_of(z)));
  mcmc::Parameters parameters = parameters_of(data, mechanism, spread);
  if (closed)
    return mcmc::linear_regression(std::move(parameters), mcmc::Columns(std::move(columns)),
                                   std::move(y));
  columns.push_back(std::move(y));
  mcmc::LinearTerm linear;
  linear.covariates = data.confounders.size();
  linear.offset = standard.shifts_effect ? 0 : standard.centre;
  return mechanism.code().density(std::move(parameters), mcmc::Columns(std::move(columns)),
                                  sampler_family(data.family), data.student_nu, linear);
}

namespace {

struct Turn {
  double factor = 1, shift = 0;
};

// What turns a parameter of the density into the data's units.
Turn turn_of(std::size_t i, const LinkData& data, const Mechanism& mechanism) {
  const Standard standard(data, mechanism.record());
  const std::size_t own = mechanism.parameters().size();
  if (i < own) {
    const Unit unit = mechanism.parameters()[i].unit;
    return {standard.factor(unit), standard.shift(unit)};
  }
  if (i < own + data.confounders.size())
    return {standard.scale / deviation_of(data.confounders[i - own]), 0};
  return {data.family != Family::negative_binomial ? standard.scale : 1, 0};
}
Turn turn_of_derived(const LinkData& data, const Mechanism& mechanism) {
  const Standard standard(data, mechanism.record());
  const Unit unit = mechanism.record().derived_unit;
  return {standard.factor(unit), standard.shift(unit)};
}

void to_units(mcmc::ParameterSummary& r, Turn turn) {
  for (double* value : {&r.mean, &r.q5, &r.q50, &r.q95}) *value = *value * turn.factor + turn.shift;
  r.sd *= turn.factor;
  r.mcse *= turn.factor;
}

mcmc::ChainDraws derived_draws(const mcmc::Run& run, const Mechanism& mechanism) {
  mcmc::ChainDraws values(run.chains().size(), std::vector<double>(run.draws()));
  std::vector<double> theta(mechanism.parameters().size());
  for (std::size_t c = 0; c < values.size(); ++c)
    for (std::size_t i = 0; i < values[c].size(); ++i) {
      for (std::size_t p = 0; p < theta.size(); ++p) theta[p] = run.values(p)[c][i];
      values[c][i] = mechanism.code().derived(theta);
    }
  return values;
}

mcmc::ParameterSummary derived_of(const mcmc::Run& run, const Mechanism& mechanism) {
  const mcmc::DrawFigures f = mcmc::figures(derived_draws(run, mechanism));
  return {mechanism.record().derived,
          f.mean,
          f.sd,
          f.mcse,
          f.q5,
          f.q50,
          f.q95,
          f.rhat,
          f.ess_bulk,
          f.ess_tail};
}

bool has_derived(const mcmc::Run& run, const Mechanism& mechanism) {
  return !mechanism.record().derived.empty() && run.draws() > 0;
}

// "ft/mph"; a unit of several words is put in brackets.
std::string per(const std::string& above, std::string below, const char* power = "") {
  if (below.empty()) return {};
  if (below.find_first_of(" /*") != std::string::npos) below = fmt::format("({})", below);
  return fmt::format("{}/{}{}", above.empty() ? "1" : above, below, power);
}

std::string text_of(Unit unit, const std::string& cause, const std::string& effect) {
  switch (unit) {
    case Unit::level:
    case Unit::change:
      return effect;
    case Unit::point:
      return cause;
    case Unit::slope:
      return per(effect, cause);
    case Unit::curvature:
      return per(effect, cause, "^2");
    case Unit::rate:
      return per("", cause);
    default:
      return {};
  }
}

}  // namespace

mcmc::Run in_units(const mcmc::Run& run, const LinkData& data, const Mechanism& mechanism) {
  auto names = run.names();
  std::vector<mcmc::ChainDraws> values;
  for (std::size_t i = 0; i < names.size(); ++i) values.push_back(run.values(i));
  const auto turn = [](mcmc::ChainDraws& row, Turn by) {
    for (auto& chain : row)
      for (double& v : chain) v = v * by.factor + by.shift;
  };
  for (std::size_t i = 0; i < values.size(); ++i) turn(values[i], turn_of(i, data, mechanism));
  if (has_derived(run, mechanism)) {
    names.push_back(mechanism.record().derived);
    turn(values.emplace_back(derived_draws(run, mechanism)), turn_of_derived(data, mechanism));
  }
  return run.shown_as(std::move(names), std::move(values));
}

std::string unit_of(std::string_view parameter, const LinkData& data, const Mechanism& mechanism) {
  // The mechanism of a Bernoulli or a count acts on log odds or logarithms.
  const bool own_scale = data.family == Family::normal || data.family == Family::student;
  const std::string effect = own_scale ? data.effect_unit : "";
  for (const auto& p : mechanism.parameters())
    if (p.name == parameter) return text_of(p.unit, data.cause_unit, effect);
  if (parameter == mechanism.record().derived)
    return text_of(mechanism.record().derived_unit, data.cause_unit, effect);
  return parameter == "sigma" ? effect : "";
}

std::vector<mcmc::ParameterSummary> summary_of(const mcmc::Run& run, const LinkData& data,
                                               const Mechanism& mechanism) {
  auto rows = run.summary();
  for (std::size_t i = 0; i < rows.size(); ++i) to_units(rows[i], turn_of(i, data, mechanism));
  if (has_derived(run, mechanism)) {
    rows.push_back(derived_of(run, mechanism));
    to_units(rows.back(), turn_of_derived(data, mechanism));
  }
  return rows;
}

}  // namespace reeve::inference
