// Which resource a piece goes to, found in an order that is kept instead of by looking at all.
#include <algorithm>

#include "alloc/candidate_index.hpp"
#include "alloc/scores.hpp"
#include "reeve/alloc/reservation_manager.hpp"

namespace reeve::alloc {

using detail::CandidateIndex;
using detail::CandidateTree;
using Order = CandidateIndex::Order;

namespace {

Order order_of(Strategy strategy) {
  switch (strategy) {
    case Strategy::greedy:
    case Strategy::worst_fit:
    case Strategy::priority:
      return Order::room;
    case Strategy::best_fit:
      return Order::left;
    case Strategy::balanced:
    case Strategy::quota:
    case Strategy::optimized:
      return Order::used;
    case Strategy::first_fit:
      break;
  }
  return Order::id;
}

// How the sum of parts per million of what is left lies to that of what is free: between
// free - whole - slack and free - whole, because each dimension is rounded down by itself.
struct Rounding {
  std::int64_t whole = 0;
  std::int64_t slack = 0;
};

Rounding rounding_of(const Amounts& amount, const Amounts& largest) {
  Rounding r;
  for (DimId d = 0; d < max_dims; ++d) {
    if (amount[d] == 0 || largest[d] == 0) continue;
    r.whole += detail::ppm(amount[d], largest[d]);
    r.slack += detail::Wide{amount[d]} * 1'000'000 % largest[d] != 0;
  }
  return r;
}

}  // namespace

bool ReservationManager::can_use_index(const Request& request, Window window) const {
  return !rule_ && hiding_ == 0 && window.start <= at_ && request.affinity.empty() &&
         (hard_anti_live_ == 0 || request.label.empty()) &&
         (request.spread == Spread::any || request.spread_domain.empty()) &&
         request.spread != Spread::strict_pack && resources_.size() >= options_.index_from;
}

detail::ClusterView ReservationManager::view() const {
  return {ledger_.resources(), overlay_, class_of_, largest_};
}

// The lowest score, then the lowest id, of those that `accept` takes.
template <class Accept>
std::size_t ReservationManager::lowest(const CandidateTree& tree, const Amounts& amount,
                                       std::uint64_t class_bits, const Demand& demand,
                                       Strategy strategy, const Accept& accept) const {
  const Order order = order_of(strategy);
  const CandidateTree::Query query{amount, class_bits,
                                   detail::tightest(amount, largest_, tree.dims())};
  if (order == Order::id || order == Order::used) {
    const auto r = tree.first(query, {}, accept);
    return r == CandidateTree::nil ? SIZE_MAX : r;
  }
  // The order is by what is free, the score by what would be left: equal but for rounding. Entries
  // with equal free amounts have equal scores, so the first of them stands for all.
  const auto rounding = rounding_of(amount, largest_);
  const bool descending = order == Order::room;
  CandidateTree::From from{descending ? INT64_MIN : rounding.whole, nullptr};
  std::size_t best = SIZE_MAX;
  std::int64_t best_score = 0;
  Amounts passed;
  for (;;) {
    const auto r = tree.first(query, from, accept);
    if (r == CandidateTree::nil) return best;
    const auto key = tree.key_of(r);
    const auto bound = descending ? key + rounding.whole : key - rounding.whole - rounding.slack;
    if (best != SIZE_MAX && bound > best_score) return best;
    const auto score = base_score(r, demand, amount, descending ? Strategy::greedy : strategy);
    if (best == SIZE_MAX || std::pair(score, std::size_t{r}) < std::pair(best_score, best)) {
      best = r;
      best_score = score;
    }
    passed = ledger_.resources()[r].free() - overlay_[r];
    from = {key, &passed};
  }
}

// Of the resources that this plan uses already, the one with the lowest rank, score and id.
std::size_t ReservationManager::lowest_touched(const Request& request, const Demand& demand,
                                               const Amounts& amount, Strategy strategy,
                                               Window window, const std::vector<char>& class_ok) {
  std::size_t best = SIZE_MAX;
  std::pair<std::int64_t, std::int64_t> best_score{};
  for (const auto r : touched_) {
    if (!class_ok[class_of_[r]] || !fits(r, amount, window)) continue;
    const auto used =
        request.spread == Spread::pack ? 0 : std::count(touched_.begin(), touched_.end(), r);
    const std::pair score{std::int64_t{used}, base_score(r, demand, amount, strategy)};
    if (best == SIZE_MAX || std::pair(score, std::size_t{r}) < std::pair(best_score, best)) {
      best = r;
      best_score = score;
    }
  }
  return best;
}

std::optional<Result<std::size_t>> ReservationManager::place_by_index(const Request& request,
                                                                      const Demand& demand,
                                                                      const Amounts& amount,
                                                                      Strategy strategy,
                                                                      Window window) {
  const auto dims = detail::dims_of(amount);
  if (dims == 0) return std::nullopt;
  const auto* tree = index_->tree(order_of(strategy), dims, view());
  if (!tree) return std::nullopt;
  const auto& classes = index_->classes(demand.where, classes_);
  const bool apart = request.spread != Spread::any;
  const auto accept = [&](std::uint32_t r) {
    return classes.ok[class_of_[r]] && !(apart && !overlay_[r].is_zero()) &&
           (bookings_on_[r] == 0 || fits(r, amount, window));
  };
  if (request.spread == Spread::pack) {
    const auto near = lowest_touched(request, demand, amount, strategy, window, classes.ok);
    if (near != SIZE_MAX) return near;
  }
  std::size_t best = SIZE_MAX;
  if (strategy == Strategy::priority || strategy == Strategy::optimized) {
    // A preferred resource that fits goes before any other.
    std::int64_t best_score = 0;
    for (const auto id : demand.preferred) {
      const auto r = static_cast<std::uint32_t>(id);
      if (!fits(r, amount, window) || !accept(r)) continue;
      const auto score = base_score(r, demand, amount, strategy);
      if (best == SIZE_MAX || std::pair(score, std::size_t{r}) < std::pair(best_score, best)) {
        best = r;
        best_score = score;
      }
    }
  }
  if (best == SIZE_MAX) best = lowest(*tree, amount, classes.bits, demand, strategy, accept);
  if (best != SIZE_MAX) return best;
  bool blocked = false;
  if (request.spread == Spread::spread || request.spread == Spread::strict_spread) {
    best = lowest_touched(request, demand, amount, strategy, window, classes.ok);
    if (best != SIZE_MAX && request.spread == Spread::spread) return best;
    blocked = best != SIZE_MAX;
  }
  if (blocked) return explain(request, demand, amount, window, true);
  return explain_by_index(*tree, request, demand, amount, window, classes);
}

// As explain(), for a piece that is held up by nothing but what is free.
Refusal ReservationManager::explain_by_index(const CandidateTree& tree, const Request& request,
                                             const Demand& demand, const Amounts& amount,
                                             Window window, const detail::ClassSet& classes) {
  const auto could_hold = [&](std::size_t r) {
    const auto& account = ledger_.resources()[r];
    return !account.removed && classes.ok[class_of_[r]] && amount.fits(account.capacity);
  };
  std::size_t any = 0;
  while (any < resources_.size() && !could_hold(any)) ++any;
  if (any == resources_.size()) return explain(request, demand, amount, window, false);
  Amounts nothing;
  for (DimId d = 0; d < max_dims; ++d) nothing[d] = INT64_MIN;
  CandidateTree::Query query{nothing, classes.bits, INT64_MIN};
  for (DimId d = 0; d < max_dims; ++d) {
    if (amount[d] == 0) continue;
    const auto most = tree.most(d, query, could_hold);
    if (most < amount[d]) return too_little(d, amount[d], most, window);
    query.amount[d] = amount[d];
  }
  // All of them are booked too soon.
  if (!reasons_) return {.code = Code::busy, .subject = "time"};
  return explain(request, demand, amount, window, false);
}

}  // namespace reeve::alloc
