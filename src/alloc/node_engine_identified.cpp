// Reservations name their nodes: EASY and hybrid (rebuilt at each event), conservative (rebuilt or
// compressed).
#include "alloc/node_engine.hpp"
#include "alloc/node_timeline.hpp"

namespace reeve::alloc::detail {

namespace {

class Identified {
 public:
  explicit Identified(const NodeTask& task)
      : t_(task),
        first_(task.jobs, task.options.order),
        behind_(task.jobs, task.options.backfill_order),
        compress_(task.options.backfill == Backfill::conservative &&
                  task.options.replan == Replan::compress),
        starts_(task.jobs.size(), forever),
        started_(task.jobs.size(), char{0}),
        free_(task.nodes.capacity()),
        plan_(task.nodes) {}

  void run() {
    const auto& jobs = t_.jobs;
    while (next_ < jobs.size() || !running_.empty()) {
      Time now = next_ < jobs.size() ? jobs[next_].submit : forever;
      for (const auto& r : running_) now = std::min(now, r.end);
      const bool completed = complete(now);
      for (; next_ < jobs.size() && jobs[next_].submit <= now; ++next_)
        queue_.insert(std::upper_bound(queue_.begin(), queue_.end(), next_, first_), next_);
      if (compress_) {
        compress(now, completed);
      } else {
        rebuild(now);
      }
    }
  }

 private:
  bool complete(Time now) {
    const auto before = running_.size();
    std::erase_if(running_, [&](const Running& r) {
      if (r.end > now) return false;
      give_shares(free_, t_.shares[r.job]);
      if (compress_) plan_.give(now, r.expected, t_.shares[r.job]);
      return true;
    });
    return running_.size() != before;
  }

  void start(std::size_t j, Time now) {
    const auto& job = t_.jobs[j];
    started_[j] = 1;
    t_.start(j, now, std::min(job.run, job.estimate));
    take_shares(free_, t_.shares[j]);
    const Running r{j, t_.outcomes[j].finish, now + job.estimate};
    const auto sooner = [](const Running& a, const Running& b) { return a.expected < b.expected; };
    running_.insert(std::upper_bound(running_.begin(), running_.end(), r, sooner), r);
  }

  // Reserves the earliest place that begins by `latest`.
  bool reserve(std::size_t j, Time now, Time latest) {
    const auto length = t_.jobs[j].estimate;
    auto place = plan_.earliest_fit(now, latest, length, t_.wanted[j]);
    if (!place) return false;
    plan_.take(place->start, place->start + length, place->shares);
    starts_[j] = place->start;
    t_.shares[j] = std::move(place->shares);
    t_.promise(j, starts_[j]);
    return true;
  }

  void rebuild(Time now) {
    plan_.reset(now, free_);
    for (const auto& r : running_) plan_.add_end(r.expected, t_.shares[r.job]);
    const auto backfill = t_.options.backfill;
    std::size_t depth = backfill == Backfill::easy     ? 1
                        : backfill == Backfill::hybrid ? t_.options.depth
                                                       : SIZE_MAX;
    tried_ = queue_;
    for (std::size_t i = 0; i < tried_.size(); ++i) {
      const auto j = tried_[i];
      if (!reserve(j, now, depth == 0 ? now : forever)) continue;
      if (starts_[j] == now) {
        start(j, now);
      } else if (--depth == 0 && backfill == Backfill::easy &&
                 t_.options.backfill_order != t_.options.order) {
        std::sort(tried_.begin() + static_cast<std::ptrdiff_t>(i) + 1, tried_.end(), behind_);
      }
    }
    sweep();
  }

  void compress(Time now, bool completed) {
    plan_.forget_before(now);
    for (auto j : queue_) {
      if (starts_[j] != forever) {
        if (!completed) continue;
        plan_.give(starts_[j], starts_[j] + t_.jobs[j].estimate, t_.shares[j]);
      }
      reserve(j, now, forever);
    }
    for (auto j : queue_)
      if (starts_[j] <= now) start(j, now);
    sweep();
  }

  void sweep() {
    std::erase_if(queue_, [&](std::size_t j) { return started_[j] != 0; });
  }

  const NodeTask& t_;
  Before first_;
  Before behind_;
  bool compress_;
  std::vector<Time> starts_;  // planned
  std::vector<char> started_;
  FreeNodes free_;
  NodeTimeline plan_;
  std::size_t next_ = 0;
  std::vector<std::size_t> queue_;
  std::vector<std::size_t> tried_;
  std::vector<Running> running_;  // sorted by expected end
};

}  // namespace

void run_nodes_identified(const NodeTask& task) {
  Identified(task).run();
}

}  // namespace reeve::alloc::detail
