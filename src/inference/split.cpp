// One link by several workers: warm-ups, chains, and the judgement that puts them together.
#include <algorithm>
#include <map>
#include <mutex>
#include <reeve/base/error.hpp>
#include <reeve/process/this_worker.hpp>

#include "inference/checkpoint.hpp"
#include "inference/fit.hpp"
#include "inference/job.hpp"
#include "inference/side_by_side.hpp"
#include "inference/standard.hpp"

namespace reeve::inference {
namespace {

namespace asio = boost::asio;
using std::chrono::milliseconds;

constexpr std::size_t step = 20;  // transitions between two looks at the stop request

// What to sample: one round of one candidate. Travels to the workers.
struct Place {
  std::size_t candidate = 0;
  int round = 1;
};
struct Piece {
  std::string bytes;  ///< a sampler
  bool complete = false;
  double cpu = 0;
};
struct Sampled {
  Place place;
  Piece warm;
  std::vector<Piece> chains;
};
// The same as the judge gets it: in the message itself, without a copy of its own.
struct SampledView {
  Place place;
  std::string_view warm;
  std::vector<std::string_view> chains;
  double cpu = 0;
};
struct Verdict {
  std::vector<Place> missing;  ///< must be sampled before there is a report
  LinkReport report;
};

mcmc::StopWhen until(const FitSettings& settings) {
  return settings.deadline.count() > 0 ? mcmc::StopWhen(settings.deadline) : mcmc::StopWhen();
}

std::string file_of(const MechanismRecord& record, std::size_t chain) {
  return record.name + "#" + std::to_string(chain);
}

// Advances a piece to its end, its time, or a request to stop; keeps its file up to date.
template <class Advance>
bool work(mcmc::Sampler& sampler, Checkpoints& files, std::string_view name, int round,
          std::size_t every, const Advance& advance) {
  std::size_t since = 0;
  bool done = false;
  while (!done && !this_worker::stop_requested()) {
    done = advance(std::min(step, every));
    since += std::min(step, every);
    const bool stopped = sampler.stopped() != mcmc::Status::ok;
    if (files.enabled() && (done || stopped || since >= every)) {
      files.write(name, round, sampler.checkpoint());
      since = 0;
    }
    if (stopped) break;
  }
  return done;
}

// The three tasks.
Piece warm_up(LinkData data, MechanismRecord record, FitSettings settings, Place place) {
  const double from = cpu_seconds();
  const Mechanism mechanism = Mechanism::from(record);
  Checkpoints files(settings.checkpoint_folder, data.name);
  mcmc::Sampler sampler = begin_sampling(density_of(data, mechanism), mechanism, settings,
                                         place.candidate, place.round, files);
  const mcmc::StopWhen stop = until(settings);
  const bool done = work(sampler, files, record.name, place.round, settings.checkpoint_every,
                         [&](std::size_t count) { return sampler.advance_warmup(stop, count); });
  return {sampler.checkpoint(), done, cpu_seconds() - from};
}

Piece sample_chain(LinkData data, MechanismRecord record, FitSettings settings, Place place,
                   std::size_t chain, std::string_view warm) {
  const double from = cpu_seconds();
  const mcmc::Density density = density_of(data, Mechanism::from(record));
  Checkpoints files(settings.checkpoint_folder, data.name);
  const std::string name = file_of(record, chain);
  auto saved = go_on_sampling(density, name, settings, place.candidate, place.round, files);
  mcmc::Sampler sampler = saved ? std::move(*saved) : mcmc::Sampler::resume(density, warm);
  const mcmc::StopWhen stop = until(settings);
  const bool done =
      work(sampler, files, name, place.round, settings.checkpoint_every,
           [&](std::size_t count) { return sampler.advance_chain(chain, stop, count); });
  return {sampler.checkpoint(), done, cpu_seconds() - from};
}

Verdict judge_sampled(LinkData data, std::vector<MechanismRecord> records, FitSettings settings,
                      std::vector<SampledView> sampled) {
  Verdict verdict;
  std::vector<Mechanism> candidates;
  for (const auto& record : records) candidates.push_back(Mechanism::from(record));
  Watch watch;
  watch.until = until(settings);
  watch.should_stop = [] { return this_worker::stop_requested(); };
  watch.sampled = [&](std::size_t candidate, int round,
                      const mcmc::Density& density) -> std::optional<mcmc::Sampler> {
    for (const auto& s : sampled) {
      if (s.place.candidate != candidate || s.place.round != round) continue;
      mcmc::Sampler whole = mcmc::Sampler::resume(density, s.warm);
      for (std::size_t c = 0; c < s.chains.size(); ++c)
        whole.take_chain(mcmc::Sampler::resume(density, s.chains[c]), c);
      return whole;
    }
    Place place;
    place.candidate = candidate;
    place.round = round;
    verdict.missing.push_back(place);
    return std::nullopt;
  };
  Checkpoints files(std::exchange(settings.checkpoint_folder, {}), data.name);
  try {
    verdict.report = infer_watched(data, candidates, settings, watch);
  } catch (const NotSampled&) {
    return verdict;
  }
  for (const auto& s : sampled) {
    verdict.report.cpu_seconds += s.cpu;
    if (verdict.report.deadline_reached) continue;
    for (std::size_t c = 0; c < s.chains.size(); ++c)
      files.forget(file_of(records[s.place.candidate], c), s.place.round);
    // Last: a warm-up alone gives the same chains again.
    files.forget(records[s.place.candidate].name, s.place.round);
  }
  return verdict;
}

// The link's time, shared out over the pieces that are still to come.
class Budget {
 public:
  Budget(milliseconds whole, std::size_t workers)
      : until_(std::chrono::steady_clock::now() + whole),
        workers_(std::max<std::size_t>(workers, 1)),
        limited_(whole.count() > 0) {}
  void expect(std::size_t pieces) {
    const std::lock_guard lock(mutex_);
    left_ += pieces;
  }
  milliseconds share() {
    const std::lock_guard lock(mutex_);
    const auto now = rest();
    const auto waves = static_cast<long>((left_ + workers_ - 1) / workers_);
    if (left_ > 0) --left_;
    return limited_ ? std::max(milliseconds(1), now / std::max(waves, 1L)) : milliseconds(0);
  }
  milliseconds rest() const {
    if (!limited_) return milliseconds(0);
    return std::max(milliseconds(1), std::chrono::duration_cast<milliseconds>(
                                         until_ - std::chrono::steady_clock::now()));
  }

