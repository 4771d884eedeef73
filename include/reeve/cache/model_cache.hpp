// Keeps loaded models: one load for any number of callers, a memory budget, and unloading when
// idle.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <reeve/base/byte_size.hpp>
#include <reeve/base/clock.hpp>
#include <reeve/base/error.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace reeve::cache {

/// Everything that could make room is in use. Release a model, or raise the budget.
class CacheFullError : public Error {
 public:
  using Error::Error;
};

/// A load asks for a model whose own load waits for it, perhaps through others: waiting would never
/// end.
class CacheDeadlockError : public Error {
 public:
  using Error::Error;
};

struct CacheConfig {
  std::size_t models_max = 5;                ///< 1 to 100,000
  ByteSize memory_max = ByteSize::max();     ///< of all models together, reserved before a load
  std::chrono::milliseconds ttl{3'600'000};  ///< unloaded so long after the last release; 0: never
  std::chrono::milliseconds check_interval{300'000};  ///< of `run`; 10 ms to 24 h
  const Clock* clock = &SystemClock::instance();

  /// Reads MAX_CACHED_MODELS (1 to 100000), MODEL_CACHE_TTL (seconds, 0 to 315360000),
  /// MODEL_CACHE_CHECK_INTERVAL (seconds, 1 to 86400), MODEL_CACHE_MEMORY_MB (1 to 1000000000).
  /// Errors: ConfigError that names the variable, its value and the range.
  static CacheConfig from_environment();
};

std::optional<std::string> find_fault(const CacheConfig& config);

struct ModelMetadata {
  ByteSize
      memory{};  ///< reserved before the load; 0: measured afterwards, where the cache can measure
  /// Instead of the cache's ttl; 0: unload at the last release, negative: never.
  std::optional<std::chrono::milliseconds> keep_alive{};
};

struct CacheStats {
  std::size_t models = 0, pinned = 0, loading = 0, waiting = 0;
  ByteSize memory{};  ///< kept, being loaded, or no longer kept and still held
  std::uint64_t hits = 0, misses = 0, loads = 0, failures = 0;
  std::uint64_t evicted_for_room = 0, expired = 0, removed = 0;
  std::chrono::milliseconds load_time{0};
};

enum class ModelState : std::uint8_t {
  idle,     ///< loaded, nobody holds it
  in_use,   ///< pinned by a holder
  loading,  ///< a load is under way
};

struct ModelInfo {
  ModelInfo(std::string i, ModelState s, ByteSize m) : id(std::move(i)), state(s), memory(m) {}

  std::string id;
  ModelState state;
  ByteSize memory;                    ///< of a load: what is reserved for it
  std::chrono::milliseconds idle{0};  ///< since the last release
  std::size_t waiting = 0;            ///< callers that wait for the load
};

namespace detail {

/// The cache without its type. A value is pinned while somebody holds what `pin` returned.
class Core : public std::enable_shared_from_this<Core> {
 public:
  using Value = std::shared_ptr<void>;
  using Loader = std::function<boost::asio::awaitable<std::pair<Value, ByteSize>>()>;

  Core(boost::asio::any_io_executor executor, CacheConfig config);
  ~Core();
  Value get(std::string_view id);
  /// The same, but what is not there is not counted: a load follows.
  Value get_present(std::string_view id);
  void put(std::string_view id, Value value, ByteSize memory, ModelMetadata metadata);
  boost::asio::awaitable<Value> get_or_create(std::string_view id, Loader loader,
                                              ModelMetadata metadata);
  bool remove(std::string_view id);
  std::size_t clear();
  std::size_t remove_expired();
  CacheStats stats() const;
  std::vector<ModelInfo> models() const;
  boost::asio::awaitable<void> run();

  struct Impl;

