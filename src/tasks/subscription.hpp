// Who follows the records: the ring of recent changes and each follower's dirty list.
#pragma once

#include <atomic>
#include <deque>
#include <map>
#include <mutex>
#include <reeve/async/waiter_queue.hpp>
#include <reeve/tasks/watcher.hpp>
#include <unordered_map>

namespace reeve::tasks::detail {

struct Entry;
class Engine;
class Hub;

/// A follower. Guarded by the hub's mutex.
struct Subscription {
  WatchFilter filter;
  std::shared_ptr<Engine> engine;
  struct Pending {
    std::uint64_t first_seq = 0;  // the first change that this follower has not seen; 0: snapshot
    std::shared_ptr<Entry> entry;
    bool deleted = false;
  };
  std::deque<std::shared_ptr<Pending>> queue;
  std::map<const Entry*, std::shared_ptr<Pending>> pending;
  bool reset = false;
  std::size_t snapshot_left = 0;  // until it is 0, resuming means starting over
  bool closed = false;
  async::WaiterQueue<char> waiters;
};

class Hub {
 public:
  explicit Hub(std::uint64_t epoch = 0) : epoch_(epoch) {}
  void set_epoch(std::uint64_t epoch) { epoch_ = epoch; }

  /// A change that has become visible. Called under the entry's stripe mutex.
  void note(const std::shared_ptr<Entry>& entry, const RecordData& record, bool deleted);
  std::shared_ptr<Subscription> subscribe(std::shared_ptr<Engine> engine, WatchFilter filter,
                                          std::uint64_t since);
  void unsubscribe(const std::shared_ptr<Subscription>& s);
  std::optional<WatchEvent> take(Subscription& s);
  /// Every one of `entries` becomes an event of `s`.
  void snapshot(Subscription& s, const std::vector<std::shared_ptr<Entry>>& entries);
  /// Queues `waiter` unless an event is there already.
  bool join(Subscription& s, async::Waiter<char>& waiter);
  bool is_closed();
  void close();
  std::mutex& mutex() { return mutex_; }

 private:
  struct Change {
    std::uint64_t seq;
    std::shared_ptr<Entry> entry;
    bool deleted;
    TaskState state;
  };
  static constexpr std::size_t ring_max = 65'536;
  static bool passes(const WatchFilter& filter, const std::string& id, TaskState state,
                     bool deleted);
  void add(Subscription& s, std::uint64_t seq, const std::shared_ptr<Entry>& entry, bool deleted);
  static constexpr std::uint64_t restart_token = 1;
  std::uint64_t token(std::uint64_t seq) const noexcept { return epoch_ << 40 | seq; }

  std::mutex mutex_;
  std::atomic<bool> active_{false};
  std::uint64_t epoch_;
  std::uint64_t seq_ = 0;
  std::deque<Change> ring_;
  // Those of one id are found by it: a thousand tracked tasks cost a change nothing.
  std::vector<std::shared_ptr<Subscription>> subscriptions_;
  std::unordered_map<std::string, std::vector<std::shared_ptr<Subscription>>> by_id_;
  bool closed_ = false;
};

}  // namespace reeve::tasks::detail
