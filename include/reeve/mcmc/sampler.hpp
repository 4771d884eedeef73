// Markov chain samplers with limits: NUTS, HMC and random-walk Metropolis that can stop and resume.
#pragma once

#include <reeve/base/clock.hpp>
#include <reeve/mcmc/run.hpp>

#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>

namespace reeve::mcmc {

enum class Algorithm { nuts, hmc, random_walk };
enum class Metric { automatic, unit, diagonal, dense };  ///< automatic: dense up to 64 parameters
enum class Adaptation {
  fisher,  ///< pooled over the chains, metric by Fisher divergence: short warm-up
  stan     ///< Stan's expanding windows, each chain for itself: for comparison
};

/// How to sample. find_fault names the first field that cannot work.
struct SampleOptions {
  Algorithm algorithm = Algorithm::nuts;
  Metric metric = Metric::automatic;
  Adaptation adaptation = Adaptation::fisher;
  std::size_t chains = 4;  ///< 1 to 1024
  /// Per chain. 0: max(150, 10 D) for fisher, longer (at most four times) while a chain is still
  /// far out when the others have arrived; 1000 for stan, 2000 for random walk.
  std::size_t warmup = 0;
  /// Per chain, at most. A draw takes 48 bytes and 8 for each parameter and each unconstrained one;
  /// while a chain grows it has a quarter in reserve, never more than for all its draws.
  std::size_t draws = 1000;
  std::uint64_t seed = 1;
  /// In (0, 1). 0: 0.8, and 0.6 for NUTS with fisher adaptation where the learned metric made the
  /// posterior so round that a larger step halves the leapfrogs of a draw and nothing diverged.
  double target_accept = 0;
  std::uint32_t max_depth = 10;  ///< at most 2^max_depth leapfrogs a draw; 1 to 15
  std::uint32_t leapfrogs = 16;  ///< HMC only: each draw takes 1 to this many
  double init_radius = 2;        ///< starting points uniform in +-this, unconstrained
  double target_ess = 0;  ///< stop when min(bulk, tail) ESS of every parameter reaches it; 0: never
  Checks checks;
};
std::optional<std::string> find_fault(const SampleOptions& options, std::size_t dimension);

/// When to give up early. The token is looked at before every evaluation of the density, the clock
/// too, or every few while evaluations take nanoseconds.
struct StopWhen {
  StopWhen() = default;
  explicit StopWhen(Clock::duration limit, const Clock& c = SystemClock::instance())
      : clock(&c), deadline(c.now() + limit) {}
  explicit StopWhen(std::stop_token token) : stop(std::move(token)) {}

  const Clock* clock = &SystemClock::instance();
  std::optional<Clock::time_point> deadline;
  std::stop_token stop;
};

/// Chains that advance in lock-step, one transition at a time. A stop in the middle of a trajectory
/// drops that trajectory and puts its random numbers back, so the draws do not depend on where a
/// run was interrupted: checkpoint, kill, resume and an uninterrupted run give the same bytes (on
/// the same kind of CPU and build).
///
/// Threads: one at a time.
/// Source:  Hoffman and Gelman (2014); Betancourt (2017) for the multinomial variant and the
/// generalised
///          criterion; Nesterov dual averaging; docs/mcmc/nuts.md.
class Sampler {
 public:
  /// Errors: ConfigError for a fault in the options or a density without the gradient that is
  /// needed.
  Sampler(Density density, SampleOptions options);
  ~Sampler();
  Sampler(Sampler&&) noexcept;
  Sampler& operator=(Sampler&&) noexcept;

  /// Starting points, chain-major, unconstrained; instead of random ones. Only before the first
  /// advance.
  void start_at(std::span<const double> points);

  /// Runs at most `transitions` further transitions. True when sampling is complete.
  ///
  /// Errors: Error when no starting point has a finite density; whatever the density throws (the
  ///         sampler stays at the last completed transition).
  bool advance(const StopWhen& stop = {}, std::size_t transitions = SIZE_MAX);
  bool finished() const noexcept;
  /// Why the last advance returned before its time: deadline or cancelled; otherwise ok.
  Status stopped() const noexcept;
  std::size_t completed_transitions() const noexcept;

  /// The warm-up alone: at most `transitions` of it. True when it is complete.
  bool advance_warmup(const StopWhen& stop = {}, std::size_t transitions = SIZE_MAX);
  /// One chain alone, to its end; after the warm-up chains do not meet any more, so they may be
  /// sampled by several copies of this sampler and put together again by take_chain: the draws are
  /// those of `advance`. True when the chain is complete.
  ///
  /// Errors: ConfigError before the end of the warm-up, with a target_ess (which asks for all
  /// chains
  ///         together), or for a chain that does not exist.
  bool advance_chain(std::size_t chain, const StopWhen& stop = {},
                     std::size_t transitions = SIZE_MAX);
  /// Takes over what a copy of this sampler did to one chain; the copy loses that chain's draws.
  /// Errors: as advance_chain.
  void take_chain(Sampler&& from, std::size_t chain);

  Run result() const&;
  /// The same without a copy of the draws, which the sampler gives up.
  Run result() &&;
  /// What it was made with, also after resume.
  const SampleOptions& options() const noexcept;

  /// Everything needed to go on, as bytes. Cost: proportional to the draws so far.
  std::string checkpoint() const;
  /// Errors: ConfigError for damaged bytes, or bytes of another density or version.
  static Sampler resume(Density density, std::string_view bytes);

 private:
  struct State;
  explicit Sampler(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

/// Samples to the end, or to the stop.
Run sample(const Density& density, const SampleOptions& options = {}, const StopWhen& stop = {});

/// Like `sample`, keeping `path` up to date (written beside and renamed, every `every`
/// transitions), and going on from it when it exists. The file stays when the run was stopped, and
/// is removed at the end.
///
/// Errors: ConfigError for a file of another density, or that was made with other options.
Run sample_resumable(const Density& density, const SampleOptions& options, const std::string& path,
                     const StopWhen& stop = {}, std::size_t every = 1000);

}  // namespace reeve::mcmc
