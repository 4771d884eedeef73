// A link that was checked, with everything that its tasks need, and the way to a worker. Internal.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <memory>
#include <reeve/inference/engine.hpp>
#include <string>
#include <vector>

namespace reeve::inference {

struct Job {
  /// Errors: ConfigError for whatever is wrong with the link or the options.
  Job(const CausalLink& link, const InferOptions& options);
  /// Fits the job into what a lease of such a pool may take. Draws that the memory cannot hold are
  /// a ConfigError, or, with a deadline of the user's own, fewer: "as many as there is room for".
  void limit(const ResourceConfig& pool);
  /// An early stop asks for all chains together.
  bool may_split() const { return split != Split::never && settings.target_ess == 0; }
  std::string task() const { return data.name.substr(0, 127); }

  LinkData data;
  std::vector<Mechanism> candidates;
  std::vector<MechanismRecord> records;
  FitSettings settings;
  ByteSize memory;
  std::size_t retries = 0;
  Split split = Split::automatic;
  std::size_t draws_asked = 0;  ///< settings.draws before they were cut down to the memory
};

/// About what a worker needs for a link: fits with their draws, the largest LOO, the data.
ByteSize memory_needed(const LinkData& data, const std::vector<Mechanism>& candidates,
                       const FitSettings& settings);

/// From within a handler: a ConfigError of a worker is one here, too; anything else goes on.
[[noreturn]] void rethrow_as_here(const RemoteError& error);

/// Leases a worker for `use(worker)`, again when the worker is lost or crashes, as often as the job
/// allows.
template <class Use>
auto with_retries(ResourcePool pool, std::shared_ptr<const Job> job,
                  std::chrono::milliseconds queue_time, Use use)
    -> decltype(use(std::declval<WorkerLease&>())) {
  const std::string task = job->task();
  AcquireOptions waiting;
  waiting.timeout = queue_time;
  for (std::size_t attempt = 0;; ++attempt) {
    try {
      WorkerLease worker = co_await pool.acquire_worker(task, waiting);
      auto call = use(worker);
      auto result = co_await std::move(call);
      co_return result;
    } catch (const WorkerLostError&) {
      if (attempt >= job->retries) throw;
    } catch (const WorkerCrashedError&) {
      if (attempt >= job->retries) throw;
    } catch (const RemoteError& error) {
      rethrow_as_here(error);
    }
  }
}

/// The result of a report that came from `worker`.
InferenceResult result_of(const Job& job, LinkReport report, const WorkerLease& worker);

/// What the worker of a whole link sends back: its report, or the wish to be split.
struct WholeLink {
  LinkReport report;
  bool too_slow = false;  ///< a gradient costs more than a millisecond
};
WholeLink infer_in_worker(LinkData data, std::vector<MechanismRecord> records, FitSettings settings,
                          bool may_split);

/// One link by several workers: each candidate's warm-up is a task, then each of its chains, then
/// the rest. The result is that of one worker.
boost::asio::awaitable<InferenceResult> infer_split(ResourcePool pool,
                                                    std::shared_ptr<const Job> job,
                                                    std::chrono::milliseconds queue_time);

}  // namespace reeve::inference
