// Environment variables of the limiter, read strictly.
#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <cstdlib>
#include <reeve/base/error.hpp>
#include <reeve/limits/limiter_config.hpp>
#include <string_view>
#include <type_traits>

namespace reeve::limits {
namespace {

template <class T>
void read(const char* name, T low, T high, T& value) {
  const char* raw = std::getenv(name);
  if (raw == nullptr) return;
  const std::string_view text(raw);
  T parsed{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), parsed);
  if (error != std::errc{} || end != text.data() + text.size() || !(parsed >= low) ||
      !(parsed <= high))
    throw ConfigError(fmt::format("{}='{}' is not a {}number from {} to {}; correct or unset it",
                                  name, text, std::is_integral_v<T> ? "whole " : "", low, high));
  value = parsed;
}

}  // namespace

LimiterConfig LimiterConfig::from_environment() {
  LimiterConfig config;
  read("MAX_CPU_PERCENT", 1.0, 100.0, config.limits.max_cpu_percent);
  read("MAX_MEMORY_PERCENT", 1.0, 100.0, config.limits.max_memory_percent);
  read("MAX_GPU_PERCENT", 1.0, 100.0, config.limits.max_gpu_percent);
  read("MAX_CONCURRENT_TASKS", 1, 100'000, config.limits.max_concurrent_tasks);
  double seconds = 1;
  read("RESOURCE_CHECK_INTERVAL", 0.01, 3600.0, seconds);
  config.check_interval = std::chrono::milliseconds{std::llround(seconds * 1000)};
  return config;
}

std::optional<std::string> find_fault(const Limits& limits) {
  const auto percent = [](const char* name, double value) -> std::optional<std::string> {
    if (value >= 1 && value <= 100) return std::nullopt;
    return fmt::format("{} is {}; it must be 1 to 100", name, value);
  };
  if (auto fault = percent("max_cpu_percent", limits.max_cpu_percent)) return fault;
  if (auto fault = percent("max_memory_percent", limits.max_memory_percent)) return fault;
  if (auto fault = percent("max_gpu_percent", limits.max_gpu_percent)) return fault;
  if (limits.max_concurrent_tasks < 1 || limits.max_concurrent_tasks > 100'000)
    return fmt::format("max_concurrent_tasks is {}; it must be 1 to 100000",
                       limits.max_concurrent_tasks);
  return std::nullopt;
}

std::optional<std::string> find_fault(const LimiterConfig& config) {
  using std::chrono::milliseconds;
  if (auto fault = find_fault(config.limits)) return fault;
  if (config.check_interval < milliseconds{10} || config.check_interval > std::chrono::hours{1})
    return fmt::format("check_interval is {} ms; it must be 10 ms to 1 h",
                       config.check_interval.count());
  if (config.settle_time < milliseconds{0})
    return fmt::format("settle_time is {} ms; it must be 0 or more", config.settle_time.count());
  if (config.clock == nullptr) return "clock is null";
  return std::nullopt;
}

}  // namespace reeve::limits
