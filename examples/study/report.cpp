// One page with a section per link: the curve through the data, its draws, its rivals.
#include "report.hpp"

#include <fmt/format.h>

#include <cmath>
#include <reeve/mcmc/output.hpp>
#include <sstream>

namespace study {
namespace {

using namespace reeve::inference;
namespace mcmc = reeve::mcmc;

constexpr const char* style = R"(<style>
body { font: 15px/1.5 sans-serif; max-width: 1320px; margin: 2em auto; padding: 0 1em; color: #222 }
table { border-collapse: collapse; margin: 1em 0 } th, td { padding: .25em .8em; text-align: right }
th { border-bottom: 2px solid #1b6ca8 } td { border-bottom: 1px solid #ddd }
th:first-child, td:first-child { text-align: left } tr.best { background: #eaf3f9 }
svg { margin: .3em } pre { background: #f5f5f5; padding: 1em; overflow-x: auto }
.lack { color: #a04000 } .pass { color: #2a7d46 }
</style>)";

std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '<')
      out += "&lt;";
    else if (c == '&')
      out += "&amp;";
    else
      out += c;
  }
  return out;
}

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

std::vector<Picture> pictures(const InferenceResult& result) {
  const auto run = result.run(result.type());
  std::vector<Picture> all;
  const auto& data = result.data();
  const std::string title = fmt::format("{}: {} by {}", result.type(), data.effect, data.cause);
  all.push_back({"curve", mcmc::predictive_svg(result.band(result.type()), data.x, data.y, title,
                                               data.cause, data.effect)});
  for (std::size_t p = 0; p < run.names().size(); ++p) {
    all.push_back({"density-" + run.names()[p], mcmc::density_svg(run, p)});
    all.push_back({"trace-" + run.names()[p], mcmc::trace_svg(run, p)});
    all.push_back({"ranks-" + run.names()[p], mcmc::rank_svg(run, p)});
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
        "<tr><td>{}</td><td>{:.4g}</td><td>{:.3g}</td><td>{:.4g}</td><td>{:.4g}</td>"
        "<td>{:.4g}</td><td>{:.3f}</td><td>{:.0f}</td></tr>\n",
        escaped(r.name), r.mean, r.sd, r.q5, r.q50, r.q95, r.rhat, r.ess_bulk);
  return "<table><tr><th>parameter</th><th>mean</th><th>sd</th><th>5 %</th><th>50 %</th>"
         "<th>95 %</th><th>R-hat</th><th>ESS</th></tr>\n" +
         rows + "</table>\n";
}

std::string section(const InferenceResult& result, const std::vector<Picture>& plots) {
  std::string out = fmt::format(
      "<h2>{}: {}</h2>\n<p>{} &rarr; {}, {} rows, worker {} on {}, {:.3f} s. Strength {:.3g} "
      "[{:.3g}, {:.3g}], P(effect) {:.3f}, P(direction) {:.3f}.</p>\n",
      escaped(result.link()), escaped(result.type()), escaped(result.data().cause),
      escaped(result.data().effect), result.data().x.size(), to_string(result.worker),
      result.device, result.report().seconds, result.strength().mean, result.strength().low,
      result.strength().high, result.probability_effect(), result.probability_direction());
  if (result.necessity().passed) {
    out += "<p class=pass>The necessity test is passed.</p>\n";
  } else {
    out += "<p>The necessity test is not passed. Missing:</p><ul>\n";
    for (const Lack& lack : result.necessity().missing)
      out +=
          fmt::format("<li class=lack>{}: {}</li>\n", to_string(lack.evidence), escaped(lack.text));
    out += "</ul>\n";
  }
  out += rivals_table(result) + parameter_table(result);
  for (const auto& plot : plots) out += plot.svg;
  return out;
}

}  // namespace

std::size_t write_report(const std::filesystem::path& folder,
                         const std::vector<InferenceResult>& results,
                         const std::vector<std::string>& notes, const CheckList& checks) {
  std::string page = "<!doctype html><html lang=en><meta charset=utf-8><title>The study</title>\n";
  page += style;
  page += "<h1>Which mechanism links these causes to these effects?</h1>\n";
  std::size_t files = 1;
  for (const auto& result : results) {
    const auto own = folder / folder_name(result.link());
    files += result.write_stan_csv(own).size() + 1;
    mcmc::write_file(own / "summary.json", result.to_json());
    const auto plots = pictures(result);
    for (const auto& plot : plots) {
      mcmc::write_file(own / (plot.name + ".svg"), plot.svg);
      ++files;
    }
    page += section(result, plots);
  }
  page += "<h2>The tasks that misbehaved beside them, and the audit</h2>\n<pre>";
  for (const auto& note : notes) page += escaped(note) + "\n";
  std::ostringstream all;
  checks.print(all);
  page += "</pre>\n<h2>Checks</h2>\n<pre>" + escaped(all.str()) + "</pre>\n</html>\n";
  mcmc::write_file(folder / "report.html", page);
  return files;
}

}  // namespace study
