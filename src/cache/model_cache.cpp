// The untyped cache: entries, pins, flights, eviction.
#include <fmt/format.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <charconv>
#include <cstdlib>
#include <map>
#include <mutex>
#include <reeve/async/waiter_queue.hpp>
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
  if (config.ttl.count() < 0) return "ttl is negative; 0 keeps models for ever";
  if (config.check_interval < std::chrono::milliseconds{10} ||
      config.check_interval > std::chrono::hours{24})
    return fmt::format("check_interval is {} ms; it must be 10 ms to 24 h",
                       config.check_interval.count());
  if (config.clock == nullptr) return "clock is null";
  return std::nullopt;
}

namespace detail {

namespace asio = boost::asio;
using asio::awaitable;

struct Arrival {
  Core::Value value;
  std::exception_ptr failure;
};

struct Entry {
  Core::Value value;
  ByteSize memory{};
  ModelMetadata metadata;
  std::chrono::nanoseconds load_time{0};
  Clock::time_point released{};
  std::size_t pins = 0;
  bool kept = true;  // false: removed, lives only in its holders' hands
};

struct Flight {
  async::WaiterQueue<Arrival> waiters;
  std::shared_ptr<asio::cancellation_signal> stop = std::make_shared<asio::cancellation_signal>();
  std::shared_ptr<asio::any_io_executor> home;
  ByteSize reserved{};
  bool kept = true;
};

struct Core::Impl : std::enable_shared_from_this<Core::Impl> {
  Impl(asio::any_io_executor e, CacheConfig c) : executor(std::move(e)), config(c) {}

  // Mutex held, but for `unpin`, by every caller.
  Value pin(const std::shared_ptr<Entry>& entry) {
    struct Pin {
      std::shared_ptr<Impl> impl;
      std::shared_ptr<Entry> entry;
      Pin(std::shared_ptr<Impl> i, std::shared_ptr<Entry> e)
          : impl(std::move(i)), entry(std::move(e)) {}
      ~Pin() { impl->unpin(*entry); }
    };
    ++entry->pins;
    auto holder = std::make_shared<Pin>(shared_from_this(), entry);
    return Value(holder, entry->value.get());
  }

  void unpin(Entry& entry) noexcept {
    Value unloaded;  // destroyed after the lock: a model's destructor may be slow or come back here
    const std::lock_guard lock(mutex);
    entry.released = config.clock->now();
    if (--entry.pins != 0 || !entry.kept) return;
    if (keep_of(entry) == std::chrono::milliseconds{0}) {
      for (auto at = entries.begin(); at != entries.end(); ++at)
        if (at->second.get() == &entry) {
          unloaded = drop(at);
          ++counters.expired;
          return;
        }
    }
  }

  /// Negative: for ever.
  std::chrono::milliseconds keep_of(const Entry& entry) const {
    if (entry.metadata.keep_alive) return *entry.metadata.keep_alive;
    return config.ttl.count() == 0 ? std::chrono::milliseconds{-1} : config.ttl;
  }

  bool is_expired(const Entry& entry) const {
    const auto keep = keep_of(entry);
    return entry.pins == 0 && keep.count() >= 0 && config.clock->now() - entry.released >= keep;
  }

  using Map = std::map<std::string, std::shared_ptr<Entry>, std::less<>>;
  Value drop(Map::iterator at) {
    at->second->kept = false;
    memory -= at->second->memory;
    Value value = at->second->pins == 0 ? std::move(at->second->value) : nullptr;
    entries.erase(at);
    return value;
  }

  /// Makes room for one more model of `need` bytes; what was unloaded goes to `garbage`.
  void make_room(ByteSize need, std::vector<Value>& garbage, std::string_view id) {
    auto fits = [&] {
      return entries.size() + flights.size() < config.models_max &&
             memory + need <= config.memory_max;
    };
    while (!fits()) {
      auto worst = entries.end();
      double worst_score = -1;
      const auto now = config.clock->now();
      for (auto at = entries.begin(); at != entries.end(); ++at) {
        if (at->second->pins != 0) continue;
        const double idle = std::chrono::duration<double>(now - at->second->released).count();
        const double cost = std::chrono::duration<double>(at->second->load_time).count() + 1e-3;
        if (idle / cost > worst_score) {
          worst_score = idle / cost;
          worst = at;
        }
      }
      if (worst == entries.end() || need > config.memory_max)
        throw CacheFullError(
            fmt::format("no room for model '{}' ({}): {} of {} models and {} are in use or "
                        "loading; release one or raise "
                        "the budget",
                        id, to_string(need), entries.size() + flights.size(), config.models_max,
                        to_string(memory)));
      garbage.push_back(drop(worst));
      ++counters.evicted_for_room;
    }
  }

