// Followers of records: conflation, resume tokens, the ring of recent changes.
#include <algorithm>

#include "tasks/engine.hpp"

namespace reeve::tasks {
namespace detail {

bool Hub::passes(const WatchFilter& f, const std::string& id, TaskState state, bool deleted) {
  if (!f.id.empty() && id != f.id) return false;
  if (!id.starts_with(f.id_prefix)) return false;
  return deleted || f.states.empty() ||
         std::find(f.states.begin(), f.states.end(), state) != f.states.end();
}

void Hub::add(Subscription& s, std::uint64_t seq, const std::shared_ptr<Entry>& entry,
              bool deleted) {
  auto& slot = s.pending[entry.get()];
  if (slot) {
    slot->deleted = deleted;
    return;
  }
  slot = std::make_shared<Subscription::Pending>(Subscription::Pending{seq, entry, deleted});
  s.queue.push_back(slot);
  if (!s.waiters.empty()) s.waiters.grant(*s.waiters.front(), 0);
}

void Hub::note(const std::shared_ptr<Entry>& entry, const RecordData& record, bool deleted) {
  if (!active_.load(std::memory_order_acquire)) return;
  const std::lock_guard lock(mutex_);
  const std::uint64_t seq = ++seq_;
  ring_.push_back(Change{seq, entry, deleted, record.state});
  if (ring_.size() > ring_max) ring_.pop_front();
  const auto tell = [&](const auto& followers) {
    for (const auto& s : followers)
      if (passes(s->filter, *entry->id, record.state, deleted)) add(*s, seq, entry, deleted);
  };
  tell(subscriptions_);
  if (const auto at = by_id_.find(*entry->id); at != by_id_.end()) tell(at->second);
}

std::shared_ptr<Subscription> Hub::subscribe(std::shared_ptr<Engine> engine, WatchFilter filter,
                                             std::uint64_t since) {
  auto s = std::make_shared<Subscription>();
  s->filter = std::move(filter);
  s->engine = std::move(engine);
  const std::lock_guard lock(mutex_);
  active_.store(true, std::memory_order_release);
  s->closed = closed_;
  (s->filter.id.empty() ? subscriptions_ : by_id_[s->filter.id]).push_back(s);
  if (since == 0) return s;
  const std::uint64_t seq = since & ((1ULL << 40) - 1);
  const std::uint64_t oldest = ring_.empty() ? seq_ + 1 : ring_.front().seq;
  if (since >> 40 != epoch_ || seq > seq_ || seq + 1 < oldest) {
    s->reset = true;
    return s;
  }
  for (const Change& c : ring_)
    if (c.seq > seq && passes(s->filter, *c.entry->id, c.state, c.deleted))
      add(*s, c.seq, c.entry, c.deleted);
  return s;
}

void Hub::unsubscribe(const std::shared_ptr<Subscription>& s) {
  const std::lock_guard lock(mutex_);
  if (s->filter.id.empty()) {
    std::erase(subscriptions_, s);
  } else if (const auto at = by_id_.find(s->filter.id); at != by_id_.end()) {
    std::erase(at->second, s);
    if (at->second.empty()) by_id_.erase(at);
  }
}

std::optional<WatchEvent> Hub::take(Subscription& s) {
  std::shared_ptr<Subscription::Pending> first;
  std::uint64_t resume = 0;
  {
    const std::lock_guard lock(mutex_);
    if (std::exchange(s.reset, false)) {
      WatchEvent event(WatchEvent::Kind::reset, {});
      event.token = restart_token;
      return event;
    }
    if (s.queue.empty()) {
      if (s.closed) return WatchEvent(WatchEvent::Kind::closed, {});
      return std::nullopt;
    }
    first = s.queue.front();
    s.queue.pop_front();
    s.pending.erase(first->entry.get());
    if (first->first_seq == 0) --s.snapshot_left;
    resume = s.queue.empty() ? token(seq_) : token(s.queue.front()->first_seq - 1);
    if (s.snapshot_left != 0) resume = restart_token;
  }
  // The record as it is now; a change after this point makes the entry dirty again.
  const RecordPtr record = s.engine->visible(*first->entry);
  WatchEvent event(record ? WatchEvent::Kind::changed : WatchEvent::Kind::deleted,
                   *first->entry->id);
  if (record) event.record.emplace(record);
  event.token = resume;
  return event;
}

void Hub::snapshot(Subscription& s, const std::vector<std::shared_ptr<Entry>>& entries) {
  std::vector<bool> wanted;
  for (const auto& e : entries) {
    const RecordPtr r = s.engine->visible(*e);
    wanted.push_back(r && passes(s.filter, *e->id, r->state, false));
  }
  const std::lock_guard lock(mutex_);
  for (std::size_t i = 0; i < entries.size(); ++i)
    if (wanted[i] && !s.pending.contains(entries[i].get())) {
      ++s.snapshot_left;
      add(s, 0, entries[i], false);
    }
}

bool Hub::join(Subscription& s, async::Waiter<char>& waiter) {
  const std::lock_guard lock(mutex_);
  if (!s.queue.empty() || s.reset || s.closed) return false;
  s.waiters.push_back(waiter);
  return true;
}

bool Hub::is_closed() {
  const std::lock_guard lock(mutex_);
  return closed_;
}

void Hub::close() {
  const std::lock_guard lock(mutex_);
  closed_ = true;
  const auto end = [](const auto& followers) {
    for (const auto& s : followers) {
      s->closed = true;
      while (!s->waiters.empty()) s->waiters.dismiss(*s->waiters.front());
    }
  };
  end(subscriptions_);
  for (const auto& [id, followers] : by_id_) end(followers);
}

}  // namespace detail

namespace {

using detail::Subscription;

std::optional<WatchEvent> take_next(const std::shared_ptr<Subscription>& s) {
  auto event = s->engine->hub().take(*s);
  if (event && event->kind == WatchEvent::Kind::reset) {
    // Everything present follows as changed.
    std::uint64_t after = 0;
    for (;;) {
      const auto found = s->engine->entries(after, 1024);
      if (found.empty()) break;
      after = found.back()->rid;
      s->engine->hub().snapshot(*s, found);
    }
  }
  return event;
}

boost::asio::awaitable<WatchEvent> next_event(std::shared_ptr<Subscription> s) {
  for (;;) {
    auto event = take_next(s);
    if (event) co_return std::move(*event);
    detail::Hub& hub = s->engine->hub();
    async::Waiter<char> waiter(hub.mutex(), s->waiters);
    if (!hub.join(*s, waiter)) continue;
    co_await waiter.wait();
    const auto woken = waiter.take();
    if (!woken && !hub.is_closed())
      throw boost::system::system_error(boost::asio::error::operation_aborted);
  }
}

}  // namespace

Watcher::Watcher(std::shared_ptr<Subscription> s) : subscription_(std::move(s)) {}
Watcher::~Watcher() {
  if (subscription_) subscription_->engine->hub().unsubscribe(subscription_);
}
Watcher::Watcher(Watcher&&) noexcept = default;
Watcher& Watcher::operator=(Watcher&& other) noexcept {
  std::swap(subscription_, other.subscription_);
  return *this;
}

boost::asio::awaitable<WatchEvent> Watcher::next() {
  return next_event(subscription_);
}
std::optional<WatchEvent> Watcher::try_next() {
  return take_next(subscription_);
}

}  // namespace reeve::tasks
