// Draws, rates and names for the benchmarks of the allocator.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <utility>

namespace reeve::bench {

/// The same numbers everywhere.
class Draw {
 public:
  explicit Draw(std::uint64_t seed) : x_(seed * 2 + 1) {}
  std::int64_t operator()(std::int64_t low, std::int64_t high) {
    x_ = x_ * 6364136223846793005ULL + 1442695040888963407ULL;
    return low + static_cast<std::int64_t>((x_ >> 33) % static_cast<std::uint64_t>(high - low + 1));
  }
  std::size_t below(std::size_t n) {
    return static_cast<std::size_t>((*this)(0, static_cast<std::int64_t>(n) - 1));
  }

 private:
  std::uint64_t x_;
};

template <class Body>
double per_second(std::int64_t operations, Body body) {
  const auto begin = std::chrono::steady_clock::now();
  body();
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  return static_cast<double>(operations) / took.count();
}

/// The best of three: what else the machine does makes a figure worse, never better.
template <class Measure>
double best_of_three(Measure measure) {
  double best = 0;
  for (int round = 0; round < 3; ++round) best = std::max(best, measure());
  return best;
}

/// "what 10 k"
inline std::string named(const char* what, std::int64_t n) {
  std::string text = what;
  text += ' ';
  text += n % 1000 == 0 ? std::to_string(n / 1000).append(" k") : std::to_string(n);
  return text;
}

}  // namespace reeve::bench
