// The task store behind its handle: striped records, staged changes, one committer thread.
#pragma once

#include <atomic>
#include <boost/unordered/unordered_flat_set.hpp>
#include <condition_variable>
#include <map>
#include <mutex>
#include <queue>
#include <reeve/async/waiter_queue.hpp>
#include <reeve/tasks/task_store.hpp>
#include <thread>
#include <unordered_map>

#include "tasks/journal.hpp"
#include "tasks/record_fsm.hpp"
#include "tasks/subscription.hpp"

namespace reeve::tasks::detail {

using RecordPtr = std::shared_ptr<const RecordData>;
using WaitQueue = async::WaiterQueue<RecordPtr>;
using WaitQueuePtr = std::shared_ptr<WaitQueue>;

/// One id's place in memory. Guarded by its stripe's mutex unless said otherwise.
struct Entry {
  explicit Entry(std::shared_ptr<const std::string> i) : id(std::move(i)) {}

  // What a look-up reads comes first and lies together.
  RecordPtr visible;  // what readers see; null until its creation is durable
  Clock::time_point expires = Clock::time_point::max();
  const std::shared_ptr<const std::string> id;
  std::uint64_t rid = 0;
  RecordPtr staged;  // what the next command is judged against; null: deletion under way
  // Rises when staged changes are dropped; the committer writes it.
  std::atomic<std::uint32_t> generation{0};
  std::uint32_t in_flight : 30 = 0;  // transitions submitted and not yet durable
  bool dirty : 1 = false;            // visible is newer than the disk
  bool awaited : 1 = false;          // its stripe has a queue of those who wait for its end
};
using EntryPtr = std::shared_ptr<Entry>;

/// One accepted write on its way to the disk, and the coroutine that waits for it.
struct Ticket {
  EntryPtr entry;  // null: a flush
  RecordPtr data;  // null: erase
  std::uint64_t rid = 0;
  std::uint32_t generation = 0;
  bool transition = false;
  std::size_t bytes = 0;

  std::mutex mutex;  // guards the rest
  async::ParkingSpot* sleeper = nullptr;
  boost::asio::any_io_executor home;  // the sleeper's; gone with it
  bool done = false;
  std::exception_ptr failure;

  void finish(std::exception_ptr error) noexcept;
  /// Well; called by a handler that does nothing else.
  void finish_with_others() noexcept;
};
using TicketPtr = std::shared_ptr<Ticket>;

struct Submitted {
  RecordPtr data;
  TicketPtr ticket;   // null: nothing to wait for
  bool busy = false;  // a deletion of this id is under way: await the ticket, then submit again
  bool changed = false;
};

class Engine {
 public:
  explicit Engine(const StoreConfig& config);
  ~Engine() { close(); }

  RecordPtr find(std::string_view id) const;
  /// Judges, stages, and hands to the committer. Throws TaskError.
  Submitted submit(std::string_view id, const Command& command, Durability durability);
  /// The common case of progress, without a command: false when it is not that case, or refused.
  bool post_progress(std::string_view id, double percent, const UpdateOptions& options);
  /// Deletion; data is the record before. Null data and ticket: there was none.
  Submitted submit_delete(const std::string& id, bool force,
                          const std::function<bool(const RecordData&)>& still_wanted = {});
  Submitted submit_import(std::shared_ptr<RecordData> record);
  TicketPtr submit_flush();

  /// The stripe mutex of an id, for waiters.
  std::mutex& mutex_of(std::string_view id) const { return stripe_of(id).mutex; }
  /// Stripe mutex held: the task's record if it has ended, or null and the queue to wait in. Throws
  /// not_found, closed.
  RecordPtr wait_or_answer(std::string_view id, EntryPtr& entry, WaitQueuePtr& queue);

  TaskPage list(const TaskFilter& filter) const;
  TaskCounts counts() const;
  std::vector<EntryPtr> entries(std::uint64_t after, std::size_t limit) const;
  std::vector<EntryPtr> settled_entries(std::uint64_t after, std::size_t limit) const;
  RecordPtr visible(const Entry& entry) const;
  std::size_t remove_expired(std::size_t max);
  bool over_budget() const noexcept { return queued_bytes_.load() > config_.queue_max.bytes(); }

  Hub& hub() { return hub_; }
  StoreHealth health() const;
  const StoreConfig& config() const noexcept { return config_; }
  bool closed() const noexcept { return closed_.load(); }
  std::int64_t now_ms() const noexcept { return config_.wall_clock->now_ms(); }
  void close() noexcept;

  std::mutex space_mutex;
  async::WaiterQueue<char> space_waiters;

