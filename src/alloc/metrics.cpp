// Integration over time, and the collection of dashboard data.
#include "reeve/alloc/metrics.hpp"

#include <algorithm>

namespace reeve::alloc {

namespace {

std::string class_name(const Capabilities& capabilities) {
  std::string text;
  for (const auto& [key, value] : capabilities) {
    if (!text.empty()) text += ' ';
    text += key;
    text += '=';
    if (const auto* s = std::get_if<std::string>(&value)) text += *s;
    if (const auto* n = std::get_if<std::int64_t>(&value)) text += std::to_string(*n);
    if (const auto* b = std::get_if<bool>(&value)) text += *b ? "true" : "false";
  }
  return text.empty() ? std::string(1, '-') : text;
}

double ratio(std::int64_t part, std::int64_t whole) {
  return whole == 0 ? 0 : double(part) / double(whole);
}

double fullest(const Amounts& used, const Amounts& capacity) {
  double most = 0;
  for (DimId d = 0; d < max_dims; ++d) most = std::max(most, ratio(used[d], capacity[d]));
  return most;
}

const std::string others = "(others)";

double in_seconds(Time ns) {
  return double(ns) / 1e9;
}

void add_resources(const ReservationManager& manager, DashboardData& data) {
  struct Sum {
    Amounts used, capacity;
    std::uint64_t resources = 0;
  };
  std::map<std::string, Sum> classes;
  for (std::size_t r = 0; r < manager.resource_count(); ++r) {
    const auto id = static_cast<ResourceId>(r);
    const auto& account = manager.ledger().resources()[r];
    if (account.removed) continue;
    const Amounts used = account.balance.held + account.balance.committed;
    auto name = class_name(manager.resource(id).capabilities);
    auto& sum = classes[name];
    sum.used += used;
    sum.capacity += account.capacity;
    ++sum.resources;
    data.resources.push_back({manager.resource(id).name, to_string(manager.resource_state(id)),
                              std::move(name), fullest(used, account.capacity)});
  }
  for (const auto& [name, sum] : classes)
    data.classes.push_back({name, sum.resources, fullest(sum.used, sum.capacity)});
}

void add_dims(const ReservationManager& manager, const MetricsCollector* metrics,
              DashboardData& data) {
  for (DimId d = 0; d < manager.dimensions().size(); ++d) {
    DashboardData::Dim dim{.name = manager.dimensions()[d].name,
                           .counted = counted_in(manager.dimensions()[d].type)};
    std::int64_t largest = 0;
    std::int64_t positive = 0;
    for (const auto& account : manager.ledger().resources()) {
      dim.capacity += account.capacity[d];
      dim.held += account.balance.held[d];
      dim.committed += account.balance.committed[d];
      dim.booked += account.balance.booked[d];
      const auto free = account.free()[d];
      if (free < 0) dim.debt -= free;
      if (!account.open || account.removed) continue;
      dim.free += free;
      positive += std::max<std::int64_t>(0, free);
      largest = std::max(largest, free);
    }
    if (dim.capacity == 0 && dim.held == 0 && dim.committed == 0) continue;
    dim.utilisation = ratio(dim.held + dim.committed, dim.capacity);
    dim.mean_utilisation = metrics ? metrics->mean_utilisation(d) : dim.utilisation;
    dim.fragmentation = positive == 0 ? 0 : 1 - ratio(largest, positive);
    data.dims.push_back(std::move(dim));
  }
}

void add_owners(const ReservationManager& manager, const MetricsCollector* metrics,
                DashboardData& data) {
  const auto& owners = manager.ledger().owners();
  for (std::uint32_t o = 0; o < owners.size(); ++o) {
    DashboardData::OwnerRow row{.name = manager.owner_name(o), .live = manager.live_of(o)};
    const Amounts used = owners[o].held + owners[o].committed;
    for (DimId d = 0; d < manager.dimensions().size(); ++d) row.used.push_back(used[d]);
    if (metrics)
      if (const auto at = metrics->waits().find(row.name); at != metrics->waits().end()) {
        row.granted = at->second.granted;
        row.mean_wait_s = at->second.mean() / 1e9;
        row.longest_wait_s = in_seconds(at->second.longest);
      }
    data.owners.push_back(std::move(row));
  }
}

}  // namespace

void MetricsCollector::sample(const ReservationManager& manager) {
  const Time now = manager.now();
  if (last_ >= 0 && now > last_)
    for (DimId d = 0; d < max_dims; ++d) {
      used_time_[d] += double(used_[d]) * in_seconds(now - last_);
      capacity_time_[d] += double(capacity_[d]) * in_seconds(now - last_);
    }
  last_ = now;
  used_ = {};
  capacity_ = {};
  for (const auto& account : manager.ledger().resources()) {
    used_ += account.balance.held + account.balance.committed;
    capacity_ += account.capacity;
  }
}

void MetricsCollector::observe(const ResourceAllocator& allocator, const CycleReport& report) {
  const auto& manager = allocator.manager();
  for (const auto& g : report.granted) {
    last_reason_.erase(g.ticket);
    const auto* r = manager.find(g.reservation);
    if (!r) continue;
    const auto& name = manager.owner_name(r->owner);
    auto& wait = waits_[waits_.size() < requesters_max_ || waits_.contains(name) ? name : others];
    ++wait.granted;
    wait.total += g.waited;
    wait.longest = std::max(wait.longest, g.waited);
  }
  std::map<Ticket, Code> reasons;
  for (const auto& w : report.waiting) {
    const auto known = last_reason_.find(w.ticket);
    if (known == last_reason_.end() || known->second != w.why.code)
      ++held_back_[w.behind_other ? "behind another" : to_string(w.why.code)];
    reasons.emplace(w.ticket, w.why.code);
  }
  last_reason_ = std::move(reasons);
  sample(manager);
}

double MetricsCollector::mean_utilisation(DimId dim) const {
  return capacity_time_[dim] > 0 ? used_time_[dim] / capacity_time_[dim] : 0;
}

DashboardData dashboard_data(const ReservationManager& manager, const DashboardSources& sources) {
  DashboardData data{.at = manager.now()};
  add_dims(manager, sources.metrics, data);
  add_resources(manager, data);
  add_owners(manager, sources.metrics, data);
  if (sources.contention)
    for (const auto& c : sources.contention->open())
      data.contentions.push_back({c.id, manager.dimensions()[c.dim].name, to_string(c.severity),
                                  c.demand, c.supply,
                                  counted_in(manager.dimensions()[c.dim].type)});
  for (const auto* pool : sources.pools)
    data.pools.push_back({pool->name(), pool->size(), pool->draining(), pool->utilisation()});
  const auto& counts = manager.counts();
  for (auto s : {State::released, State::expired, State::cancelled, State::preempted})
    data.reservations[to_string(s)] = counts.reached[static_cast<std::size_t>(s)];
  for (auto id : manager.live()) ++data.reservations[to_string(manager.find(id)->state)];
  for (std::size_t c = 0; c < counts.refused.size(); ++c)
    if (counts.refused[c] > 0) data.refusals[to_string(static_cast<Code>(c))] = counts.refused[c];
  if (sources.metrics)
    data.held_back.insert(sources.metrics->held_back().begin(), sources.metrics->held_back().end());
  if (sources.allocator)
    for (const auto& e : sources.allocator->waiting()) {
      ++data.waiting;
      data.longest_wait_s = std::max(data.longest_wait_s, in_seconds(data.at - e.submitted));
    }
  data.audit_clean = manager.audit().clean();
  return data;
}

}  // namespace reeve::alloc
