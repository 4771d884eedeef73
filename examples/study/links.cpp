// Which mechanism links which columns; R's figures are those of cases.cpp and reference.R.
#include "links.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace study {
namespace {

using namespace reeve::inference;
using Data = reeve::inference::Table;
using reeve::mcmc::lognormal;
using reeve::mcmc::normal;

// Chemistry knows that nothing happens at zero: mechanisms without a level of their own.
Mechanism michaelis_menten() {
  auto m =
      mechanism<2>("Michaelis-Menten", [](const auto& x, auto t) { return t[0] * x / (x + t[1]); });
  m.parameter("Vm", normal(0, 5), Unit::change).parameter("K", lognormal(-1.2, 1), Unit::point);
  m.scale(CauseScale::ratio).through_zero();
  return m;
}
Mechanism first_order() {
  auto m = mechanism<2>("first order", [](const auto& x, auto t) {
    using std::exp;
    return t[0] * (1.0 - exp(-(t[1] * x)));
  });
  m.parameter("A", normal(0, 5), Unit::change).parameter("k", lognormal(0.7, 1), Unit::rate);
  m.scale(CauseScale::ratio).through_zero();
  return m;
}
Mechanism proportional() {
  auto m = mechanism<1>("proportional", [](const auto& x, auto t) { return t[0] * x; });
  m.parameter("slope", normal(0, 5), Unit::slope).scale(CauseScale::ratio).through_zero();
  m.linear();
  return m;
}

struct Column {
  std::string name, unit;
};
CausalLink link_of(std::string name, Column cause, Column effect, Data data) {
  CausalLink link(std::move(cause.name), std::move(effect.name), std::move(data));
  link.name = std::move(name);
  link.cause_unit = std::move(cause.unit);
  link.effect_unit = std::move(effect.unit);
  return link;
}

LinkCase enzyme(const Data& puromycin, const std::string& state) {
  LinkCase item;
  item.link = link_of("Puromycin, " + state, {"conc", "ppm"}, {"rate", "counts/min/min"},
                      puromycin.where("state", state));
  item.candidates = {null(), linear(), quadratic(), sigmoid(), michaelis_menten()};
  item.expected = "Michaelis-Menten";
  return item;
}

// DNase: an assay's optical density follows the logarithm of the concentration.
LinkCase assay(const std::string& folder) {
  Data data = Data::read_csv(folder + "/dnase.csv").where("Run", "1");
  std::vector<double> logarithms = data.numbers("conc");
  for (double& v : logarithms) v = std::log(v);
  data.add("log conc", logarithms);
  LinkCase item;
  item.link = link_of("DNase, run 1", {"log conc", "log ng/ml"}, {"density", ""}, std::move(data));
  item.candidates = {null(), linear(), quadratic(), threshold(), sigmoid()};
  item.expected = "sigmoid";
  item.probability = 0.9;
  item.anchors = {{"sigmoid", "rise", 2.345180, 0.07815392},
                  {"sigmoid", "midpoint", 1.483090, 0.08135319},
                  {"sigmoid", "rate", 1 / 1.041455, 0.03227080}};
  return item;
}

LinkCase null_pair(const std::string& folder) {
  const Data cars = Data::read_csv(folder + "/cars.csv");
  const std::vector<double> dist = cars.numbers("dist");
  std::vector<double> moved;
  for (std::size_t i = 0; i < dist.size(); ++i) moved.push_back(dist[(19 * i + 11) % dist.size()]);
  Data data;
  data.add("speed", cars.numbers("speed")).add("dist of another", moved);
  LinkCase item;
  item.link = link_of("null pair", {"speed", "mph"}, {"dist of another", "ft"}, std::move(data));
  item.candidates = default_mechanisms();
  item.expected = "null";
  item.effect_at_least = 0;
  item.effect_at_most = 0.6;
  return item;
}

}  // namespace

