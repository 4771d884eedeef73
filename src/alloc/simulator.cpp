// Checks, measures, and the engine that decides one job at a time.
#include "reeve/alloc/simulator.hpp"

#include <algorithm>

#include "alloc/simulator_detail.hpp"

namespace reeve::alloc {

namespace detail {

namespace {

// Of submits, and of all runs one after the other; the sum of both is well within 64 bits.
constexpr Time latest = INT64_MAX / 4;

}  // namespace

Result<void> check_jobs(std::span<const Job> jobs, std::int64_t processors) {
  Time last = INT64_MIN;
  Time total = 0;
  for (const Job& j : jobs) {
    if (j.size > processors)
      return Refusal{.code = Code::infeasible,
                     .subject = "processors",
                     .asked = j.size,
                     .available = processors};
    if (j.size <= 0 || j.run <= 0 || j.estimate <= 0)
      return Refusal{.code = Code::malformed,
                     .subject = "job " + std::to_string(j.id) + " has no size or time"};
    if (j.submit < last)
      return Refusal{.code = Code::malformed,
                     .subject = "job " + std::to_string(j.id) + " is out of submit order"};
    last = j.submit;
    // One after the other, after the last submit: nothing ends later.
    if (__builtin_add_overflow(total, std::max(j.run, j.estimate), &total) || total > latest ||
        j.submit > latest || j.submit < -latest)
      return Refusal{.code = Code::overflow,
                     .subject = "the time at which job " + std::to_string(j.id) + " may end"};
  }
  return {};
}

std::vector<std::size_t> order_of(std::span<const Job> jobs) {
  std::vector<std::size_t> order(jobs.size());
  std::iota(order.begin(), order.end(), 0u);
  const auto before = [&](std::size_t a, std::size_t b) {
    const Job& x = jobs[a];
    const Job& y = jobs[b];
    return x.submit != y.submit ? x.submit < y.submit : x.id != y.id ? x.id < y.id : a < b;
  };
  if (!std::is_sorted(order.begin(), order.end(), before))
    std::sort(order.begin(), order.end(), before);
  return order;
}

void measure(std::span<const Job> jobs, std::int64_t processors, Replay& r) {
  if (jobs.empty()) return;
  double area = 0;
  Time last = INT64_MIN;
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    const double wait = double(r.jobs[i].start - jobs[i].submit) / 1e6;
    const double run = double(r.jobs[i].finish - r.jobs[i].start) / 1e6;
    r.mean_wait += wait;
    r.max_wait = std::max(r.max_wait, wait);
    r.mean_bounded_slowdown += std::max(1.0, (wait + run) / std::max(run, 10.0));
    area += run * jobs[i].size;
    last = std::max(last, r.jobs[i].finish);
  }
  r.mean_wait /= double(jobs.size());
  r.mean_bounded_slowdown /= double(jobs.size());
  r.makespan = double(last - jobs[0].submit) / 1e6;
  r.utilisation = area / (r.makespan * double(processors));
}

}  // namespace detail

namespace {

Result<void> check(std::span<const Job> jobs, const SimulatorOptions& o) {
  const auto no = [](const char* why) {
    return Refusal{.code = Code::invalid_request, .subject = why};
  };
  if (o.processors <= 0) return no("a machine needs processors");
  if (o.one_at_a_time && o.backfill != Backfill::none && o.backfill != Backfill::shadow_once)
    return no("one_at_a_time takes no backfill, or shadow_once");
  if (!o.one_at_a_time && o.backfill == Backfill::shadow_once)
    return no("shadow_once needs one_at_a_time");
  if (o.placement == Placement::identified &&
      (o.one_at_a_time || o.backfill == Backfill::none || o.order != Order::fcfs))
    return no("identified placement needs fcfs with easy, conservative or hybrid backfill");
  if (o.backfill == Backfill::hybrid && o.depth == 0) return no("hybrid backfill needs a depth");
  if (o.placement == Placement::counted && o.replan == Replan::compress &&
      (o.backfill == Backfill::conservative || o.backfill == Backfill::hybrid))
    return no("compress needs identified placement");
  return detail::check_jobs(jobs, o.processors);
}

}  // namespace

