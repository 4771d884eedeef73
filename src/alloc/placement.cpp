// Which resource a piece goes to. Accounts stay as they are.
#include <algorithm>

#include "alloc/fraction.hpp"
#include "alloc/slot_lists.hpp"
#include "reeve/alloc/reservation_manager.hpp"

namespace reeve::alloc {

namespace {

using detail::ppm;

}  // namespace

void ReservationManager::clear_plan() {
  for (auto r : touched_) {
    overlay_[r] = {};
    changed(r);
  }
  touched_.clear();
  plan_.clear();
  used_domains_.clear();
}

void ReservationManager::look_at(std::span<const ReservationId> ids, Seen how) {
  for (const auto& id : ids) {
    hiding_ -= hidden_[id.slot] != Seen::whole;
    hiding_ += how != Seen::whole;
    const Reservation& r = slots_[id.slot];
    Amounts before;
    Amounts after;
    for (const auto& line : r.lines) before += hidden_part(id.slot, line);
    hidden_[id.slot] = how;
    for (const auto& line : r.lines) after += hidden_part(id.slot, line);
    if (r.quota != QuotaId::none) ledger_.quotas().charge(r.quota, before - after);
  }
}

Amounts ReservationManager::peak(std::size_t resource, Window window) {
  steps_.clear();
  Amounts usage;
  for (auto slot : (*on_resource_)[resource]) {
    const Reservation& r = slots_[slot];
    if (hidden_[slot] == Seen::gone) continue;
    Window w{r.started ? INT64_MIN : std::max(r.start, at_), r.overrun ? forever : r.end};
    // A booking that starts late keeps its length.
    if (!r.started && r.end != forever) w.end = w.start + (r.end - r.start);
    if (w.start >= window.end || w.end <= window.start) continue;
    for (const auto& line : r.lines) {
      if (static_cast<std::size_t>(line.resource) != resource) continue;
      const Amounts amount = line.amount - hidden_part(slot, line);
      if (w.start <= window.start) {
        usage += amount;
      } else {
        steps_.push_back({w.start, amount});
      }
      if (w.end < window.end) steps_.push_back({w.end, Amounts{} - amount});
    }
  }
  std::sort(steps_.begin(), steps_.end(), [](const Step& a, const Step& b) { return a.at < b.at; });
  peak_begin_ = usage;
  Amounts most = usage;
  for (std::size_t i = 0; i < steps_.size();) {
    const Time at = steps_[i].at;
    for (; i < steps_.size() && steps_[i].at == at; ++i) usage += steps_[i].delta;
    for (DimId d = 0; d < max_dims; ++d) most[d] = std::max(most[d], usage[d]);
  }
  return most;
}

bool ReservationManager::fits(std::size_t resource, const Amounts& amount, Window window) {
  const auto& account = ledger_.resources()[resource];
  if (!account.open || account.removed) return false;
  const Amounts wanted = amount + overlay_[resource];
  if (window.start <= at_ && bookings_on_[resource] == 0) {
    Amounts free = account.free();
    for (auto slot : (*on_resource_)[resource]) {
      if (hiding_ == 0) break;
      if (hidden_[slot] == Seen::whole) continue;
      for (const auto& line : slots_[slot].lines)
        if (static_cast<std::size_t>(line.resource) == resource) free += hidden_part(slot, line);
    }
    for (DimId d = 0; d < max_dims; ++d)
      if (amount[d] > 0 && wanted[d] > free[d]) return false;
    return true;
  }
  const Amounts most = peak(resource, window);
  for (DimId d = 0; d < max_dims; ++d)
    if (amount[d] > 0 && wanted[d] > account.capacity[d] - most[d]) return false;
  return true;
}

std::int64_t ReservationManager::domain_of(std::size_t resource, const std::string& key) const {
  if (key.empty()) return static_cast<std::int64_t>(resource);
  // The first class with an equal value stands for the domain; resources without it are alone.
  const auto& mine = classes_[class_of_[resource]];
  const auto value = mine.find(key);
  if (value == mine.end()) return static_cast<std::int64_t>(resource);
  for (std::size_t c = 0; c < classes_.size(); ++c) {
    const auto other = classes_[c].find(key);
    if (other != classes_[c].end() && other->second == value->second)
      return -1 - static_cast<std::int64_t>(c);
  }
  return static_cast<std::int64_t>(resource);
}

bool ReservationManager::domain_has(std::size_t resource, const Affinity& rule) const {
  const auto domain = domain_of(resource, rule.domain);
  for (std::size_t r = 0; r < on_resource_->size(); ++r) {
    if (rule.domain.empty() ? r != resource : domain_of(r, rule.domain) != domain) continue;
    for (auto slot : (*on_resource_)[r])
      if (hidden_[slot] != Seen::gone && slots_[slot].tags &&
          slots_[slot].tags->label == rule.label)
        return true;
  }
  return false;
}

bool ReservationManager::affinity_allows(const Request& request, std::size_t resource) const {
  for (const auto& rule : request.affinity)
    if (rule.hard && domain_has(resource, rule) == rule.anti) return false;
  if (hard_anti_live_ == 0 || request.label.empty()) return true;
  // Those already here may refuse the newcomer.
  for (std::size_t r = 0; r < on_resource_->size(); ++r)
    for (auto slot : (*on_resource_)[r]) {
      if (hidden_[slot] == Seen::gone || !slots_[slot].tags) continue;
      for (const auto& rule : slots_[slot].tags->affinity)
        if (rule.hard && rule.anti && rule.label == request.label &&
            domain_of(r, rule.domain) == domain_of(resource, rule.domain))
          return false;
    }
  return true;
}

int ReservationManager::soft_misses(const Request& request, std::size_t resource) const {
  int misses = 0;
  for (const auto& rule : request.affinity)
    if (!rule.hard) misses += domain_has(resource, rule) == rule.anti;
  return misses;
}

std::int64_t ReservationManager::base_score(std::size_t resource, const Demand& demand,
                                            const Amounts& amount, Strategy strategy) const {
  const auto& account = ledger_.resources()[resource];
  const Amounts free = account.free() - overlay_[resource];
  std::int64_t left = 0;
  std::int64_t used = 0;
  for (DimId d = 0; d < max_dims; ++d) {
    if (amount[d] == 0) continue;
    left += ppm(free[d] - amount[d], largest_[d]);
    used = std::max(used, ppm(account.capacity[d] - free[d], account.capacity[d]));
  }
  const bool preferred = std::find(demand.preferred.begin(), demand.preferred.end(),
                                   static_cast<ResourceId>(resource)) != demand.preferred.end();
  switch (strategy) {
    case Strategy::greedy:
    case Strategy::worst_fit:
      return -left;
    case Strategy::best_fit:
      return left;
    case Strategy::balanced:
    case Strategy::quota:
      return used;
    case Strategy::priority:
      return (preferred ? 0 : std::int64_t{100'000'000'000}) - left;
    case Strategy::optimized:
      return used + (preferred ? 0 : 1'000'000);
    case Strategy::first_fit:
      return 0;
  }
  return 0;
}

Result<std::size_t> ReservationManager::place_piece(const Request& request, const Demand& demand,
                                                    const Amounts& amount, Strategy strategy,
                                                    Window window, std::int64_t only_domain) {
  if (only_domain == INT64_MIN && can_use_index(request, window))
    if (auto found = place_by_index(request, demand, amount, strategy, window))
      return std::move(*found);
  class_ok_.assign(classes_.size(), 1);
  if (!demand.where.empty())
    for (std::size_t c = 0; c < classes_.size(); ++c)
      class_ok_[c] = !first_unmet(classes_[c], demand.where);
  const bool plain = request.spread == Spread::any || request.spread == Spread::strict_pack;
  bool blocked = false;
  std::size_t best = SIZE_MAX;
  ranked_.clear();
  std::pair<std::int64_t, std::int64_t> best_score{};
  // A domain that is not negative is one resource.
  const auto begin = only_domain < 0 ? 0 : static_cast<std::size_t>(only_domain);
  const auto end = only_domain < 0 ? resources_.size() : begin + 1;
  for (std::size_t r = begin; r < end; ++r) {
    if (!class_ok_[class_of_[r]] || !fits(r, amount, window)) continue;
    if (rule_ && !rule_allows(r, demand, amount)) continue;
    if (only_domain != INT64_MIN && domain_of(r, request.spread_domain) != only_domain) continue;
    if (!affinity_allows(request, r)) {
      blocked = true;
      continue;
    }
    std::int64_t rank =
        request.affinity.empty() ? 0 : soft_misses(request, r) * std::int64_t{1'000'000};
    if (!plain) {
      const auto domain = domain_of(r, request.spread_domain);
      int used = 0;
      for (const auto& [d, n] : used_domains_) used += d == domain ? n : 0;
      if (request.spread == Spread::strict_spread && used > 0) {
        blocked = true;
        continue;
      }
      rank += request.spread == Spread::pack ? (used > 0 ? 0 : 1) : used;
    }
    if (rule_ && best != SIZE_MAX && rank < best_score.first) ranked_.clear();
    if (rule_ && (best == SIZE_MAX || rank <= best_score.first))
      ranked_.push_back(static_cast<std::uint32_t>(r));
    const std::pair score{rank, rule_ ? 0 : base_score(r, demand, amount, strategy)};
    if (best == SIZE_MAX || score < best_score) {
      best = r;
      best_score = score;
      if (strategy == Strategy::first_fit && plain && rank == 0) break;
    }
  }
  if (best == SIZE_MAX) return explain(request, demand, amount, window, blocked);
  return rule_ ? choose_by_rule(demand, amount) : best;
}

}  // namespace reeve::alloc
