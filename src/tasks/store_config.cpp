// Environment variables of the task store, read strictly.
#include <fmt/format.h>

#include <charconv>
#include <cstdlib>
#include <reeve/base/error.hpp>
#include <reeve/tasks/store_config.hpp>
#include <string_view>

#include "tasks/json_text.hpp"
#include "tasks/record_fsm.hpp"

namespace reeve::tasks {
namespace {

std::optional<std::string_view> variable(const char* name) {
  const char* value = std::getenv(name);
  if (value == nullptr) return std::nullopt;
  return value;
}

std::int64_t whole_number(const char* name, std::string_view text, std::int64_t low,
                          std::int64_t high) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value < low || value > high)
    throw ConfigError(fmt::format(
        "{}='{}' is not a whole number from {} to {}; correct or unset it", name, text, low, high));
  return value;
}

}  // namespace

std::int64_t SystemWallClock::now_ms() const noexcept {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

const SystemWallClock& SystemWallClock::instance() noexcept {
  static const SystemWallClock clock;
  return clock;
}

StoreConfig StoreConfig::from_environment() {
  StoreConfig config;
  if (const auto path = variable("TASK_STORAGE_PATH")) {
    if (path->empty())
      throw ConfigError("TASK_STORAGE_PATH='' names no file; unset it for records in memory only");
    config.path = *path;
  }
  if (const auto prefix = variable("TASK_STORAGE_PREFIX")) {
    config.prefix = *prefix;
    if (const auto fault = find_fault(config))
      throw ConfigError(fmt::format("TASK_STORAGE_PREFIX='{}': {}", *prefix, *fault));
  }
  if (const auto ttl = variable("TASK_STORAGE_TTL")) {
    const std::chrono::seconds kept{whole_number("TASK_STORAGE_TTL", *ttl, 0, 315'360'000)};
    config.retention.completed = config.retention.failed = config.retention.cancelled = kept;
  }
  if (const auto sync = variable("TASK_STORAGE_SYNC")) {
    if (*sync != "full" && *sync != "normal")
      throw ConfigError(
          fmt::format("TASK_STORAGE_SYNC='{}' is unknown; it may be 'full' or 'normal'", *sync));
    config.sync = *sync == "full" ? DiskSync::full : DiskSync::normal;
  }
  if (const auto delay = variable("TASK_STORAGE_RELAXED_DELAY_MS"))
    config.relaxed_delay = std::chrono::milliseconds{
        whole_number("TASK_STORAGE_RELAXED_DELAY_MS", *delay, 1, 3'600'000)};
  return config;
}

std::optional<std::string> find_fault(const StoreConfig& config) {
  using std::chrono::hours;
  using std::chrono::milliseconds;
  if (config.relaxed_delay < milliseconds{1} || config.relaxed_delay > hours{1})
    return fmt::format("relaxed_delay is {} ms; it must be 1 ms to 1 h",
                       config.relaxed_delay.count());
  for (const auto kept : {config.retention.completed, config.retention.failed,
                          config.retention.cancelled, config.retention.interrupted})
    if (kept.count() < 0 || kept > detail::kept_max)
      return fmt::format("a retention is {} ms; it must be 0 (for ever) to 100 years",
                         kept.count());
  if (config.queue_max.bytes() < (1U << 20))
    return fmt::format("queue_max is {} bytes; it must be at least 1 MiB",
                       config.queue_max.bytes());
  if (config.checkpoint_frames < 16 || config.checkpoint_frames > 1'000'000)
    return fmt::format("checkpoint_frames is {}; it must be 16 to 1,000,000",
                       config.checkpoint_frames);
  if (config.prefix.size() > 64 || !detail::is_valid_utf8(config.prefix))
    return fmt::format("prefix has {} bytes or is not UTF-8; it may have at most 64 bytes of UTF-8",
                       config.prefix.size());
  if (config.clock == nullptr || config.wall_clock == nullptr) return "clock is null";
  return std::nullopt;
}

}  // namespace reeve::tasks
