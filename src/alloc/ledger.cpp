// Postings and their journal.
#include "reeve/alloc/ledger.hpp"

namespace reeve::alloc {

using Kind = JournalEntry::Kind;

const char* to_string(ResourceState state) noexcept {
  switch (state) {
    case ResourceState::available:
      return "available";
    case ResourceState::reserved:
      return "reserved";
    case ResourceState::in_use:
      return "in_use";
    case ResourceState::maintenance:
      return "maintenance";
    case ResourceState::removed:
      return "removed";
  }
  return "unknown";
}

const char* to_string(State state) noexcept {
  switch (state) {
    case State::held:
      return "held";
    case State::confirmed:
      return "confirmed";
    case State::released:
      return "released";
    case State::expired:
      return "expired";
    case State::cancelled:
      return "cancelled";
    case State::preempted:
      return "preempted";
  }
  return "unknown";
}

std::string to_text(const JournalEntry& e) {
  static constexpr const char* kinds[] = {"add", "capacity", "open", "remove", "post"};
  static constexpr const char* columns[] = {"booked", "held", "committed"};
  std::string text =
      std::to_string(e.sequence) + ' ' + std::to_string(e.at) + ' ' +
      kinds[static_cast<int>(e.kind)] + ' ' + columns[static_cast<int>(e.column)] + " r" +
      std::to_string(e.resource) + " o" + std::to_string(e.owner) + " q" +
      (e.quota == QuotaId::none ? "-" : std::to_string(static_cast<unsigned>(e.quota))) + ' ' +
      std::to_string(e.reservation.slot) + '.' + std::to_string(e.reservation.generation) + ' ';
  for (DimId d = 0; d < max_dims; ++d) {
    if (d) text += ',';
    text += std::to_string(e.amounts[d]);
  }
  return text;
}

void Ledger::append(JournalEntry entry) {
  entry.sequence = length_++;
  if (journal_) journal_(entry);
}

std::uint32_t Ledger::add_resource(const Amounts& capacity, Time at) {
  const auto id = static_cast<std::uint32_t>(resources_.size());
  resources_.push_back({capacity, {}, true, false});
  append({.at = at, .kind = Kind::add_resource, .resource = id, .amounts = capacity});
  return id;
}

void Ledger::set_capacity(std::uint32_t resource, const Amounts& capacity, Time at) {
  resources_[resource].capacity = capacity;
  append({.at = at, .kind = Kind::set_capacity, .resource = resource, .amounts = capacity});
}

void Ledger::set_open(std::uint32_t resource, bool open, Time at) {
  resources_[resource].open = open;
  append({.at = at, .kind = Kind::set_open, .resource = resource, .amounts = Amounts::of(0, open)});
}

void Ledger::remove_resource(std::uint32_t resource, Time at) {
  resources_[resource].removed = true;
  resources_[resource].capacity = {};
  append({.at = at, .kind = Kind::remove_resource, .resource = resource});
}

void Ledger::post(ReservationId reservation, std::uint32_t resource, std::uint32_t owner,
                  QuotaId quota, Column column, const Amounts& delta, Time at) {
  if (owner >= owners_.size()) owners_.resize(owner + 1);
  resources_[resource].balance.of(column) += delta;
  owners_[owner].of(column) += delta;
  if (quota != QuotaId::none) quotas_.charge(quota, delta);
  append({.at = at,
          .column = column,
          .resource = resource,
          .owner = owner,
          .quota = quota,
          .reservation = reservation,
          .amounts = delta});
}

void Ledger::replay(const JournalEntry& e) {
  switch (e.kind) {
    case Kind::add_resource:
      add_resource(e.amounts, e.at);
      break;
    case Kind::set_capacity:
      set_capacity(e.resource, e.amounts, e.at);
      break;
    case Kind::set_open:
      set_open(e.resource, e.amounts[0] != 0, e.at);
      break;
    case Kind::remove_resource:
      remove_resource(e.resource, e.at);
      break;
    case Kind::post:
      post(e.reservation, e.resource, e.owner, e.quota, e.column, e.amounts, e.at);
      break;
  }
}

bool Ledger::same_balances(const Ledger& other) const {
  if (resources_ != other.resources_ || owners_ != other.owners_) return false;
  if (quotas_.size() != other.quotas_.size()) return false;
  for (std::size_t q = 0; q < quotas_.size(); ++q)
    if (!(quotas_.usage(static_cast<QuotaId>(q)) == other.quotas_.usage(static_cast<QuotaId>(q))))
      return false;
  return true;
}

}  // namespace reeve::alloc
