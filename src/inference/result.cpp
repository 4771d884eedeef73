// Questions to a result: fits by name, runs, bands, files.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <reeve/base/error.hpp>
#include <reeve/inference/infer.hpp>
#include <reeve/inference/result.hpp>
#include <reeve/mcmc/diagnostics.hpp>

#include "inference/standard.hpp"

namespace reeve::inference {
namespace {

// On the effect's own scale: probabilities and means for the families with a link function.
double response_of(Family family, double value) {
  if (family == Family::bernoulli) return 1 / (1 + std::exp(-value));
  if (family == Family::poisson || family == Family::negative_binomial) return std::exp(value);
  return value;
}

std::string in_quotes(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\')
      out += fmt::format("\\{}", c);
    else if (static_cast<unsigned char>(c) < 0x20)
      out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    else
      out += c;
  }
  out += '"';
  return out;
}

std::string number(double value) {
  return std::isfinite(value) ? fmt::format("{}", value) : "null";
}

std::string list(const std::vector<std::string>& texts) {
  std::string out;
  for (const auto& t : texts) {
    if (!out.empty()) out += ',';
    out += in_quotes(t);
  }
  return fmt::format("[{}]", out);
}

std::string json_of(const Strength& s) {
  return fmt::format(R"({{"mean":{},"sd":{},"low":{},"high":{},"probability_positive":{}}})",
                     number(s.mean), number(s.sd), number(s.low), number(s.high),
                     number(s.probability_positive));
}

std::string json_of(const FitReport& f) {
  std::string rows;
  for (const auto& r : f.summary)
    rows += fmt::format(
        R"({}{{"name":{},"mean":{},"sd":{},"mcse":{},"q5":{},"q50":{},"q95":{},"rhat":{},)"
        R"("ess_bulk":{},"ess_tail":{}}})",
        rows.empty() ? "" : ",", in_quotes(r.name), number(r.mean), number(r.sd), number(r.mcse),
        number(r.q5), number(r.q50), number(r.q95), number(r.rhat), number(r.ess_bulk),
        number(r.ess_tail));
  const auto& d = f.diagnostics;
  const std::string loo =
      f.loo ? fmt::format(R"({{"elpd":{},"se":{},"p_loo":{},"max_k":{},"bad_k":{}}})",
                          number(f.loo->elpd), number(f.loo->se), number(f.loo->p_loo),
                          number(f.loo->max_k), f.loo->bad_k)
            : "null";
  return fmt::format(
      R"({{"mechanism":{},"status":{},"reasons":{},"method":{},"rounds":{},"probability":{},)"
      R"("log_marginal":{},"log_marginal_se":{},"strength":{},"loo":{},"draws":{},)"
      R"("divergences":{},"max_rhat":{},"min_ess_bulk":{},"min_ess_tail":{},"seconds":{},)"
      R"("summary":[{}]}})",
      in_quotes(f.mechanism), in_quotes(mcmc::to_string(f.status)), list(f.reasons),
      in_quotes(f.method), f.rounds, f.probability ? number(*f.probability) : "null",
      number(f.log_marginal.value), number(f.log_marginal.se), json_of(f.strength), loo, d.draws,
      d.divergences, number(d.max_rhat), number(d.min_ess_bulk), number(d.min_ess_tail),
      number(f.seconds), rows);
}

std::string file_name(std::string name) {
  for (char& c : name) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (!plain && c != '-' && c != '_' && c != '.') c = '-';
  }
  return name;
}

}  // namespace

InferenceResult::InferenceResult() : InferenceResult(LinkData(), {}, LinkReport()) {}

InferenceResult::InferenceResult(LinkData data, std::vector<Mechanism> candidates,
                                 LinkReport report)
    : data_(std::make_shared<LinkData>(std::move(data))),
      candidates_(std::make_shared<std::vector<Mechanism>>(std::move(candidates))),
      report_(std::make_shared<LinkReport>(std::move(report))) {}

const FitReport& InferenceResult::fit(std::string_view mechanism) const {
  std::string known;
  for (const auto& f : report_->fits) {
    if (f.mechanism == mechanism) return f;
    known += (known.empty() ? "" : ", ") + f.mechanism;
  }
  throw ConfigError(
      fmt::format("'{}' was no candidate for link '{}'; there were {}", mechanism, link(), known));
}

const Mechanism& InferenceResult::candidate(std::string_view name) const {
  const auto at = static_cast<std::size_t>(&fit(name) - report_->fits.data());
  return (*candidates_)[at];
}

double InferenceResult::posterior_probability(std::string_view mechanism) const {
  return fit(mechanism).probability.value_or(std::nan(""));
}

const mcmc::LogMarginal& InferenceResult::log_marginal(std::string_view mechanism) const {
  return fit(mechanism).log_marginal;
}

const mcmc::Loo& InferenceResult::loo(std::string_view mechanism) const {
  const auto& loo = fit(mechanism).loo;
  if (!loo)
    throw ConfigError(
        fmt::format("there is no LOO of '{}'; set options.loo = LooOf::all "
                    "(a fit with fewer than 100 draws has none)",
                    mechanism));
  return *loo;
}