 private:
  std::chrono::steady_clock::time_point until_;
  std::size_t workers_;
  bool limited_;
  std::mutex mutex_;
  std::size_t left_ = 0;
};

std::vector<SampledView> views_of(const std::vector<Sampled>& sampled) {
  std::vector<SampledView> views;
  for (const Sampled& s : sampled) {
    SampledView& view = views.emplace_back();
    view.place = s.place;
    view.warm = s.warm.bytes;
    view.cpu = s.warm.cpu;
    for (const Piece& piece : s.chains) {
      view.chains.push_back(piece.bytes);
      view.cpu += piece.cpu;
    }
  }
  return views;
}

// What the coroutines of one link share. They run on strands of their own: each writes its own
// place.
struct SplitLink {
  ResourcePool pool;
  std::shared_ptr<const Job> job;
  milliseconds queue_time;
  Budget budget;
  std::vector<Sampled> sampled;
  std::chrono::steady_clock::time_point from = std::chrono::steady_clock::now();

  FitSettings settings(milliseconds deadline) const {
    FitSettings s = job->settings;
    s.deadline = deadline;
    return s;
  }
  double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - from).count();
  }
  RunLimits limits() const {
    RunLimits limits;
    if (job->memory > 0_B) limits.memory = job->memory;
    return limits;
  }
};
using Link = std::shared_ptr<SplitLink>;

asio::awaitable<void> sample_piece(Link link, Sampled* of, std::size_t chain) {
  const auto use = [link, of, chain](WorkerLease& worker) {
    const RunLimits limits = link->limits();
    const FitSettings settings = link->settings(link->budget.share());
    return worker.run<&sample_chain>(limits, link->job->data,
                                     link->job->records[of->place.candidate], settings, of->place,
                                     chain, of->warm.bytes);
  };
  auto call = with_retries(link->pool, link->job, link->queue_time, use);
  Piece piece = co_await std::move(call);
  of->chains[chain] = std::move(piece);
}

asio::awaitable<void> sample_place(Link link, Sampled* of) {
  const auto use = [link, of](WorkerLease& worker) {
    const RunLimits limits = link->limits();
    const FitSettings settings = link->settings(link->budget.share());
    return worker.run<&warm_up>(limits, link->job->data, link->job->records[of->place.candidate],
                                settings, of->place);
  };
  auto call = with_retries(link->pool, link->job, link->queue_time, use);
  Piece warm = co_await std::move(call);
  of->warm = std::move(warm);
  if (!of->warm.complete) co_return;  // for want of time
  of->chains.resize(link->job->settings.chains);
  std::vector<asio::awaitable<void>> chains;
  for (std::size_t c = 0; c < of->chains.size(); ++c) chains.push_back(sample_piece(link, of, c));
  const auto together = std::make_shared<SideBySide>();
  auto all = together->run(std::move(chains));
  co_await std::move(all);
}

}  // namespace

asio::awaitable<InferenceResult> infer_split(ResourcePool pool, std::shared_ptr<const Job> job,
                                             milliseconds queue_time) {
  const Link link(new SplitLink{pool, job, queue_time,
                                Budget(job->settings.deadline, pool.max_workers()),
                                std::vector<Sampled>()});
  for (;;) {
    std::optional<InferenceResult> result;
    std::vector<Place> missing;
    const auto judge = [link, &result, &missing](WorkerLease& worker) -> asio::awaitable<bool> {
      const RunLimits limits = link->limits();
      const FitSettings settings = link->settings(link->budget.rest());
      const auto sampled = views_of(link->sampled);
      auto call = worker.run<&judge_sampled>(limits, link->job->data, link->job->records, settings,
                                             sampled);
      Verdict verdict = co_await std::move(call);
      missing = std::move(verdict.missing);
      verdict.report.seconds = link->seconds();
      if (missing.empty()) result = result_of(*link->job, std::move(verdict.report), worker);
      co_return missing.empty();
    };
    auto judged = with_retries(pool, job, queue_time, judge);
    const bool done = co_await std::move(judged);
    if (done) co_return std::move(*result);
    const std::size_t before = link->sampled.size();
    for (const Place& place : missing) link->sampled.emplace_back().place = place;
    link->budget.expect(missing.size() * (1 + job->settings.chains));
    std::vector<asio::awaitable<void>> places;
    for (std::size_t i = before; i < link->sampled.size(); ++i)
      places.push_back(sample_place(link, &link->sampled[i]));
    const auto together = std::make_shared<SideBySide>();
    auto all = together->run(std::move(places));
    co_await std::move(all);
  }
}

}  // namespace reeve::inference
