// One link, one lease, one call; many links in a bounded number of lanes.
#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/this_coro.hpp>
#include <map>
#include <memory>
#include <mutex>
#include <reeve/base/error.hpp>
#include <reeve/inference/engine.hpp>
#include <reeve/process/this_worker.hpp>
#include <utility>

#include "inference/fit.hpp"
#include "inference/job.hpp"
#include "inference/side_by_side.hpp"

namespace reeve::inference {
namespace {

namespace asio = boost::asio;

constexpr std::chrono::microseconds slow_gradient(1000);

asio::awaitable<WholeLink> whole_link(WorkerLease& worker, const Job& job, bool may_split) {
  RunLimits limits;
  if (job.memory > 0_B) limits.memory = job.memory;
  return worker.run<&infer_in_worker>(limits, job.data, job.records, job.settings, may_split);
}

asio::awaitable<InferenceResult> sample_on(WorkerLease& worker, std::shared_ptr<const Job> job) {
  try {
    auto call = whole_link(worker, *job, false);
    WholeLink whole = co_await std::move(call);
    co_return result_of(*job, std::move(whole.report), worker);
  } catch (const RemoteError& error) {
    rethrow_as_here(error);
  }
}

asio::awaitable<InferenceResult> infer(ResourcePool pool, std::shared_ptr<const Job> job,
                                       std::chrono::milliseconds queue_time) {
  const bool may_split = job->may_split();
  std::optional<InferenceResult> result;
  if (!may_split || job->split == Split::automatic) {
    const auto use = [job, may_split, &result](WorkerLease& worker) -> asio::awaitable<bool> {
      auto call = whole_link(worker, *job, may_split);
      WholeLink whole = co_await std::move(call);
      if (!whole.too_slow) result = result_of(*job, std::move(whole.report), worker);
      co_return whole.too_slow;
    };
    auto tried = with_retries(pool, job, queue_time, use);
    const bool too_slow = co_await std::move(tried);
    if (!too_slow) co_return std::move(*result);
  }
  auto split = infer_split(pool, job, queue_time);
  InferenceResult of_many = co_await std::move(split);
  co_return of_many;
}

// What the lanes of one infer_mechanisms share.
struct Many {
  std::vector<std::shared_ptr<const Job>> jobs;
  std::vector<LinkOutcome> outcomes;
  std::function<void(const LinkProgress&)> progress;
  std::mutex mutex;
  std::mutex telling;          // progress is told one at a time, and never under the other lock
  std::exception_ptr stopped;  // what progress threw
  std::size_t next = 0, lanes = 0;
  LinkProgress state;
  std::shared_ptr<SideBySide> together = std::make_shared<SideBySide>();

  std::size_t take() {
    const std::lock_guard lock(mutex);
    return next < jobs.size() ? next++ : jobs.size();
  }
  // No further link is begun; those under way lose their workers.
  void cancel() {
    {
      const std::lock_guard lock(mutex);
      next = jobs.size();
    }
    together->cancel();
  }
  void finish(std::size_t i) {
    const std::lock_guard order(telling);
    LinkProgress now;
    {
      const std::lock_guard lock(mutex);
      ++state.done;
      state.failed += outcomes[i].failure != nullptr;
      state.link = outcomes[i].link;
      now = state;
    }
    if (!progress || stopped) return;
    try {
      progress(now);
    } catch (...) {
      stopped = std::current_exception();
      cancel();
    }
  }
};

// A lane waits for its worker as long as other lanes, or others, take.
constexpr std::chrono::milliseconds queue_time = std::chrono::hours(24);

asio::awaitable<void> lane(ResourcePool pool, std::shared_ptr<Many> many) {
  for (std::size_t i = many->take(); i < many->jobs.size(); i = many->take()) {
    LinkOutcome& outcome = many->outcomes[i];
    try {
      InferenceResult result = co_await infer(pool, many->jobs[i], queue_time);
      outcome.result.emplace(std::move(result));
    } catch (...) {
      outcome.failure = std::current_exception();
    }
    many->jobs[i] = nullptr;
    const auto state = co_await asio::this_coro::cancellation_state;
    if (state.cancelled() != asio::cancellation_type::none) co_return;
    many->finish(i);
  }
}

// When the caller is gone no further link is begun, and nobody is told of those that end.
class Stop {
 public:
  explicit Stop(Many& many) noexcept : many_(many) {}
  Stop(const Stop&) = delete;
  ~Stop() {
    const std::lock_guard order(many_.telling);
    const std::lock_guard lock(many_.mutex);
    many_.next = many_.jobs.size();
    many_.progress = nullptr;
  }

