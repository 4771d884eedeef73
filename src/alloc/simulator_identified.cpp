// Identified placement: EASY (rebuilt at each event) and conservative (rebuilt or compressed).
#include "alloc/simulator_detail.hpp"

namespace reeve::alloc::detail {

namespace {

using Machines = std::vector<std::uint64_t>;  // one bit each

// Which machines are free from each instant on, sorted by time.
class MachineProfile {
 public:
  struct Fit {
    Time start;
    Machines machines;
  };

  void reset(Time now, const Machines& all) { steps_.assign(1, {now, all}); }

  void forget_before(Time now) {
    std::size_t keep = 0;
    while (keep + 1 < steps_.size() && steps_[keep + 1].at <= now) ++keep;
    steps_.erase(steps_.begin(), steps_.begin() + static_cast<std::ptrdiff_t>(keep));
    steps_[0].at = std::max(steps_[0].at, now);
  }

  // The earliest start at which `size` machines are free all along; the lowest of them.
  Fit first_fit(std::int32_t size, Time length) const {
    for (std::size_t s = 0;; ++s) {
      Machines free = steps_[s].free;
      for (std::size_t i = s + 1; i < steps_.size() && steps_[i].at - steps_[s].at < length; ++i)
        for (std::size_t w = 0; w < free.size(); ++w) free[w] &= steps_[i].free[w];
      std::int32_t count = 0;
      for (auto w : free) count += __builtin_popcountll(w);
      if (count < size) continue;
      for (std::size_t w = free.size(); count > size;) {
        --w;
        while (free[w] && count > size) {
          free[w] &= ~(std::uint64_t{1} << (63 - __builtin_clzll(free[w])));
          --count;
        }
      }
      return {steps_[s].at, std::move(free)};
    }
  }

  void set(Time from, Time to, const Machines& machines, bool free) {
    if (from >= to) return;
    const auto first = cut(from);
    const auto last = cut(to);
    for (auto i = first; i < last; ++i)
      for (std::size_t w = 0; w < machines.size(); ++w)
        steps_[i].free[w] =
            free ? steps_[i].free[w] | machines[w] : steps_[i].free[w] & ~machines[w];
    for (auto i = std::min(last, steps_.size() - 1); i > 0 && i + 1 > first; --i)
      if (steps_[i].free == steps_[i - 1].free)
        steps_.erase(steps_.begin() + static_cast<std::ptrdiff_t>(i));
  }

 private:
  struct Step {
    Time at;
    Machines free;
  };
  std::size_t cut(Time at) {
    auto i =
        static_cast<std::size_t>(std::lower_bound(steps_.begin(), steps_.end(), at,
                                                  [](const Step& s, Time t) { return s.at < t; }) -
                                 steps_.begin());
    if (i < steps_.size() && steps_[i].at == at) return i;
    if (i == 0) return 0;
    steps_.insert(steps_.begin() + static_cast<std::ptrdiff_t>(i), {at, steps_[i - 1].free});
    return i;
  }
  std::vector<Step> steps_;
};

class Identified {
 public:
  Identified(std::span<const Job> jobs, const SimulatorOptions& o, std::vector<Outcome>& out)
      : jobs_(jobs),
        o_(o),
        out_(out),
        plan_(jobs.size()),
        all_(static_cast<std::size_t>(o.processors + 63) / 64, 0) {
    for (std::int32_t m = 0; m < o.processors; ++m)
      all_[static_cast<std::size_t>(m / 64)] |= std::uint64_t{1} << (m % 64);
    profile_.reset(INT64_MIN / 4, all_);
  }

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
      profile_.set(now, r.expected, plan_[r.job].machines, true);
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

  void place(std::size_t j) {
    plan_[j] = profile_.first_fit(jobs_[j].size, jobs_[j].estimate);
    profile_.set(plan_[j].start, plan_[j].start + jobs_[j].estimate, plan_[j].machines, false);
  }

  void rebuild(Time now) {
    profile_.reset(now, all_);
    for (const auto& r : running_) profile_.set(now, r.expected, plan_[r.job].machines, false);
    bool head = true;
    std::erase_if(queue_, [&](std::size_t j) {
      if (!head && o_.backfill == Backfill::easy) {
        auto fit = profile_.first_fit(jobs_[j].size, jobs_[j].estimate);
        if (fit.start != now) return false;
      }
      place(j);
      if (plan_[j].start == now) {
        start(j, now);
        return true;
      }
      head = false;
      return false;
    });
  }

  void compress(Time now, bool completed, std::size_t fresh) {
    profile_.forget_before(now);
    for (std::size_t i = 0; i < queue_.size(); ++i) {
      const auto j = queue_[i];
      if (i < fresh) {
        if (!completed) continue;
        profile_.set(plan_[j].start, plan_[j].start + jobs_[j].estimate, plan_[j].machines, true);
      }
      place(j);
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
  std::vector<MachineProfile::Fit> plan_;
  Machines all_;
  MachineProfile profile_;
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
