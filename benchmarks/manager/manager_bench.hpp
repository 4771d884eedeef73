// What the manager's benchmarks share: a clock, a data set, the work on it.
#pragma once

#include <chrono>
#include <cstdint>
#include <numeric>
#include <reeve/manager.hpp>
#include <vector>

#include "benchmarks/support/report.hpp"

namespace reeve::bench {

using namespace std::chrono_literals;
using BenchClock = std::chrono::steady_clock;

inline double nanoseconds_since(BenchClock::time_point start) {
  return std::chrono::duration<double, std::nano>(BenchClock::now() - start).count();
}

/// About 16 us of arithmetic.
inline double evaluate(double x) {
  for (int i = 0; i < 10'000; ++i) x = 3.7 * x * (1 - x);
  return x;
}

inline std::vector<double> data_set() {
  std::vector<double> items(400);
  for (std::size_t i = 0; i < items.size(); ++i) items[i] = 0.1 + 0.002 * static_cast<double>(i);
  return items;
}

}  // namespace reeve::bench
