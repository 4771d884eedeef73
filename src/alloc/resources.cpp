// Registration, draining, resizing, and the audit.
#include <algorithm>

#include "alloc/candidate_index.hpp"
#include "alloc/slot_lists.hpp"
#include "reeve/alloc/reservation_manager.hpp"

namespace reeve::alloc {

namespace {

Refusal unknown(ResourceId id) {
  return {.code = Code::unknown_resource, .subject = numbered(static_cast<unsigned>(id))};
}

// What is wrong with a capacity, if something is.
Result<void> check_capacity(const Resource& resource, const Amounts& capacity, bool may_be_zero,
                            const Dimensions& dims) {
  Refusal no{.code = Code::invalid_amount, .subject = "capacity of " + resource.name};
  if (capacity.is_zero() && !may_be_zero) {
    no.detail = "is 0 in every dimension; give more than 0 in one of them";
    return no;
  }
  for (DimId d = 0; d < max_dims; ++d) {
    if (capacity[d] >= 0) continue;
    const bool known = d < dims.size();
    no.asked = capacity[d];
    no.counted = known ? counted_in(dims[d].type) : Counted::number;
    no.detail = "is " + to_text(no.asked, no.counted) + " in " +
                (known ? "'" + dims[d].name + "'" : "dimension " + numbered(d)) +
                "; give 0 or more";
    return no;
  }
  return {};
}

}  // namespace

void ReservationManager::changed(std::size_t resource) {
  index_->changed(static_cast<std::uint32_t>(resource));
}

void ReservationManager::enlarge(const Amounts& capacity) {
  if (capacity.fits(largest_)) return;
  for (DimId d = 0; d < max_dims; ++d) largest_[d] = std::max(largest_[d], capacity[d]);
  index_->rescale();
}

Result<ResourceId> ReservationManager::register_resource(Resource resource) {
  settle();
  if (resource.name.empty())
    return Refusal{.code = Code::invalid_request,
                   .subject = "the resource has no name; set Resource::name"};
  if (find_resource(resource.name))
    return Refusal{.code = Code::duplicate, .subject = resource.name};
  if (auto ok = check_capacity(resource, resource.capacity, false, dims_); !ok) return ok.refusal();
  // Twice the total must fit 64 bits, so that no sum of a plan can leave them.
  Amounts total = total_;
  if (!total.add_checked(resource.capacity) || !Amounts(total).add_checked(total))
    return Refusal{.code = Code::overflow, .subject = "capacity of " + resource.name};
  total_ = total;
  enlarge(resource.capacity);
  auto at = std::find(classes_.begin(), classes_.end(), resource.capabilities);
  class_of_.push_back(static_cast<std::uint32_t>(at - classes_.begin()));
  if (at == classes_.end()) classes_.push_back(resource.capabilities);
  const auto id = ledger_.add_resource(resource.capacity, at_);
  resource_ids_.emplace(resource.name, id);
  resources_.push_back(std::move(resource));
  on_resource_->add_list();
  bookings_on_.push_back(0);
  overlay_.emplace_back();
  changed(id);
  return static_cast<ResourceId>(id);
}

Result<void> ReservationManager::resize_resource(ResourceId id, const Amounts& capacity) {
  settle();
  const auto at = static_cast<std::size_t>(id);
  if (at >= resources_.size() || ledger_.resources()[at].removed) return unknown(id);
  if (auto ok = check_capacity(resources_[at], capacity, true, dims_); !ok) return ok;
  Amounts total = total_ - resources_[at].capacity;
  if (!total.add_checked(capacity) || !Amounts(total).add_checked(total))
    return Refusal{.code = Code::overflow, .subject = "capacity of " + resources_[at].name};
  total_ = total;
  enlarge(capacity);
  resources_[at].capacity = capacity;
  ledger_.set_capacity(static_cast<std::uint32_t>(at), capacity, at_);
  changed(at);
  start_due();
  return {};
}

Result<void> ReservationManager::drain_resource(ResourceId id) {
  settle();
  const auto at = static_cast<std::size_t>(id);
  if (at >= resources_.size() || ledger_.resources()[at].removed) return unknown(id);
  if (ledger_.resources()[at].open) ledger_.set_open(static_cast<std::uint32_t>(at), false, at_);
  changed(at);
  return {};
}

Result<void> ReservationManager::resume_resource(ResourceId id) {
  settle();
  const auto at = static_cast<std::size_t>(id);
  if (at >= resources_.size() || ledger_.resources()[at].removed) return unknown(id);
  if (!ledger_.resources()[at].open) ledger_.set_open(static_cast<std::uint32_t>(at), true, at_);
  changed(at);
  return {};
}

Result<void> ReservationManager::remove_resource(ResourceId id) {
  settle();
  const auto at = static_cast<std::size_t>(id);
  if (at >= resources_.size() || ledger_.resources()[at].removed) return unknown(id);
  if (!(*on_resource_)[at].empty())
    return Refusal{.code = Code::in_use, .subject = resources_[at].name};
  total_ -= resources_[at].capacity;
  resources_[at].capacity = {};
  ledger_.remove_resource(static_cast<std::uint32_t>(at), at_);
  resource_ids_.erase(resources_[at].name);
  changed(at);
  return {};
}

Result<ResourceId> ReservationManager::find_resource(std::string_view name) const {
  if (const auto at = resource_ids_.find(name); at != resource_ids_.end())
    return static_cast<ResourceId>(at->second);
  return Refusal{.code = Code::unknown_resource, .subject = std::string(name)};
}

ResourceState ReservationManager::resource_state(ResourceId id) const {
  const auto& account = ledger_.resources()[static_cast<std::size_t>(id)];
  if (account.removed) return ResourceState::removed;
  if (!account.open) return ResourceState::maintenance;
  if (!account.balance.committed.is_zero()) return ResourceState::in_use;
  if (!account.balance.held.is_zero()) return ResourceState::reserved;
  return ResourceState::available;
}

Audit ReservationManager::audit() const {
  Audit report;
  std::vector<Balance> resources(resources_.size());
  std::vector<Balance> owners(std::max(owner_names_.size(), ledger_.owners().size()));
  std::vector<Amounts> quotas(ledger_.quotas().size());
  const auto differs = [&](std::string what) { report.differences.push_back(std::move(what)); };
  for (std::uint32_t s = 0; s < slots_.size(); ++s) {
    const Reservation& r = slots_[s];
    if (terminal(r.state)) {
      if (!r.lines.empty())
        differs("ended reservation in slot " + std::to_string(s) + " holds lines");
      continue;
    }
    ++report.reservations;
    for (const auto& line : r.lines) {
      const auto at = static_cast<std::size_t>(line.resource);
      resources[at].of(column_of(r)) += line.amount;
      owners[r.owner].of(column_of(r)) += line.amount;
      if (r.quota != QuotaId::none) quotas[static_cast<std::size_t>(r.quota)] += line.amount;
      if (line.amount.any_negative()) differs("negative line in slot " + std::to_string(s));
      const auto slots = (*on_resource_)[at];
      if (std::count(slots.begin(), slots.end(), s) != 1)
        differs("resource " + resources_[at].name + " does not know slot " + std::to_string(s));
    }
  }
  for (std::size_t i = 0; i < resources.size(); ++i)
    if (!(resources[i] == ledger_.resources()[i].balance))
      differs("resource " + resources_[i].name);
  for (std::size_t i = 0; i < owners.size(); ++i)
    if (!(owners[i] == (i < ledger_.owners().size() ? ledger_.owners()[i] : Balance{})))
      differs("owner " + owner_names_[i]);
  for (std::size_t i = 0; i < quotas.size(); ++i)
    if (!(quotas[i] == ledger_.quotas().own_usage(static_cast<QuotaId>(i))))
      differs("quota " + ledger_.quotas().spec(static_cast<QuotaId>(i)).name);
  return report;
}

}  // namespace reeve::alloc