  std::shared_ptr<Entry> insert(std::string_view id, Value value, ByteSize size,
                                const ModelMetadata& metadata, std::chrono::nanoseconds took) {
    auto entry = std::make_shared<Entry>();
    entry->value = std::move(value);
    entry->memory = size;
    entry->metadata = metadata;
    entry->load_time = took;
    entry->released = config.clock->now();
    memory += size;
    entries.insert_or_assign(std::string(id), entry);
    return entry;
  }

  void land(const std::string& id, const std::shared_ptr<Flight>& flight,
            const ModelMetadata& metadata, std::pair<Value, ByteSize> loaded,
            std::exception_ptr failure, std::chrono::nanoseconds took) {
    std::vector<Value> garbage;
    std::shared_ptr<Entry> entry;
    const std::lock_guard lock(mutex);
    if (const auto at = flights.find(id); at != flights.end() && at->second == flight)
      flights.erase(at);
    memory -= flight->reserved;
    if (!failure && flight->kept) {
      try {
        make_room(loaded.second, garbage, id);
        entry = insert(id, loaded.first, loaded.second, metadata, took);
      } catch (const CacheFullError&) {
        // Larger than was declared: its waiters get it, the cache does not keep it.
      }
    }
    if (!failure && !entry) {
      entry = std::make_shared<Entry>();
      entry->value = loaded.first;
      entry->kept = false;
    }
    ++(failure ? counters.failures : counters.loads);
    counters.load_time += std::chrono::duration_cast<std::chrono::milliseconds>(took);
    while (!flight->waiters.empty())
      flight->waiters.grant(*flight->waiters.front(),
                            failure ? Arrival{nullptr, failure} : Arrival{pin(entry), nullptr});
  }

  mutable std::mutex mutex;
  asio::any_io_executor executor;
  const CacheConfig config;
  Map entries;
  std::map<std::string, std::shared_ptr<Flight>, std::less<>> flights;
  ByteSize memory{};  // of entries and reservations
  CacheStats counters;
};

namespace {

using ImplPtr = std::shared_ptr<Core::Impl>;

awaitable<void> fly(ImplPtr impl, std::string id, std::shared_ptr<Flight> flight,
                    Core::Loader loader, ModelMetadata metadata) {
  const auto begin = std::chrono::steady_clock::now();
  std::pair<Core::Value, ByteSize> loaded;
  std::exception_ptr failure;
  try {
    auto loading = loader();
    loaded = co_await std::move(loading);
  } catch (...) {
    failure = std::current_exception();
  }
  impl->land(id, flight, metadata, std::move(loaded), failure,
             std::chrono::steady_clock::now() - begin);
}

/// One caller's place at a flight; the last to leave stops the load.
class Passenger {
 public:
  Passenger(ImplPtr impl, std::string id, std::shared_ptr<Flight> flight)
      : impl_(std::move(impl)),
        id_(std::move(id)),
        flight_(std::move(flight)),
        waiter_(std::in_place, impl_->mutex, flight_->waiters) {}
  Passenger(const Passenger&) = delete;
  Passenger& operator=(const Passenger&) = delete;
  ~Passenger() {
    waiter_.reset();
    const std::lock_guard lock(impl_->mutex);
    const auto at = impl_->flights.find(id_);
    if (at == impl_->flights.end() || at->second != flight_ || !flight_->waiters.empty()) return;
    flight_->kept = false;
    impl_->flights.erase(at);
    asio::post(*flight_->home,
               [stop = flight_->stop] { stop->emit(asio::cancellation_type::all); });
  }
  async::Waiter<Arrival>& waiter() { return *waiter_; }

