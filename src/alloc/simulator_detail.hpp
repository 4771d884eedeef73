// What the simulator's engines share.
#pragma once

#include <algorithm>
#include <cmath>
#include <numeric>

#include "reeve/alloc/simulator.hpp"

namespace reeve::alloc::detail {

/// Positions of jobs compared by an order.
class Before {
 public:
  Before(std::span<const Job> jobs, Order order) : jobs_(jobs), order_(order) {
    if (order != Order::f1) return;
    const auto log = [](double v) { return std::log10(v > 0 ? v : 0.1); };
    for (const Job& j : jobs)
      score_.push_back(log(double(j.estimate) / 1e6) * j.size + 870 * log(double(j.submit) / 1e6));
  }
  bool operator()(std::size_t a, std::size_t b) const {
    const Job& x = jobs_[a];
    const Job& y = jobs_[b];
    if (order_ == Order::sjf && x.estimate != y.estimate) return x.estimate < y.estimate;
    if (order_ == Order::f1 && score_[a] != score_[b]) return score_[a] < score_[b];
    if (x.submit != y.submit) return x.submit < y.submit;
    return a < b;
  }

 private:
  std::span<const Job> jobs_;
  Order order_;
  std::vector<double> score_;
};

struct Running {
  std::size_t job;
  Time end;       // as it will be
  Time expected;  // as the scheduler believes
};
inline bool later(const Running& a, const Running& b) {
  return a.end != b.end ? a.end > b.end : a.job > b.job;
}
inline bool expected_sooner(const Running& a, const Running& b) {
  return a.expected != b.expected ? a.expected < b.expected : a.job < b.job;
}

/// Sizes, times and order of jobs, none larger than `processors`.
Result<void> check_jobs(std::span<const Job> jobs, std::int64_t processors);
/// Positions by submit, id, position.
std::vector<std::size_t> order_of(std::span<const Job> jobs);
/// Fills the means.
void measure(std::span<const Job> jobs, std::int64_t processors, Replay& replay);

void run_one_at_a_time(std::span<const Job> jobs, const SimulatorOptions& options,
                       std::vector<Outcome>& out);
void run_counted(std::span<const Job> jobs, const SimulatorOptions& options,
                 std::vector<Outcome>& out);
void run_identified(std::span<const Job> jobs, const SimulatorOptions& options,
                    std::vector<Outcome>& out);

}  // namespace reeve::alloc::detail
