// Counted placement: FCFS, EASY, conservative and hybrid (rebuilt at each event).
#include "alloc/simulator_detail.hpp"

#include <algorithm>

namespace reeve::alloc::detail {

namespace {

// Free processors from each instant on, sorted by time; the last step lasts for ever.
class Profile {
 public:
  struct Step {
    Time at;
    std::int32_t free;
  };
  void reset(Time now, std::int32_t free) { steps_.assign(1, {now, free}); }
  // Appends a release; calls come in time order.
  void release(Time at, std::int32_t size) {
    if (at <= steps_.back().at) {
      steps_.back().free += size;
    } else {
      steps_.push_back({at, steps_.back().free + size});
    }
  }
  std::size_t first_fit(std::int32_t size, Time length) const {
    std::size_t start = 0;
    for (std::size_t i = 0; i < steps_.size(); ++i) {
      if (i > start && steps_[i].at - steps_[start].at >= length) break;
      if (steps_[i].free < size) start = i + 1;
    }
    return start;
  }
  Time at(std::size_t i) const { return steps_[i].at; }
  void take(std::size_t start, std::int32_t size, Time length) {
    const Time end = steps_[start].at + length;
    std::size_t i = start;
    for (; i < steps_.size() && steps_[i].at < end; ++i) steps_[i].free -= size;
    if (i < steps_.size() ? steps_[i].at != end : true)
      steps_.insert(steps_.begin() + static_cast<std::ptrdiff_t>(i),
                    {end, steps_[i - 1].free + size});
  }

 private:
  std::vector<Step> steps_;
};

class Counted {
 public:
  Counted(std::span<const Job> jobs, const SimulatorOptions& o, std::vector<Outcome>& out)
      : jobs_(jobs),
        o_(o),
        first_(jobs, o.order),
        behind_(jobs, o.backfill_order),
        out_(out),
        free_(o.processors) {}

  void run() {
    while (next_ < jobs_.size() || !running_.empty()) {
      Time now = running_.empty() ? forever : running_.front().end;
      if (next_ < jobs_.size()) now = std::min(now, jobs_[next_].submit);
      while (!running_.empty() && running_.front().end <= now) complete();
      while (next_ < jobs_.size() && jobs_[next_].submit <= now) {
        queue_.insert(std::upper_bound(queue_.begin(), queue_.end(), next_, first_), next_);
        ++next_;
      }
      schedule(now);
    }
  }

 private:
  void complete() {
    std::pop_heap(running_.begin(), running_.end(), later);
    const Running done = running_.back();
    running_.pop_back();
    expected_.erase(std::lower_bound(expected_.begin(), expected_.end(), done, expected_sooner));
    free_ += jobs_[done.job].size;
  }

  void start(std::size_t j, Time now) {
    free_ -= jobs_[j].size;
    out_[j].start = now;
    out_[j].finish = now + jobs_[j].run;
    const Running r{j, out_[j].finish, now + jobs_[j].estimate};
    running_.push_back(r);
    std::push_heap(running_.begin(), running_.end(), later);
    expected_.insert(std::upper_bound(expected_.begin(), expected_.end(), r, expected_sooner), r);
  }

  void schedule(Time now) {
    std::size_t started = 0;
    while (started < queue_.size() && jobs_[queue_[started]].size <= free_)
      start(queue_[started++], now);
    queue_.erase(queue_.begin(), queue_.begin() + static_cast<std::ptrdiff_t>(started));
    if (queue_.empty() || o_.backfill == Backfill::none || free_ == 0) return;
    if (o_.backfill == Backfill::easy) {
      easy(now);
    } else {
      reserving(now, o_.backfill == Backfill::hybrid ? o_.depth : SIZE_MAX);
    }
  }

  void promise(std::size_t j, Time at) {
    if (out_[j].promised == forever) out_[j].promised = at;
  }

  void easy(Time now) {
    // The head starts at `shadow`; `extra` processors stay free beside it.
    const auto& head = jobs_[queue_[0]];
    std::int32_t free = free_;
    Time shadow = now;
    for (std::size_t i = 0; i < expected_.size(); ++i) {
      free += jobs_[expected_[i].job].size;
      shadow = std::max(now, expected_[i].expected);
      const bool more =
          i + 1 < expected_.size() && std::max(now, expected_[i + 1].expected) == shadow;
      if (free >= head.size && !more) break;
    }
    promise(queue_[0], shadow);
    std::int32_t extra = free - head.size;
    tried_.assign(queue_.begin() + 1, queue_.end());
    if (o_.backfill_order != o_.order) std::sort(tried_.begin(), tried_.end(), behind_);
    for (auto j : tried_) {
      if (free_ == 0) break;
      const auto& job = jobs_[j];
      if (job.size > free_) continue;
      const bool ends_before = now + job.estimate <= shadow;
      if (!ends_before && job.size > extra) continue;
      if (!ends_before) extra -= job.size;
      start(j, now);
      gone_.push_back(j);
    }
    sweep();
  }

  // The first `depth` that cannot start now get reservations.
  void reserving(Time now, std::size_t depth) {
    profile_.reset(now, free_);
    // A job that outlived its estimate runs on: it may end at the next instant, not now.
    for (const auto& r : expected_)
      profile_.release(std::max(r.expected, now + 1), jobs_[r.job].size);
    for (auto j : queue_) {
      const auto at = profile_.first_fit(jobs_[j].size, jobs_[j].estimate);
      const bool starts = profile_.at(at) == now && jobs_[j].size <= free_;
      if (!starts && depth == 0) continue;
      depth -= !starts;
      promise(j, profile_.at(at));
      profile_.take(at, jobs_[j].size, jobs_[j].estimate);
      if (!starts) continue;
      start(j, now);
      gone_.push_back(j);
    }
    sweep();
  }

  void sweep() {
    std::sort(gone_.begin(), gone_.end());
    std::erase_if(queue_,
                  [&](std::size_t j) { return std::binary_search(gone_.begin(), gone_.end(), j); });
    gone_.clear();
  }

  std::span<const Job> jobs_;
  const SimulatorOptions& o_;
  Before first_;
  Before behind_;
  std::vector<Outcome>& out_;
  std::int32_t free_;
  std::size_t next_ = 0;
  std::vector<std::size_t> queue_;
  std::vector<std::size_t> tried_;
  std::vector<std::size_t> gone_;
  std::vector<Running> running_;   // heap by end
  std::vector<Running> expected_;  // sorted by expected end
  Profile profile_;
};

}  // namespace

void run_counted(std::span<const Job> jobs, const SimulatorOptions& o, std::vector<Outcome>& out) {
  Counted(jobs, o, out).run();
}

}  // namespace reeve::alloc::detail
