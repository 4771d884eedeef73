// One link from data to report, in the calling thread.
#include <fmt/format.h>

#include <cmath>
#include <reeve/base/error.hpp>
#include <reeve/inference/infer.hpp>

#include "inference/fit.hpp"

namespace reeve::inference {

std::optional<std::string> find_fault(const FitSettings& s) {
  if (s.chains < 2 || s.chains > 64) return fmt::format("chains is {}; give 2 to 64", s.chains);
  if (s.draws < 100 || s.draws > 10'000'000)
    return fmt::format("draws is {}; give 100 to 10000000 per chain", s.draws);
  if (s.warmup > 10'000'000)
    return fmt::format("warmup is {}; give at most 10000000, or 0 for automatic", s.warmup);
  if (s.rounds < 1 || s.rounds > 3) return fmt::format("rounds is {}; give 1 to 3", s.rounds);
  if (!(s.interval > 0 && s.interval < 1))
    return fmt::format("interval is {}; it must be inside (0, 1), usually 0.9", s.interval);
  if (!(s.se_limit > 0)) return fmt::format("se_limit is {}; it must be positive", s.se_limit);
  for (const double p : {s.effect_limit, s.mechanism_limit})
    if (!(p > 0 && p < 1))
      return fmt::format("a limit of the necessity test is {}; it must be inside (0, 1)", p);
  if (s.deadline.count() < 0)
    return fmt::format("deadline is {} ms; give a positive time, or 0 for 60 % of the lease",
                       s.deadline.count());
  if (s.checkpoint_every == 0)
    return "checkpoint_every is 0; write a checkpoint every 1 or more transitions";
  mcmc::SampleOptions o;
  o.target_accept = s.target_accept;
  o.target_ess = s.target_ess;
  return mcmc::find_fault(o, 1);
}

LinkReport infer_watched(const LinkData& data, const std::vector<Mechanism>& candidates,
                         const FitSettings& settings, const Watch& watch) {
  if (auto fault = find_fault(settings)) throw ConfigError("InferOptions: " + *fault);
  if (candidates.empty())
    throw ConfigError(fmt::format(
        "link '{}': there is no mechanism to fit; give at least one, or use candidates_for",
        data.name));
  const auto started = std::chrono::steady_clock::now();
  const double from = cpu_seconds();
  LinkReport report = judge(data, fit_all(data, candidates, settings, watch), settings);
  report.cpu_seconds = cpu_seconds() - from;
  report.seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  return report;
}

LinkReport infer_link(const LinkData& data, const std::vector<Mechanism>& candidates,
                      const FitSettings& settings, std::stop_token stop) {
  Watch watch;
  if (settings.deadline.count() > 0) watch.until = mcmc::StopWhen(settings.deadline);
  watch.until.stop = std::move(stop);
  return infer_watched(data, candidates, settings, watch);
}

InferenceResult infer_here(const CausalLink& link, const InferOptions& options) {
  LinkData data = checked(link);
  std::vector<Mechanism> candidates = candidates_for(data, options.candidates);
  LinkReport report = infer_link(data, candidates, options);
  return {std::move(data), std::move(candidates), std::move(report)};
}

}  // namespace reeve::inference
