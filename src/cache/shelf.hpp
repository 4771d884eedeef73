// What a cache holds: models on the shelf, loads under way, the budget of both.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <map>
#include <mutex>
#include <reeve/async/waiter_queue.hpp>
#include <reeve/cache/model_cache.hpp>
#include <vector>

namespace reeve::cache::detail {

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

/// One load. It runs on a strand of its own: its cancellation must not run beside it, and a call of
/// the cache that comes from there is known to come from this load.
struct Flight {
  async::WaiterQueue<Arrival> waiters;
  std::shared_ptr<boost::asio::cancellation_signal> stop =
      std::make_shared<boost::asio::cancellation_signal>();
  boost::asio::any_io_executor home;
  std::vector<const Flight*> waits_for;  // loads that this load waits for at this moment
  ByteSize reserved{};
  bool kept = true;
  bool landed = false;
};

/// Whether `from` is `to`, or waits for it, perhaps through others.
bool leads_to(const Flight& from, const Flight& to);

/// Every member but `mutex` is guarded by it, and every function wants it held.
struct Core::Impl : std::enable_shared_from_this<Core::Impl> {
  using Map = std::map<std::string, std::shared_ptr<Entry>, std::less<>>;

  Impl(boost::asio::any_io_executor e, CacheConfig c) : executor(std::move(e)), config(c) {}

  Clock::time_point now() const noexcept;
  Value pin(const std::shared_ptr<Entry>& entry);
  void unpin(Entry& entry) noexcept;  // takes the mutex itself
  /// Negative: for ever.
  std::chrono::milliseconds keep_of(const Entry& entry) const;
  bool is_expired(const Entry& entry) const;
  /// Takes a model off the shelf; one that is held stays in the account until its last release.
  Value drop(Map::iterator at);
  /// The present model, pinned, as a hit; an expired one is dropped. Null: there is none.
  Value find(std::string_view id, std::vector<Value>& garbage);
  /// Makes room for one more model of `need` bytes; what was unloaded goes to `garbage`. `instead`
  /// is going to leave in any case. Throws CacheFullError, and then nothing has been unloaded.
  void make_room(ByteSize need, std::vector<Value>& garbage, std::string_view id,
                 const Entry* instead = nullptr);
  std::shared_ptr<Entry> insert(std::string_view id, Value value, ByteSize size,
                                const ModelMetadata& metadata, std::chrono::nanoseconds took);
  /// The load has ended: the model goes to the shelf and to everyone who waits. Takes the mutex.
  void land(const std::string& id, const std::shared_ptr<Flight>& flight,
            const ModelMetadata& metadata, std::pair<Value, ByteSize> loaded,
            std::exception_ptr failure, std::chrono::nanoseconds took);
  /// The load that runs on this executor, or null.
  std::shared_ptr<Flight> flight_of(const boost::asio::any_io_executor& executor) const;

  mutable std::mutex mutex;
  boost::asio::any_io_executor executor;
  const CacheConfig config;
  Map entries;
  std::map<std::string, std::shared_ptr<Flight>, std::less<>> flights;
  ByteSize memory{};  // of entries, reservations, and what was removed and is still held
  CacheStats counters;

 private:
  Map::iterator worst(const Entry* instead);
  [[noreturn]] void refuse(ByteSize need, std::string_view id) const;
};

/// `get_or_create`: hits, joins a load, or starts one.
boost::asio::awaitable<Core::Value> obtain(std::shared_ptr<Core::Impl> impl, std::string id,
                                           Core::Loader loader, ModelMetadata metadata);

}  // namespace reeve::cache::detail