mcmc::Run InferenceResult::run(std::string_view mechanism) const {
  const FitReport& f = fit(mechanism);
  if (f.chains.empty())
    throw ConfigError(fmt::format(
        "the draws of '{}' were not kept; set options.keep = KeepDraws::all", mechanism));
  mcmc::Run run(density_of(*data_, candidate(mechanism)), f.chains, mcmc::Run::Unassessed{});
  run.algorithm = f.method;
  run.seed = f.sampling.seed;
  run.warmup = f.sampling.warmup;
  run.stepsize = f.sampling.stepsize;
  run.inverse_metric = f.sampling.inverse_metric;
  run.model =
      fmt::format("{} of {} on {} (standard scale)", f.mechanism, data_->effect, data_->cause);
  mcmc::Checks checks;
  checks.rhat_limit = 1.02;
  checks.ess_per_chain = 50;
  const bool cut = f.status == mcmc::Status::deadline || f.status == mcmc::Status::cancelled;
  run.assess(checks, cut ? f.status : mcmc::Status::ok);
  return run;
}

mcmc::Run InferenceResult::run_in_units(std::string_view mechanism) const {
  mcmc::Run run = in_units(this->run(mechanism), *data_, candidate(mechanism));
  run.model =
      fmt::format("{} of {} on {} (in units of the data)", mechanism, data_->effect, data_->cause);
  return run;
}

std::string InferenceResult::unit(std::string_view mechanism, std::string_view parameter) const {
  return unit_of(parameter, *data_, candidate(mechanism));
}

mcmc::PredictiveBand InferenceResult::band(std::string_view mechanism, std::size_t points,
                                           double interval) const {
  const mcmc::Run run = this->run(mechanism);
  const Mechanism& m = candidate(mechanism);
  const Standard standard(*data_, m.record());
  const auto [low, high] = std::minmax_element(data_->x.begin(), data_->x.end());
  mcmc::PredictiveBand band;
  band.label = fmt::format("{:.3g} % interval", 100 * interval);
  std::vector<double> theta(m.parameters().size());
  for (std::size_t i = 0; i < points; ++i) {
    const double share = points > 1 ? double(i) / double(points - 1) : 0;
    const double x = *low + (*high - *low) * share;
    mcmc::ChainDraws values(1);
    for (std::size_t c = 0; c < run.chains().size(); ++c)
      for (std::size_t d = 0; d < run.draws(); ++d) {
        for (std::size_t p = 0; p < theta.size(); ++p) theta[p] = run.values(p)[c][d];
        const double level = standard.level(m.mean(standard.cause(x), theta));
        values[0].push_back(response_of(data_->family, level));
      }
    band.x.push_back(x);
    band.low.push_back(mcmc::quantile(values, (1 - interval) / 2));
    band.middle.push_back(mcmc::quantile(values, 0.5));
    band.high.push_back(mcmc::quantile(values, (1 + interval) / 2));
  }
  return band;
}

std::vector<std::filesystem::path> InferenceResult::write_stan_csv(
    const std::filesystem::path& folder) const {
  std::vector<std::filesystem::path> all;
  for (const auto& f : report_->fits) {
    if (f.chains.empty()) continue;
    const auto files =
        mcmc::write_stan_csv(run_in_units(f.mechanism), folder, file_name(f.mechanism));
    all.insert(all.end(), files.begin(), files.end());
  }
  return all;
}

void InferenceResult::write_inference_data(const std::filesystem::path& folder) const {
  for (const auto& f : report_->fits)
    if (!f.chains.empty())
      mcmc::write_inference_data(run_in_units(f.mechanism),
                                 folder / (file_name(f.mechanism) + ".zarr"));
}

std::string InferenceResult::to_json() const {
  const LinkReport& r = *report_;
  std::string fits, missing;
  for (const auto& f : r.fits) fits += (fits.empty() ? "\n  " : ",\n  ") + json_of(f);
  for (const auto& m : r.necessity.missing)
    missing += fmt::format(R"({}{{"evidence":"{}","text":{}}})", missing.empty() ? "" : ",",
                           to_string(m.evidence), in_quotes(m.text));
  return fmt::format(
      R"({{"link":{},"cause":{},"effect":{},"family":"{}","rows":{},"type":{},"conclusive":{},)"
      R"("reasons":{},"strength":{},"probability_effect":{},"probability_direction":{},)"
      R"("necessity":{{"passed":{},"missing":[{}]}},"device":{},"worker":{},"seconds":{},)"
      R"("fits":[{}]}})"
      "\n",
      in_quotes(link()), in_quotes(data_->cause), in_quotes(data_->effect),
      to_string(data_->family), data_->x.size(), in_quotes(type()), r.conclusive, list(r.reasons),
      json_of(r.strength), number(r.probability_effect), number(r.probability_direction),
      r.necessity.passed, missing, in_quotes(device),
      in_quotes(device.empty() ? "" : to_string(worker)), number(r.seconds), fits);
}

}  // namespace reeve::inference
