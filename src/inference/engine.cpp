// One link, one lease, one call; many links in a bounded number of lanes.
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/this_coro.hpp>
#include <map>
#include <memory>
#include <mutex>
#include <reeve/async/gate.hpp>
#include <reeve/base/error.hpp>
#include <reeve/inference/engine.hpp>
#include <reeve/process/this_worker.hpp>
#include <utility>

#include "inference/fit.hpp"

namespace reeve::inference {
namespace {

namespace asio = boost::asio;

// Runs in a worker.
LinkReport infer_in_worker(LinkData data, std::vector<MechanismRecord> records,
                           FitSettings settings) {
  std::vector<Mechanism> candidates;
  for (auto& record : records) candidates.push_back(Mechanism::from(std::move(record)));
  Watch watch;
  if (settings.deadline.count() > 0) watch.until = mcmc::StopWhen(settings.deadline);
  watch.should_stop = [] { return this_worker::stop_requested(); };
  watch.progress = [](double percent, std::string_view note) {
    this_worker::report_progress(percent, note);
  };
  return infer_watched(data, candidates, settings, watch);
}

// A link that was checked, with everything that its task needs.
struct Job {
  LinkData data;
  std::vector<Mechanism> candidates;
  std::vector<MechanismRecord> records;
  FitSettings settings;
  ByteSize memory;
  std::size_t retries = 0;

  Job(const CausalLink& link, const InferOptions& options)
      : data(checked(link)),
        candidates(candidates_for(data, options.candidates)),
        settings(options),
        memory(options.memory),
        retries(options.retries) {
    if (auto fault = find_fault(settings)) throw ConfigError("InferOptions: " + *fault);
    for (const auto& m : candidates) records.push_back(m.record());
  }
  void limit(std::chrono::milliseconds lease) {
    if (settings.deadline.count() == 0) settings.deadline = lease * 3 / 5;
  }
};

std::string task_of(const LinkData& data) {
  return data.name.substr(0, 127);
}

asio::awaitable<InferenceResult> sample_on(WorkerLease& worker, std::shared_ptr<const Job> job) {
  RunLimits limits;
  limits.memory = job->memory;
  auto call = worker.run<&infer_in_worker>(limits, job->data, job->records, job->settings);
  LinkReport report = co_await std::move(call);
  InferenceResult result(job->data, job->candidates, std::move(report));
  result.device = worker.device();
  result.worker = worker.id();
  co_return result;
}

asio::awaitable<InferenceResult> infer(ResourcePool pool, std::shared_ptr<const Job> job,
                                       std::chrono::milliseconds queue_time_max) {
  const std::string task = task_of(job->data);
  AcquireOptions waiting;
  waiting.timeout = queue_time_max;
  for (std::size_t attempt = 0;; ++attempt) {
    try {
      WorkerLease worker = co_await pool.acquire_worker(task, waiting);
      InferenceResult result = co_await sample_on(worker, job);
      co_return result;
    } catch (const WorkerLostError&) {
      if (attempt >= job->retries) throw;
    } catch (const WorkerCrashedError&) {
      if (attempt >= job->retries) throw;
    }
  }
}

// One link after another; its strand makes a cancellation from outside safe.
struct Lane {
  explicit Lane(const asio::any_io_executor& executor) : strand(asio::make_strand(executor)) {}
  asio::strand<asio::any_io_executor> strand;
  asio::cancellation_signal signal;
};

// What the lanes of one infer_mechanisms share.
struct Many {
  std::vector<std::shared_ptr<const Job>> jobs;
  std::vector<LinkOutcome> outcomes;
  std::function<void(const LinkProgress&)> progress;
  std::mutex mutex;
  std::mutex telling;          // progress is told one at a time, and never under the other lock
  std::exception_ptr stopped;  // what progress threw
  std::size_t next = 0, lane_count = 0;
  std::vector<std::shared_ptr<Lane>> lanes;
  LinkProgress state;
  async::Gate ended;

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
    for (const auto& lane : lanes)
      asio::post(lane->strand, [lane] { lane->signal.emit(asio::cancellation_type::terminal); });
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
  const auto executor = co_await asio::this_coro::executor;
  auto running = std::make_shared<std::atomic<std::size_t>>(many->lane_count);
  const auto ended = [many, running](std::exception_ptr) {
    if (running->fetch_sub(1) == 1) many->ended.open();
  };
  for (std::size_t i = 0; i < many->lane_count; ++i)
    many->lanes.push_back(std::make_shared<Lane>(executor));
  for (const auto& one : many->lanes)
    asio::co_spawn(one->strand, lane(pool, many),
                   asio::bind_cancellation_slot(one->signal.slot(), ended));
  const Stop stop(*many);
  try {
    if (many->lane_count > 0) co_await many->ended.wait();
  } catch (...) {
    many->cancel();
    throw;
  }
  if (many->stopped) std::rethrow_exception(many->stopped);
  co_return std::move(many->outcomes);
}

}  // namespace

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
  job->limit(pool_.config().worker_timeout);
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
      job->limit(pool_.config().worker_timeout);
      many->jobs.push_back(std::move(job));
    } catch (const ConfigError& error) {
      throw ConfigError(fmt::format("link {} of {} ('{}'): {}", i + 1, links.size(),
                                    name_of(links[i]), error.what()));
    }
  }
  const std::size_t wanted =
      options.concurrency != 0 ? options.concurrency : pool_.config().max_workers + 1;
  many->lane_count = std::min(wanted, links.size());
  return infer_many(pool_, std::move(many));
}

}  // namespace reeve::inference
