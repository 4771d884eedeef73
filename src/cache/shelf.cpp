// Pins, expiry, eviction and the budget of the model cache.
#include "cache/shelf.hpp"

#include <fmt/format.h>
#include <time.h>

#include <algorithm>

namespace reeve::cache::detail {

bool leads_to(const Flight& from, const Flight& to) {
  return &from == &to || std::any_of(from.waits_for.begin(), from.waits_for.end(),
                                     [&to](const Flight* next) { return leads_to(*next, to); });
}

Clock::time_point Core::Impl::now() const noexcept {
  if (config.clock != &SystemClock::instance()) return config.clock->now();
  // The same clock as of the last tick: 4 ms are nothing to a time to live, and it costs a tenth.
  timespec tick{};
  ::clock_gettime(CLOCK_MONOTONIC_COARSE, &tick);
  return Clock::time_point{std::chrono::seconds{tick.tv_sec} +
                           std::chrono::nanoseconds{tick.tv_nsec}};
}

Core::Value Core::Impl::pin(const std::shared_ptr<Entry>& entry) {
  struct Pin {
    std::shared_ptr<Impl> impl;
    std::shared_ptr<Entry> entry;
    Pin(std::shared_ptr<Impl> i, std::shared_ptr<Entry> e)
        : impl(std::move(i)), entry(std::move(e)) {}
    ~Pin() { impl->unpin(*entry); }
  };
  const auto holder = std::make_shared<Pin>(shared_from_this(), entry);
  ++entry->pins;
  return Value(holder, entry->value.get());
}

void Core::Impl::unpin(Entry& entry) noexcept {
  Value unloaded;  // destroyed after the lock: a model's destructor may be slow or come back here
  const std::lock_guard lock(mutex);
  entry.released = now();
  if (--entry.pins != 0) return;
  if (!entry.kept) {
    memory -= entry.memory;
    return;
  }
  if (keep_of(entry) == std::chrono::milliseconds{0}) {
    for (auto at = entries.begin(); at != entries.end(); ++at)
      if (at->second.get() == &entry) {
        unloaded = drop(at);
        ++counters.expired;
        return;
      }
  }
}

std::chrono::milliseconds Core::Impl::keep_of(const Entry& entry) const {
  if (entry.metadata.keep_alive) return *entry.metadata.keep_alive;
  return config.ttl.count() == 0 ? std::chrono::milliseconds{-1} : config.ttl;
}

bool Core::Impl::is_expired(const Entry& entry) const {
  const auto keep = keep_of(entry);
  return entry.pins == 0 && keep.count() >= 0 && now() - entry.released >= keep;
}

Core::Value Core::Impl::drop(Map::iterator at) {
  Entry& entry = *at->second;
  entry.kept = false;
  Value value;
  if (entry.pins == 0) {
    memory -= entry.memory;
    value = std::move(entry.value);
  }
  entries.erase(at);
  return value;
}

Core::Value Core::Impl::find(std::string_view id, std::vector<Value>& garbage) {
  const auto at = entries.find(id);
  if (at != entries.end()) {
    if (!is_expired(*at->second)) {
      ++counters.hits;
      return pin(at->second);
    }
    garbage.push_back(drop(at));
    ++counters.expired;
  }
  return nullptr;
}

/// The unpinned model that has been idle longest for the time that loading it again would take.
Core::Impl::Map::iterator Core::Impl::worst(const Entry* instead) {
  auto found = entries.end();
  double worst_score = -1;
  const auto time = now();
  for (auto at = entries.begin(); at != entries.end(); ++at) {
    if (at->second->pins != 0 || at->second.get() == instead) continue;
    const double idle = std::chrono::duration<double>(time - at->second->released).count();
    const double cost = std::chrono::duration<double>(at->second->load_time).count() + 1e-3;
    if (idle / cost > worst_score) {
      worst_score = idle / cost;
      found = at;
    }
  }
  return found;
}

void Core::Impl::refuse(ByteSize need, std::string_view id) const {
  throw CacheFullError(
      fmt::format("no room for model '{}' ({}): {} of {} models and {} of {} are in use or "
                  "loading; release one or raise the budget",
                  id, to_string(need), entries.size() + flights.size(), config.models_max,
                  to_string(memory), to_string(config.memory_max)));
}

void Core::Impl::make_room(ByteSize need, std::vector<Value>& garbage, std::string_view id,
                           const Entry* instead) {
  ByteSize fixed = memory;  // what no eviction gives back
  std::size_t count = entries.size() + flights.size();
  const std::size_t leaving = instead != nullptr ? 1 : 0;
  const ByteSize freed = instead != nullptr && instead->pins == 0 ? instead->memory : ByteSize{};
  for (const auto& [name, entry] : entries)
    if (entry->pins == 0 || entry.get() == instead) {
      if (entry->pins == 0) fixed -= entry->memory;
      --count;
    }
  if (count >= config.models_max || need > config.memory_max || fixed > config.memory_max - need)
    refuse(need, id);
  for (;;) {
    if (entries.size() + flights.size() - leaving < config.models_max &&
        memory - freed <= config.memory_max - need)
      return;
    garbage.push_back(drop(worst(instead)));
    ++counters.evicted_for_room;
  }
}

std::shared_ptr<Entry> Core::Impl::insert(std::string_view id, Value value, ByteSize size,
                                          const ModelMetadata& metadata,
                                          std::chrono::nanoseconds took) {
  auto entry = std::make_shared<Entry>();
  entry->value = std::move(value);
  entry->memory = size;
  entry->metadata = metadata;
  entry->load_time = took;
  entry->released = now();
  entries.insert_or_assign(std::string(id), entry);
  memory += size;
  return entry;
}

void Core::Impl::land(const std::string& id, const std::shared_ptr<Flight>& flight,
                      const ModelMetadata& metadata, std::pair<Value, ByteSize> loaded,
                      std::exception_ptr failure, std::chrono::nanoseconds took) {
  std::vector<Value> garbage;
  std::shared_ptr<Entry> entry;
  const std::lock_guard lock(mutex);
  flight->landed = true;
  if (const auto at = flights.find(id); at != flights.end() && at->second == flight)
    flights.erase(at);
  memory -= flight->reserved;
  if (!failure && flight->kept) {
    try {
      const auto there = entries.find(id);  // put there while it was loaded: the newer one stays
      if (there == entries.end()) {
        make_room(loaded.second, garbage, id);
        entry = insert(id, loaded.first, loaded.second, metadata, took);
      }
    } catch (const CacheFullError&) {
      // Larger than was declared: its waiters get it, the cache does not keep it.
    }
  }
  if (!failure && !entry) {
    entry = std::make_shared<Entry>();
    entry->value = loaded.first;
    entry->kept = false;
    entry->memory = loaded.second;
    if (!flight->waiters.empty()) memory += loaded.second;  // until the last of them lets it go
  }
  ++(failure ? counters.failures : counters.loads);
  counters.load_time += std::chrono::duration_cast<std::chrono::milliseconds>(took);
  while (!flight->waiters.empty())
    flight->waiters.grant(*flight->waiters.front(),
                          failure ? Arrival{nullptr, failure} : Arrival{pin(entry), nullptr});
}

std::shared_ptr<Flight> Core::Impl::flight_of(const boost::asio::any_io_executor& e) const {
  for (const auto& [id, flight] : flights)
    if (flight->home == e) return flight;
  return nullptr;
}

}  // namespace reeve::cache::detail