std::vector<LinkCase> read_links(const std::string& folder) {
  const Data puromycin = Data::read_csv(folder + "/puromycin.csv");
  std::vector<LinkCase> all{enzyme(puromycin, "treated"), enzyme(puromycin, "untreated"),
                            assay(folder)};
  all[0].probability = 0.9;
  all[0].anchors = {{"Michaelis-Menten", "Vm", 212.68358, 6.947146},
                    {"Michaelis-Menten", "K", 0.06412103, 0.008280922}};
  all[1].anchors = {{"Michaelis-Menten", "Vm", 160.28007, 6.480247},
                    {"Michaelis-Menten", "K", 0.04770823, 0.007781881}};
  LinkCase bod;
  bod.link =
      link_of("BOD", {"Time", "days"}, {"demand", "mg/l"}, Data::read_csv(folder + "/bod.csv"));
  bod.candidates = {null(), proportional(), first_order()};
  bod.expected = "first order";
  bod.effect_at_least = 0.5;  // six rows
  bod.anchors = {{"first order", "A", 19.142577, 2.495918},
                 {"first order", "k", 0.5310912, 0.2030820}};
  all.push_back(std::move(bod));
  LinkCase cars;
  cars.link =
      link_of("cars", {"speed", "mph"}, {"dist", "ft"}, Data::read_csv(folder + "/cars.csv"));
  cars.candidates = default_mechanisms();
  cars.expected = "linear";
  cars.effect_at_least = 0.999;
  cars.anchors = {{"linear", "slope", 3.932409, 0.4155128}};
  all.push_back(std::move(cars));
  LinkCase trees;
  trees.link = link_of("Loblolly", {"age", "years"}, {"height", "ft"},
                       Data::read_csv(folder + "/loblolly.csv"));
  trees.candidates = {null(), linear(), threshold(), sigmoid(), exponential()};
  trees.expected = "exponential";
  trees.probability = 0.8;
  trees.effect_at_least = 0.999;
  trees.anchors = {{"exponential", "rate", 0.03892456, 0.003170667}};
  all.push_back(std::move(trees));
  all.push_back(null_pair(folder));
  return all;
}

InferOptions options_of(const LinkCase& item) {
  InferOptions options;
  options.candidates = item.candidates;
  options.draws = 1000;
  options.loo = LooOf::all;
  options.keep = KeepDraws::all;
  return options;
}

void check_link(CheckList& checks, const LinkCase& item, const InferenceResult& result) {
  const std::string& name = result.link();
  checks.that(name + ", its mechanism", result.type() == item.expected,
              fmt::format("{}, expected {}", result.type(), item.expected));
  checks.that(name + ", probabilities", result.conclusive(),
              result.conclusive()
                  ? fmt::format("all {} candidates could be compared", result.fits().size())
                  : fmt::format("{}", fmt::join(result.report().reasons, "; ")));
  checks.at_least(name + ", P(mechanism)", result.posterior_probability(item.expected),
                  item.probability);
  checks.at_least(name + ", P(effect)", result.probability_effect(), item.effect_at_least);
  checks.at_most(name + ", P(effect)", result.probability_effect(), item.effect_at_most);
  for (const auto& fit : result.fits())
    checks.at_most(fmt::format("{}, R-hat of {}", name, fit.mechanism), fit.diagnostics.max_rhat,
                   1.02);
  for (const Anchor& anchor : item.anchors) {
    const auto& rows = result.fit(anchor.mechanism).summary;
    const auto row = std::find_if(rows.begin(), rows.end(),
                                  [&](const auto& r) { return r.name == anchor.parameter; });
    checks.near(fmt::format("{}, {} against R", name, anchor.parameter), row->mean, anchor.estimate,
                anchor.error);
  }
  bool effect_missing = false;
  for (const Lack& lack : result.necessity().missing)
    effect_missing |= lack.evidence == Evidence::effect;
  checks.that(name + ", necessity test", effect_missing == (result.probability_effect() < 0.95),
              result.necessity().passed ? "passed" : "not passed");
}

study::Table link_table(const std::vector<InferenceResult>& results) {
  study::Table table({"link", "mechanism", "P", "P(effect)", "strength", "90 % from", "to", "R-hat",
                      "ESS", "s", "worker", "evidence lacking"});
  for (const auto& r : results) {
    const auto& best = r.best();
    const double ess = std::min(best.diagnostics.min_ess_bulk, best.diagnostics.min_ess_tail);
    std::string missing;
    for (const Lack& lack : r.necessity().missing)
      missing += fmt::format("{}{}", missing.empty() ? "" : ", ", to_string(lack.evidence));
    table.add({r.link(), r.type(), fmt::format("{:.3f}", best.probability.value_or(NAN)),
               fmt::format("{:.3f}", r.probability_effect()),
               fmt::format("{:.3g}", r.strength().mean), fmt::format("{:.3g}", r.strength().low),
               fmt::format("{:.3g}", r.strength().high),
               fmt::format("{:.3f}", best.diagnostics.max_rhat), fmt::format("{:.0f}", ess),
               fmt::format("{:.3f}", r.report().seconds),
               r.device.empty() ? "" : fmt::format("w{}", r.worker.slot),
               missing.empty() ? "none" : missing});
  }
  return table;
}

}  // namespace study
