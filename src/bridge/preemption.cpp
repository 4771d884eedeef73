// Which leases are asked to end, for whom, and when they are taken back.
#include <fmt/format.h>

#include <algorithm>
#include <tuple>

#include "bridge/state.hpp"

namespace reeve::bridge::detail {

Pressure State::pressure() const {
  Pressure result{std::vector<std::int64_t>(requesters_.size()),
                  std::vector<std::int64_t>(requesters_.size())};
  for (BookingId id = 0; id < records_.size(); ++id) {
    const LeaseRecord& record = records_[id];
    if (!record.stopping) continue;
    ++result.going[books_.booking(id).wish.requester];
    if (record.heir != nullptr) ++result.coming[record.heir->ask.wish.requester];
  }
  return result;
}

// Empty: no rule lets `wish` have the worker of `victim`.
std::string State::reason_for(const Wish& wish, const Booking& victim,
                              const Pressure& pressure) const {
  const PreemptionRules& rules = config_.preemption;
  const std::uint32_t taker = wish.requester;
  const std::uint32_t owner = victim.wish.requester;
  if (rules.by_priority && wish.priority > victim.wish.priority) {
    return fmt::format("its priority is {}, that of the lease {}", wish.priority,
                       victim.wish.priority);
  }
  if (taker == owner) return {};
  const std::string& owner_name = config_.requesters[owner].name;
  if (rules.by_quota && config_.requesters[taker].quota &&
      books_.borrowed(taker, pressure.coming[taker] + 1) == 0 &&
      books_.borrowed(owner, -pressure.going[owner]) > 0) {
    return fmt::format("it takes back what it owns ({} of the workers), and {} borrows {}",
                       config_.requesters[taker].quota->nominal, owner_name,
                       books_.borrowed(owner));
  }
  const std::int64_t after = books_.held(taker) + pressure.coming[taker] + 1;
  const std::int64_t before = books_.held(owner) - pressure.going[owner];
  if (rules.by_share &&
      after * config_.requesters[owner].weight < before * config_.requesters[taker].weight) {
    return fmt::format("with {} workers it has less for its weight of {} than {} with {} for {}",
                       after, config_.requesters[taker].weight, owner_name, before,
                       config_.requesters[owner].weight);
  }
  return {};
}

bool State::may_be_asked(BookingId id) const {
  const LeaseRecord& record = records_[id];
  return record.live && !record.stopping && books_.booking(id).wish.preemptible;
}

// Somebody waits for its end, or a reservation does.
bool State::wanted(const LeaseRecord& record) const {
  return record.heir != nullptr || books_.blocks().contains(record.block);
}

// Asked to end for somebody who does not wait for it any more.
bool State::orphaned(BookingId id) const {
  const LeaseRecord& record = records_[id];
  return record.stopping && !record.revoked && !wanted(record);
}

// Those that were asked already, then borrowers, then the lowest priority, then the newest.
std::vector<BookingId> State::in_order(std::vector<BookingId> candidates) const {
  const auto rank = [this](BookingId id) {
    const Booking& b = books_.booking(id);
    return std::tuple(!records_[id].stopping, books_.borrowed(b.wish.requester) == 0,
                      b.wish.priority, ~b.order);
  };
  std::sort(candidates.begin(), candidates.end(),
            [&](BookingId a, BookingId b) { return rank(a) < rank(b); });
  return candidates;
}

// One victim, without which the request does not fit, together with those that were named for its
// requester before, nor beside those who will have what was named for others.
bool State::nominate(Request& request) {
  const Wish& wish = request.ask.wish;
  const Pressure now = pressure();
  std::vector<BookingId> candidates;
  std::vector<std::string> reasons(records_.size());
  for (BookingId id = 0; id < records_.size(); ++id) {
    const bool again = orphaned(id);
    if (!(again || may_be_asked(id)) || !books_.serves(books_.booking(id).site, wish.device)) {
      continue;
    }
    Pressure without = now;
    without.going[books_.booking(id).wish.requester] -= again;
    reasons[id] = reason_for(wish, books_.booking(id), without);
    if (!reasons[id].empty()) candidates.push_back(id);
  }
  std::vector<Handover> handovers;
  for (BookingId id = 0; id < records_.size(); ++id) {
    const Request* const heir = records_[id].heir;
    if (heir == nullptr) continue;
    handovers.push_back({books_.booking(id).wish.requester, heir->ask.wish.requester});
  }
  for (const BookingId id : in_order(std::move(candidates))) {
    const std::uint32_t site = books_.booking(id).site;
    std::vector<BookingId> gone{id};
    for (BookingId other = 0; other < records_.size(); ++other) {
      const Request* const heir = records_[other].heir;
      if (heir != nullptr && heir->ask.wish.requester == wish.requester &&
          books_.booking(other).site == site) {
        gone.push_back(other);
      }
    }
    if (!books_.would_open(wish, gone.size(), gone)) continue;
    handovers.push_back({books_.booking(id).wish.requester, wish.requester});
    const bool allowed = handovers.size() == 1 || books_.quotas_allow(handovers);
    handovers.pop_back();
    if (!allowed) continue;
    request.victim = id;
    records_[id].heir = &request;
    records_[id].block = 0;
    ask_to_end(id, wish.requester, alloc::forever, std::move(reasons[id]));
    return true;
  }
  return false;
}

void State::preempt_for_waiters() {
  if (preemptible_ == 0) return;
  visit_heads([this](Request& head) {
    for (auto* waiter = level_of(head).queue.front(); waiter != nullptr;
         waiter = async::WaiterQueue<Permit>::next(*waiter)) {
      Request& request = *static_cast<Request*>(waiter->note);
      if (request.victim == no_booking && !nominate(request)) break;
    }
    return true;
  });
}

// A reservation that begins within the grace period, or has begun, and misses workers.
void State::preempt_for_blocks() {
  if (preemptible_ == 0) return;
  const Time now = books_.now();
  for (const auto& [block_id, block] : books_.blocks()) {
    if (block.start > now && block.start - now > grace_) continue;
    for (const Block::Part& part : block.parts) {
      std::vector<BookingId> candidates;
      std::size_t leaving = 0;
      for (BookingId id = 0; id < records_.size(); ++id) {
        const LeaseRecord& record = records_[id];
        const Booking& booking = books_.booking(id);
        if (!record.live || !booking.wish.preemptible || booking.site != part.site) continue;
        if (!block.started && booking.end <= block.start) continue;
        const auto other = books_.blocks().find(record.block);
        const bool for_another = record.stopping && record.block != block_id &&
                                 other != books_.blocks().end() &&
                                 other->second.start <= block.start;
        if (record.stopping && (record.block == block_id || record.revoked || for_another)) {
          leaving += !for_another || !block.started;
        } else {
          candidates.push_back(id);
        }
      }
      std::size_t lacking = books_.shortage(block, part, leaving);
      for (const BookingId id : in_order(std::move(candidates))) {
        if (lacking-- == 0) break;
        if (records_[id].heir != nullptr) unlink(*records_[id].heir);  // promises go first
        records_[id].block = block_id;
        ask_to_end(id, block.requester, block.start,
                   fmt::format("its reservation of {} workers begins", block.workers()));
      }
    }
  }
}

void State::ask_to_end(BookingId id, std::uint32_t taker, Time latest, std::string reason) {
  LeaseRecord& record = records_[id];
  const Time now = books_.now();
  const Time at = std::max(now, std::min(now + grace_, latest));
  if (record.stopping) {  // for somebody else, who does not wait any more: its grace has begun
    --requesters_[record.taker].preempting;
    record.revoke_at = std::min(record.revoke_at, at);
  } else {
    record.stopping = true;
    record.revoke_at = at;
    ++stopping_;
    ++requesters_[books_.booking(id).wish.requester].preempted;
    if (record.leased) pool_.request_stop(record.key);
  }
  record.taker = taker;
  record.reason = std::move(reason);
  ++requesters_[taker].preempting;
  if (record.revoke_at <= now) return take_back(id);
  need_alarm(record.revoke_at);
}

// Its end arrives through the observer, after this. A worker that is still coming is taken back as
// soon as it is there, if somebody wants it then.
void State::take_back(BookingId id) {
  LeaseRecord& record = records_[id];
  if (!record.leased) return;
  record.revoked = true;
  pool_.preempt(record.key, config_.requesters[record.taker].name, record.reason);
}

// The grace is over. Whoever did not wait for it in the end spares the lease.
void State::revoke_due(Time now) {
  if (stopping_ == 0) return;
  std::vector<BookingId> due;
  for (BookingId id = 0; id < records_.size(); ++id) {
    const LeaseRecord& record = records_[id];
    if (record.stopping && !record.revoked && record.revoke_at <= now) due.push_back(id);
  }
  std::sort(due.begin(), due.end(), [this](BookingId a, BookingId b) {
    return books_.booking(a).order < books_.booking(b).order;
  });
  for (const BookingId id : due) {
    if (wanted(records_[id])) {
      take_back(id);
    } else {
      spare(id);
    }
  }
}

void State::spare(BookingId id) {
  LeaseRecord& record = records_[id];
  record.stopping = false;
  --stopping_;
  --requesters_[books_.booking(id).wish.requester].preempted;
  --requesters_[record.taker].preempting;
}

Time State::next_due(Time now) const {
  Time next = alloc::forever;
  const auto due = [&](Time at) {
    if (at > now) next = std::min(next, at);
  };
  for (const LeaseRecord& record : records_) {
    if (record.stopping && !record.revoked) due(record.revoke_at);
  }
  for (const auto& [id, block] : books_.blocks()) {
    due(block.start - grace_);
    due(block.start);
    due(block.end);
  }
  return next;
}

}  // namespace reeve::bridge::detail