 private:
  struct Place {
    explicit Place(const EntryPtr& e) : id(*e->id), entry(e) {}
    std::string_view id;  // the entry's
    EntryPtr entry;
  };
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view s) const noexcept {
      return std::hash<std::string_view>{}(s);
    }
    std::size_t operator()(const Place& p) const noexcept { return (*this)(p.id); }
  };
  struct Equal {
    using is_transparent = void;
    bool operator()(const Place& a, const Place& b) const noexcept { return a.id == b.id; }
    /// The id and the entry lie apart, in memory that no cache holds where tasks are many: the one
    /// is fetched while the other is compared.
    bool operator()(std::string_view id, const Place& p) const noexcept {
      __builtin_prefetch(p.entry.get());
      return id == p.id;
    }
    bool operator()(const Place& p, std::string_view id) const noexcept { return (*this)(id, p); }
  };
  struct alignas(64) Stripe {
    mutable std::mutex mutex;
    boost::unordered_flat_set<Place, Hash, Equal> places;
    // Beside the entries: few are waited for. A queue outlives its waiters, who hold it too.
    std::unordered_map<const Entry*, WaitQueuePtr> waits;
  };
  struct Due {
    Clock::time_point at;
    std::weak_ptr<Entry> entry;
    bool operator<(const Due& other) const noexcept { return at > other.at; }
  };
  static constexpr std::size_t stripe_count = 64;
  using Index = std::map<std::uint64_t, EntryPtr>;

  Stripe& stripe_of(std::string_view id) const noexcept;
  bool is_expired(const Entry& e) const noexcept {
    return e.expires != Clock::time_point::max() && e.expires <= config_.clock->now();
  }
  // The next five: stripe mutex held.
  void show(const EntryPtr& entry, RecordPtr next);
  /// What is left of an entry; worth destroying when no lock is held: giving much memory back to
  /// the system takes long.
  struct Removed {
    RecordPtr record;
    Index::node_type place;
  };
  Removed remove(Stripe& stripe, const EntryPtr& entry);
  void stage(const EntryPtr& entry, const RecordPtr& next, bool transition, Durability durability,
             Submitted& out);
  TicketPtr enqueue(const EntryPtr& entry, const RecordPtr& data, bool transition);
  /// Of those who wait for its end; null: nobody ever did. They are told next: it is forgotten.
  WaitQueuePtr take_waits(const EntryPtr& entry);
  void mark_dirty(const EntryPtr& entry);

  std::int64_t recent_ms() const noexcept;
  void load();
  std::shared_ptr<RecordData> classify(std::shared_ptr<RecordData> r, std::int64_t now_ms) const;
  void plan_expiry(const EntryPtr& entry, std::chrono::milliseconds in);
  Index::node_type index_move(const EntryPtr& entry, const RecordData* from, const RecordData* to);

  void run();
  struct Batch {
    std::vector<TicketPtr> tickets;
    std::vector<EntryPtr> dirty;
    std::vector<std::uint64_t> erases;
    std::vector<JournalRow> rows;
  };
  void commit(Batch batch);
  void gather(Batch& batch);
  void settle(Batch& batch, bool erases_only);
  void settle_ticket(const TicketPtr& ticket);
  void announce(std::vector<TicketPtr> durable, std::vector<RecordPtr> replaced);
  void wait_for_more(std::unique_lock<std::mutex>& lock);
  void fail(Batch& batch, const TaskError& error);
  void fail_ticket(const TicketPtr& ticket, const TaskError& error);
  void release_space();
  bool nobody_waits() const;
  JournalMeta meta(bool clean) const;
  void start_thread();

  const StoreConfig config_;
  const RetentionMs retention_;
  std::unique_ptr<Journal> journal_;
  std::unique_ptr<Stripe[]> stripes_ = std::make_unique<Stripe[]>(stripe_count);
  std::atomic<std::uint64_t> next_rid_{1}, next_revision_{1};
  std::uint64_t epoch_ = 0;
  Hub hub_;

  mutable std::mutex index_mutex_;
  Index index_[task_state_count];

  std::mutex due_mutex_;
  std::priority_queue<Due> due_;

  mutable std::mutex queue_mutex_;
  std::condition_variable queue_changed_;
  std::vector<TicketPtr> queue_;
  std::vector<EntryPtr> dirty_;
  std::vector<std::uint64_t> lazy_erases_;
  std::chrono::steady_clock::time_point dirty_since_{};
  bool stop_ = false;
  bool flush_wanted_ = false;
  StoreHealth health_;
  std::atomic<std::size_t> queued_bytes_{0};
  std::atomic<bool> closed_{false};
  // Committer only: rows that a failed batch may have left on disk, to be written again from
  // memory.
  std::map<std::uint64_t, std::weak_ptr<Entry>> repairs_;
  std::chrono::steady_clock::time_point meta_written_{};
  std::chrono::steady_clock::duration last_commit_took_{};
  std::size_t crowd_ = 0;      // who may be back for the next commit
  std::size_t wake_size_ = 1;  // the committer is woken when so many are queued
  int patience_ = 3;           // how often waiting for them may fail before it is given up
  std::mutex thread_mutex_;
  std::thread committer_;
};

}  // namespace reeve::tasks::detail
