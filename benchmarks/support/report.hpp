// What every benchmark program prints: one JSON line per figure, which benchmarks/run.py collects
// and joins with peers.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

namespace reeve::bench {

/// The `p` quantile (0 to 1) of `samples` by nearest rank. Preconditions: not empty. Cost: O(n).
inline double percentile(std::vector<double> samples, double p) {
  const auto rank = static_cast<std::size_t>(std::ceil(p * static_cast<double>(samples.size())));
  const std::size_t at = std::min(rank == 0 ? 0 : rank - 1, samples.size() - 1);
  std::nth_element(samples.begin(), samples.begin() + static_cast<std::ptrdiff_t>(at),
                   samples.end());
  return samples[at];
}

/// One figure: `Figure("pool", "call 64 B p50", 5.1, "us").at_most(7).key("call_64b_p50").print();`
class Figure {
 public:
  Figure(std::string component, std::string name, double value, std::string unit)
      : component_(std::move(component)),
        name_(std::move(name)),
        unit_(std::move(unit)),
        value_(value) {}

  /// The goal and the direction: smaller, or larger, is better.
  Figure& at_most(double goal) { return aim(goal, "lower"); }
  Figure& at_least(double goal) { return aim(goal, "higher"); }

  /// A peer that this program measured itself, in the same unit.
  Figure& against(std::string peer, double value) {
    peer_ = std::move(peer);
    peer_value_ = value;
    return *this;
  }

  /// The key under which benchmarks/peers/*.py print the same figure of other pools: one row per
  /// peer.
  Figure& key(std::string peer_key) {
    key_ = std::move(peer_key);
    return *this;
  }

  /// How many times better than `peer`, one of those of the key, this is to be.
  Figure& times_better_than(const std::string& peer, double times) {
    char text[32];
    std::snprintf(text, sizeof text, "\":%g", times);
    ratio_goals_ += ratio_goals_.empty() ? "\"" : ",\"";
    ratio_goals_ += peer;
    ratio_goals_ += text;
    return *this;
  }

  void print() const {
    std::printf(R"({"component":"%s","figure":"%s","value":%.9g,"unit":"%s")", component_.c_str(),
                name_.c_str(), value_, unit_.c_str());
    if (!better_.empty()) std::printf(R"(,"goal":%.9g,"better":"%s")", goal_, better_.c_str());
    if (!peer_.empty()) {
      std::printf(R"(,"peer":"%s","peer_value":%.9g)", peer_.c_str(), peer_value_);
    }
    if (!key_.empty()) std::printf(R"(,"peer_key":"%s")", key_.c_str());
    if (!ratio_goals_.empty()) std::printf(R"(,"ratio_goals":{%s})", ratio_goals_.c_str());
    std::puts("}");
    std::fflush(stdout);
  }

 private:
  Figure& aim(double goal, const char* better) {
    goal_ = goal;
    better_ = better;
    return *this;
  }

  std::string component_, name_, unit_, better_, peer_, key_, ratio_goals_;
  double value_, goal_ = 0, peer_value_ = 0;
};

}  // namespace reeve::bench
