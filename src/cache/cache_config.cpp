// Environment variables of the model cache, read strictly.
#include <fmt/format.h>

#include <charconv>
#include <cstdlib>
#include <reeve/cache/model_cache.hpp>

namespace reeve::cache {
namespace {

void read(const char* name, long long low, long long high, long long& value) {
  const char* raw = std::getenv(name);
  if (raw == nullptr) return;
  const std::string_view text(raw);
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value < low || value > high)
    throw ConfigError(fmt::format(
        "{}='{}' is not a whole number from {} to {}; correct or unset it", name, text, low, high));
}

}  // namespace

CacheConfig CacheConfig::from_environment() {
  CacheConfig config;
  long long models = 5, ttl = 3600, interval = 300, megabytes = 0;
  read("MAX_CACHED_MODELS", 1, 100'000, models);
  read("MODEL_CACHE_TTL", 0, 315'360'000, ttl);
  read("MODEL_CACHE_CHECK_INTERVAL", 1, 86'400, interval);
  read("MODEL_CACHE_MEMORY_MB", 1, 1'000'000'000, megabytes);
  config.models_max = static_cast<std::size_t>(models);
  config.ttl = std::chrono::seconds{ttl};
  config.check_interval = std::chrono::seconds{interval};
  if (megabytes != 0) config.memory_max = 1_MiB * static_cast<std::uint64_t>(megabytes);
  return config;
}

std::optional<std::string> find_fault(const CacheConfig& config) {
  if (config.models_max < 1 || config.models_max > 100'000)
    return fmt::format("models_max is {}; it must be 1 to 100000", config.models_max);
  if (config.memory_max == ByteSize{}) return "memory_max is 0; leave it out for no limit";
  if (config.ttl.count() < 0)
    return fmt::format("ttl is {} ms; it must be 0 or more, and 0 keeps models for ever",
                       config.ttl.count());
  if (config.check_interval < std::chrono::milliseconds{10} ||
      config.check_interval > std::chrono::hours{24})
    return fmt::format("check_interval is {} ms; it must be 10 ms to 24 h",
                       config.check_interval.count());
  if (config.clock == nullptr) return "clock is null";
  return std::nullopt;
}

}  // namespace reeve::cache
