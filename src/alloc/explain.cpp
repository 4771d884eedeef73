// Which requests make no sense, and why one that does has no place. Accounts stay as they are.
#include <algorithm>
#include <numeric>

#include "alloc/slot_lists.hpp"
#include "reeve/alloc/reservation_manager.hpp"

namespace reeve::alloc {

namespace {

Refusal unusable(std::string why) {
  return {.code = Code::invalid_request, .subject = std::move(why)};
}

// What is wrong with the amounts of a demand, if something is.
Result<void> check_amounts(const Demand& demand, std::size_t at, const Dimensions& dims) {
  const auto part = "of demand " + numbered(at) + " of the gang ";
  if (demand.amount.is_zero())
    return Refusal{.code = Code::invalid_amount,
                   .subject = "demand " + numbered(at),
                   .detail = "is 0 in every dimension; give more than 0 in one of them"};
  for (DimId d = 0; d < max_dims; ++d) {
    const auto amount = demand.amount[d];
    const auto least = demand.least[d];
    if (amount >= 0 && least >= 0 && least <= amount) continue;
    const bool known = d < dims.size();
    const auto counted = known ? counted_in(dims[d].type) : Counted::number;
    return Refusal{.code = Code::invalid_amount,
                   .subject = known ? dims[d].name : "dimension " + numbered(d),
                   .asked = amount < 0 ? amount : least,
                   .available = amount < 0 ? 0 : amount,
                   .counted = counted,
                   .detail = amount < 0
                                 ? part + "is " + to_text(amount, counted) + "; give 0 or more"
                                 : part + "may shrink to " + to_text(least, counted) +
                                       "; Demand::least is 0 to " + to_text(amount, counted)};
  }
  return {};
}

}  // namespace

Result<void> ReservationManager::validate_request(const Request& request, Strategy strategy) const {
  if (request.gang.empty()) return unusable("the gang is empty; give it a demand or more");
  if (request.duration <= 0)
    return unusable("it would last " + to_text(request.duration, Counted::nanoseconds) +
                    "; give a duration greater than 0, or none for an open end");
  if (request.quota != QuotaId::none && !ledger_.quotas().contains(request.quota))
    return ledger_.quotas().unknown(request.quota);
  if (strategy == Strategy::quota && request.quota == QuotaId::none)
    return unusable("strategy quota needs a quota node");
  Amounts sum;
  for (const auto& d : request.gang) {
    if (d.count <= 0)
      return unusable("a demand has the count " + std::to_string(d.count) + "; give 1 or more");
    if (d.amount.any_negative() || d.amount.is_zero() || d.least.any_negative() ||
        !d.least.fits(d.amount))
      return check_amounts(d, static_cast<std::size_t>(&d - request.gang.data()), dims_);
    if (!sum.add_checked(d.amount, d.count))
      return Refusal{.code = Code::overflow, .subject = "sum of the gang"};
    for (const auto& c : d.where)
      if (auto ok = validate(c); !ok) return ok;
    for (auto p : d.preferred)
      if (static_cast<std::size_t>(p) >= resources_.size())
        return Refusal{.code = Code::unknown_resource,
                       .subject = numbered(static_cast<unsigned>(p))};
  }
  for (DimId i = 0; i < max_dims; ++i)
    if (sum[i] > 0 && i >= dims_.size())
      return Refusal{.code = Code::unknown_dimension, .subject = numbered(i)};
  for (DimId i = 0; i < max_dims; ++i)
    if (sum[i] > total_[i]) {
      const bool elastic = std::any_of(request.gang.begin(), request.gang.end(),
                                       [](const Demand& d) { return !d.least.is_zero(); });
      if (!elastic)
        return Refusal{.code = Code::infeasible,
                       .subject = dims_[i].name,
                       .asked = sum[i],
                       .available = total_[i],
                       .counted = counted_in(dims_[i].type)};
    }
  return {};
}

Result<void> ReservationManager::validate_entry(std::string_view requester, const Request& request,
                                                Time now) {
  if (requester.empty()) return unusable("the requester has no name; give one");
  if (request.not_before == 0 || request.duration <= 0 || request.not_before >= now) return {};
  Time end = 0;
  if (request.duration == forever ||
      __builtin_add_overflow(request.not_before, request.duration, &end) || end > now)
    return {};
  const auto text = [](Time ns) { return to_text(ns, Counted::nanoseconds); };
  Time ago = 0;
  if (__builtin_sub_overflow(now, end, &ago)) ago = forever;
  return unusable("its window of " + text(request.duration) + " ended " + text(ago) +
                  " ago; not_before is in ns of the manager's clock, so now() + ticks(1h) is in "
                  "one hour, and 0 is at once");
}

Refusal ReservationManager::explain(const Request& request, const Demand& demand,
                                    const Amounts& amount, Window window,
                                    bool blocked_by_affinity) {
  std::vector<std::size_t> left;
  for (std::size_t r = 0; r < resources_.size(); ++r)
    if (!ledger_.resources()[r].removed) left.push_back(r);
  for (const auto& c : demand.where) {
    std::erase_if(left, [&](std::size_t r) { return !satisfies(classes_[class_of_[r]], c); });
    if (left.empty()) return {.code = Code::unmet_constraint, .subject = c.key};
  }
  // Capacity first: a dimension in which none of them could ever hold the piece.
  for (DimId d = 0; d < max_dims; ++d) {
    if (amount[d] == 0) continue;
    std::int64_t most = 0;
    for (auto r : left) most = std::max(most, ledger_.resources()[r].capacity[d]);
    std::erase_if(left,
                  [&](std::size_t r) { return ledger_.resources()[r].capacity[d] < amount[d]; });
    if (left.empty())
      return {.code = Code::infeasible,
              .subject = dims_[d].name,
              .asked = amount[d],
              .available = most,
              .counted = counted_in(dims_[d].type)};
  }
  if (blocked_by_affinity) return {.code = Code::affinity, .subject = "affinity or spread"};
  std::erase_if(left, [&](std::size_t r) { return !ledger_.resources()[r].open; });
  const bool ahead = window.start > at_;
  const Time after_first = window.start == forever ? forever : window.start + 1;
  std::vector<Amounts> room;  // at the window's first instant
  for (auto r : left)
    room.push_back((ahead ? ledger_.resources()[r].capacity - peak(r, {window.start, after_first})
                          : ledger_.resources()[r].free()) -
                   overlay_[r]);
  std::vector<std::size_t> rows(left.size());
  std::iota(rows.begin(), rows.end(), std::size_t{0});
  for (DimId d = 0; d < max_dims; ++d) {
    if (amount[d] == 0) continue;
    std::int64_t most = INT64_MIN;
    for (auto i : rows) most = std::max(most, room[i][d]);
    std::erase_if(rows, [&](std::size_t i) { return room[i][d] < amount[d]; });
    if (rows.empty()) return too_little(d, amount[d], most, window);
  }
  std::vector<std::size_t> free_at_first;
  for (auto i : rows) free_at_first.push_back(left[i]);
  return explain_time(request, amount, window, free_at_first);
}

Refusal ReservationManager::too_little(DimId dim, std::int64_t asked, std::int64_t most,
                                       Window window) const {
  return {.code = Code::busy,
          .subject = dims_[dim].name,
          .asked = asked,
          .available = most == INT64_MIN ? 0 : most,
          .counted = counted_in(dims_[dim].type),
          .ahead = window.start > at_ ? window.start - at_ : 0};
}

// The first instant of `window` at which `wanted` is not free on `resource`, or its end.
Time ReservationManager::free_until(std::size_t resource, const Amounts& wanted, Window window) {
  const Amounts room = ledger_.resources()[resource].capacity - wanted;
  const auto fits = [&](const Amounts& usage) {
    for (DimId d = 0; d < max_dims; ++d)
      if (wanted[d] > 0 && usage[d] > room[d]) return false;
    return true;
  };
  (void)peak(resource, window);  // which leaves its steps
  Amounts usage = peak_begin_;
  if (!fits(usage)) return window.start;
  for (std::size_t i = 0; i < steps_.size();) {
    const Time at = steps_[i].at;
    for (; i < steps_.size() && steps_[i].at == at; ++i) usage += steps_[i].delta;
    if (!fits(usage)) return at;
  }
  return window.end;
}

// Each of `candidates` has the amount free when the window begins, none to its end.
Refusal ReservationManager::explain_time(const Request& request, const Amounts& amount,
                                         Window window, std::span<const std::size_t> candidates) {
  if (!reasons_) return {.code = Code::busy, .subject = "time"};
  Time longest = window.start;
  std::size_t best = SIZE_MAX;
  for (auto r : candidates) {
    const Time until = free_until(r, amount + overlay_[r], window);
    if (until == window.end) continue;  // held up by something else
    if (best == SIZE_MAX || until > longest) {
      best = r;
      longest = until;
    }
  }
  if (best == SIZE_MAX)
    return {.code = Code::busy,
            .subject = request.spread == Spread::strict_pack ? "strict_pack" : "placement rule"};
  Refusal no{.code = Code::busy,
             .subject = "time",
             .asked = window.end == forever ? forever : window.end - window.start,
             .available = longest - window.start,
             .counted = Counted::nanoseconds,
             .ahead = window.start > at_ ? window.start - at_ : 0};
  for (auto slot : (*on_resource_)[best]) {
    const Reservation& r = slots_[slot];
    if (hidden_[slot] == Seen::gone || r.started || std::max(r.start, at_) != longest) continue;
    no.detail = owner_names_[r.owner];
    break;
  }
  return no;
}

}  // namespace reeve::alloc
