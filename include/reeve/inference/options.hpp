// How links are inferred: sampling, limits, what is kept, and what counts as evidence.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <reeve/base/byte_size.hpp>
#include <reeve/inference/mechanism.hpp>
#include <string>
#include <vector>

namespace reeve::inference {

/// Whose draws come back from the worker.
enum class KeepDraws { none, best, all };

/// Which fits get a PSIS-LOO.
enum class LooOf { none, best_and_null, all };

/// Whether the chains of one link may run on several workers.
enum class Split {
  automatic,  ///< when a gradient costs more than a millisecond
  never,
  always
};

/// What a worker needs to know to infer one link. Travels as it is.
struct FitSettings {
  std::size_t chains = 4;  ///< 2 to 64
  std::size_t warmup = 0;  ///< per chain; 0: 150, or 10 per parameter
  /// Per chain, in the first round; 100 to 10,000,000. A draw takes 56 bytes and 16 for each
  /// parameter, in every candidate; where fits may be run again (`rounds`), 168 and 32. In messages
  /// it takes 56 and 8, times 3 where fits may be run again: all draws of a link that may be split,
  /// and those that are kept. Draws that the pool's worker_memory (or `memory`) or message_max
  /// cannot hold are a ConfigError before a worker is used; with a `deadline` of yours there are as
  /// many as time and memory allow, and a fit that memory ended says so in its reasons.
  std::size_t draws = 250;
  std::size_t rounds = 3;  ///< 1: one try; 2: a fit that fails its checks is done by importance
                           ///< sampling around its chains, and when the weights are bad run
                           ///< again, twice as long; 3: after that by tempered SMC
  double target_ess = 0;   ///< stop a fit early when every parameter has this; 0: never
  double target_accept = 0.8;
  double se_limit = 0.1;  ///< largest error of a log marginal likelihood that is used
  double interval = 0.9;  ///< mass of the reported intervals; in (0, 1)
  LooOf loo = LooOf::best_and_null;
  KeepDraws keep = KeepDraws::best;
  std::uint64_t seed = 1;
  double effect_limit = 0.95;     ///< P(effect) and P(direction) that the necessity test asks for
  double mechanism_limit = 0.75;  ///< P(best mechanism) that it asks for
  /// Sampling of a link stops after this time in its worker; summing up takes about a third more.
  /// 0: 60 % of the lease's time for infer_mechanism, none elsewhere.
  std::chrono::milliseconds deadline{0};
  std::size_t checkpoint_every = 2000;  ///< transitions
  std::string checkpoint_folder;  ///< empty: none. Files there are gone on from, with the same
                                  ///< options: others are a ConfigError that names the file
};
std::optional<std::string> find_fault(const FitSettings& settings);

/// One step of a run over many links.
struct LinkProgress {
  std::size_t done = 0, failed = 0, total = 0;
  std::string_view link;  ///< the one that just ended
};

class InferOptions : public FitSettings {
 public:
  InferOptions() = default;

  std::vector<Mechanism> candidates;  ///< empty: default_mechanisms()
  ByteSize memory{0};                 ///< of one link, below the pool's limit; 0: the pool's
  std::size_t concurrency = 0;        ///< links at a time; 0: the pool's workers and one more
  /// By an engine; the draws are the same either way. Each warm-up and each chain is a task with a
  /// lease of its own. With a target_ess, and on a lease that you hold, links are never split.
  Split split = Split::automatic;
  std::size_t retries = 0;  ///< after the loss or crash of a worker; goes on from the checkpoint
  std::function<void(const LinkProgress&)> progress;  ///< on the engine's executor
};

}  // namespace reeve::inference
