// Tempered sequential Monte Carlo: for several modes, densities without gradients, and evidence.
#pragma once

#include <reeve/mcmc/sampler.hpp>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace reeve::mcmc {

struct SmcOptions {
  std::size_t particles = 1000;  ///< per island; 50 to 10000000
  std::size_t islands = 4;       ///< independent populations: their spread is the error; at least 2
  double scale = 3;              ///< sd of the normal reference on the unconstrained scale
  double ess_fraction = 0.5;     ///< how far the temperature moves at once; in (0.1, 0.99)
  double moves = 3;  ///< accepted moves per particle and temperature that are waited for
  std::size_t max_temperatures = 1000;  ///< of one island; then it and those to come are given up
  std::uint64_t seed = 1;
  Checks checks;
};

struct SmcResult {
  /// One chain per complete island, its particles as draws. With an island missing it is never ok:
  /// those that are complete are a selection.
  Run run;
  double log_evidence = 0;           ///< NaN without a complete island
  double se = 0;                     ///< infinite with fewer than two
  std::vector<double> temperatures;  ///< of the first island
};

/// Particles that are moved one sweep at a time. A stop in the middle of a sweep drops it and puts
/// its random numbers back: checkpoint, kill, resume and an uninterrupted run give the same bytes.
///
/// Threads: one at a time.
class SmcSampler {
 public:
  /// Errors: ConfigError for a fault in the options.
  SmcSampler(Density density, const SmcOptions& options);
  ~SmcSampler();
  SmcSampler(SmcSampler&&) noexcept;
  SmcSampler& operator=(SmcSampler&&) noexcept;

  /// At most `sweeps` further rounds over an island's particles. True when all islands are
  /// complete, or one was given up: no particle of the reference has a finite density, or
  /// max_temperatures were not enough.
  ///
  /// Errors: whatever the density throws.
  bool advance(const StopWhen& stop = {}, std::size_t sweeps = SIZE_MAX);
  /// Why the last advance returned before its time: deadline or cancelled; otherwise ok.
  Status stopped() const noexcept;
  /// The islands that are complete.
  SmcResult result() const;

  /// Everything needed to go on, as bytes. Cost: proportional to the particles of all islands.
  std::string checkpoint() const;
  /// Errors: ConfigError for damaged bytes, or bytes of another density or version.
  static SmcSampler resume(Density density, std::string_view bytes);

 private:
  struct State;
  explicit SmcSampler(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

/// Moves particles from N(0, scale^2 I) to the density through tempered distributions, by
/// random-walk Metropolis with the particles' covariance. The reference must overlap all modes.
///
/// Errors: ConfigError for a fault in the options. A stop, and an island that is given up, return
///         the islands that are complete; run.diagnostics() says why.
/// Cost:   about particles * islands * temperatures * 10 evaluations without gradient.
/// Source: Del Moral, Doucet, Jasra (2006); adaptive temperatures by bisection on the ESS.
SmcResult sample_smc(const Density& density, const SmcOptions& options = {},
                     const StopWhen& stop = {});

/// Like `sample_smc`, keeping `path` up to date (replaced at once, every `every` sweeps), and going
/// on from it, with the options in it, when it exists. The file stays when the run was stopped, and
/// is removed at the end.
SmcResult sample_smc_resumable(const Density& density, const SmcOptions& options,
                               const std::string& path, const StopWhen& stop = {},
                               std::size_t every = 1);

}  // namespace reeve::mcmc
