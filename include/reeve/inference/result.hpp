// What is known about a link afterwards: mechanism, strength, probabilities, evidence.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <reeve/inference/causal_link.hpp>
#include <reeve/inference/mechanism.hpp>
#include <reeve/mcmc/compare.hpp>
#include <reeve/mcmc/output.hpp>
#include <reeve/mcmc/run.hpp>
#include <reeve/pool/errors.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace reeve::inference {

/// By how much the effect changes (on the scale that the family's mechanism acts on) when the cause
/// goes from its lowest to its highest value in the data.
struct Strength {
  double mean = 0, sd = 0, low = 0, high = 0;  ///< low and high: the interval of the options
  double probability_positive = 0.5;
};

/// How the draws came about, beside them in the files.
struct Sampling {
  std::uint64_t seed = 0;
  std::size_t warmup = 0;                           ///< transitions per chain
  std::vector<double> stepsize;                     ///< per chain; none when drawn by weights
  std::vector<std::vector<double>> inverse_metric;  ///< per chain, on the standard scale
};

/// One candidate's posterior. Summaries and strengths are in the data's units.
struct FitReport {
  std::string mechanism;
  mcmc::Status status = mcmc::Status::not_converged;
  std::vector<std::string> reasons;  ///< why the status is not ok
  std::string method;                ///< "nuts", "importance" or "smc"
  int rounds = 0;                    ///< how many tries it took
  std::vector<mcmc::ParameterSummary> summary;
  mcmc::Diagnostics diagnostics;
  mcmc::LogMarginal log_marginal;
  std::optional<mcmc::Loo> loo;
  /// Absent unless the comparison is conclusive, and for a fit that failed its checks but is left
  /// out because even its largest likelihood, times its prior weight, lies 10 nats behind the best
  /// fit's marginal likelihood; its reasons say so.
  std::optional<double> probability;
  Strength strength;
  std::vector<mcmc::Chain> chains;  ///< standard scale; kept as the options say
  Sampling sampling;
  double seconds = 0;  ///< CPU time
};

/// Evidence that the necessity test found lacking.
enum class Evidence {
  convergence,      ///< a fit failed its checks, or its marginal likelihood is too uncertain
  effect,           ///< the null mechanism is not excluded
  direction,        ///< the sign of the strength is open
  mechanism,        ///< several mechanisms remain plausible
  identifiability,  ///< a parameter of the best mechanism learned next to nothing from the data
  data,             ///< fewer than 5 rows per parameter
  prediction        ///< by PSIS-LOO the best mechanism does not predict better than the null, or
                    ///< there is no PSIS-LOO that can be trusted
};
const char* to_string(Evidence evidence) noexcept;

struct Lack {
  Evidence evidence = Evidence::convergence;
  std::string text;
};

/// Do the data force the link upon us? Passed when nothing is missing.
struct NecessityTest {
  bool passed = false;
  std::vector<Lack> missing;
};

/// What one link's inference computed; travels back from the worker.
struct LinkReport {
  std::vector<FitReport> fits;       ///< in the order of the candidates
  std::size_t best = 0;              ///< index of the best fit
  bool conclusive = false;           ///< probabilities are there
  std::vector<std::string> reasons;  ///< why not
  double probability_effect = 0;     ///< 1 - P(null); NaN when inconclusive or without a null
  double probability_direction = 0;  ///< of the sign of `strength`, at least 0.5; NaN when
                                     ///< inconclusive and the best fit is not `ok`
  Strength strength;                 ///< averaged over the mechanisms by their probabilities
  NecessityTest necessity;
  bool deadline_reached = false;
  double seconds = 0;  ///< wall time in the worker
  double cpu_seconds = 0;
};

/// A link's inference with its data: answers questions about fits, writes files.
///
/// Threads: const members from any; copies share the data.
class InferenceResult {
 public:
  InferenceResult();  ///< of nothing: only to be assigned to
  InferenceResult(LinkData data, std::vector<Mechanism> candidates, LinkReport report);

  const std::string& link() const noexcept { return data_->name; }
  const LinkData& data() const noexcept { return *data_; }
  const LinkReport& report() const noexcept { return *report_; }

  /// The most probable mechanism; of an inconclusive comparison the one with the highest log
  /// marginal likelihood among the fits that passed their checks.
  const FitReport& best() const noexcept { return report_->fits[report_->best]; }
  const std::string& type() const noexcept { return best().mechanism; }
  bool conclusive() const noexcept { return report_->conclusive; }
  const Strength& strength() const noexcept { return report_->strength; }
  double probability_effect() const noexcept { return report_->probability_effect; }
  double probability_direction() const noexcept { return report_->probability_direction; }
  const NecessityTest& necessity() const noexcept { return report_->necessity; }
  const std::vector<FitReport>& fits() const noexcept { return report_->fits; }

  /// Errors: ConfigError that lists the candidates, for any other name.
  const FitReport& fit(std::string_view mechanism) const;
  /// NaN when the comparison is inconclusive.
  double posterior_probability(std::string_view mechanism) const;
  const mcmc::LogMarginal& log_marginal(std::string_view mechanism) const;
  /// Errors: ConfigError when options.loo left it out, or the fit has too few draws.
  const mcmc::Loo& loo(std::string_view mechanism) const;

  /// The draws as a run on the standard scale, as they were sampled: for mechanisms' functions.
  /// Errors: ConfigError when its draws were not kept.
  mcmc::Run run(std::string_view mechanism) const;
  /// The draws in the data's units, with the derived quantity, under the names of the summary: for
  /// plots, files and questions of your own. Errors: as run.
  mcmc::Run run_in_units(std::string_view mechanism) const;
  /// What a parameter of the summary is measured in, by the units of cause and effect that the link
  /// was given: "ft/mph"; empty: a plain number, or not known.
  std::string unit(std::string_view mechanism, std::string_view parameter) const;
  /// Median and interval of the expected effect at `points` values between the lowest and the
  /// highest cause, confounders at their means; on the scale of the data.
  /// Errors: ConfigError when its draws were not kept.
  mcmc::PredictiveBand band(std::string_view mechanism, std::size_t points = 60,
                            double interval = 0.9) const;

  /// One Stan CSV file per kept fit and chain, in the data's units; other characters than letters,
  /// digits, '-', '_' and '.' of a mechanism's name become '-'. Returns the files.
  std::vector<std::filesystem::path> write_stan_csv(const std::filesystem::path& folder) const;
  /// One zarr folder per kept fit, likewise.
  void write_inference_data(const std::filesystem::path& folder) const;
  /// Everything but the draws.
  std::string to_json() const;

  std::string device;  ///< of the worker that did it; "" when inferred in this process
  WorkerId worker;

 private:
  const Mechanism& candidate(std::string_view name) const;
  std::shared_ptr<const LinkData> data_;
  std::shared_ptr<const std::vector<Mechanism>> candidates_;
  std::shared_ptr<const LinkReport> report_;
};

}  // namespace reeve::inference
