// Orderings, scores, and their combinations.
#include "reeve/alloc/policy.hpp"

#include <algorithm>

#include "alloc/fraction.hpp"

namespace reeve::alloc {

namespace {

using detail::ppm;
using detail::saturated;
using detail::Wide;

template <class T>
std::weak_ordering weak(const T& a, const T& b) {
  return a < b   ? std::weak_ordering::less
         : b < a ? std::weak_ordering::greater
                 : std::weak_ordering::equivalent;
}

std::uint32_t weight_of(const ShareSpec& spec, std::string_view name) {
  const auto at = spec.weights.find(name);
  return at == spec.weights.end() ? 1 : at->second;
}

Policy shared(const char* name, ShareSpec spec) {
  Policy p{.name = name};
  p.shares = std::make_shared<const ShareSpec>(std::move(spec));
  return p;
}

Policy placing(const char* name, Score score) {
  Policy p{.name = name};
  p.placement.scores.push_back(std::move(score));
  return p;
}

Refusal no_weight(std::string subject) {
  return {.code = Code::invalid_amount,
          .subject = std::move(subject),
          .detail = "is 0; give 1 or more"};
}

}  // namespace

Ordering then(Ordering first, Ordering second) {
  if (!first) return second;
  if (!second) return first;
  return [first = std::move(first), second = std::move(second)](
             const QueueView& v, const Pending& a, const Pending& b) {
    const auto order = first(v, a, b);
    return order != 0 ? order : second(v, a, b);
  };
}

Score weighted(std::vector<std::pair<Score, std::int32_t>> parts) {
  return [parts = std::move(parts)](const Amounts& piece, const Candidate& c) {
    Wide sum = 0;
    for (const auto& [score, weight] : parts) sum += Wide{score(piece, c)} * weight;
    return saturated(sum);
  };
}

Policy operator|(Policy left, Policy right) {
  Policy both{.name = left.name + '|' + right.name};
  both.order = then(std::move(left.order), std::move(right.order));
  both.admit = !left.admit    ? std::move(right.admit)
               : !right.admit ? std::move(left.admit)
                              : [a = std::move(left.admit), b = std::move(right.admit)](
                                    const QueueView& v, const Pending& p) -> Result<void> {
    if (auto ok = a(v, p); !ok) return ok;
    return b(v, p);
  };
  auto& l = left.placement;
  auto& r = right.placement;
  both.placement.filter = !l.filter   ? std::move(r.filter)
                          : !r.filter ? std::move(l.filter)
                                      : [a = std::move(l.filter), b = std::move(r.filter)](
                                            const Amounts& piece, const Candidate& c) {
                                          return a(piece, c) && b(piece, c);
                                        };
  both.placement.scores = std::move(l.scores);
  for (auto& s : r.scores) both.placement.scores.push_back(std::move(s));
  both.placement.pick = l.pick ? std::move(l.pick) : std::move(r.pick);
  both.shares = left.shares ? left.shares : right.shares;
  return both;
}

Ordering by_arrival() {
  return [](const QueueView&, const Pending& a, const Pending& b) {
    return weak(a.submitted, b.submitted);
  };
}

Ordering by_shortest() {
  return [](const QueueView&, const Pending& a, const Pending& b) {
    return weak(a.duration, b.duration);
  };
}

std::int64_t aged_priority(std::int32_t priority, Time waited, const Ageing& ageing) {
  std::int64_t gained = 0;
  if (ageing.period > 0 && waited > 0) {
    const Wide all = Wide{waited / ageing.period} * ageing.step;
    gained = saturated(std::min<Wide>(all, ageing.gained_max));
  }
  return priority + gained;
}

Ordering by_priority(Ageing ageing, std::map<std::string, std::int32_t, std::less<>> of) {
  return [ageing, of = std::move(of)](const QueueView& v, const Pending& a, const Pending& b) {
    const auto effective = [&](const Pending& p) {
      const auto at = p.user < v.users.size() ? of.find(v.users[p.user].name) : of.end();
      return aged_priority(p.priority, v.now - p.submitted, ageing) +
             (at == of.end() ? 0 : at->second);
    };
    return weak(effective(b), effective(a));
  };
}

Ordering by_share(ShareSpec spec) {
  return [spec = std::move(spec)](const QueueView& v, const Pending& a, const Pending& b) {
    if (a.user == b.user) return std::weak_ordering::equivalent;
    Amounts total = v.total;
    if (!spec.shared.empty())
      for (DimId d = 0; d < max_dims; ++d)
        if (std::find(spec.shared.begin(), spec.shared.end(), d) == spec.shared.end()) total[d] = 0;
    const auto& x = v.users[a.user];
    const auto& y = v.users[b.user];
    const auto order = detail::compare(detail::dominant(x.usage, total), weight_of(spec, x.name),
                                       detail::dominant(y.usage, total), weight_of(spec, y.name));
    return order != 0 ? std::weak_ordering(order) : weak(x.tasks, y.tasks);
  };
}

Ordering by_borrowing() {
  return [](const QueueView& v, const Pending& a, const Pending& b) {
    const auto borrows = [&](const Pending& p) {
      if (!v.quotas || p.quota == QuotaId::none || !v.quotas->contains(p.quota)) return false;
      const auto& nominal = v.quotas->spec(p.quota).nominal;
      const auto& used = v.quotas->usage(p.quota);
      for (DimId d = 0; d < max_dims; ++d)
        if (nominal[d] != Limits::unlimited && p.amount[d] > 0 &&
            Wide{used[d]} + p.amount[d] > nominal[d])
          return true;
      return false;
    };
    return weak(borrows(a), borrows(b));
  };
}

Score least_left() {
  return [](const Amounts& piece, const Candidate& c) {
    std::int64_t left = 0;
    for (DimId d = 0; d < max_dims; ++d)
      if (piece[d] > 0) left += ppm(c.free[d] - piece[d], c.scale[d]);
    return left;
  };
}

Score most_left() {
  return
      [score = least_left()](const Amounts& piece, const Candidate& c) { return -score(piece, c); };
}

Score least_used() {
  return [](const Amounts& piece, const Candidate& c) {
    std::int64_t used = 0;
    for (DimId d = 0; d < max_dims; ++d)
      if (piece[d] > 0) used = std::max(used, ppm(c.capacity[d] - c.free[d], c.capacity[d]));
    return used;
  };
}

Score lowest_id() {
  return [](const Amounts&, const Candidate& c) { return static_cast<std::int64_t>(c.id); };
}

Score preferred_first() {
  return [](const Amounts&, const Candidate& c) { return c.preferred ? 0 : std::int64_t{1}; };
}

std::int64_t fragmentation(const Amounts& free, std::span<const Shape> mix, DimId dim) {
  if (free[dim] <= 0) return 0;
  Wide lost = 0;
  for (const auto& shape : mix)
    if (!shape.amount.fits(free)) lost += Wide{free[dim]} * shape.weight;
  return saturated(lost);
}

Score least_fragmenting(std::vector<Shape> mix, DimId dim) {
  return [mix = std::move(mix), dim](const Amounts& piece, const Candidate& c) {
    return saturated(Wide{fragmentation(c.free - piece, mix, dim)} -
                     fragmentation(c.free, mix, dim));
  };
}

Policy fifo() {
  return {.name = "fifo", .order = by_arrival()};
}
Policy shortest_job_first() {
  return {.name = "sjf", .order = by_shortest()};
}
Policy best_fit() {
  return placing("best_fit", least_left());
}
Policy worst_fit() {
  return placing("worst_fit", most_left());
}
Policy first_fit() {
  return placing("first_fit", lowest_id());
}
Policy fragmentation_aware(std::vector<Shape> mix, DimId dim) {
  return placing("fgd", least_fragmenting(std::move(mix), dim));
}

Pick pick_among_best(std::size_t k, std::uint64_t seed) {
  return [k, seed](std::span<const Scored> all) {
    std::vector<std::size_t> order(all.size());
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
      return std::pair(all[a].scores, a) < std::pair(all[b].scores, b);
    });
    std::uint64_t h = seed;
    for (const auto& s : all)
      for (auto v : s.scores) h = (h ^ static_cast<std::uint64_t>(v)) * 1099511628211ULL;
    const auto among = std::min(std::max<std::size_t>(k, 1), all.size());
    return order[(h >> 20) % among];
  };
}

