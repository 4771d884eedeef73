// What a manager needs to know, and what one get_pool may ask for.
#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <reeve/base/clock.hpp>
#include <reeve/manager/executor_type.hpp>
#include <reeve/pool/config.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace reeve {

/// Wishes of one get_pool. All but `force_new` are part of the key: pools that differ in one of
/// them are different pools.
struct GetOptions {
  GetOptions() = default;  // user-declared on purpose: aggregates with such members break in g++ 12

  bool force_new = false;  ///< retire the pool of this key, if there is one, and make another
  std::chrono::milliseconds worker_timeout{0};  ///< a lease's time; 0: as the manager's defaults
  ByteSize worker_memory{0};                    ///< of one worker; 0: as the manager's defaults
  std::optional<Bind> bind;                     ///< empty: as the manager's defaults
  std::vector<std::string> devices;             ///< empty: as the manager's defaults
  /// Runs in every new worker. Two are the same if they call the same function with arguments that
  /// have the same bytes.
  Initializer initializer;
  std::string label;  ///< keeps pools apart that are equal otherwise
};

/// Who goes when `max_pools` is reached. Only pools that nobody uses can go.
enum class Eviction {
  lru,   ///< the one whose last use is the longest ago
  lfu,   ///< the one that was asked for least often; the oldest of these
  none,  ///< nobody: PoolLimitError
};

/// A configuration with a name: `get_preset("etl")`, and what `warm_up` starts. What it asks for
/// holds for the pool of that configuration and label, whoever asks for it.
struct Preset {
  std::string name;
  ResourceConfig config;  ///< complete; find_fault checks it
  std::string label;
  std::size_t warm_workers = 0;  ///< that `warm_up` starts; at most config.max_workers
  bool keep = false;             ///< never reaped when idle, never evicted
};

/// What shared pools start from: calls wait for a worker as long as they must (a day; a pool of
/// one's own has 30 s), a lease may take an hour, a worker all memory of the machine.
inline ResourceConfig shared_pool_defaults() {
  ResourceConfig config;
  config.acquire_timeout = std::chrono::hours(24);
  return config;
}

/// Parameters of a PoolManager. `find_fault` checks them all before anything is started.
struct ManagerConfig {
  /// A pool is closed when nobody used it for this long; nothing: never. >= 0.
  std::optional<std::chrono::milliseconds> idle_timeout = std::chrono::seconds(300);
  std::size_t max_pools = 1024;  ///< that exist at a time, in use or not; >= 1
  Eviction eviction = Eviction::lru;
  /// Pools are looked at this often, and dead ones are closed or (presets) made anew; 0: only at
  /// get_pool.
  std::chrono::milliseconds health_interval{0};
  std::chrono::milliseconds shutdown_deadline{10'000};  ///< then what runs is killed; > 0
  const Clock* clock = &SystemClock::instance();        ///< must outlive manager and handles
  /// What get_pool(n_jobs, ...) starts from; its max_workers and isolation are not used.
  /// worker_timeout 0 stands for an hour, worker_memory 0 for the memory of the machine.
  ResourceConfig defaults = shared_pool_defaults();
  std::vector<Preset> presets{};
};

/// The first fault of `config` as a sentence with value, range and remedy; empty if there is none.
std::optional<std::string> find_fault(const ManagerConfig& config);

}  // namespace reeve
