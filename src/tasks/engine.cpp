// Records in memory: look-up, staging, visibility, indexes, expiry.
#include "tasks/engine.hpp"

#include <fmt/format.h>
#include <time.h>

#include <algorithm>
#include <cstring>

#include "tasks/recycled.hpp"

namespace reeve::tasks::detail {
namespace {

std::int64_t kept_ms(std::chrono::milliseconds kept) {
  return kept.count() <= 0 ? never_ms : kept.count();
}

std::size_t weight(const RecordPtr& r) {
  if (!r) return 64;
  return 256 + (r->fields ? r->fields->size() : 0) +
         (r->outcome ? r->outcome->result.size() + r->outcome->error.size() : 0);
}

[[noreturn]] void throw_closed() {
  throw TaskError(TaskErrc::closed, "the task store has been closed; nothing can be written to it");
}

}  // namespace

void Ticket::finish(std::exception_ptr error) noexcept {
  const std::lock_guard lock(mutex);
  done = true;
  failure = std::move(error);
  if (sleeper != nullptr) std::exchange(sleeper, nullptr)->unpark();
}

void Ticket::finish_with_others() noexcept {
  const std::lock_guard lock(mutex);
  done = true;
  if (sleeper != nullptr) std::exchange(sleeper, nullptr)->unpark_when_returning();
}

Engine::Engine(const StoreConfig& config)
    : config_(config),
      retention_{kept_ms(config.retention.completed), kept_ms(config.retention.failed),
                 kept_ms(config.retention.cancelled), kept_ms(config.retention.interrupted)} {
  if (const auto fault = find_fault(config_)) throw ConfigError("StoreConfig: " + *fault);
  if (!config_.path.empty()) {
    journal_ = open_sqlite_journal(config_);
    load();
    start_thread();
  } else {
    epoch_ = static_cast<std::uint64_t>(now_ms()) & 0x3fffff;
    hub_.set_epoch(epoch_);
  }
}

Engine::Stripe& Engine::stripe_of(std::string_view id) const noexcept {
  std::uint64_t tail = 0;  // ids differ most at their end
  const std::size_t n = std::min<std::size_t>(id.size(), 8);
  std::memcpy(&tail, id.data() + id.size() - n, n);
  return stripes_[(tail * 0x9e3779b97f4a7c15ULL) >> 58];
}

RecordPtr Engine::find(std::string_view id) const {
  const Stripe& stripe = stripe_of(id);
  const std::lock_guard lock(stripe.mutex);
  const auto at = stripe.places.find(id);
  if (at == stripe.places.end() || is_expired(*at->entry)) return nullptr;
  return at->entry->visible;
}

RecordPtr Engine::visible(const Entry& entry) const {
  const std::lock_guard lock(stripe_of(*entry.id).mutex);
  return is_expired(entry) ? nullptr : entry.visible;
}

Engine::Index::node_type Engine::index_move(const EntryPtr& entry, const RecordData* from,
                                            const RecordData* to) {
  if (from && to && from->state == to->state) return {};
  const std::lock_guard lock(index_mutex_);
  if (!from) {
    auto& map = index_[static_cast<std::size_t>(to->state)];
    map.emplace_hint(map.end(), entry->rid, entry);
    return {};
  }
  auto node = index_[static_cast<std::size_t>(from->state)].extract(entry->rid);
  if (to) index_[static_cast<std::size_t>(to->state)].insert(std::move(node));
  return node;
}

void Engine::plan_expiry(const EntryPtr& entry, std::chrono::milliseconds in) {
  entry->expires = config_.clock->now() + in;
  bool earliest = false;
  {
    const std::lock_guard lock(due_mutex_);
    earliest = due_.empty() || entry->expires < due_.top().at;
    due_.push(Due{entry->expires, entry});
  }
  if (!journal_) start_thread();
  if (earliest) {
    const std::lock_guard lock(queue_mutex_);
    queue_changed_.notify_one();
  }
}

void Engine::show(const EntryPtr& entry, RecordPtr next) {
  const RecordPtr before = std::exchange(entry->visible, next);
  index_move(entry, before.get(), next.get());
  if (is_settled(next->state)) {
    const bool fresh = !before || !is_settled(before->state);
    if (next->expires_ms != never_ms && fresh) {
      // Of one that ended elsewhere, what is left.
      const std::int64_t from = before ? next->finished_ms : std::max(next->finished_ms, now_ms());
      plan_expiry(entry, std::chrono::milliseconds{std::clamp<std::int64_t>(next->expires_ms - from,
                                                                            0, kept_max.count())});
    }
    if (const WaitQueuePtr queue = take_waits(entry))
      while (!queue->empty()) queue->grant(*queue->front(), next);
  } else {
    entry->expires = Clock::time_point::max();
  }
  hub_.note(entry, *next, false);
}

Engine::Removed Engine::remove(Stripe& stripe, const EntryPtr& entry) {
  Removed removed;
  removed.record = std::exchange(entry->visible, nullptr);
  const RecordPtr& before = removed.record;
  entry->staged = nullptr;
  if (before) removed.place = index_move(entry, before.get(), nullptr);
  if (const WaitQueuePtr queue = take_waits(entry))
    while (!queue->empty()) queue->dismiss(*queue->front());
  if (const auto at = stripe.places.find(*entry->id);
      at != stripe.places.end() && at->entry == entry) {
    const EntryPtr keep = entry;  // the key points into the entry
    stripe.places.erase(at);
  }
  if (before) hub_.note(entry, *before, true);
  return removed;
}

TicketPtr Engine::enqueue(const EntryPtr& entry, const RecordPtr& data, bool transition) {
  auto ticket = make_recycled<Ticket>();
  ticket->entry = entry;
  ticket->data = data;
  ticket->transition = transition;
  ticket->bytes = weight(data);
  if (entry) {
    ticket->rid = entry->rid;
    ticket->generation = entry->generation.load();
  }
  queued_bytes_ += ticket->bytes;
  bool first = false;
  {
    const std::lock_guard lock(queue_mutex_);
    if (stop_) {
      queued_bytes_ -= ticket->bytes;
      throw_closed();
    }
    queue_.push_back(ticket);
    first = queue_.size() == wake_size_;
  }
  if (first) queue_changed_.notify_one();
  return ticket;
}

void Engine::mark_dirty(const EntryPtr& entry) {
  if (entry->dirty) return;
  entry->dirty = true;
  const std::lock_guard lock(queue_mutex_);
  const bool first = dirty_.empty() && lazy_erases_.empty();
  if (first) dirty_since_ = std::chrono::steady_clock::now();
  dirty_.push_back(entry);
  if (first) queue_changed_.notify_one();
}

void Engine::stage(const EntryPtr& entry, const RecordPtr& next, bool transition,
                   Durability durability, Submitted& out) {
  if (!journal_) {
    entry->staged = next;
    show(entry, next);
    return;
  }
  const bool sync =
      durability == Durability::sync || (durability == Durability::by_kind && transition);
  // Hidden until durable: a synchronous transition, and whatever is built upon one.
  const bool hidden = entry->in_flight != 0 || (transition && sync);
  if (sync || transition) {
    TicketPtr ticket = enqueue(entry, next, transition && hidden);
    if (sync) out.ticket = std::move(ticket);
  } else {
    mark_dirty(entry);
  }
  entry->staged = next;
  if (transition && hidden) ++entry->in_flight;
  if (!hidden) show(entry, next);
}

Submitted Engine::submit(std::string_view id, const Command& command, Durability durability) {
  if (closed()) throw_closed();
  Stripe& stripe = stripe_of(id);
  Submitted out;
  const std::lock_guard lock(stripe.mutex);
  auto at = stripe.places.find(id);
  if (at != stripe.places.end() && is_expired(*at->entry) && at->entry->in_flight == 0) {
    const EntryPtr old = at->entry;
    if (journal_) {
      const std::lock_guard queue_lock(queue_mutex_);
      lazy_erases_.push_back(old->rid);
    }
    remove(stripe, old);
    at = stripe.places.end();
  }
  EntryPtr entry = at == stripe.places.end() ? nullptr : at->entry;
  if (entry && !entry->staged) {
    out.ticket = enqueue(nullptr, nullptr, false);
    out.busy = true;
    return out;
  }
  Decision decision =
      decide(id, entry ? entry->staged.get() : nullptr, command, now_ms(), retention_);
  if (decision.refusal) throw *std::move(decision.refusal);
  if (!decision.next) {
    // A repeat is acknowledged only when what it repeats is durable.
    out.data = entry->staged;
    if (entry->in_flight != 0) out.ticket = enqueue(entry, entry->staged, false);
    return out;
  }
  decision.next->revision = next_revision_.fetch_add(1);
  const bool fresh = !entry;
  if (fresh) {
    entry = std::make_shared<Entry>(decision.next->id);
    entry->rid = next_rid_.fetch_add(1);
  }
  decision.next->rid = entry->rid;
  out.data = std::move(decision.next);
  out.changed = true;
  if (fresh) stripe.places.emplace(entry);
  try {
    stage(entry, out.data, decision.transition, durability, out);
  } catch (...) {
    if (fresh) stripe.places.erase(id);
    throw;
  }
  return out;
}

/// Whether nobody but the entry has its record. Then nobody can get it, and it may be changed in
/// place.
bool is_unshared(const Entry& entry) {
  if (entry.visible != entry.staged || entry.staged.use_count() != 2) return false;
  // A count that is read orders nothing; one that is changed comes after all that readers did
  // before they let go.
  const RecordPtr ordered = entry.staged;
  return true;
}

bool Engine::post_progress(std::string_view id, double percent, const UpdateOptions& options) {
  if (closed()) return false;
  Stripe& stripe = stripe_of(id);
  const std::lock_guard lock(stripe.mutex);
  const auto at = stripe.places.find(id);
  if (at == stripe.places.end() || !at->entry->staged) return false;
  const EntryPtr& entry = at->entry;
  const RecordData& now = *entry->staged;
  if (now.state != TaskState::running && now.state != TaskState::cancelling) return false;
  if (options.attempt != 0 && options.attempt != now.attempt) return false;
  const double least = options.allow_regress ? 0 : now.progress;
  if (!(percent >= least && percent <= 100)) return false;
  const auto advance = [&](RecordData& r) {
    r.progress = percent;
    r.updated_ms = std::max(recent_ms(), r.updated_ms);
    r.revision = next_revision_.fetch_add(1);
  };
  if (is_unshared(*entry)) {
    advance(const_cast<RecordData&>(now));
    if (journal_) mark_dirty(entry);
    hub_.note(entry, now, false);
    return true;
  }
  auto next = make_recycled<RecordData>(now);
  advance(*next);
  Submitted ignored;
  stage(entry, std::move(next), false, Durability::relaxed, ignored);
  return true;
}

/// The wall clock as of the last tick of the kernel, 4 ms ago at most, at a tenth of the price.
std::int64_t Engine::recent_ms() const noexcept {
  if (config_.wall_clock != &SystemWallClock::instance()) return now_ms();
  timespec tick{};
  ::clock_gettime(CLOCK_REALTIME_COARSE, &tick);
  return static_cast<std::int64_t>(tick.tv_sec) * 1000 + tick.tv_nsec / 1'000'000;
}

Submitted Engine::submit_delete(const std::string& id, bool force,
                                const std::function<bool(const RecordData&)>& still_wanted) {
  if (closed()) throw_closed();
  Stripe& stripe = stripe_of(id);
  Submitted out;
  const std::lock_guard lock(stripe.mutex);
  const auto at = stripe.places.find(id);
  if (at == stripe.places.end() || is_expired(*at->entry)) return out;
  const EntryPtr entry = at->entry;
  if (!entry->staged) {
    out.ticket = enqueue(nullptr, nullptr, false);
    out.busy = true;
    return out;
  }
  if (still_wanted && !still_wanted(*entry->staged)) return out;
  const RecordData& now = *entry->staged;
  if (!may_delete(now.state, force))
    throw TaskError(
        TaskErrc::illegal_transition,
        fmt::format("task '{}' is {} (attempt {}): cancel it first, or delete with force", id,
                    to_string(now.state), now.attempt),
        TaskError::Current{now.state, now.attempt, now.revision});
  out.data = entry->staged;
  out.changed = true;
  if (journal_) {
    out.ticket = enqueue(entry, nullptr, true);
    ++entry->in_flight;
    entry->staged = nullptr;
  } else {
    remove(stripe, entry);
  }
  return out;
}

Submitted Engine::submit_import(std::shared_ptr<RecordData> record) {
  if (closed()) throw_closed();
  const std::string& id = *record->id;
  Stripe& stripe = stripe_of(id);
  Submitted out;
  const std::lock_guard lock(stripe.mutex);
  if (stripe.places.contains(id)) return out;
  auto entry = std::make_shared<Entry>(record->id);
  entry->rid = record->rid = next_rid_.fetch_add(1);
  record->revision = next_revision_.fetch_add(1);
  out.data = std::move(record);
  out.changed = true;
  stripe.places.emplace(entry);
  stage(entry, out.data, true, Durability::sync, out);
  return out;
}

TicketPtr Engine::submit_flush() {
  if (closed()) throw_closed();
  if (!journal_) return nullptr;
  {
    const std::lock_guard lock(queue_mutex_);
    flush_wanted_ = true;
  }
  return enqueue(nullptr, nullptr, false);
}

std::size_t Engine::remove_expired(std::size_t max) {
  std::size_t removed = 0;
  const auto now = config_.clock->now();
  while (removed < max) {
    EntryPtr entry;
    Removed garbage;
    {
      const std::lock_guard lock(due_mutex_);
      if (due_.empty() || due_.top().at > now) break;
      entry = due_.top().entry.lock();
      due_.pop();
    }
    if (!entry) continue;
    Stripe& stripe = stripe_of(*entry->id);
    const std::lock_guard lock(stripe.mutex);
    if (!entry->visible || entry->expires > now || entry->in_flight != 0) continue;
    if (journal_) {
      const std::lock_guard queue_lock(queue_mutex_);
      if (dirty_.empty() && lazy_erases_.empty()) dirty_since_ = std::chrono::steady_clock::now();
      lazy_erases_.push_back(entry->rid);
    }
    garbage = remove(stripe, entry);
    ++removed;
  }
  return removed;
}

StoreHealth Engine::health() const {
  const std::lock_guard lock(queue_mutex_);
  return health_;
}

}  // namespace reeve::tasks::detail