FairPolicy::operator Policy() const {
  return shared("fair", {.shared = {dim_}, .weights = {}, .group_of = {}});
}

Result<void> DrfPolicy::set_weight(std::string name, std::uint32_t weight) {
  if (weight == 0) return no_weight("weight of " + name);
  spec_.weights[std::move(name)] = weight;
  return {};
}

Result<void> DrfPolicy::set_group(std::string name, std::string group) {
  for (std::string up = group;;) {
    if (up == name)
      return Refusal{.code = Code::invalid_request, .subject = name + " would contain itself"};
    const auto at = spec_.group_of.find(up);
    if (at == spec_.group_of.end()) break;
    up = at->second;
  }
  spec_.group_of[std::move(name)] = std::move(group);
  return {};
}

DrfPolicy::operator Policy() const {
  return shared("drf", spec_);
}

Result<void> WeightedPolicy::set_requester_weight(std::string requester, std::uint32_t weight) {
  if (weight == 0) return no_weight("weight of " + requester);
  spec_.weights[std::move(requester)] = weight;
  return {};
}

WeightedPolicy::operator Policy() const {
  return shared("weighted", spec_);
}

PriorityPolicy& PriorityPolicy::set_requester_priority(std::string requester,
                                                       std::int32_t priority) {
  of_[std::move(requester)] = priority;
  return *this;
}

PriorityPolicy::operator Policy() const {
  return {.name = "priority", .order = by_priority(ageing_, of_)};
}

QuotaPolicy::operator Policy() const {
  Policy p{.name = "quota", .order = by_borrowing()};
  p.admit = [strict = strict_](const QueueView& v, const Pending& request) -> Result<void> {
    if (request.quota == QuotaId::none) {
      if (!strict) return {};
      return Refusal{.code = Code::unknown_quota, .subject = {}};
    }
    if (!v.quotas)
      return Refusal{.code = Code::unknown_quota,
                     .subject = numbered(static_cast<std::uint32_t>(request.quota))};
    return v.quotas->check(request.quota, request.amount, v.dims);
  };
  return p;
}

}  // namespace reeve::alloc