 private:
  std::shared_ptr<Impl> impl_;
};

}  // namespace detail

/// Models by id. A handle (shared_ptr) pins its model: it is neither evicted nor expired, and stays
/// usable after `remove`; its memory counts until its last release, also once it has been removed
/// or replaced. Eviction takes unpinned models only, those first that have been idle long and load
/// fast.
///
/// A load belongs to the cache, not to a caller: whoever asks meanwhile waits for the same load; a
/// caller that is cancelled only leaves; when the last has left the load is cancelled. An error
/// goes to exactly those who wait for that load and is not kept. A model removed while it loads, or
/// too large once it is measured, is delivered to its waiters and not kept.
///
/// Lifetime: handles and loads keep the state alive.
/// Threads:  any, for every member. Loads run on the executor given to the constructor.
template <class T>
class ModelCache {
 public:
  using Handle = std::shared_ptr<T>;
  using Factory = std::function<boost::asio::awaitable<T>()>;

  /// `measure`, where given, says what a loaded model uses if its metadata does not.
  /// Errors: ConfigError.
  explicit ModelCache(boost::asio::any_io_executor executor, CacheConfig config = {},
                      std::function<ByteSize(const T&)> measure = nullptr)
      : core_(std::make_shared<detail::Core>(std::move(executor), config)),
        measure_(std::move(measure)) {}

  /// The model, pinned, or null. Cost: one look-up and one allocation, about 100 ns.
  Handle get(std::string_view id) { return std::static_pointer_cast<T>(core_->get(id)); }

  /// Replaces what is there; its holders keep it, and while they do both must fit.
  /// Errors: CacheFullError, and what was there stays; ConfigError for an id that is not of 1 to
  /// 256
  ///         bytes.
  void put(std::string_view id, T model, ModelMetadata metadata = {}) {
    auto value = std::make_shared<T>(std::move(model));
    const ByteSize memory = size_of(*value, metadata);
    core_->put(id, std::move(value), memory, metadata);
  }

  /// The model, loaded by `factory` if it is not there. Name the factory: do not write it inside
  /// the co_await.
  ///
  /// Cancellation: the caller leaves; the load goes on while another caller waits for it.
  /// Errors:       what the factory throws; CacheFullError; ConfigError for an id that is not of 1
  ///               to 256 bytes; CacheDeadlockError when the factory of
  ///               `id` itself asks for `id`, directly or through another model, by co_await.
  boost::asio::awaitable<Handle> get_or_create(std::string_view id, Factory factory,
                                               ModelMetadata metadata = {}) {
    // Pinned now rather than at the co_await: a hit costs no more than its own coroutine.
    if (auto present = core_->get_present(id)) return ready(std::move(present));
    detail::Core::Loader loader = [factory = std::move(factory), measure = measure_, metadata] {
      return load(factory, measure, metadata);
    };
    return typed(core_->get_or_create(id, std::move(loader), metadata));
  }

  /// False when there was none. A pinned model lives on with its holders.
  bool remove(std::string_view id) { return core_->remove(id); }
  std::size_t clear() { return core_->clear(); }
  /// Unloads what is due; `run` does it each check interval until it is cancelled.
  std::size_t remove_expired() { return core_->remove_expired(); }
  boost::asio::awaitable<void> run() { return core_->run(); }
  CacheStats stats() const { return core_->stats(); }
  /// What is loaded, then what is being loaded, each by id.
  std::vector<ModelInfo> models() const { return core_->models(); }

 private:
  ByteSize size_of(const T& model, const ModelMetadata& metadata) const {
    return metadata.memory != ByteSize{} || !measure_ ? metadata.memory : measure_(model);
  }

  static boost::asio::awaitable<std::pair<detail::Core::Value, ByteSize>> load(
      Factory factory, std::function<ByteSize(const T&)> measure, ModelMetadata metadata) {
    auto loading = factory();
    auto value = std::make_shared<T>(co_await std::move(loading));
    const ByteSize memory =
        metadata.memory != ByteSize{} || !measure ? metadata.memory : measure(*value);
    std::pair<detail::Core::Value, ByteSize> result(std::move(value), memory);
    co_return result;
  }

  static boost::asio::awaitable<Handle> ready(detail::Core::Value value) {
    co_return std::static_pointer_cast<T>(std::move(value));
  }

  static boost::asio::awaitable<Handle> typed(boost::asio::awaitable<detail::Core::Value> untyped) {
    auto value = co_await std::move(untyped);
    co_return std::static_pointer_cast<T>(std::move(value));
  }

  std::shared_ptr<detail::Core> core_;
  std::function<ByteSize(const T&)> measure_;
};

}  // namespace reeve::cache
