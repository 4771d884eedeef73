// The committer thread: takes the whole queue, one transaction, then tells everyone.
#include <algorithm>
#include <boost/asio/execution/context.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/query.hpp>
#include <boost/asio/thread_pool.hpp>

#include "tasks/engine.hpp"

namespace reeve::tasks::detail {
namespace {

constexpr std::chrono::seconds heartbeat{60};
constexpr std::size_t expiry_step = 1000;
constexpr std::size_t erases_max = 10'000;

}  // namespace

void Engine::start_thread() {
  const std::lock_guard lock(thread_mutex_);
  if (!committer_.joinable() && !closed()) committer_ = std::thread([this] { run(); });
}

JournalMeta Engine::meta(bool clean) const {
  JournalMeta m;
  m.epoch = epoch_;
  m.next_revision = next_revision_.load();
  m.next_rid = next_rid_.load();
  m.last_wall_ms = now_ms();
  m.clean = clean;
  return m;
}

void Engine::run() {
  using std::chrono::steady_clock;
  std::unique_lock lock(queue_mutex_);
  for (;;) {
    auto work_waits = [this] {
      return journal_ && (!dirty_.empty() || !lazy_erases_.empty() || !repairs_.empty());
    };
    wait_for_more(lock);
    while (!stop_ && queue_.empty()) {
      const auto now = steady_clock::now();
      auto wake = steady_clock::time_point::max();
      if (work_waits()) wake = dirty_since_ + config_.relaxed_delay;
      {
        const std::lock_guard due_lock(due_mutex_);
        if (!due_.empty()) {
          const auto left = due_.top().at - config_.clock->now();
          if (left <= Clock::duration::zero())
            wake = now;
          else
            wake = std::min(wake, now + left);
        }
      }
      if (wake <= now) break;
      if (wake == steady_clock::time_point::max())
        queue_changed_.wait(lock);
      else
        queue_changed_.wait_until(lock, std::min(wake, now + std::chrono::hours{1}));
    }
    Batch batch;
    batch.tickets.swap(queue_);
    const std::size_t taken = batch.tickets.size();
    const bool late = steady_clock::now() >= dirty_since_ + config_.relaxed_delay;
    const bool everything = std::exchange(flush_wanted_, false) || stop_ || late;
    if (everything) batch.dirty.swap(dirty_);
    // With every transaction: one of its rows may take the id of a task that has expired, and the
    // file must never hold an id twice. And before they are so many that a writer waits for them.
    if (everything || !batch.tickets.empty() || lazy_erases_.size() >= erases_max)
      batch.erases.swap(lazy_erases_);
    const bool last = stop_;
    lock.unlock();
    if (journal_ && (!batch.tickets.empty() || !batch.dirty.empty() || !batch.erases.empty() ||
                     !repairs_.empty()))
      commit(std::move(batch));
    if (!last) remove_expired(expiry_step);
    lock.lock();
    crowd_ = taken + queue_.size();
    // What stood behind a transition of the last batch takes one more.
    const bool written = !journal_ || (dirty_.empty() && lazy_erases_.empty());
    if (last && queue_.empty() && (written || health_.degraded)) return;
  }
}

/// Those who have just been answered mostly come back at once. A crowd is waited for until it is
/// complete: to take its first ones alone would cost all of them a second sync. A lone writer is
/// looked for without going to sleep. Both only where it paid the last times.
void Engine::wait_for_more(std::unique_lock<std::mutex>& lock) {
  using std::chrono::microseconds;
  using std::chrono::steady_clock;
  const std::size_t crowd = std::exchange(crowd_, 0);
  if (stop_ || queue_.size() >= crowd) return;
  if (patience_ <= 0) {
    ++patience_;
    return;
  }
  bool came = false;
  if (crowd == 1) {
    lock.unlock();
    const auto end = steady_clock::now() + microseconds{50};
    while (queued_bytes_.load(std::memory_order_relaxed) == 0 && steady_clock::now() < end)
      std::this_thread::yield();
    lock.lock();
    came = !queue_.empty();
  } else {
    wake_size_ = crowd;
    const auto limit = std::min<steady_clock::duration>(last_commit_took_ / 2, microseconds{200});
    came = queue_changed_.wait_for(lock, limit, [&] { return stop_ || queue_.size() >= crowd; });
    wake_size_ = 1;
  }
  patience_ = came ? 3 : patience_ - 2;
}

void Engine::gather(Batch& batch) {
  struct Row {
    std::uint64_t rid, revision;
    RecordPtr data;
  };
  std::vector<Row> rows;
  rows.reserve(batch.tickets.size() + batch.dirty.size());
  constexpr auto last = std::numeric_limits<std::uint64_t>::max();
  for (const TicketPtr& t : batch.tickets)
    if (t->entry) rows.push_back({t->rid, t->data ? t->data->revision : last, t->data});
  std::vector<EntryPtr> taken, later;
  taken.reserve(batch.dirty.size());
  for (EntryPtr& e : batch.dirty) {
    const std::lock_guard lock(mutex_of(*e->id));
    if (e->in_flight != 0) {
      later.push_back(e);
      continue;
    }
    e->dirty = false;
    if (e->visible) rows.push_back({e->rid, e->visible->revision, e->visible});
    taken.push_back(e);
  }
  if (!later.empty()) {
    batch.dirty = std::move(taken);
    const std::lock_guard lock(queue_mutex_);
    dirty_.insert(dirty_.end(), later.begin(), later.end());
  }
  for (const std::uint64_t rid : batch.erases) rows.push_back({rid, last, nullptr});
  for (const auto& [rid, weak] : repairs_) {
    const EntryPtr e = weak.lock();
    RecordPtr now;
    if (e) {
      const std::lock_guard lock(mutex_of(*e->id));
      now = e->visible;
    }
    rows.push_back({rid, now ? now->revision : 0, now});
  }
  std::sort(rows.begin(), rows.end(), [](const Row& a, const Row& b) {
    return a.rid != b.rid ? a.rid < b.rid : a.revision < b.revision;
  });
  batch.rows.reserve(rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i)
    if (i + 1 == rows.size() || rows[i + 1].rid != rows[i].rid)
      batch.rows.push_back(JournalRow{rows[i].rid, std::move(rows[i].data)});
}

void Engine::commit(Batch batch) {
  const TaskError dropped(TaskErrc::io_error,
                          "an earlier write of this task failed, and this one was built upon it; "
                          "read the task and decide again");
  std::erase_if(batch.tickets, [&](const TicketPtr& t) {
    if (!t->entry || t->generation == t->entry->generation.load()) return false;
    queued_bytes_ -= t->bytes;
    t->finish(std::make_exception_ptr(dropped));
    return true;
  });
  gather(batch);
  const auto now = std::chrono::steady_clock::now();
  JournalMeta beat;
  const bool with_meta = now - meta_written_ >= heartbeat;
  if (with_meta) beat = meta(false);
  try {
    if (!batch.rows.empty() || with_meta) journal_->commit(batch.rows, with_meta ? &beat : nullptr);
    if (with_meta) meta_written_ = now;
    last_commit_took_ = std::chrono::steady_clock::now() - now;
    repairs_.clear();
    {
      const std::lock_guard lock(queue_mutex_);
      ++health_.commits;
      health_.rows += batch.rows.size();
      health_.degraded = false;
    }
    const bool alone = batch.tickets.size() <= 1;
    settle(batch, false);
    journal_->maintain(alone && nobody_waits());
  } catch (const TaskError& error) {
    if (error.code() == TaskErrc::storage_full) {
      // A full disk still lets tasks be deleted.
      std::vector<JournalRow> erases;
      for (const JournalRow& row : batch.rows)
        if (!row.data) erases.push_back(row);
      try {
        if (!erases.empty()) {
          journal_->commit(erases, nullptr);
          settle(batch, true);
        }
      } catch (const TaskError&) {
        // Then they fail with the rest, below.
      }
    }
    fail(batch, error);
  }
  release_space();
}

bool Engine::nobody_waits() const {
  const std::lock_guard lock(queue_mutex_);
  return queue_.empty();
}

void Engine::settle_ticket(const TicketPtr& ticket) {
  queued_bytes_ -= ticket->bytes;
  if (ticket->transition) {
    const EntryPtr& e = ticket->entry;
    Stripe& stripe = stripe_of(*e->id);
    const std::lock_guard lock(stripe.mutex);
    --e->in_flight;
    if (!ticket->data) {
      remove(stripe, e);
    } else {
      if (!e->visible || e->visible->revision < ticket->data->revision) show(e, ticket->data);
      if (e->in_flight == 0 && e->staged && e->staged != e->visible) {
        show(e, e->staged);  // progress that was hidden behind the transition
        mark_dirty(e);
      }
    }
  }
}

// A context itself: what is posted there waits for no user's handler, as it might on a strand.
bool is_plain(const boost::asio::any_io_executor& home) {
  return home.target<boost::asio::io_context::executor_type>() != nullptr ||
         home.target<boost::asio::thread_pool::executor_type>() != nullptr;
}

/// Wakes those who wait, with one post for each context: a post for each of them would make this
/// thread and theirs fight for the same lock, once per answer. Who waits on a strand is woken
/// there. What is no longer needed goes along, to be destroyed on a writers' thread.
void Engine::announce(std::vector<TicketPtr> durable, std::vector<RecordPtr> replaced) {
  struct Group {
    const void* context;  // only compared: it may be gone at any time
    std::vector<TicketPtr> tickets;
  };
  constexpr std::size_t groups_max = 8;
  std::vector<Group> groups;
  for (TicketPtr& t : durable) {
    std::unique_lock lock(t->mutex);
    if (t->sleeper == nullptr) {
      t->done = true;
      continue;
    }
    const void* context = &boost::asio::query(t->home, boost::asio::execution::context);
    auto at = std::find_if(groups.begin(), groups.end(),
                           [&](const Group& g) { return g.context == context; });
    if (at == groups.end() && groups.size() < groups_max && is_plain(t->home)) {
      at = groups.insert(groups.end(), Group{context, {}});
      at->tickets.reserve(durable.size());
    }
    const bool grouped = at != groups.end() && is_plain(t->home);
    lock.unlock();
    if (grouped)
      at->tickets.push_back(std::move(t));
    else
      t->finish(nullptr);
  }
  for (Group& g : groups) {
    while (!g.tickets.empty()) {
      const TicketPtr first = g.tickets.back();
      // As long as it is locked, its coroutine is there, and so is the context.
      const std::lock_guard lock(first->mutex);
      if (first->sleeper == nullptr) {
        first->done = true;
        g.tickets.pop_back();
        continue;
      }
      boost::asio::post(first->home,
                        [tickets = std::move(g.tickets), unused = std::exchange(replaced, {})] {
                          for (const TicketPtr& t : tickets) t->finish_with_others();
                        });
      break;
    }
  }
}

void Engine::settle(Batch& batch, bool erases_only) {
  auto durable = std::move(batch.tickets);
  batch.tickets.clear();
  if (erases_only) {
    std::vector<TicketPtr> erased;
    for (TicketPtr& t : durable)
      (t->entry && !t->data ? erased : batch.tickets).push_back(std::move(t));
    durable = std::move(erased);
    std::erase_if(batch.rows, [](const JournalRow& r) { return !r.data; });
    batch.erases.clear();
  }
  for (const TicketPtr& t : durable) settle_ticket(t);
  announce(std::move(durable), journal_->take_replaced());
}

void Engine::fail_ticket(const TicketPtr& t, const TaskError& error) {
  queued_bytes_ -= t->bytes;
  if (const EntryPtr& e = t->entry) {
    Stripe& stripe = stripe_of(*e->id);
    const std::lock_guard lock(stripe.mutex);
    repairs_.emplace(t->rid, e);
    if (t->generation == e->generation.load()) {
      if (t->transition) {
        ++e->generation;
        e->in_flight = 0;
        e->staged = e->visible;
        if (!e->visible) remove(stripe, e);
      } else if (e->visible) {
        mark_dirty(e);
      }
    }
  }
  // An object for each: the callers catch on their own threads, and may change what they caught.
  t->finish(std::make_exception_ptr(error));
}

void Engine::fail(Batch& batch, const TaskError& error) {
  for (const std::uint64_t rid : batch.erases) repairs_.emplace(rid, std::weak_ptr<Entry>());
  {
    const std::lock_guard lock(queue_mutex_);
    lazy_erases_.insert(lazy_erases_.end(), batch.erases.begin(), batch.erases.end());
    dirty_since_ = std::chrono::steady_clock::now();
    health_.degraded = true;
    health_.cause = error.what();
    ++health_.failures;
  }
  for (const TicketPtr& t : batch.tickets) fail_ticket(t, error);
  for (const EntryPtr& e : batch.dirty) {
    const std::lock_guard lock(mutex_of(*e->id));
    repairs_.emplace(e->rid, e);
    if (e->visible) mark_dirty(e);
  }
}

void Engine::release_space() {
  const std::lock_guard lock(space_mutex);
  while (!space_waiters.empty() && !over_budget()) space_waiters.grant(*space_waiters.front(), 0);
}

void Engine::close() noexcept {
  {
    const std::lock_guard lock(queue_mutex_);
    if (stop_) return;
    stop_ = true;
    queue_changed_.notify_one();
  }
  std::thread committer;
  {
    const std::lock_guard lock(thread_mutex_);
    closed_ = true;
    committer.swap(committer_);
  }
  // Without the lock: whoever wants to start the thread holds a stripe that it may wait for.
  if (committer.joinable()) committer.join();
  if (journal_) journal_->close(meta(true));
  {
    const std::lock_guard lock(space_mutex);
    while (!space_waiters.empty()) space_waiters.dismiss(*space_waiters.front());
  }
  for (std::size_t i = 0; i < stripe_count; ++i) {
    const std::lock_guard lock(stripes_[i].mutex);
    for (auto& [entry, queue] : stripes_[i].waits)
      while (!queue->empty()) queue->dismiss(*queue->front());
  }
  hub_.close();
}

}  // namespace reeve::tasks::detail
