// Confirm, extend, release, cancel, replace, shrink.
#include <algorithm>

#include "alloc/idempotency.hpp"

namespace reeve::alloc {

namespace {

enum TimerKind : std::uint8_t { at_end, at_deadline };

Time after(Time at, Time by) {
  Time sum = 0;
  return by == forever || __builtin_add_overflow(at, by, &sum) ? forever : sum;
}

}  // namespace

Result<void> ReservationManager::do_confirm(ReservationId id) {
  settle();
  Reservation* r = live_record(id);
  if (!r) return refuse_ended(id);
  if (r->state == State::confirmed) return {};
  for (const auto& line : r->lines)
    if (r->started) post(id, line, Amounts{} - line.amount);
  r->state = State::confirmed;
  ++counts_.reached[static_cast<std::size_t>(State::confirmed)];
  r->deadline = forever;
  for (const auto& line : r->lines)
    if (r->started) post(id, line, line.amount);
  return {};
}

Result<void> ReservationManager::do_extend(ReservationId id, Time by) {
  settle();
  if (by <= 0)
    return Refusal{.code = Code::invalid_request,
                   .subject = "it would be extended by " + to_text(by, Counted::nanoseconds) +
                              "; give more than 0"};
  Reservation* r = live_record(id);
  if (!r) return refuse_ended(id);
  if (r->state == State::held) {
    r->deadline = after(at_, by);
    add_timer({r->deadline, at_deadline, id});
    return {};
  }
  if (r->end == forever) return {};
  const Window more{std::max(r->end, at_), after(std::max(r->end, at_), by)};
  const ReservationId self[] = {id};
  look_at(self, Seen::gone);
  bool room = true;
  Time until = more.end;
  for (const auto& line : r->lines) {
    overlay_[static_cast<std::size_t>(line.resource)] += line.amount;
    touched_.push_back(static_cast<std::uint32_t>(line.resource));
  }
  for (const auto& line : r->lines) {
    const auto at = static_cast<std::size_t>(line.resource);
    room = room && (peak(at, more) + overlay_[at]).fits(ledger_.resources()[at].capacity);
    if (!room) until = std::min(until, free_until(at, overlay_[at], more));
  }
  clear_plan();
  look_at(self, Seen::whole);
  if (!room)
    return Refusal{.code = Code::busy,
                   .subject = "time after the window",
                   .asked = by,
                   .available = until == more.end ? 0 : until - more.start,
                   .counted = Counted::nanoseconds};
  r->end = more.end;
  r->overrun = false;
  if (r->started) add_timer({r->end, at_end, id});
  return {};
}

Result<ReleaseOutcome> ReservationManager::do_release(ReservationId id,
                                                      std::span<const Line> part) {
  settle();
  Reservation* r = live_record(id);
  if (!r) {
    if (id.slot < slots_.size() && id.generation < slots_[id.slot].generation)
      return ReleaseOutcome::already_released;
    return Refusal{.code = Code::unknown_reservation};
  }
  for (const auto& p : part) {
    const auto at = static_cast<std::size_t>(p.resource);
    if (at >= resources_.size())
      return Refusal{.code = Code::unknown_resource, .subject = numbered(at)};
    if (p.amount.any_negative() || p.amount.is_zero())
      return Refusal{.code = Code::invalid_amount,
                     .subject = resources_[at].name,
                     .detail =
                         "to give back is 0 or negative; give 0 or more in each dimension "
                         "and more than 0 in one"};
    Amounts given;
    Amounts held;
    for (const auto& q : part)
      if (q.resource == p.resource && !given.add_checked(q.amount))
        return Refusal{.code = Code::overflow, .subject = resources_[at].name};
    for (const auto& line : r->lines)
      if (line.resource == p.resource) held += line.amount;
    for (DimId d = 0; d < max_dims; ++d)
      if (given[d] > held[d])
        return Refusal{.code = Code::not_held,
                       .subject = resources_[at].name,
                       .asked = given[d],
                       .available = held[d],
                       .counted = d < dims_.size() ? counted_in(dims_[d].type) : Counted::number,
                       .detail = d < dims_.size() ? dims_[d].name : numbered(d)};
  }
  for (auto p : part) {
    for (auto& line : r->lines) {
      if (line.resource != p.resource) continue;
      Amounts take;
      for (DimId d = 0; d < max_dims; ++d) take[d] = std::min(line.amount[d], p.amount[d]);
      if (take.is_zero()) continue;
      post(id, line, Amounts{} - take);
      line.amount -= take;
      for (DimId d = 0; d < max_dims; ++d) line.least[d] = std::min(line.least[d], line.amount[d]);
      p.amount -= take;
    }
  }
  const bool empty = std::all_of(r->lines.begin(), r->lines.end(),
                                 [](const Line& l) { return l.amount.is_zero(); });
  if (part.empty() || empty) {
    finish(id, State::released);
    start_due();
    return ReleaseOutcome::released;
  }
  start_due();
  return ReleaseOutcome::partly_released;
}

Result<void> ReservationManager::do_cancel(ReservationId id) {
  settle();
  const Reservation* r = find(id);
  if (!r) return refuse_ended(id);
  if (r->state != State::held) return refuse_ended(id);
  finish(id, State::cancelled);
  start_due();
  return {};
}

Result<ReservationId> ReservationManager::do_replace(std::span<const ReservationId> victims,
                                                     std::string_view requester,
                                                     const Request& request, Strategy strategy,
                                                     std::span<const ReservationId> shrunk,
                                                     std::span<const ReservationId> released) {
  settle();
  std::vector<ReservationId> gone(victims.begin(), victims.end());
  gone.insert(gone.end(), released.begin(), released.end());
  if (auto ok = validate_entry(requester, request, at_); !ok) return ok.refusal();
  const Window window = window_of(request);
  auto lines = plan_in(request, strategy, gone, shrunk, window);
  if (!lines) return lines.refusal();
  for (const auto& v : victims)
    if (find(v)) finish(v, State::preempted);
  for (const auto& r : released)
    if (find(r)) finish(r, State::released);
  for (const auto& s : shrunk)
    if (find(s)) (void)give_excess(s);
  plan_.assign(lines->begin(), lines->end());
  const auto id = open_slot(requester, request, window, options_.ttl);
  clear_plan();
  start_due();
  return id;
}

Result<Amounts> ReservationManager::do_shrink(ReservationId id) {
  settle();
  if (!find(id)) return refuse_ended(id);
  const Amounts freed = give_excess(id);
  start_due();
  return freed;
}

Amounts ReservationManager::give_excess(ReservationId id) {
  Amounts freed;
  for (auto& line : slots_[id.slot].lines) {
    const Amounts excess = line.amount - line.least;
    if (excess.is_zero()) continue;
    post(id, line, Amounts{} - excess);
    line.amount = line.least;
    freed += excess;
  }
  return freed;
}

using detail::digest_start;
using detail::mix;

Result<void> ReservationManager::confirm_reservation(ReservationId id, std::string_view key) {
  return once<void>(key, mix(mix(digest_start, 'c'), id), [&] { return do_confirm(id); });
}

Result<void> ReservationManager::extend_reservation(ReservationId id, Time by,
                                                    std::string_view key) {
  const auto digest = mix(mix(mix(digest_start, 'e'), id), static_cast<std::uint64_t>(by));
  return once<void>(key, digest, [&] { return do_extend(id, by); });
}

Result<ReleaseOutcome> ReservationManager::release_reservation(ReservationId id,
                                                               std::span<const Line> part,
                                                               std::string_view key) {
  auto digest = mix(mix(digest_start, 'r'), id);
  for (const auto& line : part) {
    digest = mix(digest, static_cast<std::uint64_t>(line.resource));
    for (DimId d = 0; d < max_dims; ++d)
      digest = mix(digest, static_cast<std::uint64_t>(line.amount[d]));
  }
  return once<ReleaseOutcome>(key, digest, [&] { return do_release(id, part); });
}

Result<void> ReservationManager::cancel_reservation(ReservationId id, std::string_view key) {
  return once<void>(key, mix(mix(digest_start, 'x'), id), [&] { return do_cancel(id); });
}

Result<Amounts> ReservationManager::shrink_to_least(ReservationId id, std::string_view key) {
  return once<Amounts>(key, mix(mix(digest_start, 's'), id), [&] { return do_shrink(id); });
}

}  // namespace reeve::alloc
