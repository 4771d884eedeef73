// Queues and leases: who is granted, who is refused, what an end of a lease sets free.
#include "bridge/state.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

namespace reeve::bridge::detail {

State::State(ResourcePool pool, SchedulerConfig config)
    : pid_(::getpid()),
      pool_(std::move(pool)),
      config_(std::move(config)),
      executor_(pool_.get_executor()),
      quiet_(boost::asio::query(executor_, boost::asio::execution::context)),
      lease_time_(std::chrono::nanoseconds(pool_.config().worker_timeout).count()),
      grace_(std::chrono::nanoseconds(config_.preemption.grace).count()),
      books_(config_, pool_.config()),
      turns_(config_),
      requesters_(config_.requesters.size()) {
  for (const Requester& r : config_.requesters) {
    index_.emplace(r.name, static_cast<std::uint32_t>(index_.size()));
  }
}

Permit& Permit::operator=(Permit&& other) noexcept {
  if (this != &other) {
    reset();
    state_ = std::move(other.state_);
    id_ = other.id_;
  }
  return *this;
}

void Permit::reset() noexcept {
  if (const auto state = std::move(state_)) state->give_back(id_);
}

void State::check_open() const {
  if (closed_) {
    throw PoolClosedError("the scheduler is gone; keep a WorkerScheduler as long as it is used");
  }
}

void State::opened(BookingId id) {
  if (records_.size() <= id) records_.resize(id + 1);
  records_[id].live = true;
  const Wish& wish = books_.booking(id).wish;
  ++requesters_[wish.requester].coming;
  preemptible_ += wish.preemptible;
  if (turns_.decays()) turns_.note(wish.requester, books_.now(), books_.held(wish.requester));
}

bool State::foreign() const noexcept {
  return ::getpid() != pid_;
}

void State::give_back(BookingId id) noexcept {
  if (foreign()) return;
  const std::lock_guard lock(mutex_);
  end(id);
}

// The pool has leased a worker to the booking. False: too late for what is promised behind it.
bool State::activate(Permit& permit, WorkerLease& lease, const Ask& ask) {
  const BookingId id = permit.id();
  if (!books_.confirm(id)) return false;
  LeaseRecord& record = records_[id];
  record.leased = true;
  record.key = lease.key();
  RequesterState& requester = requesters_[books_.booking(id).wish.requester];
  --requester.coming;
  ++requester.leased;
  const auto waited = std::chrono::nanoseconds(books_.now() - ask.since);
  ++requester.waits.granted;
  requester.waits.total += waited;
  requester.waits.longest = std::max(requester.waits.longest, waited);
  permit.hand_over();
  const std::uint64_t token = (std::uint64_t{record.generation} << 32) | id;
  if (!lease.observe(shared_from_this(), token)) {
    end(id);  // it died at once
  } else if (record.stopping && !wanted(record)) {
    spare(id);
    dispatch();  // one less is going
  } else if (record.stopping && record.revoke_at <= books_.now()) {
    take_back(id);
  } else if (record.stopping) {
    pool_.request_stop(record.key);
  }
  return true;
}

void State::on_lease_ended(std::uint64_t token) noexcept {
  const std::lock_guard lock(mutex_);
  const auto id = static_cast<BookingId>(token);
  if (records_[id].live && records_[id].generation == static_cast<std::uint32_t>(token >> 32)) {
    end(id);
  }
}

// A worker is free. Whom a victim was to make room for is served before all others.
void State::end(BookingId id) {
  LeaseRecord& record = records_[id];
  const Wish& wish = books_.booking(id).wish;
  const std::uint32_t requester = wish.requester;
  Request* const heir = record.heir;
  --(record.leased ? requesters_[requester].leased : requesters_[requester].coming);
  preemptible_ -= wish.preemptible;
  stopping_ -= record.stopping;
  const std::uint32_t generation = record.generation + 1;
  record = {};
  record.generation = generation;
  books_.close(id);
  if (turns_.decays()) turns_.note(requester, books_.now(), books_.held(requester));
  if (heir != nullptr) {
    heir->victim = no_booking;
    books_.advance();
    const bool waits = !closed_ && queued(*heir);
    const auto given = waits ? books_.open(heir->ask.wish) : std::nullopt;
    if (given) grant(*heir, *given);
  }
  dispatch();
}

// ------------------------------------------------------------------------------------------------

// Behind everyone of its level, unless it had its turn already and gave it back.
void State::enqueue(Request& request, Level& level) {
  async::Waiter<Permit>* position = level.queue.front();
  while (position != nullptr &&
         static_cast<Request*>(position->note)->pending.ticket < request.pending.ticket) {
    position = request.was_queued ? async::WaiterQueue<Permit>::next(*position) : nullptr;
  }
  request.was_queued = true;
  level.queue.insert_before(position, *request.waiter);
}

void State::unlink(Request& request) noexcept {
  if (request.victim != no_booking) records_[request.victim].heir = nullptr;
  request.victim = no_booking;
}

Level& State::level_of(const Request& request) {
  const Wish& wish = request.ask.wish;
  return requesters_[wish.requester].levels.at({wish.priority, wish.device});
}

// False: cancelled, and not gone yet.
bool State::queued(const Request& request) const {
  const Wish& wish = request.ask.wish;
  const Level& level = requesters_[wish.requester].levels.at({wish.priority, wish.device});
  for (auto* at = level.queue.front(); at != nullptr; at = async::WaiterQueue<Permit>::next(*at)) {
    if (at == request.waiter) return true;
  }
  return false;
}

void State::grant(Request& request, BookingId id) {
  unlink(request);
  opened(id);
  level_of(request).queue.grant(*request.waiter, Permit(shared_from_this(), id));
}

void State::refuse(Request& request, Request::Refused why, std::string text) {
  unlink(request);
  request.refused = why;
  request.text = std::move(text);
  if (why == Request::Refused::time) ++requesters_[request.ask.wish.requester].waits.timed_out;
  level_of(request).queue.dismiss(*request.waiter);
}

void State::refuse_all(Request::Refused why, const std::string& text) {
  for (RequesterState& requester : requesters_) {
    for (auto& [key, level] : requester.levels) {
      while (!level.queue.empty()) {
        refuse(*static_cast<Request*>(level.queue.front()->note), why, text);
      }
    }
  }
}

std::size_t State::waiting() const {
  std::size_t sum = 0;
  for (const RequesterState& requester : requesters_) {
    for (const auto& [key, level] : requester.levels) sum += level.queue.size();
  }
  return sum;
}

std::string State::busy_text() const {
  std::string text;
  std::size_t leased = 0;
  for (std::size_t r = 0; r < requesters_.size(); ++r) {
    leased += requesters_[r].leased;
    if (requesters_[r].leased == 0) continue;
    text += fmt::format("{}{} by {}", text.empty() ? "" : ", ", requesters_[r].leased,
                        config_.requesters[r].name);
  }
  return fmt::format("{} of {} workers are leased{}{}", leased, books_.capacity(),
                     text.empty() ? "" : ": ", text);
}

// Refuses those whose time is up; the next deadline, or forever.
Time State::expire_waiters(Time now) {
  Time next = alloc::forever;
  for (std::size_t r = 0; r < requesters_.size(); ++r) {
    for (auto& [key, level] : requesters_[r].levels) {
      for (auto* waiter = level.queue.front(); waiter != nullptr;) {
        auto* const following = async::WaiterQueue<Permit>::next(*waiter);
        Request& request = *static_cast<Request*>(waiter->note);
        waiter = following;
        if (request.ask.deadline > now) {
          next = std::min(next, request.ask.deadline);
          continue;
        }
        std::string text = fmt::format(
            "no worker was granted to '{}' within {:.3f} s; {}; {} more requests wait; raise its "
            "quota, its weight, its priority or the timeout, or give the pool more workers",
            config_.requesters[r].name, static_cast<double>(now - request.ask.since) / 1e9,
            busy_text(), waiting() - 1);
        refuse(request, Request::Refused::time, std::move(text));
      }
    }
  }
  return next;
}

// ------------------------------------------------------------------------------------------------

// Those that could be next, the one that goes first first; `visit` tells whether the rest is looked
// at. Levels that nobody refers to any more go on the way.
void State::visit_heads(const std::function<bool(Request&)>& visit) {
  heads_.clear();
  pending_.clear();
  for (RequesterState& requester : requesters_) {
    for (auto it = requester.levels.begin(); it != requester.levels.end();) {
      const auto here = it++;
      if (here->second.users == 0) {
        requester.levels.erase(here);
      } else if (!here->second.queue.empty()) {
        heads_.push_back(static_cast<Request*>(here->second.queue.front()->note));
        pending_.push_back(&heads_.back()->pending);
      }
    }
  }
  while (!heads_.empty()) {
    const std::size_t first = turns_.first(books_, pending_);
    Request& head = *heads_[first];
    heads_[first] = heads_.back();
    heads_.pop_back();
    pending_[first] = pending_.back();
    pending_.pop_back();
    if (!visit(head)) return;
  }
}

// Each grant changes shares, so all heads are looked at anew. A lease that another head would take
// at once is not begun: that one gets the worker.
void State::serve_waiters() {
  for (bool granted = true; granted && books_.any_to_give();) {
    Request* chosen = nullptr;
    BookingId id = no_booking;
    visit_heads([&](Request& head) {
      const bool better = chosen != nullptr &&
                          !reason_for(head.ask.wish, books_.booking(id), pressure()).empty() &&
                          books_.would_open(head.ask.wish, 1, std::span(&id, 1));
      if (chosen != nullptr && !better) return true;
      if (better) books_.close(id);
      auto now = books_.open(head.ask.wish);
      if (now) {
        chosen = &head;
      } else if (better) {
        now = books_.open(chosen->ask.wish);
      }
      if (now) id = *now;
      return chosen == nullptr || chosen->ask.wish.preemptible;
    });
    granted = chosen != nullptr;
    if (granted) grant(*chosen, id);
  }
}

// After every change: grants what can be granted, then asks for what may be asked for. Afterwards
// no free worker is of use to anybody who waits.
void State::dispatch() {
  if (closed_) return;
  books_.advance();
  if (enlisted_ > 0) {
    serve_waiters();
    preempt_for_waiters();
  }
  if (!books_.blocks().empty()) preempt_for_blocks();
}

void State::poll() {
  const std::lock_guard lock(mutex_);
  if (closed_) return;
  const Time now = books_.now();
  Time next = expire_waiters(now);
  revoke_due(now);
  dispatch();
  next = std::min(next, next_due(now));
  need_alarm(next);
}

// The last handle is gone: leases go on, nothing else does.
void State::close() noexcept {
  if (foreign()) return;
  const std::lock_guard lock(mutex_);
  closed_ = true;
  refuse_all(Request::Refused::closed, "the scheduler was destroyed while this request waited");
  while (!books_.blocks().empty()) books_.cancel(books_.blocks().begin()->first);
}

}  // namespace reeve::bridge::detail
