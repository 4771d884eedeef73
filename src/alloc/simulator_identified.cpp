// Identified placement: EASY and hybrid (rebuilt at each event), conservative (rebuilt or
// compressed).
#include "alloc/simulator_detail.hpp"
#include "reeve/alloc/machine_timeline.hpp"

namespace reeve::alloc::detail {

namespace {

class Identified {
 public:
  Identified(std::span<const Job> jobs, const SimulatorOptions& o, std::vector<Outcome>& out)
      : jobs_(jobs), o_(o), out_(out), plan_(jobs.size()), profile_(o.processors) {}

  void run() {
    while (next_ < jobs_.size() || !running_.empty()) {
      Time now = next_ < jobs_.size() ? jobs_[next_].submit : forever;
      for (const auto& r : running_) now = std::min(now, r.end);
      const bool completed = complete(now);
      const auto fresh = queue_.size();
      while (next_ < jobs_.size() && jobs_[next_].submit <= now) queue_.push_back(next_++);
      if (o_.backfill == Backfill::conservative && o_.replan == Replan::compress) {
        compress(now, completed, fresh);
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
      profile_.give(now, r.expected, plan_[r.job].machines);
      return true;
    });
    return running_.size() != before;
  }

  void start(std::size_t j, Time now) {
    auto& out = out_[j];
    out.start = now;
    out.finish = now + std::min(jobs_[j].run, jobs_[j].estimate);
    for (std::int32_t m = 0; m < o_.processors; ++m)
      if (plan_[j].machines[static_cast<std::size_t>(m / 64)] >> (m % 64) & 1)
        out.machines.push_back(m);
    running_.push_back({j, out.finish, now + jobs_[j].estimate});
  }

  void place(std::size_t j, Time now) {
    plan_[j] = profile_.earliest_fit(now, jobs_[j].estimate, jobs_[j].size).value();
    profile_.take(plan_[j].start, plan_[j].start + jobs_[j].estimate, plan_[j].machines);
    if (out_[j].promised == forever) out_[j].promised = plan_[j].start;
  }

  void rebuild(Time now) {
    profile_.reset(now);
    for (const auto& r : running_) profile_.take(now, r.expected, plan_[r.job].machines);
    std::size_t depth = o_.backfill == Backfill::easy     ? 1
                        : o_.backfill == Backfill::hybrid ? o_.depth
                                                          : SIZE_MAX;
    std::erase_if(queue_, [&](std::size_t j) {
      if (depth == 0) {
        const auto fit = profile_.earliest_fit(now, jobs_[j].estimate, jobs_[j].size);
        if (!fit || fit->start != now) return false;
      }
      place(j, now);
      if (plan_[j].start == now) {
        start(j, now);
        return true;
      }
      --depth;
      return false;
    });
  }

  void compress(Time now, bool completed, std::size_t fresh) {
    profile_.forget_before(now);
    for (std::size_t i = 0; i < queue_.size(); ++i) {
      const auto j = queue_[i];
      if (i < fresh) {
        if (!completed) continue;
        profile_.give(plan_[j].start, plan_[j].start + jobs_[j].estimate, plan_[j].machines);
      }
      place(j, now);
    }
    std::erase_if(queue_, [&](std::size_t j) {
      if (plan_[j].start > now) return false;
      start(j, now);
      return true;
    });
  }

  std::span<const Job> jobs_;
  const SimulatorOptions& o_;
  std::vector<Outcome>& out_;
  std::vector<MachineTimeline::Fit> plan_;
  MachineTimeline profile_;
  std::size_t next_ = 0;
  std::vector<std::size_t> queue_;
  std::vector<Running> running_;
};

}  // namespace

void run_identified(std::span<const Job> jobs, const SimulatorOptions& o,
                    std::vector<Outcome>& out) {
  Identified(jobs, o, out).run();
}

}  // namespace reeve::alloc::detail
