// What a limiter is told at its construction, and the environment variables behind it.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <reeve/base/clock.hpp>
#include <reeve/limits/usage.hpp>
#include <string>

namespace reeve::limits {

struct LimiterConfig {
  Limits limits{};
  std::chrono::milliseconds check_interval{1000};  ///< 10 ms to 1 h: how old a sample may be
  std::chrono::milliseconds settle_time{
      30'000};                        ///< declared memory counts on top of the load so long
  std::shared_ptr<UsageProbe> probe;  ///< null: this machine
  const Clock* clock = &SystemClock::instance();

  /// Reads MAX_CPU_PERCENT, MAX_MEMORY_PERCENT, MAX_GPU_PERCENT (1 to 100), MAX_CONCURRENT_TASKS (1
  /// to 100000), RESOURCE_CHECK_INTERVAL (seconds, 0.01 to 3600).
  ///
  /// Errors: ConfigError that names the variable, its value and the range.
  static LimiterConfig from_environment();
};

/// The first fault, as a sentence.
std::optional<std::string> find_fault(const Limits& limits);
std::optional<std::string> find_fault(const LimiterConfig& config);

/// Samples /proc, cgroup v2 (memory.max and cpu.max of the own group and of those above it: the
/// tightest counts; pages of files that the kernel gives back are not in use) and, where the driver
/// is installed, NVML. `root` is where /proc and /sys lie.
std::shared_ptr<UsageProbe> make_system_probe(const std::string& root = "");

}  // namespace reeve::limits
