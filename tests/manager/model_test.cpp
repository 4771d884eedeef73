// Random sequences of everything against a plain model.
#include <list>

#include "tests/manager/manager_test_support.hpp"

namespace reeve::test {
namespace {

constexpr auto timeout = 300ms;
constexpr std::size_t pools_max = 4;

struct Key {
  int n = 1;
  std::string label;
  auto operator<=>(const Key&) const = default;
};

/// What a manager should do, without hash maps, threads or pools.
struct Model {
  struct Pool {
    Key key;
    std::size_t handles = 0;
    std::uint64_t uses = 0;
    std::chrono::nanoseconds idle_since{0};
    bool dead = false;
    bool retired = false;
  };
  using PoolPtr = std::shared_ptr<Pool>;

  std::chrono::nanoseconds now{0};
  std::map<Key, PoolPtr> active;
  std::vector<PoolPtr> retired;
  std::list<PoolPtr> idle;  // the oldest first
  std::uint64_t hits = 0, misses = 0, creations = 0, reaped = 0, evicted = 0, retirements = 0,
                replaced = 0;

  PoolPtr find(const Key& key) {
    const auto found = active.find(key);
    return found != active.end() ? found->second : nullptr;
  }
  std::size_t existing() const {
    std::size_t alive = active.size();
    for (const auto& pool : retired) alive += !pool->dead;
    return alive;
  }
  bool make_room(const PoolPtr& spared) {
    while (existing() + 1 > pools_max) {
      const auto victim =
          std::find_if(idle.begin(), idle.end(), [&](const auto& pool) { return pool != spared; });
      if (victim == idle.end()) return false;
      active.erase((*victim)->key);
      idle.erase(victim);
      ++evicted;
    }
    return true;
  }
  void retire(PoolPtr pool) {  // by value: it leaves the map here
    active.erase(pool->key);
    idle.remove(pool);
    ++retirements;
    pool->retired = true;
    if (pool->handles > 0) retired.push_back(pool);
  }
  PoolPtr take(const PoolPtr& pool) {
    ++pool->handles;
    ++pool->uses;
    idle.remove(pool);
    return pool;
  }
  /// Nothing: max_pools are in use.
  PoolPtr get(const Key& key, bool force_new) {
    const PoolPtr old = find(key);
    if (old && !old->dead && !force_new) {
      ++hits;
      return take(old);
    }
    const bool needs_room = !old || (!old->dead && old->handles > 0);
    if (needs_room && !make_room(old)) return nullptr;
    if (old) {
      replaced += old->dead;
      retire(old);
    }
    ++misses;
    ++creations;
    return take(active[key] = std::make_shared<Pool>(Pool{key}));
  }
  void drop(const PoolPtr& pool) {
    if (--pool->handles > 0) return;
    pool->idle_since = now;
    if (pool->retired) {
      std::erase(retired, pool);
    } else {
      idle.push_back(pool);
    }
  }
  bool release(const Key& key) {
    const PoolPtr pool = find(key);
    if (!pool) return false;
    pool->idle_since = now;
    if (pool->handles == 0)
      idle.splice(idle.end(), idle, std::find(idle.begin(), idle.end(), pool));
    return true;
  }
  void clear() {
    while (!active.empty()) retire(active.begin()->second);
  }
  void pass(std::chrono::milliseconds time) {
    now += time;
    while (!idle.empty() && idle.front()->idle_since + timeout <= now) {
      active.erase(idle.front()->key);
      idle.pop_front();
      ++reaped;
    }
  }
  bool resize(const PoolPtr& pool, int n) {
    if (pool->retired) {
      pool->key.n = n;
      return true;
    }
    const Key key{n, pool->key.label};
    if (find(key)) return find(key) == pool;
    active.erase(pool->key);
    pool->key = key;
    active[key] = pool;
    return true;
  }
};

/// Both, with the handles that are held.
class Pair {
 public:
  Pair() : manager_(config()) {}

