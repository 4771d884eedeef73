// The verbs of the model cache.
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <reeve/base/model_name.hpp>
#include "cache/shelf.hpp"

namespace reeve::cache::detail {

namespace asio = boost::asio;
using asio::awaitable;

namespace {

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
  std::vector<Value> garbage;
  const std::lock_guard lock(impl_->mutex);
  auto found = impl_->find(id, garbage);
  if (!found) ++impl_->counters.misses;
  return found;
}

Core::Value Core::get_present(std::string_view id) {
  std::vector<Value> garbage;
  const std::lock_guard lock(impl_->mutex);
  return impl_->find(id, garbage);
}

void Core::put(std::string_view id, Value value, ByteSize memory, ModelMetadata metadata) {
  check_model_name(id);
  std::vector<Value> garbage;
  const std::lock_guard lock(impl_->mutex);
  const auto at = impl_->entries.find(id);
  const bool present = at != impl_->entries.end();
  impl_->make_room(memory, garbage, id, present ? at->second.get() : nullptr);
  if (present) garbage.push_back(impl_->drop(at));
  impl_->insert(id, std::move(value), memory, metadata, std::chrono::nanoseconds{0});
}

awaitable<Core::Value> Core::get_or_create(std::string_view id, Loader loader,
                                           ModelMetadata metadata) {
  return obtain(impl_, std::string(id), std::move(loader), metadata);
}

bool Core::remove(std::string_view id) {
  Value unloaded;
  const std::lock_guard lock(impl_->mutex);
  const auto flight = impl_->flights.find(id);
  const bool loading = flight != impl_->flights.end();
  if (loading) {
    flight->second->kept = false;
    impl_->flights.erase(flight);
  }
  const auto at = impl_->entries.find(id);  // put while the load is under way
  if (at == impl_->entries.end()) return loading;
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

std::vector<ModelInfo> Core::models() const {
  const std::lock_guard lock(impl_->mutex);
  std::vector<ModelInfo> out;
  const auto now = impl_->now();
  for (const auto& [id, entry] : impl_->entries) {
    if (impl_->is_expired(*entry)) continue;
    ModelInfo info(id, entry->pins != 0 ? ModelState::in_use : ModelState::idle, entry->memory);
    if (entry->pins == 0)
      info.idle = std::chrono::duration_cast<std::chrono::milliseconds>(now - entry->released);
    out.push_back(std::move(info));
  }
  for (const auto& [id, flight] : impl_->flights) {
    ModelInfo info(id, ModelState::loading, flight->reserved);
    info.waiting = flight->waiters.size();
    out.push_back(std::move(info));
  }
  return out;
}

}  // namespace reeve::cache::detail
