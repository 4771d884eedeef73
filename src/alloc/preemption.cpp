// The choice of victims.
#include "reeve/alloc/preemption.hpp"

#include <algorithm>
#include <set>

#include "alloc/fraction.hpp"

namespace reeve::alloc {

namespace {

std::vector<QuotaId> path_to_root(const QuotaTree& quotas, QuotaId node) {
  std::vector<QuotaId> path;
  for (; node != QuotaId::none; node = quotas.spec(node).parent) path.push_back(node);
  std::reverse(path.begin(), path.end());
  return path;
}

detail::Share excess(const QuotaTree& quotas, const Amounts& total, QuotaId node) {
  Amounts over;
  for (DimId d = 0; d < max_dims; ++d)
    over[d] = std::max<std::int64_t>(0, quotas.borrowed(node, d));
  return detail::dominant(over, total);
}

bool borrows(const QuotaTree& quotas, QuotaId node) {
  if (node == QuotaId::none) return false;
  for (DimId d = 0; d < max_dims; ++d)
    if (quotas.borrowed(node, d) > 0) return true;
  return false;
}

Amounts amount_of(const Reservation& r) {
  Amounts sum;
  for (const auto& line : r.lines) sum += line.amount;
  return sum;
}

// Whether a reservation of `victim` goes for one of `taker`. `wanted` has the request charged and
// nothing taken away, so that no victim of the taker's branch that is spared later was counted;
// `quotas` lacks the victims so far. Below the lowest common ancestor every node above the victim
// borrows, the victim's branch borrows more than the taker's, and it borrows less without the
// reservation.
bool gives_back(const QuotaTree& wanted, QuotaTree& quotas, const Amounts& total, QuotaId victim,
                QuotaId taker, const Amounts& back) {
  const auto a = path_to_root(quotas, taker);
  const auto b = path_to_root(quotas, victim);
  std::size_t k = 0;
  while (k < a.size() && k < b.size() && a[k] == b[k]) ++k;
  if (k == a.size() || k == b.size()) return false;
  for (auto i = k; i < b.size(); ++i)
    if (!borrows(quotas, b[i])) return false;
  const auto before = excess(quotas, total, b[k]);
  if (detail::compare(excess(wanted, total, a[k]), 1, before, 1) >= 0) return false;
  quotas.charge(victim, back);
  const bool falls = detail::compare(excess(quotas, total, b[k]), 1, before, 1) < 0;
  quotas.charge(victim, Amounts{} - back);
  return falls;
}

// Candidates in the order in which they would go; each eligible once those before it are gone.
std::vector<ReservationId> candidates(const ReservationManager& manager, const Request& request,
                                      const PreemptionRules& rules) {
  QuotaTree quotas = manager.ledger().quotas();
  Amounts total;
  for (const auto& account : manager.ledger().resources()) total += account.capacity;
  if (const auto* own = manager.find(rules.window); own && own->quota != QuotaId::none)
    quotas.charge(own->quota, Amounts{} - amount_of(*own));
  auto all = manager.live();
  std::erase(all, rules.window);
  const auto key = [&](ReservationId id) {
    const auto& r = *manager.find(id);
    return std::tuple(!borrows(quotas, r.quota), r.priority, -r.created);
  };
  std::sort(all.begin(), all.end(), [&](ReservationId a, ReservationId b) {
    const auto x = key(a), y = key(b);
    return x != y ? x < y : b < a;
  });
  Amounts asked;
  for (const auto& d : request.gang) asked.add_checked(d.amount, d.count);
  const bool fair = rules.fair_share && request.quota != QuotaId::none;
  QuotaTree wanted = quotas;
  if (fair) wanted.charge(request.quota, asked);
  std::vector<ReservationId> eligible;
  for (const auto& id : all) {
    const auto& r = *manager.find(id);
    if (rules.history && !rules.history->may_evict(request.identity, r.identity)) continue;
    const bool own = !fair || r.quota == request.quota || r.quota == QuotaId::none;
    if (own && (!rules.lower_priority || r.priority >= request.priority)) continue;
    const Amounts back = Amounts{} - amount_of(r);
    if (!own && !gives_back(wanted, quotas, total, r.quota, request.quota, back)) continue;
    if (fair && r.quota != QuotaId::none) quotas.charge(r.quota, back);
    eligible.push_back(id);
  }
  return eligible;
}

}  // namespace

bool EvictionHistory::may_evict(std::uint64_t taker, std::uint64_t victim) const {
  if (taker == 0 || victim == 0) return true;
  if (victim == taker) return false;
  if (!evicted_.contains(victim)) return true;
  std::set<std::uint64_t> seen{victim};
  std::vector<std::uint64_t> reach{victim};
  for (std::size_t i = 0; i < reach.size(); ++i) {
    const auto at = evicted_.find(reach[i]);
    if (at == evicted_.end()) continue;
    for (auto next : at->second) {
      if (next == taker) return false;
      if (seen.insert(next).second) reach.push_back(next);
    }
  }
  return true;
}

void EvictionHistory::record(std::uint64_t taker, std::uint64_t victim) {
  if (taker == 0 || victim == 0) return;
  auto& victims = evicted_[taker];
  const auto at = std::lower_bound(victims.begin(), victims.end(), victim);
  if (at == victims.end() || *at != victim) victims.insert(at, victim);
}

void EvictionHistory::forget(std::uint64_t identity) {
  evicted_.erase(identity);
  for (auto at = evicted_.begin(); at != evicted_.end();) {
    std::erase(at->second, identity);
    at = at->second.empty() ? evicted_.erase(at) : std::next(at);
  }
}

Result<std::vector<ReservationId>> find_victims(ReservationManager& manager, const Request& request,
                                                const PreemptionRules& rules, Strategy strategy) {
  std::vector<ReservationId> gone;
  if (manager.find(rules.window)) gone.push_back(rules.window);
  const auto own = static_cast<std::ptrdiff_t>(gone.size());
  auto now = manager.plan(request, strategy, gone);
  if (now) return std::vector<ReservationId>{};
  if (now.refusal().code != Code::busy && now.refusal().code != Code::quota_exceeded &&
      now.refusal().code != Code::affinity)
    return now.refusal();
  const auto all = candidates(manager, request, rules);
  const auto fits = [&](std::span<const ReservationId> without) {
    gone.erase(gone.begin() + own, gone.end());
    gone.insert(gone.end(), without.begin(), without.end());
    return manager.plan(request, strategy, gone).has_value();
  };
  // More victims never hurt, but for "near" rules, which need what they name.
  const bool monotone = std::none_of(request.affinity.begin(), request.affinity.end(),
                                     [](const Affinity& a) { return a.hard && !a.anti; });
  std::size_t low = 0;
  std::size_t high = all.size();
  if (monotone) {
    if (!fits(all)) return now.refusal();
    while (high - low > 1) {
      const auto middle = low + (high - low) / 2;
      (fits(std::span(all).first(middle)) ? high : low) = middle;
    }
  } else {
    for (high = 1; high <= all.size() && !fits(std::span(all).first(high));) ++high;
    if (high > all.size()) return now.refusal();
  }
  std::vector<ReservationId> victims(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(high));
  for (bool again = true; again;) {
    again = false;
    for (auto k = victims.size(); k-- > 0;) {
      auto fewer = victims;
      fewer.erase(fewer.begin() + static_cast<std::ptrdiff_t>(k));
      if (!fits(fewer)) continue;
      victims = std::move(fewer);
      again = !monotone;
    }
  }
  return victims;
}

}  // namespace reeve::alloc
