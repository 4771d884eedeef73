// Fits of all candidates of a link: sampling with limits, rounds, checkpoints. Internal.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <reeve/inference/infer.hpp>
#include <reeve/mcmc/sampler.hpp>
#include <stop_token>
#include <string>
#include <vector>

namespace reeve::inference {

struct NotSampled {};
struct TooSlow {};

class Checkpoints;
/// A round of a candidate from the file of that name; nothing when there is no file.
///
/// Errors: ConfigError for a file of other data, or that was made with other options.
std::optional<mcmc::Sampler> go_on_sampling(const mcmc::Density& density, std::string_view name,
                                            const FitSettings& settings, std::size_t candidate,
                                            int round, const Checkpoints& files);
/// The same from the mechanism's file, otherwise from the beginning.
mcmc::Sampler begin_sampling(const mcmc::Density& density, const Mechanism& mechanism,
                             const FitSettings& settings, std::size_t candidate, int round,
                             const Checkpoints& files);

/// What the fits ask and tell while they run.
struct Watch {
  mcmc::StopWhen until;                                    ///< of the whole link
  std::function<bool()> should_stop;                       ///< asked between slices; may be empty
  std::function<void(double, std::string_view)> progress;  ///< percent; may be empty
  /// Gives samplers that others have run, by candidate and round; nothing: NotSampled is thrown
  /// when it was asked for all that are needed next. Empty: samplers are run here.
  std::function<std::optional<mcmc::Sampler>(std::size_t, int, const mcmc::Density&)> sampled;
  /// TooSlow is thrown when a gradient takes more CPU time. Zero: never.
  std::chrono::microseconds slowest_gradient{0};
};

/// A fit with its draws, before they are summed up.
struct Fit {
  const Mechanism* mechanism = nullptr;
  std::unique_ptr<mcmc::Run> run;
  mcmc::LogMarginal log_marginal;  ///< of the data on the standard scale
  mcmc::LogMarginal of_data;       ///< of the data as they are: comparable between mechanisms
  bool dominated = false;          ///< its probability is below 1e-4, whatever its error
  bool left_out = false;  ///< failed its checks, and is so far behind that it does not matter
  bool climbed = false;   ///< `highest_likelihood` was asked for
  std::optional<double> highest_likelihood;  ///< climb.hpp
  std::string method = "nuts";
  int rounds = 0;
  double seconds = 0;
};

struct Fits {
  std::vector<Fit> fits;
  bool deadline_reached = false;  ///< something was left undone for want of time
};

/// Samples every candidate. A fit that fails its checks, or whose log marginal likelihood is too
/// uncertain, is done by importance sampling around its chains, or run again for longer, and then
/// by tempered SMC. A deadline is shared out fairly: what one fit leaves goes to the others.
Fits fit_all(const LinkData& data, const std::vector<Mechanism>& candidates,
             const FitSettings& settings, const Watch& watch);

/// Compares the fits and judges the evidence: the whole report but for times.
LinkReport judge(const LinkData& data, Fits all, const FitSettings& settings);

/// What infer_link does, with a watch.
LinkReport infer_watched(const LinkData& data, const std::vector<Mechanism>& candidates,
                         const FitSettings& settings, const Watch& watch);

/// Judges the fits by each other. A mechanism that may matter must pass strict checks; for one that
/// has next to no probability it is enough that its chains agree, as its marginal likelihood is all
/// that is used. What "highest" means is said by fits that hold alone: chains that disagree say
/// nothing. A fit that failed is left out when even its largest likelihood is too far behind: the
/// largest of its draws when its chains agree, otherwise the highest that climbs find (climb.hpp).
void assess(const LinkData& data, std::vector<Fit>& fits);

/// Log of the prior weight, and of the prior weight times the marginal likelihood.
double log_weight(const Fit& fit);
double score(const Fit& fit);
/// Even six errors up, the fit's score is more than `margin` below the highest.
bool is_behind(const Fit& fit, double highest, double margin);

/// What the checks ask of a fit that may matter.
mcmc::Checks strict_checks();

/// CPU time of this thread.
double cpu_seconds();

}  // namespace reeve::inference