  void get(const Key& key, bool force_new) {
    const Model::PoolPtr expected = model_.get(key, force_new);
    GetOptions options;
    options.label = key.label;
    options.force_new = force_new;
    try {
      ManagedPool pool = manager_.get_pool(key.n, type_of(key), options);
      RC_ASSERT(expected != nullptr);
      for (const auto& [other, its] : held_) RC_ASSERT((other == pool) == (its == expected));
      held_.emplace_back(std::move(pool), expected);
    } catch (const PoolLimitError&) {
      RC_ASSERT(expected == nullptr);
    }
  }
  void drop(std::size_t which) {
    if (held_.empty()) return;
    const auto at = held_.begin() + static_cast<std::ptrdiff_t>(which % held_.size());
    model_.drop(at->second);
    held_.erase(at);
  }
  void release(const Key& key) {
    GetOptions options;
    options.label = key.label;
    RC_ASSERT(manager_.release_pool(key.n, type_of(key), options) == model_.release(key));
  }
  void clear() {
    manager_.clear();
    model_.clear();
  }
  void pass(std::chrono::milliseconds time) {
    clock_.advance(time);
    manager_.reap_now();
    model_.pass(time);
  }
  void close(std::size_t which) {
    if (held_.empty()) return;
    auto& [pool, its] = held_[which % held_.size()];
    if (!its->dead) close_now(pool);
    its->dead = true;
    RC_ASSERT(pool.health() == PoolHealth::closed);
  }
  void call(std::size_t which) {
    if (held_.empty()) return;
    auto& [pool, its] = held_[which % held_.size()];
    if (its->dead) {
      RC_ASSERT_THROWS_AS(pool.submit<&square>(3).get(), PoolClosedError);
    } else {
      RC_ASSERT(pool.submit<&square>(3).get() == 9);
    }
  }
  /// A worker dies; the pool has another, and the manager need not know.
  void kill_worker(std::size_t which) {
    if (held_.empty()) return;
    auto& [pool, its] = held_[which % held_.size()];
    if (its->dead || pool.type() == thread) return;
    auto doomed = pool.submit([]() -> int { return raise(SIGKILL); });
    RC_ASSERT_THROWS_AS(doomed.get(), WorkerError);
    RC_ASSERT(pool.submit<&square>(5).get() == 25);
  }
  void resize(std::size_t which, int n) {
    if (held_.empty()) return;
    auto& [pool, its] = held_[which % held_.size()];
    if (its->dead) return;
    const bool fits = model_.resize(its, n);
    try {
      pool.resize(n);
      RC_ASSERT(fits);
    } catch (const ConfigError&) {
      RC_ASSERT(!fits);
    }
    RC_ASSERT(pool.n_jobs() == static_cast<std::size_t>(its->key.n));
  }

  void compare() const {
    const ManagerStats stats = manager_.stats();
    RC_ASSERT(stats.active_pools == model_.active.size());
    RC_ASSERT(stats.retired_pools == model_.retired.size());
    RC_ASSERT(stats.hits == model_.hits);
    RC_ASSERT(stats.misses == model_.misses);
    RC_ASSERT(stats.creations == model_.creations);
    RC_ASSERT(stats.reaped == model_.reaped);
    RC_ASSERT(stats.evicted == model_.evicted);
    RC_ASSERT(stats.retired == model_.retirements);
    RC_ASSERT(stats.replaced == model_.replaced);
    for (const ManagedPoolInfo& info : stats.configs) {
      if (info.retired) continue;
      const auto found = model_.active.find(Key{static_cast<int>(info.n_jobs), info.label});
      RC_ASSERT(found != model_.active.end());
      const Model::Pool& pool = *found->second;
      RC_ASSERT(info.handles == pool.handles);
      RC_ASSERT(info.uses == pool.uses);
      RC_ASSERT(info.idle == (pool.handles > 0 ? 0ns : model_.now - pool.idle_since));
      RC_ASSERT((info.health != PoolHealth::ready) == pool.dead);
    }
  }

 private:
  ManagerConfig config() const {
    ManagerConfig config;
    config.clock = &clock_;
    config.idle_timeout = timeout;
    config.max_pools = pools_max;
    return config;
  }
  static ExecutorType type_of(const Key& key) { return key.label.empty() ? thread : process; }

  ManualClock clock_;
  PoolManager manager_;
  Model model_;
  std::vector<std::pair<ManagedPool, Model::PoolPtr>> held_;
};

void run_sequence(std::size_t length) {
  const auto steps = *rc::gen::container<std::vector<std::tuple<int, int, int>>>(
      length,
      rc::gen::tuple(rc::gen::inRange(0, 20), rc::gen::inRange(0, 6), rc::gen::inRange(0, 100)));
  Pair pair;
  for (const auto& [operation, k, amount] : steps) {
    const Key key{1 + k % 3, k < 3 ? "" : "processes"};
    const auto which = static_cast<std::size_t>(amount);
    if (operation < 6) {
      pair.get(key, false);
    } else if (operation < 8) {
      pair.get(key, true);
    } else if (operation < 12) {
      pair.drop(which);
    } else if (operation < 13) {
      pair.release(key);
    } else if (operation < 14) {
      if (amount < 30) pair.clear();
    } else if (operation < 16) {
      pair.pass(std::chrono::milliseconds(2 * amount));
    } else if (operation < 17) {
      pair.close(which);
    } else if (operation < 18) {
      pair.call(which);
    } else if (operation < 19) {
      pair.kill_worker(which);
    } else {
      pair.resize(which, 1 + k);
    }
    pair.compare();
  }
}

RC_GTEST_PROP(ManagerModel, random_sequences_agree_with_it, ()) {
  run_sequence(static_cast<std::size_t>(*rc::gen::inRange(1, 60)));
}
RC_GTEST_PROP(ManagerModelFull, long_sequences_agree_with_it, ()) {
  for (int i = 0; i < 10; ++i) run_sequence(500);
}

}  // namespace
}  // namespace reeve::test
