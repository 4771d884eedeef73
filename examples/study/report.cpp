// One page with a section per link: the curve through the data, its draws, its rivals.
#include "report.hpp"

#include <fmt/format.h>

#include <cmath>
#include <reeve/mcmc/output.hpp>
#include <sstream>

#include "links.hpp"

namespace study {
namespace {

using namespace reeve::inference;
namespace mcmc = reeve::mcmc;

constexpr const char* style = R"(<style>
body { font: 15px/1.5 sans-serif; max-width: 1320px; margin: 2em auto; padding: 0 1em; color: #222 }
table { border-collapse: collapse; margin: 1em 0 } th, td { padding: .25em .8em; text-align: right }
th { border-bottom: 2px solid #1b6ca8 } td { border-bottom: 1px solid #ddd }
th:first-child, td:first-child, td.text { text-align: left } tr.best { background: #eaf3f9 }
svg { margin: .3em } pre { background: #f5f5f5; padding: 1em; overflow-x: auto }
dt { font-weight: bold } dd { margin: 0 0 .4em 1.5em }
.lack { color: #a04000 } .pass { color: #2a7d46 }
</style>)";

std::string folder_name(const std::string& link) {
  std::string name;
  for (const char c : link)
    if (std::isalnum(static_cast<unsigned char>(c)))
      name += c;
    else if (!name.empty() && name.back() != '-')
      name += '-';
  return name;
}

struct Picture {
  std::string name, svg;
};

std::string with_unit(const std::string& name, const std::string& unit) {
  return unit.empty() ? name : fmt::format("{} [{}]", name, unit);
}

std::vector<Picture> pictures(const InferenceResult& result) {
  const std::string& best = result.type();
  const auto run = result.run_in_units(best);
  std::vector<Picture> all;
  const auto& data = result.data();
  const std::string title = fmt::format("{}: {} by {}", best, data.effect, data.cause);
  all.push_back({"curve", mcmc::predictive_svg(result.band(best), data.x, data.y, title,
                                               with_unit(data.cause, data.cause_unit),
                                               with_unit(data.effect, data.effect_unit))});
  for (std::size_t p = 0; p < run.size(); ++p) {
    const std::string name = run.names()[p], unit = result.unit(best, name);
    all.push_back({"density-" + folder_name(name), mcmc::density_svg(run, p, unit)});
    all.push_back({"trace-" + folder_name(name), mcmc::trace_svg(run, p, unit)});
    all.push_back({"ranks-" + folder_name(name), mcmc::rank_svg(run, p)});
  }
  return all;
}

std::string rivals_table(const InferenceResult& result) {
  std::string rows;
  for (const auto& f : result.fits()) {
    const auto& d = f.diagnostics;
    rows += fmt::format(
        "<tr{}><td>{}</td><td>{:.4f}</td><td>{:.2f} &plusmn; {:.3f}</td><td>{:.1f}</td>"
        "<td>{:.3g} [{:.3g}, {:.3g}]</td><td>{}</td><td>{:.3f}</td><td>{:.0f}</td>"
        "<td>{}</td></tr>\n",
        f.mechanism == result.type() ? " class=best" : "", escaped(f.mechanism),
        f.probability.value_or(NAN), f.log_marginal.value, f.log_marginal.se,
        f.loo ? f.loo->elpd : NAN, f.strength.mean, f.strength.low, f.strength.high,
        mcmc::to_string(f.status), d.max_rhat, std::fmin(d.min_ess_bulk, d.min_ess_tail),
        d.divergences);
  }
  return "<table><tr><th>mechanism</th><th>P</th><th>log marginal</th><th>elpd (LOO)</th>"
         "<th>strength [90 %]</th><th>status</th><th>R-hat</th><th>least ESS</th>"
         "<th>divergent</th></tr>\n" +
         rows + "</table>\n";
}

std::string parameter_table(const InferenceResult& result) {
  std::string rows;
  for (const auto& r : result.best().summary)
    rows += fmt::format(
        "<tr><td>{}</td><td class=text>{}</td><td>{:.4g}</td><td>{:.3g}</td><td>{:.4g}</td>"
        "<td>{:.4g}</td><td>{:.4g}</td><td>{:.3f}</td><td>{:.0f}</td></tr>\n",
        escaped(r.name), escaped(result.unit(result.type(), r.name)), r.mean, r.sd, r.q5, r.q50,
        r.q95, r.rhat, r.ess_bulk);
  return fmt::format(
      "<p>The parameters of {}:</p>\n<table><tr><th>parameter</th><th>unit</th><th>mean</th>"
      "<th>sd</th><th>5 %</th><th>50 %</th><th>95 %</th><th>R-hat</th><th>ESS</th></tr>\n{}"
      "</table>\n",
      escaped(result.type()), rows);
}

std::string section(const InferenceResult& result, const std::vector<Picture>& plots) {
  const auto& data = result.data();
  const std::string id = folder_name(result.link());
  std::string out = fmt::format(
      "<h2 id=\"{}\">{}: {}</h2>\n<p>{} &rarr; {}, {} rows; worker {} on {}, {:.3f} s. From the "
      "lowest to the highest {}, {} changes by {} (90 % interval {:.3g} to {:.3g}); P(effect) "
      "{:.3f}, P(direction) {:.3f}.</p>\n",
      id, escaped(result.link()), escaped(result.type()),
      escaped(with_unit(data.cause, data.cause_unit)),
      escaped(with_unit(data.effect, data.effect_unit)), data.x.size(), to_string(result.worker),
      result.device, result.report().seconds, escaped(data.cause), escaped(data.effect),
      escaped(with_unit(fmt::format("{:.3g}", result.strength().mean), data.effect_unit)),
      result.strength().low, result.strength().high, result.probability_effect(),
      result.probability_direction());
  if (result.necessity().passed) {
    out += "<p class=pass>The necessity test is passed: no evidence is lacking.</p>\n";
  } else {
    out += "<p>The necessity test is not passed. Evidence that is lacking:</p><ul>\n";
    for (const Lack& lack : result.necessity().missing)
      out +=
          fmt::format("<li class=lack>{}: {}</li>\n", to_string(lack.evidence), escaped(lack.text));
    out += "</ul>\n";
  }
  out += rivals_table(result) + parameter_table(result);
  for (const auto& plot : plots) out += plot.svg;
  return out +
         fmt::format("<p>Files: <code>{}/</code>, draws of every candidate as Stan CSV.</p>\n", id);
}

// What was asked, and what was found, in words.
std::string introduction(const std::vector<InferenceResult>& results) {
  std::string out = fmt::format(
      "<p><b>Asked:</b> does the cause have an effect, how strong is it, and by which of several "
      "candidate mechanisms? For {} pairs of columns of public data, each candidate was fitted by "
      "Markov chains in worker processes and weighed by its marginal likelihood.</p>\n"
      "<p><b>Found:</b></p><ul>\n",
      results.size());
  for (const auto& r : results) {
    const auto& data = r.data();
    const bool effect = r.probability_effect() >= 0.95;
    out += fmt::format(
        "<li><a href=\"#{}\">{}</a>: {}; most probable is <b>{}</b> (P = {:.2f}){}.</li>\n",
        folder_name(r.link()), escaped(r.link()),
        effect ? fmt::format("{} depends on {}", escaped(data.effect), escaped(data.cause))
               : fmt::format("an effect of {} on {} is not shown (P = {:.2f})", escaped(data.cause),
                             escaped(data.effect), r.probability_effect()),
        escaped(r.type()), r.best().probability.value_or(NAN),
        r.necessity().passed ? ", and no evidence is lacking" : "");
  }
  return out + "</ul>\n";
}

constexpr const char* glossary = R"(<h2>What the columns mean</h2>
<dl>
<dt>P</dt><dd>probability of the mechanism among the candidates, given the data and the
priors</dd>
<dt>P(effect)</dt><dd>1 - P(null): the probability that the cause matters at all</dd>
<dt>P(direction)</dt><dd>the probability that the strength has the sign of its mean</dd>
<dt>strength, 90 % from ... to</dt><dd>change of the effect, in its unit, when the cause goes from
its lowest to its highest value in the data, averaged over the mechanisms; with probability 0.9 it
lies in the interval</dd>
<dt>R-hat</dt><dd>how far the chains disagree: 1 is perfect, above 1.02 a fit is not believed</dd>
<dt>ESS</dt><dd>effective sample size: as many independent draws would be as precise; the least of
all parameters, centre and tails</dd>
<dt>log marginal</dt><dd>logarithm of the probability of the data under the mechanism with its
priors, and its numerical error</dd>
<dt>elpd (LOO)</dt><dd>expected log probability of a new row, by leaving one out: higher predicts
better</dd>
<dt>divergent</dt><dd>transitions that hit a region too curved for the sampler: should be 0</dd>
<dt>evidence lacking</dt><dd>what the necessity test misses before the link is forced upon us:
<i>effect</i> (the null is not excluded),
<i>direction</i>, <i>mechanism</i> (several remain plausible), <i>identifiability</i> (a parameter
as wide as its prior),
<i>data</i> (too few rows), <i>prediction</i> (LOO does not prefer it to the null, or cannot be
trusted), <i>convergence</i></dd>
<dt>s, worker</dt><dd>wall time in the worker, and which one it was</dd>
<dt>null</dt><dd>the mechanism that says: no effect</dd>
</dl>
<p>In the pictures: a <i>density</i> shows where a parameter's draws lie, by chain; a <i>trace</i>
shows them in the order in which they were drawn and should look like noise without a trend;
<i>ranks</i> should be flat for each chain. All are in the units of the data.</p>
)";

}  // namespace

std::size_t write_report(const std::filesystem::path& folder,
                         const std::vector<InferenceResult>& results, const Table& bootstrap,
                         int resamples, const std::vector<std::string>& notes,
                         const CheckList& checks) {
  std::string sections;
  std::size_t files = 1;
  for (const auto& result : results) {
    const auto own = folder / folder_name(result.link());
    files += result.write_stan_csv(own).size() + 1;
    mcmc::write_file(own / "summary.json", result.to_json());
    const auto plots = pictures(result);
    for (const auto& plot : plots) mcmc::write_file(own / (plot.name + ".svg"), plot.svg);
    files += plots.size();
    sections += section(result, plots);
  }
  std::string page = "<!doctype html><html lang=en><meta charset=utf-8><title>The study</title>\n";
  page += style;
  page += "<h1>Which mechanism links these causes to these effects?</h1>\n";
  page += introduction(results) + link_table(results).html() + glossary;
  page += fmt::format(
      "<h2>Curves by bootstrap</h2>\n<p>Beside the links, a curve was fitted to each data set by "
      "least squares, and its rows were drawn anew {} times: 95 % of the estimates lie between the "
      "two ends. \"no fit\" counts resamples without a least squares fit.</p>\n",
      resamples);
  page += bootstrap.html() + sections;
  page += "<h2>The tasks that misbehaved beside them, and the audit</h2>\n<pre>";
  for (const auto& note : notes) page += escaped(note) + "\n";
  std::ostringstream all;
  checks.print(all);
  page += "</pre>\n<h2>Checks</h2>\n<pre>" + escaped(all.str()) + "</pre>\n</html>\n";
  mcmc::write_file(folder / "report.html", page);
  return files;
}

}  // namespace study