namespace detail {

namespace {

// Moves from event to event; at one instant arrivals come before completions, each on its own.
class OneAtATime {
 public:
  OneAtATime(std::span<const Job> jobs, const SimulatorOptions& o, std::vector<Outcome>& out)
      : jobs_(jobs),
        first_(jobs, o.order),
        behind_(jobs, o.backfill_order),
        out_(out),
        backfill_(o.backfill == Backfill::shadow_once),
        free_(o.processors) {}

  void run() {
    while (next_ < jobs_.size() || !queue_.empty()) {
      while (queue_.empty()) step();
      const auto head = *std::min_element(queue_.begin(), queue_.end(), first_);
      if (jobs_[head].size > free_) wait_for(head);
      start(head);
    }
    while (!running_.empty()) step();
  }

 private:
  void wait_for(std::size_t head) {
    const Time shadow = backfill_ ? shadow_of(head) : 0;
    while (jobs_[head].size > free_) {
      if (backfill_) {
        auto tried = queue_;
        std::sort(tried.begin(), tried.end(), behind_);
        for (auto j : tried)
          if (j != head && jobs_[j].size <= free_ && now_ + jobs_[j].estimate < shadow) start(j);
      }
      step();
    }
  }

  Time shadow_of(std::size_t head) const {
    auto by_expected = running_;
    std::sort(by_expected.begin(), by_expected.end(),
              [](const Running& a, const Running& b) { return a.expected < b.expected; });
    std::int32_t free = free_;
    Time shadow = now_;
    for (const auto& r : by_expected) {
      free += jobs_[r.job].size;
      shadow = r.expected;
      if (free >= jobs_[head].size) break;
    }
    return shadow;
  }

  void start(std::size_t j) {
    std::erase(queue_, j);
    free_ -= jobs_[j].size;
    out_[j].start = now_;
    out_[j].finish = now_ + jobs_[j].run;
    running_.push_back({j, out_[j].finish, now_ + jobs_[j].estimate});
  }

  void step() {
    const auto done =
        std::min_element(running_.begin(), running_.end(), [](const Running& a, const Running& b) {
          return a.end != b.end ? a.end < b.end : a.job < b.job;
        });
    if (next_ < jobs_.size() && (done == running_.end() || jobs_[next_].submit <= done->end)) {
      now_ = std::max(now_, jobs_[next_].submit);
      queue_.push_back(next_++);
    } else {
      now_ = std::max(now_, done->end);
      free_ += jobs_[done->job].size;
      running_.erase(done);
    }
  }

  std::span<const Job> jobs_;
  Before first_;
  Before behind_;
  std::vector<Outcome>& out_;
  bool backfill_;
  std::int32_t free_;
  Time now_ = INT64_MIN;
  std::size_t next_ = 0;
  std::vector<std::size_t> queue_;
  std::vector<Running> running_;
};

}  // namespace

void run_one_at_a_time(std::span<const Job> jobs, const SimulatorOptions& o,
                       std::vector<Outcome>& out) {
  OneAtATime(jobs, o, out).run();
}

}  // namespace detail

namespace {

void run(std::span<const Job> jobs, const SimulatorOptions& options, std::vector<Outcome>& out) {
  if (options.one_at_a_time) {
    detail::run_one_at_a_time(jobs, options, out);
  } else if (options.placement == Placement::identified) {
    detail::run_identified(jobs, options, out);
  } else {
    detail::run_counted(jobs, options, out);
  }
}

}  // namespace

Result<Replay> simulate(std::span<const Job> jobs, const SimulatorOptions& options) {
  if (auto ok = check(jobs, options); !ok) return ok.refusal();
  Replay replay;
  replay.jobs.resize(jobs.size());
  const auto order = detail::order_of(jobs);
  if (std::is_sorted(order.begin(), order.end())) {
    run(jobs, options, replay.jobs);
  } else {
    std::vector<Job> sorted;
    for (auto j : order) sorted.push_back(jobs[j]);
    std::vector<Outcome> outcomes(jobs.size());
    run(sorted, options, outcomes);
    for (std::size_t i = 0; i < order.size(); ++i) replay.jobs[order[i]] = std::move(outcomes[i]);
  }
  for (auto& job : replay.jobs)
    if (job.promised == forever) job.promised = job.start;
  detail::measure(jobs, options.processors, replay);
  return replay;
}

}  // namespace reeve::alloc
