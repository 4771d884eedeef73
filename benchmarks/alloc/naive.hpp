// What the allocator's structures replace: plain loops over plain vectors, as lean as they come.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

namespace reeve::bench {

/// Sorted steps in a vector: a planner without a tree.
class NaiveTimeline {
 public:
  using Time = std::int64_t;
  explicit NaiveTimeline(std::int64_t capacity) : steps_{{INT64_MIN, capacity}} {}

  void change(Time from, Time to, std::int64_t d) {
    const auto first = cut(from);
    const auto last = cut(to);
    for (auto i = first; i < last; ++i) steps_[i].second += d;
    join(last);
    join(first);
  }
  std::int64_t free_at(Time at) const { return steps_[step_of(at)].second; }
  std::int64_t min_free(Time from, Time to) const {
    std::int64_t least = INT64_MAX;
    for (auto i = step_of(from); i < steps_.size() && steps_[i].first < to; ++i)
      least = std::min(least, steps_[i].second);
    return least;
  }
  Time earliest_fit(Time from, Time duration, std::int64_t amount) {
    Time start = from;
    for (auto i = step_of(from); i < steps_.size(); ++i) {
      if (steps_[i].second >= amount) continue;
      if (steps_[i].first >= start + duration) break;
      gaps_ += steps_[i].first > start;
      start = i + 1 < steps_.size() ? steps_[i + 1].first : INT64_MAX;
    }
    return start;
  }
  /// Runs of enough that were looked at and found too short, in all searches.
  std::int64_t gaps() const { return gaps_; }

 private:
  std::size_t step_of(Time at) const {
    return static_cast<std::size_t>(
               std::upper_bound(steps_.begin(), steps_.end(), std::pair(at, INT64_MAX)) -
               steps_.begin()) -
           1;
  }
  std::size_t cut(Time at) {
    const auto i = step_of(at);
    if (steps_[i].first == at) return i;
    const auto place = steps_.begin() + static_cast<std::ptrdiff_t>(i) + 1;
    steps_.insert(place, {at, steps_[i].second});
    return i + 1;
  }
  void join(std::size_t i) {
    if (i > 0 && steps_[i].second == steps_[i - 1].second)
      steps_.erase(steps_.begin() + static_cast<std::ptrdiff_t>(i));
  }
  std::vector<std::pair<Time, std::int64_t>> steps_;
  std::int64_t gaps_ = 0;
};

/// Nodes of two dimensions and a class; each decision looks at all of them. No ledger, no expiry,
/// no reservation: only the choice and the subtraction.
class NaiveCluster {
 public:
  void add(std::int64_t cores, std::int64_t memory, std::int64_t kind) {
    cores_.push_back(cores);
    memory_.push_back(memory);
    kind_.push_back(kind);
    cores_max_ = std::max(cores_max_, cores);
    memory_max_ = std::max(memory_max_, memory);
  }
  /// The node taken, or SIZE_MAX.
  std::size_t take(std::int64_t cores, std::int64_t memory, std::int64_t kind, bool best_fit) {
    std::size_t best = SIZE_MAX;
    std::int64_t best_left = INT64_MAX;
    for (std::size_t n = 0; n < cores_.size(); ++n) {
      if (cores_[n] < cores || memory_[n] < memory || kind_[n] < kind) continue;
      if (!best_fit) {
        best = n;
        break;
      }
      const auto left = (cores_[n] - cores) * 1'000'000 / cores_max_ +
                        (memory_[n] - memory) * 1'000'000 / memory_max_;
      if (left < best_left) {
        best = n;
        best_left = left;
      }
    }
    if (best != SIZE_MAX) give(best, -cores, -memory);
    return best;
  }
  void give(std::size_t node, std::int64_t cores, std::int64_t memory) {
    cores_[node] += cores;
    memory_[node] += memory;
  }

 private:
  std::vector<std::int64_t> cores_;
  std::vector<std::int64_t> memory_;
  std::vector<std::int64_t> kind_;
  std::int64_t cores_max_ = 1;
  std::int64_t memory_max_ = 1;
};

/// Who is behind, found by looking at all.
class NaiveShares {
 public:
  explicit NaiveShares(std::size_t users) : used_(users, 0) {}
  std::size_t charge(std::size_t user, std::int64_t amount) {
    used_[user] += amount;
    return static_cast<std::size_t>(std::min_element(used_.begin(), used_.end()) - used_.begin());
  }

 private:
  std::vector<std::int64_t> used_;
};

}  // namespace reeve::bench
