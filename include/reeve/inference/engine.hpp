// The engine: links are inferred by a pool's workers, one link one task.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <exception>
#include <optional>
#include <reeve/inference/infer.hpp>
#include <reeve/inference/options.hpp>
#include <reeve/inference/result.hpp>
#include <reeve/pool/resource_pool.hpp>
#include <span>
#include <string>
#include <vector>

namespace reeve::inference {

/// How one of many links ended: a result, or the error that it threw.
class LinkOutcome {
 public:
  std::string link;
  std::optional<InferenceResult> result;
  std::exception_ptr failure;
  /// The result. Errors: rethrows the failure.
  const InferenceResult& value() const;
  /// The failure's text, or "".
  std::string error() const;
};

/// Samples every candidate for `link` on a worker that you hold, and compares them.
///
/// Cancellation: kills the worker, as for any call.
/// Errors:       ConfigError for bad input, before the worker is used, and for a checkpoint file of
///               other data or options; those of WorkerLease::run.
/// Lifetime:     copies the link and the options; `worker` must live until the result is there.
boost::asio::awaitable<InferenceResult> run_mcmc_sampling(WorkerLease& worker,
                                                          const CausalLink& link,
                                                          const InferOptions& options = {});

/// Infers mechanisms of causal links by the workers of a pool. A handle; copies share the pool.
class BayesianInferenceEngine {
 public:
  explicit BayesianInferenceEngine(ResourcePool pool) : pool_(std::move(pool)) {}

  /// Leases a worker under the link's name, infers the link there, and gives the worker back.
  ///
  /// A time limit (options.deadline, or 60 % of the lease) keeps the draws: the fits say
  /// `deadline`. Only a worker that is stuck beyond it is killed by its lease.
  /// Cancellation: ends the wait for a worker, or the worker.
  /// Errors:       ConfigError for bad input, before any worker is asked for, and for a checkpoint
  ///               file of other data or options; those of acquire_worker and of WorkerLease::run.
  boost::asio::awaitable<InferenceResult> infer_mechanism(const CausalLink& link,
                                                          const InferOptions& options = {});

  /// Many links, a bounded number at a time; outcomes in the order of the links. A link that fails
  /// has its error in its outcome and hurts no other.
  ///
  /// Cancellation: no further link is begun, `progress` is not called any more, and the workers of
  ///         links under way are killed.
  /// Errors: ConfigError for bad input of any link, naming it, and for two links of one name with a
  ///         checkpoint folder, before any worker is asked for; what `progress` throws, when the
  ///         links under way have been cancelled.
  boost::asio::awaitable<std::vector<LinkOutcome>> infer_mechanisms(
      std::vector<CausalLink> links, const InferOptions& options = {});

  const ResourcePool& pool() const noexcept { return pool_; }

 private:
  ResourcePool pool_;
};

}  // namespace reeve::inference
