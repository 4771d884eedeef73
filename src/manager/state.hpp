// What stands behind a manager and its handles: a map of entries under one short mutex.
#pragma once

#include <atomic>
#include <boost/intrusive/list.hpp>
#include <memory>
#include <mutex>
#include <optional>
#include <reeve/async/gate.hpp>
#include <reeve/manager/pool_manager.hpp>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "manager/background.hpp"
#include "manager/pool_key.hpp"

namespace reeve::detail {

/// What presets ask for a configuration.
struct Care {
  bool keep = false;             ///< neither reaped nor evicted
  std::size_t warm_workers = 0;  ///< that a pool which replaces a dead one starts with
};

/// One pool. It is in the map, or retired, or on its way out.
struct ManagerEntry : std::enable_shared_from_this<ManagerEntry> {
  enum class Place { active, retired, gone };

  ManagerEntry(PoolKey key_, std::size_t hash_, Care care_)
      : key(std::move(key_)),
        hash(hash_),
        n_jobs(key.config.max_workers),
        care(care_),
        type(key.config.isolation == Isolation::process ? ExecutorType::process
                                                        : ExecutorType::thread) {}

  /// Of the ResourcePool; `ready` if there is none yet.
  PoolHealth health() const noexcept {
    const ResourcePool* made = started.load(std::memory_order_acquire);
    return made != nullptr ? made->health() : PoolHealth::ready;
  }
  /// Leases and waiting acquires. Takes the pool's mutex: not under the manager's.
  std::size_t load() const noexcept {
    const ResourcePool* made = started.load(std::memory_order_acquire);
    return made != nullptr ? made->load() : 0;
  }

  /// Of resize, with both mutexes held: these four belong together.
  void rename(PoolKey to, std::size_t to_hash, Care to_care) noexcept {
    key = std::move(to);
    hash = to_hash;
    n_jobs.store(key.config.max_workers, std::memory_order_relaxed);
    care = to_care;
  }

  PoolKey key;
  std::size_t hash;
  std::atomic<std::size_t> n_jobs;
  Care care;
  const ExecutorType type;
  Place place = Place::active;
  bool unused = false;     // no handle lives
  bool lingering = false;  // unused, but a lease is out: looked at again by the reaper
  std::atomic<std::size_t> handles{0};
  std::uint64_t uses = 0;
  Clock::time_point idle_since{};
  boost::intrusive::list_member_hook<> hook;  // of idle_ or lingering_
  std::shared_ptr<ManagerEntry> next_leaving;

  std::atomic<ResourcePool*> started{nullptr};  // &*pool, once it is made
  std::mutex build;                             // guards the two below
  std::optional<ResourcePool> pool;
  bool closed = false;
};

class ManagerState : public std::enable_shared_from_this<ManagerState> {
 public:
  using Entry = ManagerEntry;
  using EntryPtr = std::shared_ptr<Entry>;

  explicit ManagerState(ManagerConfig config);
  ~ManagerState();

  const ManagerConfig& config() const noexcept { return config_; }
  bool foreign() const noexcept { return fork_generation() != generation_; }
  bool is_shutdown() const noexcept { return shut_down_.load(std::memory_order_acquire); }

  // state.cpp
  PoolKey key_for(JobCount n_jobs, ExecutorType type, const GetOptions& options) const;
  ManagedPool get(PoolKey key, bool force_new);
  ManagedPool get_preset(std::string_view name, bool force_new);
  bool touch(const PoolKey& key);
  void on_unused(EntryPtr entry) noexcept;
  void clear();
  ResourcePool& pool_of(Entry& entry);
  void resize(Entry& entry, std::size_t n_jobs);
  ManagerStats stats() const;  // stats.cpp

  // state_life.cpp
  std::shared_ptr<Background> background();  // started if need be; throws after shutdown
  std::shared_ptr<Background> background_or_null() const noexcept;
  Operation begin_operation(const Entry& entry);
  void end_operation() noexcept;
  std::chrono::nanoseconds sweep();
  void reap_now();
  void shutdown(bool force);
  boost::asio::awaitable<void> async_shutdown(std::shared_ptr<ManagerState> self, bool force);
  void close() noexcept;  // the manager is being destroyed
  void check_may_block() const;
  void warm_presets_now();
  boost::asio::awaitable<void> warm_presets(std::shared_ptr<ManagerState> self);

