// find_fault of a manager: every limit has a range, and every text a remedy.
#include <reeve/manager/manager_config.hpp>

#include <fmt/format.h>

#include <set>

#include "manager/defaults.hpp"

namespace reeve {
namespace {

using Fault = std::optional<std::string>;
constexpr std::chrono::milliseconds longest = std::chrono::hours(24 * 366);

Fault find_time_fault(const ManagerConfig& config) {
  if (config.idle_timeout && (config.idle_timeout->count() < 0 || *config.idle_timeout > longest)) {
    return fmt::format(
        "idle_timeout is {} ms; it must be zero or more and at most a year, or nothing for never",
        config.idle_timeout->count());
  }
  if (config.health_interval.count() < 0 || config.health_interval > longest) {
    return fmt::format("health_interval is {} ms; it must be zero (off) or more, at most a year",
                       config.health_interval.count());
  }
  if (config.shutdown_deadline.count() <= 0 || config.shutdown_deadline > longest) {
    return fmt::format("shutdown_deadline is {} ms; it must be above zero and at most a year",
                       config.shutdown_deadline.count());
  }
  return {};
}

Fault find_preset_fault(const ManagerConfig& config) {
  std::set<std::string_view> names;
  for (const Preset& preset : config.presets) {
    if (preset.name.empty()) return "a preset has no name; give it one";
    if (!names.insert(preset.name).second) {
      return fmt::format("two presets are named '{}'; rename one", preset.name);
    }
    if (auto fault = find_fault(preset.config)) {
      return fmt::format("preset '{}': {}", preset.name, *fault);
    }
    if (preset.warm_workers > preset.config.max_workers) {
      return fmt::format("preset '{}': warm_workers is {}, above max_workers = {}; lower it",
                         preset.name, preset.warm_workers, preset.config.max_workers);
    }
  }
  if (config.presets.size() > config.max_pools) {
    return fmt::format("there are {} presets, but max_pools is {}; raise it", config.presets.size(),
                       config.max_pools);
  }
  return {};
}

Fault find_default_fault(const ManagerConfig& config) {
  ResourceConfig defaults = detail::resolved(config.defaults);
  defaults.max_workers = std::max<std::size_t>(1, defaults.min_workers);
  if (auto fault = find_fault(defaults)) return "defaults: " + *fault;
  return {};
}

}  // namespace

Fault find_fault(const ManagerConfig& config) {
  if (config.max_pools < 1) return "max_pools is 0, so no pool could exist; give it 1 or more";
  if (config.clock == nullptr) return "clock is null; leave it out for the system's";
  for (const auto check : {find_time_fault, find_preset_fault, find_default_fault}) {
    if (auto fault = check(config)) return fault;
  }
  return std::nullopt;
}

}  // namespace reeve
