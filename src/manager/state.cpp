// Look-up, creation, retirement and eviction.
#include "manager/state.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_future.hpp>
#include <reeve/process/init.hpp>

namespace reeve::detail {

namespace asio = boost::asio;

namespace {

// The number that counts when it runs: of several resizes at a time, the last one holds.
asio::awaitable<void> follow(ManagerState::EntryPtr entry, ResourcePool pool) {
  co_await pool.resize(entry->n_jobs.load(std::memory_order_relaxed));
}

}  // namespace

ManagerState::ManagerState(ManagerConfig config)
    : config_(std::move(config)), generation_(fork_generation()) {
  for (const Preset& preset : config_.presets) {
    presets_.emplace(preset.name, &preset);
    PoolKey key{preset.config, preset.label};
    const std::size_t hash = hash_of(key);
    cared_.push_back({std::move(key), hash, {preset.keep, preset.warm_workers}});
  }
}

ManagerState::~ManagerState() {
  idle_.clear();
  lingering_.clear();
}

ManagerState::Leaving::~Leaving() {
  if (!entries_.first && !wake_) return;
  const auto background = state_.background_or_null();
  if (!background) return;  // freed here
  if (background->is_here()) {
    if (wake_) background->alarm()->cancel();
    return;
  }
  try {
    asio::post(background->context(),
               [entries = std::move(entries_), alarm = wake_ ? background->alarm() : nullptr] {
                 if (alarm) alarm->cancel();
               });
  } catch (...) {  // no memory to post with: freed here, and the reaper looks later
  }
}

void ManagerState::check_owner() const {
  if (foreign()) {
    throw PoolClosedError(
        "this PoolManager belongs to the process that made it, not to a child of its fork(); make "
        "one in the child, or use global_pool_manager()");
  }
}

void ManagerState::check_open() const {
  if (is_shutdown()) {
    throw PoolClosedError("PoolManager has been shut down; make another, or take the global one");
  }
}

void ManagerState::check_key(const PoolKey& key) const {
  if (const auto fault = find_fault(key.config)) {
    throw ConfigError(
        fmt::format("no pool of n_jobs = {} {} workers can be made: {}", key.config.max_workers,
                    key.config.isolation == Isolation::process ? "process" : "thread", *fault));
  }
  if (key.config.isolation == Isolation::process && !initialized()) {
    throw ConfigError(
        "process workers are copies of this program; make reeve::init(argc, argv) the first line "
        "of main, or use ExecutorType::thread");
  }
}

// Two presets may name one pool: it gets the best of both.
Care ManagerState::care_for(const PoolKey& key, std::size_t hash) const noexcept {
  Care care;
  for (const Cared& other : cared_) {
    if (other.hash != hash || !same(other.key, key)) continue;
    care.keep = care.keep || other.care.keep;
    care.warm_workers = std::max(care.warm_workers, other.care.warm_workers);
  }
  return care;
}

PoolKey ManagerState::key_for(JobCount n_jobs, ExecutorType type, const GetOptions& options) const {
  PoolKey key{config_.defaults, options.label};
  key.config.max_workers = n_jobs.checked();
  key.config.isolation = isolation_of(type);
  if (options.worker_timeout.count() != 0) key.config.worker_timeout = options.worker_timeout;
  if (options.worker_memory.bytes() != 0) key.config.worker_memory = options.worker_memory;
  if (options.bind) key.config.bind = *options.bind;
  if (!options.devices.empty()) key.config.devices = options.devices;
  if (options.initializer) key.config.initializer = options.initializer;
  return key;
}

ManagedPool ManagerState::get(PoolKey key, bool force_new) {
  check_owner();
  const std::size_t hash = hash_of(key);
  if (!force_new) {
    const std::lock_guard lock(mutex_);
    check_open();
    const auto found = pools_.find(KeyView{key, hash});
    if (found != pools_.end() && (*found)->health() == PoolHealth::ready) {
      ++hits_;
      return take(*found);
    }
  }
  check_key(key);
  background();
  const Care care = care_for(key, hash);
  auto fresh = std::make_shared<Entry>(std::move(key), hash, care);
  Leaving leaving(*this);
  const std::lock_guard lock(mutex_);
  check_open();
  const auto found = pools_.find(KeyView{fresh->key, hash});
  if (found == pools_.end()) {
    make_room(1, nullptr, leaving);
  } else {
    const bool dead = (*found)->health() != PoolHealth::ready;
    if (!force_new && !dead) {  // another thread was faster
      ++hits_;
      return take(*found);
    }
    if (!dead && (!(*found)->unused || (*found)->lingering)) make_room(1, found->get(), leaving);
    retire(found, dead, leaving);
  }
  pools_.insert(fresh);
  ++misses_;
  ++creations_;
  return take(fresh);
}

ManagedPool ManagerState::get_preset(std::string_view name, bool force_new) {
  const auto found = presets_.find(std::string(name));
  if (found == presets_.end()) {
    std::string known;
    for (const Preset& preset : config_.presets) known += (known.empty() ? "" : ", ") + preset.name;
    if (known.empty()) {
      throw ConfigError(fmt::format(
          "there is no preset '{}', for ManagerConfig::presets is empty; add it there, or take "
          "get_pool",
          name));
    }
    throw ConfigError(fmt::format("there is no preset '{}'; there are: {}", name, known));
  }
  const Preset& preset = *found->second;
  return get(PoolKey{preset.config, preset.label}, force_new);
}

ManagedPool ManagerState::take(const EntryPtr& entry) {
  entry->handles.fetch_add(1, std::memory_order_relaxed);
  ++entry->uses;
  unlist(*entry);
  return ManagedPool(shared_from_this(), entry);
}

void ManagerState::unlist(Entry& entry) noexcept {
  if (entry.hook.is_linked()) {
    List& list = entry.lingering ? lingering_ : idle_;
    list.erase(list.iterator_to(entry));
  }
  entry.unused = entry.lingering = false;
}

void ManagerState::forget_retired(const Entry& entry) noexcept {
  std::erase_if(retired_, [&](const EntryPtr& other) { return other.get() == &entry; });
}

// The pool leaves the map. While somebody uses it, it stays among the retired.
void ManagerState::retire(Map::iterator at, bool replaced, Leaving& leaving) {
  EntryPtr entry = *at;
  if (entry->handles.load(std::memory_order_acquire) == 0 && !entry->lingering) {
    leaving.add(entry);
    entry->place = Entry::Place::gone;
  } else {
    retired_.push_back(entry);
    entry->place = Entry::Place::retired;
  }
  if (entry->place == Entry::Place::gone) unlist(*entry);
  pools_.erase(at);
  ++retirements_;
  replaced_ += replaced;
}

// Of the retired, those that are dead hold nothing any more.
std::size_t ManagerState::existing() const noexcept {
  const auto alive = [](const EntryPtr& entry) { return entry->health() == PoolHealth::ready; };
  return pools_.size() +
         static_cast<std::size_t>(std::count_if(retired_.begin(), retired_.end(), alive));
}

ManagerEntry* ManagerState::victim(const Entry* spared) noexcept {
  if (config_.eviction == Eviction::none) return nullptr;
  Entry* best = nullptr;
  for (Entry& entry : idle_) {
    if (&entry == spared) continue;
    if (best == nullptr || (config_.eviction == Eviction::lfu && entry.uses < best->uses)) {
      best = &entry;
    }
    if (config_.eviction == Eviction::lru) break;
  }
  return best;
}

void ManagerState::make_room(std::size_t wanted, const Entry* spared, Leaving& leaving) {
  while (existing() + wanted > config_.max_pools) {
    Entry* entry = victim(spared);
    if (entry == nullptr) {
      throw PoolLimitError(fmt::format(
          "{} pools exist, which is max_pools, and {}; let go of handles, or raise max_pools",
          existing(),
          config_.eviction == Eviction::none ? "eviction is off" : "all of them are in use"));
    }
    remove_idle(*entry, leaving);
    ++evicted_;
  }
}

void ManagerState::remove_idle(Entry& entry, Leaving& leaving) {
  const auto at = pools_.find(KeyView{entry.key, entry.hash});
  leaving.add(*at);
  entry.place = Entry::Place::gone;
  unlist(entry);
  pools_.erase(at);
}

// The last use of an entry has ended: its idle clock starts, or a retired one ends.
void ManagerState::become_idle(Entry& entry, Leaving& leaving) {
  entry.unused = true;
  entry.lingering = false;
  entry.idle_since = config_.clock->now();
  if (entry.place == Entry::Place::retired) {
    leaving.add(entry.shared_from_this());
    entry.place = Entry::Place::gone;
    forget_retired(entry);
  } else if (!entry.care.keep) {
    idle_.push_back(entry);
    if (config_.idle_timeout) plan(entry.idle_since + *config_.idle_timeout, leaving);
  }
}

// Called by the handle that took the count to zero; meanwhile another may have come.
void ManagerState::on_unused(EntryPtr entry) noexcept {
  try {
    const bool busy = entry->load() > 0;
    Leaving leaving(*this);
    const std::lock_guard lock(mutex_);
    if (entry->handles.load(std::memory_order_acquire) != 0 || entry->place == Entry::Place::gone) {
      return;
    }
    if (entry->unused) {  // said by another, who may have looked before our lease was out
      if (!busy || entry->lingering) return;
      unlist(*entry);
    }
    if (busy) {
      entry->unused = entry->lingering = true;
      lingering_.push_back(*entry);
      plan(config_.clock->now() + linger_step(), leaving);
    } else {
      become_idle(*entry, leaving);
    }
  } catch (...) {  // a mutex that fails: shutdown finds the entry
  }
}

bool ManagerState::touch(const PoolKey& key) {
  check_owner();
  const std::size_t hash = hash_of(key);
  const std::lock_guard lock(mutex_);
  const auto found = pools_.find(KeyView{key, hash});
  if (found == pools_.end()) return false;
  Entry& entry = **found;
  entry.idle_since = config_.clock->now();
  if (entry.hook.is_linked() && !entry.lingering) {
    idle_.splice(idle_.end(), idle_, idle_.iterator_to(entry));
  }
  return true;
}

void ManagerState::clear() {
  check_owner();
  Leaving leaving(*this);
  const std::lock_guard lock(mutex_);
  while (!pools_.empty()) retire(pools_.begin(), false, leaving);
}

ResourcePool& ManagerState::pool_of(Entry& entry) {
  if (ResourcePool* made = entry.started.load(std::memory_order_acquire)) return *made;
  const auto thread = background();
  const std::lock_guard lock(entry.build);
  if (entry.closed) check_open();
  if (!entry.pool) {
    entry.pool.emplace(thread->context().get_executor(), entry.key.config);
    entry.started.store(&*entry.pool, std::memory_order_release);
  }
  return *entry.pool;
}

// The entry moves to its new key first, so that no other pool can take it; then the pool follows.
void ManagerState::resize(Entry& entry, std::size_t n_jobs) {
  check_owner();
  std::optional<ResourcePool> pool;
  {
    const std::lock_guard build_lock(entry.build);
    PoolKey key = entry.key;
    key.config.max_workers = n_jobs;
    check_key(key);
    const std::size_t hash = hash_of(key);
    const Care care = care_for(key, hash);
    const std::lock_guard lock(mutex_);
    check_open();
    if (entry.health() == PoolHealth::closed) {
      throw PoolClosedError("this pool was shut down, so it cannot be resized; get another one");
    }
    if (n_jobs == entry.key.config.max_workers) return;
    if (entry.place == Entry::Place::active) {
      if (pools_.find(KeyView{key, hash}) != pools_.end()) {
        throw ConfigError(
            fmt::format("there is a pool of {} {} workers with these options already; get that one",
                        n_jobs, to_string(entry.type)));
      }
      auto node = pools_.extract(pools_.find(KeyView{entry.key, entry.hash}));
      entry.rename(std::move(key), hash, care);
      pools_.insert(std::move(node));
    } else {
      entry.rename(std::move(key), hash, care);
    }
    pool = entry.pool;
  }
  if (!pool) return;  // it is made with the new number
  const auto thread = background();
  auto work = follow(entry.shared_from_this(), *std::move(pool));
  if (thread->is_here()) {  // it cannot wait for itself; the pool follows when this handler ends
    asio::co_spawn(thread->context(), std::move(work), asio::detached);
    return;
  }
  asio::co_spawn(thread->context(), std::move(work), asio::use_future).get();
}

}  // namespace reeve::detail
