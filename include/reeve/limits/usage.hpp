// How loaded the machine is, and the pure rule that says whether one more task may start.
#pragma once

#include <cstdint>
#include <optional>
#include <reeve/base/byte_size.hpp>
#include <string_view>

namespace reeve::limits {

/// Percentages are of what this process may use: a cgroup v2 quota counts as the whole machine.
struct Sample {
  double cpu_percent = 0;
  double memory_percent = 0;
  ByteSize memory_total{};
  std::optional<double>
      gpu_percent;  ///< of the busiest GPU; empty without one: its limit is not checked
};

/// Where samples come from. Tests give their own.
class UsageProbe {
 public:
  virtual ~UsageProbe() = default;
  /// Called under the limiter's lock, once per check interval at most. If it throws, the last
  /// sample stays, and its age tells; the limiter's constructor throws what its first look throws.
  virtual Sample sample() = 0;
};

/// What may be used at most. All or nothing: a fault anywhere changes nothing.
struct Limits {
  double max_cpu_percent = 80;     ///< 1 to 100
  double max_memory_percent = 80;  ///< 1 to 100
  double max_gpu_percent = 80;     ///< 1 to 100
  int max_concurrent_tasks = 5;    ///< 1 to 100,000
  friend bool operator==(const Limits&, const Limits&) = default;
};

/// What stands in the way of one more task, or of a model lock.
enum class Blocker : std::uint8_t {
  none,
  tasks,
  cpu,
  memory,
  gpu,
  queue,  ///< no limit: others wait in front
  lock,   ///< the model is locked
};

constexpr std::string_view to_string(Blocker b) noexcept {
  constexpr std::string_view names[] = {"none", "tasks", "cpu", "memory", "gpu", "queue", "lock"};
  return names[static_cast<int>(b)];
}

/// Once a limit has stopped a start, the load must fall this far below it before the next one. What
/// a task declares is no load yet: it is held to the limit itself.
inline constexpr double hysteresis_points = 2;

/// The decision. `reserved` is memory granted so recently that the sample does not show it yet,
/// `need` what the task declares, `before` what stood in the way last time.
constexpr Blocker judge(const Limits& limits, const Sample& now, int tasks, ByteSize reserved,
                        ByteSize need, Blocker before) noexcept {
  const auto top = [before](double limit, Blocker which) {
    return before == which ? limit - hysteresis_points : limit;
  };
  if (tasks >= limits.max_concurrent_tasks) return Blocker::tasks;
  if (now.cpu_percent >= top(limits.max_cpu_percent, Blocker::cpu)) return Blocker::cpu;
  double memory = now.memory_percent;
  double needed = 0;
  if (now.memory_total.bytes() != 0) {
    const auto total = static_cast<double>(now.memory_total.bytes());
    memory += 100.0 * static_cast<double>(reserved.bytes()) / total;
    needed = 100.0 * static_cast<double>(need.bytes()) / total;
  }
  if (memory >= top(limits.max_memory_percent, Blocker::memory)) return Blocker::memory;
  if (memory + needed >= limits.max_memory_percent) return Blocker::memory;
  if (now.gpu_percent && *now.gpu_percent >= top(limits.max_gpu_percent, Blocker::gpu))
    return Blocker::gpu;
  return Blocker::none;
}

static_assert(judge({}, {}, 5, {}, {}, Blocker::none) == Blocker::tasks);
static_assert(judge({}, {79}, 0, {}, {}, Blocker::none) == Blocker::none);
static_assert(judge({}, {79}, 0, {}, {}, Blocker::cpu) == Blocker::cpu, "hysteresis");
static_assert(judge({}, {0, 50, 100_B}, 0, 20_B, 10_B, Blocker::none) == Blocker::memory);

}  // namespace reeve::limits
