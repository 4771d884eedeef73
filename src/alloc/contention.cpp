// The measurement of contention.
#include "reeve/alloc/contention.hpp"

#include <algorithm>
#include <iterator>

namespace reeve::alloc {

const char* to_string(Severity s) noexcept {
  static constexpr const char* names[] = {"none", "low", "medium", "high", "critical"};
  return names[static_cast<int>(s)];
}

const char* to_string(Resolution r) noexcept {
  static constexpr const char* names[] = {"wait", "priority", "preempt", "scale", "redistribute"};
  return names[static_cast<int>(r)];
}

Resolution usual_resolution(Severity s) noexcept {
  switch (s) {
    case Severity::none:
    case Severity::low:
      return Resolution::wait;
    case Severity::medium:
      return Resolution::redistribute;
    case Severity::high:
      return Resolution::priority;
    case Severity::critical:
      break;
  }
  return Resolution::preempt;
}

const std::vector<Contention>& ContentionDetector::measure(const ResourceAllocator& allocator) {
  const auto& manager = allocator.manager();
  std::vector<Contention> now;
  for (const auto& entry : allocator.waiting())
    for (const auto& demand : entry.request.gang)
      for (DimId d = 0; d < max_dims; ++d) {
        if (demand.amount[d] == 0) continue;
        auto at = std::find_if(now.begin(), now.end(), [&](const Contention& c) {
          return c.dim == d && c.where == demand.where;
        });
        if (at == now.end()) {
          now.emplace_back();
          at = std::prev(now.end());
          at->dim = d;
          at->where = demand.where;
        }
        Amounts sum = Amounts::of(d, at->demand);
        at->demand =
            sum.add_checked(Amounts::of(d, demand.amount[d]), demand.count) ? sum[d] : INT64_MAX;
        if (at->waiting.empty() || at->waiting.back() != entry.ticket)
          at->waiting.push_back(entry.ticket);
      }
  for (auto& c : now) {
    const auto asked = c.demand;
    std::int64_t used = 0;
    std::vector<char> in_class(manager.resource_count(), 0);
    for (std::size_t r = 0; r < manager.resource_count(); ++r) {
      const auto& account = manager.ledger().resources()[r];
      if (!account.open || account.removed) continue;
      if (first_unmet(manager.resource(static_cast<ResourceId>(r)).capabilities, c.where)) continue;
      c.supply += account.capacity[c.dim];
      used += account.balance.held[c.dim] + account.balance.committed[c.dim];
      in_class[r] = 1;
    }
    for (const auto& entry : allocator.waiting()) {
      const auto* own = entry.has_window ? manager.find(entry.window) : nullptr;
      if (!own || !own->started) continue;
      for (const auto& line : own->lines)
        if (in_class[static_cast<std::size_t>(line.resource)]) used -= line.amount[c.dim];
    }
    if (__builtin_add_overflow(asked, used, &c.demand)) c.demand = INT64_MAX;
    c.unmet = std::max<std::int64_t>(0, c.demand - c.supply);
    c.severity = severity_of(c.demand, c.supply);
  }
  std::erase_if(now, [](const Contention& c) { return c.severity == Severity::none; });
  const auto same = [](const Contention& a, const Contention& b) {
    return a.dim == b.dim && a.where == b.where;
  };
  for (auto& c : now) {
    const auto known =
        std::find_if(open_.begin(), open_.end(), [&](const Contention& o) { return same(o, c); });
    c.id = known == open_.end() ? next_++ : known->id;
    c.since = known == open_.end() ? manager.now() : known->since;
  }
  for (const auto& o : open_)
    closed_ += std::none_of(now.begin(), now.end(), [&](const auto& c) { return same(o, c); });
  std::sort(now.begin(), now.end(), [](const auto& a, const auto& b) { return a.id < b.id; });
  open_ = std::move(now);
  return open_;
}

}  // namespace reeve::alloc
