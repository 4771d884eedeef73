// Plans of resolutions, and their application as transactions.
#include <algorithm>

#include "reeve/alloc/contention.hpp"

namespace reeve::alloc {

namespace {

Refusal cannot(const char* why) {
  return {.code = Code::busy, .subject = why};
}

std::vector<ReservationId> window_of(const ResourceAllocator::Entry& entry) {
  if (!entry.has_window) return {};
  return {entry.window};
}

Amounts amount_of(const Reservation& r, bool excess) {
  Amounts sum;
  for (const auto& line : r.lines) sum += excess ? line.amount - line.least : line.amount;
  return sum;
}

}  // namespace

Result<ResolutionPlan> Resolver::plan(const Contention& event, Resolution how) {
  ResolutionPlan plan{.event = event.id, .how = how};
  std::vector<const ResourceAllocator::Entry*> entries;
  for (auto t : event.waiting)
    if (const auto* e = allocator_->find(t)) entries.push_back(e);
  if (entries.empty())
    return Refusal{.code = Code::invalid_request, .subject = "nobody waits for it any more"};
  std::sort(entries.begin(), entries.end(), [](const auto* a, const auto* b) {
    return std::pair(-std::int64_t{a->request.priority}, a->ticket) <
           std::pair(-std::int64_t{b->request.priority}, b->ticket);
  });
  auto& manager = allocator_->manager();
  (void)manager.cleanup_expired_reservations();
  const auto& first = *entries[0];
  plan.beneficiary = first.ticket;
  switch (how) {
    case Resolution::wait: {
      const auto at = manager.earliest(first.request, options_.strategy, window_of(first));
      if (!at) return at.refusal();
      plan.until = *at;
      break;
    }
    case Resolution::priority:
      for (const auto* e : entries) plan.order.push_back(e->ticket);
      break;
    case Resolution::preempt: {
      PreemptionRules rules = options_.preemption;
      rules.history = &allocator_->evictions();
      rules.window = first.has_window ? first.window : ReservationId{};
      auto victims = find_victims(manager, first.request, rules, options_.strategy);
      if (!victims) return victims.refusal();
      plan.victims = std::move(*victims);
      break;
    }
    case Resolution::scale:
      if (auto ok = plan_scale(event, plan); !ok) return ok.refusal();
      break;
    case Resolution::redistribute:
      if (auto ok = plan_redistribute(first, plan); !ok) return ok.refusal();
      break;
  }
  plan.version = allocator_->version();
  return plan;
}

Result<void> Resolver::plan_scale(const Contention& event, ResolutionPlan& plan) const {
  const auto& manager = allocator_->manager();
  const Resource* model = nullptr;
  for (std::size_t r = 0; r < manager.resource_count(); ++r) {
    const auto& resource = manager.resource(static_cast<ResourceId>(r));
    if (manager.ledger().resources()[r].removed || resource.capacity[event.dim] == 0 ||
        first_unmet(resource.capabilities, event.where))
      continue;
    if (!model || resource.capacity[event.dim] > model->capacity[event.dim]) model = &resource;
  }
  if (!model) return cannot("no resource of this class to copy");
  const auto each = model->capacity[event.dim];
  const auto count = event.unmet / each + (event.unmet % each != 0);
  if (count > static_cast<std::int64_t>(options_.scale_max))
    return cannot("more resources are needed than one plan may add");
  for (std::int64_t k = 0, number = 1; k < count; ++number) {
    auto name = model->name + '+' + std::to_string(number);
    if (manager.find_resource(name)) continue;
    plan.add.push_back({std::move(name), model->capacity, model->capabilities});
    ++k;
  }
  return {};
}

Result<void> Resolver::plan_redistribute(const ResourceAllocator::Entry& entry,
                                         ResolutionPlan& plan) {
  auto& manager = allocator_->manager();
  const auto own = window_of(entry);
  auto elastic = manager.live();
  std::erase_if(elastic, [&](ReservationId id) {
    return amount_of(*manager.find(id), true).is_zero() || std::count(own.begin(), own.end(), id);
  });
  std::sort(elastic.begin(), elastic.end(), [&](ReservationId a, ReservationId b) {
    const auto& x = *manager.find(a);
    const auto& y = *manager.find(b);
    return std::tuple(x.priority, -x.created, b) < std::tuple(y.priority, -y.created, a);
  });
  const auto fits = [&](std::span<const ReservationId> shrunk) {
    return manager.plan(entry.request, options_.strategy, own, shrunk).has_value();
  };
  if (!fits(elastic)) return cannot("elastic reservations give too little");
  plan.shrink = std::move(elastic);
  for (auto k = plan.shrink.size(); k-- > 0;) {
    auto fewer = plan.shrink;
    fewer.erase(fewer.begin() + static_cast<std::ptrdiff_t>(k));
    if (fits(fewer)) plan.shrink = std::move(fewer);
  }
  return {};
}

// Preempt and redistribute: somebody gives, the beneficiary takes.
Result<void> Resolver::apply_replacing(const ResolutionPlan& plan, Evidence& evidence) {
  auto& manager = allocator_->manager();
  const auto* entry = allocator_->find(plan.beneficiary);
  if (!entry) return Refusal{.code = Code::stale_plan, .subject = "the beneficiary is gone"};
  Amounts freed;
  for (auto id : plan.victims) freed += amount_of(*manager.find(id), false);
  for (auto id : plan.shrink) freed += amount_of(*manager.find(id), true);
  const auto waited = manager.now() - entry->submitted;
  auto id = allocator_->grant_by_preemption(plan.beneficiary, plan.victims, plan.shrink,
                                            options_.strategy);
  if (!id) return id.refusal();
  evidence.freed = freed;
  evidence.granted.push_back({plan.beneficiary, *id, waited});
  return {};
}

Result<void> Resolver::apply_scale(const ResolutionPlan& plan, Evidence& evidence) {
  auto& manager = allocator_->manager();
  for (const auto& resource : plan.add) {
    auto id = manager.register_resource(resource);
    if (!id) {
      for (auto made : evidence.resources) (void)manager.remove_resource(made);
      return id.refusal();
    }
    evidence.resources.push_back(*id);
    evidence.added += resource.capacity;
  }
  evidence.granted = allocator_->schedule().granted;
  return {};
}

Result<Evidence> Resolver::apply(const ResolutionPlan& plan) {
  auto& manager = allocator_->manager();
  (void)manager.cleanup_expired_reservations();
  if (plan.version != allocator_->version())
    return Refusal{.code = Code::stale_plan, .subject = to_string(plan.how)};
  Evidence evidence{.how = plan.how};
  evidence.journal_from = manager.ledger().length();
  Result<void> done;
  switch (plan.how) {
    case Resolution::wait:
      break;
    case Resolution::priority: {
      // One cycle in which priority decides before whatever else does.
      const Policy usual = allocator_->policy();
      Policy urgent = Policy(PriorityPolicy()) | usual;
      urgent.shares = nullptr;
      allocator_->set_policy(std::move(urgent));
      evidence.granted = allocator_->schedule().granted;
      allocator_->set_policy(usual);
      break;
    }
    case Resolution::preempt:
    case Resolution::redistribute:
      done = apply_replacing(plan, evidence);
      break;
    case Resolution::scale:
      done = apply_scale(plan, evidence);
      break;
  }
  if (!done) return done.refusal();
  evidence.journal_to = manager.ledger().length();
  return evidence;
}

}  // namespace reeve::alloc