 private:
  struct KeyView {
    const PoolKey& key;
    std::size_t hash;
  };
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(const EntryPtr& entry) const noexcept { return entry->hash; }
    std::size_t operator()(const KeyView& view) const noexcept { return view.hash; }
  };
  struct Equal {
    using is_transparent = void;
    bool operator()(const EntryPtr& a, const EntryPtr& b) const noexcept { return a == b; }
    bool operator()(const KeyView& a, const EntryPtr& b) const noexcept {
      return a.hash == b->hash && same(a.key, b->key);
    }
    bool operator()(const EntryPtr& a, const KeyView& b) const noexcept { return (*this)(b, a); }
  };
  using Map = std::unordered_set<EntryPtr, Hash, Equal>;
  using List = boost::intrusive::list<
      Entry,
      boost::intrusive::member_hook<Entry, boost::intrusive::list_member_hook<>, &Entry::hook>>;

  /// Entries that leave: collected under the lock, freed on the background thread after it.
  class Leaving {
   public:
    explicit Leaving(ManagerState& state) noexcept : state_(state) {}
    ~Leaving();
    void add(EntryPtr entry) noexcept {
      entry->next_leaving = std::move(entries_.first);
      entries_.first = std::move(entry);
    }
    void wake_reaper() noexcept { wake_ = true; }

   private:
    struct Chain {  // needs no memory of its own, and is freed one after the other
      Chain() = default;
      Chain(Chain&&) noexcept = default;
      ~Chain() {
        while (first) first = std::move(first->next_leaving);
      }
      EntryPtr first;
    };
    ManagerState& state_;
    Chain entries_;
    bool wake_ = false;
  };

  /// One shutdown under way: its caller and the work on the background thread have a share of it.
  /// The last one lets the thread end, so that a caller which does not wait to the end (its
  /// coroutine was cancelled, or destroyed) leaves nothing behind.
  struct Closing {
    Closing() = default;
    Closing(const Closing&) = delete;
    ~Closing() {
      if (state) state->finish_shutdown();
    }
    std::shared_ptr<ManagerState> state;
    std::shared_ptr<Background> thread;
    std::vector<EntryPtr> entries;
  };

  void check_owner() const;
  void check_open() const;
  void check_key(const PoolKey& key) const;
  Care care_for(const PoolKey& key, std::size_t hash) const noexcept;
  // With the lock held:
  ManagedPool take(const EntryPtr& entry);
  void retire(Map::iterator at, bool replaced, Leaving& leaving);
  void make_room(std::size_t wanted, const Entry* spared, Leaving& leaving);
  Entry* victim(const Entry* spared) noexcept;
  void become_idle(Entry& entry, Leaving& leaving);
  void unlist(Entry& entry) noexcept;
  void forget_retired(const Entry& entry) noexcept;
  void plan(Clock::time_point when, Leaving& leaving) noexcept;
  std::size_t existing() const noexcept;
  void remove_idle(Entry& entry, Leaving& leaving);
  void check_health(Leaving& leaving, std::vector<EntryPtr>& to_warm);
  std::chrono::nanoseconds linger_step() const noexcept;
  // Without:
  void start_background();
  void warm_again(const EntryPtr& entry);
  std::vector<EntryPtr> begin_shutdown();
  std::shared_ptr<Closing> begin_closing();
  template <class Done>
  static void close_then(std::shared_ptr<Closing> closing, bool force, Done done);
  boost::asio::awaitable<void> end_pools(std::vector<EntryPtr> entries, ShutdownMode mode,
                                         std::shared_ptr<void> kept);
  void finish_shutdown() noexcept;

  const ManagerConfig config_;
  const unsigned generation_;
  std::unordered_map<std::string, const Preset*> presets_;
  struct Cared {
    PoolKey key;
    std::size_t hash;
    Care care;
  };
  std::vector<Cared> cared_;  // the presets' configurations

  mutable std::mutex mutex_;
  Map pools_;
  std::vector<EntryPtr> retired_;
  std::vector<EntryPtr> ending_;  // being shut down
  List idle_;                     // unused, in the order of their last use
  List lingering_;
  std::shared_ptr<Background> background_;
  std::mutex start_mutex_;  // of the background: taken before mutex_
  std::atomic<bool> shut_down_{false};
  Clock::time_point planned_ = Clock::time_point::max();  // of the reaper's next look
  Clock::time_point next_health_ = Clock::time_point::max();
  std::size_t operations_ = 0;
  std::vector<std::shared_ptr<async::Gate>> operation_gates_;  // open when there are none
  std::size_t closers_ = 0;                                    // calls of shutdown that wait
  std::uint64_t hits_ = 0, misses_ = 0, creations_ = 0, reaped_ = 0, evicted_ = 0, retirements_ = 0,
                replaced_ = 0;
};

}  // namespace reeve::detail
