// Rates, latencies and the JSON lines of this folder's benchmarks.
#pragma once

#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <string>
#include <vector>

#include "benchmarks/tasks/peers.hpp"

namespace bench {

inline std::string key_of(int n) {
  char text[40];
  std::snprintf(text, sizeof text, "7c9e6679-7425-40de-944b-%012d", n);
  return text;
}

inline double cpu_seconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](timeval t) { return t.tv_sec + t.tv_usec * 1e-6; };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

class Meter {
 public:
  using Clock = std::chrono::steady_clock;
  static Clock::time_point now() { return Clock::now(); }
  explicit Meter(double seconds)
      : start_(now()),
        end_(start_ + std::chrono::nanoseconds(static_cast<long long>(seconds * 1e9))),
        cpu_(cpu_seconds()) {}
  bool over() const { return now() >= end_; }
  void done(Clock::time_point begin) {
    const auto at = now();
    last_ = at;
    micros_.push_back(std::chrono::duration<float, std::micro>(at - begin).count());
  }
  Rate rate() {
    Rate r;
    if (micros_.empty()) return r;
    r.per_second = micros_.size() / std::chrono::duration<double>(last_ - start_).count();
    r.cpu_us = (cpu_seconds() - cpu_) * 1e6 / micros_.size();
    std::sort(micros_.begin(), micros_.end());
    r.p50_us = micros_[micros_.size() / 2];
    r.p99_us = micros_[micros_.size() * 99 / 100];
    return r;
  }

 private:
  Clock::time_point start_, end_, last_;
  double cpu_;
  std::vector<float> micros_;
};

inline double median(std::vector<double> v) {
  if (v.empty()) return 0;
  std::sort(v.begin(), v.end());
  return v[v.size() / 2];
}

/// One line: `goal` is on the ratio to the peer where there is one, on the value otherwise.
inline void report(const char* figure, double value, const char* unit, double goal, bool at_least,
                   const char* peer = "", double peer_value = 0) {
  const double ratio = peer_value > 0 ? value / peer_value : 0;
  const double judged = peer_value > 0 ? ratio : value;
  const bool met = at_least ? judged >= goal : judged <= goal;
  std::printf(
      "{\"component\":\"tasks\",\"figure\":\"%s\",\"value\":%.6g,\"unit\":\"%s\",\"goal\":\"%s%g%"
      "s\","
      "\"peer\":\"%s\",\"peer_value\":%.6g,\"ratio\":%.3g,\"met\":%s}\n",
      figure, value, unit, at_least ? ">=" : "<=", goal, peer_value > 0 ? "x" : "", peer,
      peer_value, ratio, met ? "true" : "false");
  std::fflush(stdout);
}

}  // namespace bench
