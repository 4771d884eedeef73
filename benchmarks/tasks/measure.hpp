// Rates, latencies and the JSON lines of this folder's benchmarks.
#pragma once

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

#include "benchmarks/support/report.hpp"
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

/// Of another process and its threads, to a tick of the kernel (10 ms).
inline double cpu_seconds_of(int pid) {
  std::ifstream stat("/proc/" + std::to_string(pid) + "/stat");
  std::string text((std::istreambuf_iterator<char>(stat)), {});
  std::istringstream fields(text.substr(std::min(text.size(), text.rfind(')') + 1)));
  std::string skipped;
  for (int i = 0; i < 11; ++i) fields >> skipped;  // state to cmajflt
  double user = 0, system = 0;
  fields >> user >> system;
  return (user + system) / static_cast<double>(::sysconf(_SC_CLK_TCK));
}

class Meter {
 public:
  using Clock = std::chrono::steady_clock;
  static Clock::time_point now() { return Clock::now(); }
  explicit Meter(double seconds)
      : start_(now()),
        end_(start_ + std::chrono::nanoseconds(static_cast<long long>(seconds * 1e9))),
        cpu_(cpu_seconds()) {
    micros_.reserve(std::size_t{1} << 20);
  }
  std::size_t count() const { return micros_.size(); }
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

/// One line: `goal` is a factor on the peer where there is one, a value otherwise.
inline void report(const char* figure, double value, const char* unit, double goal, bool at_least,
                   const char* peer = "", double peer_value = 0) {
  reeve::bench::Figure line("tasks", figure, value, unit);
  if (*peer != 0 && peer_value <= 0) return;  // that peer is not installed here
  if (*peer != 0) {
    line.against(peer, peer_value);
    goal *= peer_value;
  }
  if (at_least)
    line.at_least(goal);
  else
    line.at_most(goal);
  line.print();
}

void power_cut_figures();
void expiry_figures();

}  // namespace bench
