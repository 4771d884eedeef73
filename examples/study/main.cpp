// The main demo: mechanisms of real data inferred, and curves fitted to them by bootstrap, beside
// tasks that misbehave; every figure is checked.
#include <fmt/format.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <iostream>
#include <reeve/process/init.hpp>

#include "pool_runner.hpp"
#include "report.hpp"
#include "table.hpp"

namespace {

using namespace study;

// The estimate within a thousandth of R's standard error; the interval's ends within a fifth of its
// half width.
void check_case(CheckList& checks, const Case& item, const CaseResult& result, const Plan& plan) {
  checks.near(item.name + ", resamples", result.bootstrap.done, plan.resamples, 0);
  checks.at_most(item.name + ", share without a fit",
                 1.0 * result.bootstrap.failures / plan.resamples, 0.1);
  for (std::size_t i = 0; i < item.reference.size(); ++i) {
    const auto& want = item.reference[i];
    const auto& got = result.bootstrap.parameters.at(i);
    const auto name = fmt::format("{}, {}", item.name, family(item.kind).parameters[i]);
    const double slack = 0.1 * (want.upper - want.lower);
    checks.near(name, got.estimate, want.estimate, 1e-3 * want.error);
    checks.near(name + ", lower end", got.lower, want.lower, slack);
    checks.near(name + ", upper end", got.upper, want.upper, slack);
  }
}

Table bootstrap_table(const std::vector<Case>& cases, const RunReport& report) {
  Table table(
      {"data", "curve", "parameter", "estimate", "2.5 %", "97.5 %", "no fit", "s", "worker"});
  for (std::size_t c = 0; c < cases.size(); ++c) {
    const auto& result = report.cases.at(c);
    const auto& kind = family(cases[c].kind);
    for (std::size_t i = 0; i < kind.parameters.size(); ++i) {
      const auto& p = result.bootstrap.parameters.at(i);
      const bool first = i == 0;
      table.add({first ? cases[c].name : "", first ? std::string(kind.name) : "",
                 std::string(kind.parameters[i]), fmt::format("{:.4g}", p.estimate),
                 fmt::format("{:.4g}", p.lower), fmt::format("{:.4g}", p.upper),
                 first ? std::to_string(result.bootstrap.failures) : "",
                 first ? fmt::format("{:.3f}", result.seconds) : "", first ? result.worker : ""});
    }
  }
  return table;
}

int run(const std::string& folder, const std::string& output) {
  const auto cases = read_cases(folder);
  const auto links = read_links(folder);
  std::filesystem::create_directories(output);  // where it cannot be, say so before the work
  const Plan plan;
  const auto runner = pool_runner();
  CheckList checks;
  StatusLine status(std::cout, [] { return terminal_width(STDOUT_FILENO); });
  status.print(
      fmt::format("{} links between cause and effect, {} curves with {} resamples of each, in {}\n",
                  links.size(), cases.size(), plan.resamples, runner.name));
  const auto report = runner.run(cases, links, plan, status, checks);
  status.print("");
  link_table(report.links).print(std::cout);
  std::cout << '\n';
  const Table bootstrap = bootstrap_table(cases, report);
  bootstrap.print(std::cout);
  for (const auto& note : report.notes) std::cout << note << '\n';
  for (std::size_t i = 0; i < cases.size(); ++i)
    check_case(checks, cases[i], report.cases.at(i), plan);
  for (std::size_t i = 0; i < links.size(); ++i) check_link(checks, links[i], report.links.at(i));
  const auto files =
      write_report(output, report.links, bootstrap, plan.resamples, report.notes, checks);
  std::cout << fmt::format("{} files with draws, summaries and pictures; look at {}/report.html\n",
                           files, output);
  checks.print(std::cout, checks.failed() > 0);
  return checks.exit_status();
}

}  // namespace

int main(int argc, char** argv) {
  reeve::init(argc, argv);
  try {
    const bool asked = argc >= 2 && argv[1][0] == '-';
    if (argc <= 3 && !asked)
      return run(argc >= 2 ? argv[1] : STUDY_DATA_DIR, argc == 3 ? argv[2] : "study");
    std::cerr
        << "usage: reeve_demo_study [FOLDER [OUTPUT]]   the CSV files, default " STUDY_DATA_DIR
           "; where the report goes, default study\n";
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
  }
  return 2;
}
// [output]
// 7 links between cause and effect, 8 curves with 10000 resamples of each, in a pool of ...
//
//   ... s [----------]   0 % 0/80 chunks, 0/7 links, 0/4 bad, ... busy, ... wait
// ...
//   ... s  the never-ending task is over: WorkerTimeoutError after 1... s
// ...
// link                  mechanism         P      P(effect)  strength  90 % from ...
// Puromycin, treated    Michaelis-Menten  0.9...     1.000       15...
// Puromycin, untreated  Michaelis-Menten  0.6...     1.000       10...
// DNase, run 1          sigmoid           0.9...     1.000      1.6...  1.6...  1.7...
// BOD                   first order       0.6...
// cars                  linear            0.6...     1.000      80...
// Loblolly              exponential       0.9...     1.000      56...
// null pair             null              0.6...
//
// data                  curve                   parameter  estimate    2.5 %   97.5 %  no fit ...
// Puromycin, treated    saturating              Vm            212.7    196.6    222.2       0 ...
//                                               K           0.06412  0.04464  0.08148
// Puromycin, untreated  saturating              Vm            160.3    142.8    170.5       0 ...
//                                               K           0.04771   0.0299  0.06649
// DNase, run 1          logistic                Asym          2.345    2.074    2.576       0 ...
//                                               xmid          1.483     1.22    1.741
//                                               scal          1.041   0.9675    1.113
// BOD                   saturating exponential  A             19.14    16.47       24     684 ...
//                                               k            0.5311   0.2816   0.8577
// cars, linear          linear                  a            -17.58   -29.67   -7.099       0 ...
//                                               b             3.932    3.167    4.768
// cars, power           power                   a            0.5897   0.1693    1.693       0 ...
//                                               b             1.549    1.184    1.977
// Loblolly              asymptotic              Asym          102.3    92.41    115.7       0 ...
//                                               R0           -8.533   -9.691   -7.521
//                                               lrc          -3.246   -3.423   -3.092
// null pair             linear                  a             49.37    28.69    71.26       0 ...
//                                               b            -0.415   -1.751   0.8717
//
// bad task       ended  ...
// ...
// audit: ok: 91 acquires = 89 releases + 2 revokes + 0 active; ... + 0 alive; ...
// ...
// 193 of 193 checks hold
// [/output]
