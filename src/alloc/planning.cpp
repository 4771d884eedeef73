// Plans of whole gangs, and the earliest instant at which one fits. Accounts stay as they are.
#include <algorithm>

#include "reeve/alloc/policy.hpp"
#include "reeve/alloc/reservation_manager.hpp"

namespace reeve::alloc {

bool ReservationManager::rule_allows(std::size_t resource, const Demand& demand,
                                     const Amounts& amount) const {
  if (!rule_->filter) return true;
  const auto& account = ledger_.resources()[resource];
  const Amounts free = account.free() - overlay_[resource];
  const auto id = static_cast<ResourceId>(resource);
  const bool preferred =
      std::find(demand.preferred.begin(), demand.preferred.end(), id) != demand.preferred.end();
  return rule_->filter(amount, {id, account.capacity, free, largest_, preferred});
}

std::size_t ReservationManager::choose_by_rule(const Demand& demand, const Amounts& amount) const {
  std::vector<Scored> scored;
  scored.reserve(ranked_.size());
  for (auto r : ranked_) {
    const auto& account = ledger_.resources()[r];
    const Amounts free = account.free() - overlay_[r];
    const auto id = static_cast<ResourceId>(r);
    const bool preferred =
        std::find(demand.preferred.begin(), demand.preferred.end(), id) != demand.preferred.end();
    const Candidate candidate{id, account.capacity, free, largest_, preferred};
    scored.push_back({id, {}});
    for (std::size_t i = 0; i < rule_->scores.size() && i < scored.back().scores.size(); ++i)
      scored.back().scores[i] = rule_->scores[i](amount, candidate);
  }
  const auto lowest = [&] {
    return static_cast<std::size_t>(
        std::min_element(scored.begin(), scored.end(),
                         [](const Scored& a, const Scored& b) { return a.scores < b.scores; }) -
        scored.begin());
  };
  const auto at = rule_->pick ? rule_->pick(scored) : lowest();
  return ranked_[at < ranked_.size() ? at : lowest()];
}

Result<ReservationId> ReservationManager::create_reservation(std::string_view requester,
                                                             const Request& request,
                                                             const PlacementRule& rule,
                                                             std::optional<Time> ttl) {
  if (rule.scores.empty() && !rule.filter && !rule.pick)
    return create_reservation(requester, request, Strategy::balanced, ttl);
  struct Reset {
    const PlacementRule*& rule;
    ~Reset() { rule = nullptr; }
  } reset{rule_};
  rule_ = &rule;
  return create_reservation(requester, request, Strategy::first_fit, ttl);
}

Result<void> ReservationManager::place_gang(const Request& request, Strategy strategy,
                                            Window window, bool least, std::int64_t only_domain) {
  clear_plan();
  Amounts sum;
  for (const auto& demand : request.gang) {
    const bool elastic = !demand.least.is_zero();
    const Amounts& amount = least && elastic ? demand.least : demand.amount;
    for (std::int32_t k = 0; k < demand.count; ++k) {
      auto at = place_piece(request, demand, amount, strategy, window, only_domain);
      if (!at) return at.refusal();
      plan_.push_back({static_cast<ResourceId>(*at), amount, elastic ? demand.least : amount});
      overlay_[*at] += amount;
      changed(*at);
      touched_.push_back(static_cast<std::uint32_t>(*at));
      if (request.spread != Spread::any)
        used_domains_.emplace_back(domain_of(*at, request.spread_domain), 1);
      sum += amount;
    }
  }
  if (request.quota != QuotaId::none) return ledger_.quotas().check(request.quota, sum, &dims_);
  return {};
}

Result<void> ReservationManager::place_packed(const Request& request, Strategy strategy,
                                              Window window, bool least) {
  std::vector<std::int64_t> tried;
  Result<void> last = Refusal{.code = Code::affinity, .subject = "strict_pack"};
  for (std::size_t r = 0; r < resources_.size(); ++r) {
    const auto domain = domain_of(r, request.spread_domain);
    if (std::find(tried.begin(), tried.end(), domain) != tried.end()) continue;
    tried.push_back(domain);
    last = place_gang(request, strategy, window, least, domain);
    if (last) return last;
  }
  return last;
}

Result<void> ReservationManager::make_plan(const Request& request, Strategy strategy,
                                           Window window) {
  const auto attempt = [&](bool least) {
    return request.spread == Spread::strict_pack
               ? place_packed(request, strategy, window, least)
               : place_gang(request, strategy, window, least, INT64_MIN);
  };
  auto full = attempt(false);
  if (full) return full;
  const bool elastic = std::any_of(request.gang.begin(), request.gang.end(),
                                   [](const Demand& d) { return !d.least.is_zero(); });
  return elastic ? attempt(true) : full;
}

Result<std::vector<Line>> ReservationManager::plan(const Request& request, Strategy strategy,
                                                   std::span<const ReservationId> without,
                                                   std::span<const ReservationId> shrunk) {
  settle();
  return plan_in(request, strategy, without, shrunk, window_of(request));
}

Result<std::vector<Line>> ReservationManager::plan_in(const Request& request, Strategy strategy,
                                                      std::span<const ReservationId> without,
                                                      std::span<const ReservationId> shrunk,
                                                      Window window) {
  if (auto ok = validate_request(request, strategy); !ok) return ok.refusal();
  for (const auto& ids : {without, shrunk})
    for (const auto& id : ids)
      if (!find(id)) return refuse_ended(id);
  look_at(shrunk, Seen::least);
  look_at(without, Seen::gone);
  auto ok = make_plan(request, strategy, window);
  std::vector<Line> lines = plan_;
  clear_plan();
  look_at(without, Seen::whole);
  look_at(shrunk, Seen::whole);
  if (!ok) return ok.refusal();
  return lines;
}

Result<Time> ReservationManager::earliest(const Request& request, Strategy strategy,
                                          std::span<const ReservationId> without) {
  settle();
  if (auto ok = validate_request(request, strategy); !ok) return ok.refusal();
  for (const auto& id : without)
    if (!find(id)) return refuse_ended(id);
  std::vector<Time> instants{std::max(request.not_before, at_)};
  for (const auto& r : slots_) {
    if (terminal(r.state) || r.overrun || r.end == forever) continue;
    const Time late = r.started ? 0 : std::max<Time>(0, at_ - r.start);
    if (r.end + late > instants[0]) instants.push_back(r.end + late);
  }
  std::sort(instants.begin(), instants.end());
  instants.erase(std::unique(instants.begin(), instants.end()), instants.end());
  Result<Time> answer = Refusal{};
  look_at(without, Seen::gone);
  for (std::size_t i = 0; i < instants.size(); ++i) {
    const Time end =
        request.duration > forever - instants[i] ? forever : instants[i] + request.duration;
    reasons_ = i == 0;
    auto ok = make_plan(request, strategy, {instants[i], end});
    reasons_ = true;
    clear_plan();
    if (ok) answer = instants[i];
    if (ok) break;
    if (i == 0) answer = ok.refusal();
  }
  look_at(without, Seen::whole);
  return answer;
}

}  // namespace reeve::alloc
