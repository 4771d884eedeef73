// The study without workers.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "fit.hpp"
#include "runner.hpp"

namespace study {
namespace {

RunReport run_here(std::span<const Case> cases, std::span<const LinkCase> links, const Plan& plan,
                   StatusLine& status, CheckList&) {
  RunReport report;
  for (const auto& item : cases) {
    const auto start = std::chrono::steady_clock::now();
    std::vector<BootstrapChunk> chunks;
    for (int first = 0; first < plan.resamples; first += plan.chunk) {
      status.show(fmt::format("{} of {} cases done; {}: {:.0f} %", report.cases.size(),
                              cases.size(), item.name, 100.0 * first / plan.resamples));
      const int count = std::min(plan.chunk, plan.resamples - first);
      chunks.push_back(bootstrap_chunk(item.x, item.y, item.kind, plan.seed, first, count));
    }
    const auto whole = fit_curve(item.kind, item.x, item.y);
    const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - start;
    report.cases.push_back({combine(whole.estimates, std::move(chunks)), spent.count(), "local"});
  }
  for (const auto& item : links)
    report.links.push_back(reeve::inference::infer_here(item.link, options_of(item)));
  report.notes.push_back(
      "The tasks that misbehave were left out: this process would not survive them.");
  return report;
}

}  // namespace

Runner local_runner() {
  return {"this process", &run_here};
}

}  // namespace study