 private:
  ImplPtr impl_;
  std::string id_;
  std::shared_ptr<Flight> flight_;
  std::optional<async::Waiter<Arrival>> waiter_;
};

awaitable<Core::Value> obtain(ImplPtr impl, std::string id, Core::Loader loader,
                              ModelMetadata metadata) {
  std::vector<Core::Value> garbage;
  std::optional<Passenger> passenger;
  std::shared_ptr<Flight> launched;
  {
    std::shared_ptr<Flight> flight;
    const std::lock_guard lock(impl->mutex);
    if (const auto at = impl->entries.find(id); at != impl->entries.end()) {
      if (!impl->is_expired(*at->second)) {
        ++impl->counters.hits;
        co_return impl->pin(at->second);
      }
      garbage.push_back(impl->drop(at));
      ++impl->counters.expired;
    }
    ++impl->counters.misses;
    if (const auto at = impl->flights.find(id); at != impl->flights.end()) {
      flight = at->second;
    } else {
      impl->make_room(metadata.memory, garbage, id);
      flight = std::make_shared<Flight>();
      flight->reserved = metadata.memory;
      impl->memory += metadata.memory;
      // A strand of its own: the cancellation must not run beside the load.
      flight->home = std::make_shared<asio::any_io_executor>(asio::make_strand(impl->executor));
      impl->flights.emplace(id, flight);
      launched = flight;
    }
    passenger.emplace(impl, id, flight);
    flight->waiters.push_back(passenger->waiter());
  }
  garbage.clear();
  // Outside the lock: the load may begin, and even end, inside this call.
  if (launched)
    asio::co_spawn(*launched->home, fly(impl, id, launched, std::move(loader), metadata),
                   asio::bind_cancellation_slot(launched->stop->slot(),
                                                [stop = launched->stop](std::exception_ptr) {}));
  co_await passenger->waiter().wait();
  auto arrival = passenger->waiter().take();
  if (!arrival) throw boost::system::system_error(asio::error::operation_aborted);
  if (arrival->failure) std::rethrow_exception(arrival->failure);
  co_return std::move(arrival->value);
}

awaitable<void> expire_for_ever(std::weak_ptr<Core> weak, std::chrono::milliseconds interval) {
  asio::steady_timer timer(co_await asio::this_coro::executor);
  for (;;) {
    timer.expires_after(interval);
    co_await timer.async_wait(asio::use_awaitable);
    const auto core = weak.lock();
    if (!core) co_return;
    core->remove_expired();
  }
}

}  // namespace

Core::Core(asio::any_io_executor executor, CacheConfig config) {
  if (const auto fault = find_fault(config)) throw ConfigError("CacheConfig: " + *fault);
  impl_ = std::make_shared<Impl>(std::move(executor), config);
}

Core::~Core() {
  clear();
}

Core::Value Core::get(std::string_view id) {
  Value unloaded;
  const std::lock_guard lock(impl_->mutex);
  const auto at = impl_->entries.find(id);
  if (at == impl_->entries.end() || impl_->is_expired(*at->second)) {
    ++impl_->counters.misses;
    if (at != impl_->entries.end()) {
      unloaded = impl_->drop(at);
      ++impl_->counters.expired;
    }
    return nullptr;
  }
  ++impl_->counters.hits;
  return impl_->pin(at->second);
}

void Core::put(std::string_view id, Value value, ByteSize memory, ModelMetadata metadata) {
  std::vector<Value> garbage;
  const std::lock_guard lock(impl_->mutex);
  if (const auto at = impl_->entries.find(id); at != impl_->entries.end())
    garbage.push_back(impl_->drop(at));
  impl_->make_room(memory, garbage, id);
  impl_->insert(id, std::move(value), memory, metadata, std::chrono::nanoseconds{0});
}

awaitable<Core::Value> Core::get_or_create(std::string_view id, Loader loader,
                                           ModelMetadata metadata) {
  return obtain(impl_, std::string(id), std::move(loader), metadata);
}

bool Core::remove(std::string_view id) {
  Value unloaded;
  const std::lock_guard lock(impl_->mutex);
  if (const auto at = impl_->flights.find(id); at != impl_->flights.end()) {
    at->second->kept = false;
    impl_->flights.erase(at);
    return true;
  }
  const auto at = impl_->entries.find(id);
  if (at == impl_->entries.end()) return false;
  unloaded = impl_->drop(at);
  ++impl_->counters.removed;
  return true;
}

std::size_t Core::clear() {
  std::vector<Value> garbage;
  const std::lock_guard lock(impl_->mutex);
  for (auto& [id, flight] : impl_->flights) flight->kept = false;
  impl_->flights.clear();
  while (!impl_->entries.empty()) garbage.push_back(impl_->drop(impl_->entries.begin()));
  impl_->counters.removed += garbage.size();
  return garbage.size();
}

std::size_t Core::remove_expired() {
  std::vector<Value> garbage;
  const std::lock_guard lock(impl_->mutex);
  for (auto at = impl_->entries.begin(); at != impl_->entries.end();) {
    const auto next = std::next(at);
    if (impl_->is_expired(*at->second)) garbage.push_back(impl_->drop(at));
    at = next;
  }
  impl_->counters.expired += garbage.size();
  return garbage.size();
}

awaitable<void> Core::run() {
  return expire_for_ever(weak_from_this(), impl_->config.check_interval);
}

CacheStats Core::stats() const {
  const std::lock_guard lock(impl_->mutex);
  CacheStats s = impl_->counters;
  s.models = impl_->entries.size();
  s.loading = impl_->flights.size();
  s.memory = impl_->memory;
  for (const auto& [id, entry] : impl_->entries) s.pinned += entry->pins != 0;
  for (const auto& [id, flight] : impl_->flights) s.waiting += flight->waiters.size();
  return s;
}

}  // namespace detail
}  // namespace reeve::cache