 private:
  Many& many_;
};

// The files of two links of one name would be the same.
void check_names(const std::vector<CausalLink>& links) {
  std::map<std::string, std::size_t> seen;
  for (std::size_t i = 0; i < links.size(); ++i) {
    const auto [at, fresh] = seen.emplace(name_of(links[i]), i);
    if (!fresh)
      throw ConfigError(fmt::format(
          "links {} and {} of {} are both named '{}', so they would share their checkpoints; give "
          "each a name of its own",
          at->second + 1, i + 1, links.size(), at->first));
  }
}

asio::awaitable<std::vector<LinkOutcome>> infer_many(ResourcePool pool,
                                                     std::shared_ptr<Many> many) {
  std::vector<asio::awaitable<void>> lanes;
  for (std::size_t i = 0; i < many->lanes; ++i) lanes.push_back(lane(pool, many));
  const Stop stop(*many);
  auto all = many->together->run(std::move(lanes));
  co_await std::move(all);
  if (many->stopped) std::rethrow_exception(many->stopped);
  co_return std::move(many->outcomes);
}

}  // namespace

WholeLink infer_in_worker(LinkData data, std::vector<MechanismRecord> records, FitSettings settings,
                          bool may_split) {
  std::vector<Mechanism> candidates;
  for (auto& record : records) candidates.push_back(Mechanism::from(std::move(record)));
  Watch watch;
  if (settings.deadline.count() > 0) watch.until = mcmc::StopWhen(settings.deadline);
  watch.should_stop = [] { return this_worker::stop_requested(); };
  watch.progress = [](double percent, std::string_view note) {
    this_worker::report_progress(percent, note);
  };
  if (may_split) watch.slowest_gradient = slow_gradient;
  WholeLink whole;
  try {
    whole.report = infer_watched(data, candidates, settings, watch);
  } catch (const TooSlow&) {
    whole.too_slow = true;
  }
  return whole;
}

const InferenceResult& LinkOutcome::value() const {
  if (failure) std::rethrow_exception(failure);
  return result.value();
}

std::string LinkOutcome::error() const {
  if (!failure) return result ? std::string() : "it was never begun";
  try {
    std::rethrow_exception(failure);
  } catch (const std::exception& e) {
    return e.what();
  } catch (...) {
    return "an unknown exception";
  }
}

asio::awaitable<InferenceResult> run_mcmc_sampling(WorkerLease& worker, const CausalLink& link,
                                                   const InferOptions& options) {
  return sample_on(worker, std::make_shared<const Job>(link, options));
}

asio::awaitable<InferenceResult> BayesianInferenceEngine::infer_mechanism(
    const CausalLink& link, const InferOptions& options) {
  auto job = std::make_shared<Job>(link, options);
  job->limit(pool_.config());
  return infer(pool_, std::move(job), std::chrono::milliseconds(0));
}

asio::awaitable<std::vector<LinkOutcome>> BayesianInferenceEngine::infer_mechanisms(
    std::vector<CausalLink> links, const InferOptions& options) {
  if (!options.checkpoint_folder.empty()) check_names(links);
  auto many = std::make_shared<Many>();
  many->progress = options.progress;
  many->state.total = links.size();
  many->outcomes.resize(links.size());
  for (std::size_t i = 0; i < links.size(); ++i) {
    many->outcomes[i].link = name_of(links[i]);
    try {
      auto job = std::make_shared<Job>(links[i], options);
      job->limit(pool_.config());
      many->jobs.push_back(std::move(job));
    } catch (const ConfigError& error) {
      throw ConfigError(fmt::format("link {} of {} ('{}'): {}", i + 1, links.size(),
                                    name_of(links[i]), error.what()));
    }
  }
  const std::size_t wanted =
      options.concurrency != 0 ? options.concurrency : pool_.max_workers() + 1;
  many->lanes = std::min(wanted, links.size());
  return infer_many(pool_, std::move(many));
}

}  // namespace reeve::inference
