// Opening and closing bookings of single workers.
#include "bridge/books.hpp"

#include <algorithm>
#include <limits>

namespace reeve::bridge::detail {

using alloc::Amounts;
using alloc::Limits;
using alloc::QuotaId;

namespace {

/// A lease that began by less than this later than decided began in time.
constexpr Time slack = 1'000'000;

alloc::Dimensions one_dimension() {
  alloc::Dimensions dims;
  (void)dims.add("workers", alloc::ResourceType::custom);
  return dims;
}

Time after(Time at, Time by) noexcept {
  return by >= alloc::forever - at ? alloc::forever : at + by;
}

std::int64_t capped(std::size_t n) noexcept {
  return n > std::numeric_limits<std::int32_t>::max() ? Limits::unlimited
                                                      : static_cast<std::int64_t>(n);
}

}  // namespace

Books::Books(const SchedulerConfig& config, const ResourceConfig& pool)
    : grace_(std::chrono::nanoseconds(config.preemption.grace).count()),
      manager_(one_dimension(), *config.clock, {.remembered = 256}) {
  for (const Requester& r : config.requesters) {
    names_.push_back(r.name);
    has_quotas_ = has_quotas_ || r.quota.has_value();
  }
  owner_of_.resize(names_.size());
  many_devices_ = std::any_of(pool.devices.begin(), pool.devices.end(),
                              [&](const std::string& d) { return d != pool.devices.front(); });
  count_sites(pool, pool.max_workers);
  add_quotas(config);
}

void Books::count_sites(const ResourceConfig& pool, std::size_t max_workers) {
  capacity_ = max_workers;
  std::map<std::string, std::size_t> counts;
  for (const Site& site : sites_) counts[site.device] = 0;
  for (std::size_t i = 0; i < max_workers; ++i) ++counts[pool.devices[i % pool.devices.size()]];
  for (const auto& [device, count] : counts) {
    const auto amount = Amounts::of(workers_dim, static_cast<std::int64_t>(count));
    const auto at = std::find_if(sites_.begin(), sites_.end(),
                                 [&](const Site& site) { return site.device == device; });
    if (at != sites_.end()) {
      at->capacity = count;
      (void)manager_.resize_resource(at->resource, amount);
      continue;
    }
    Site site{device, count, {}, {}};
    alloc::Capabilities has;
    if (many_devices_) has.emplace("device", device);
    const auto name = device.empty() ? std::string("workers") : "workers on " + device;
    site.resource = manager_.register_resource({name, amount, std::move(has)}).value();
    alloc::Demand demand{.amount = Amounts::of(workers_dim, 1)};
    if (many_devices_) demand.where.push_back(alloc::needs("device", device));
    site.request.gang.push_back(std::move(demand));
    sites_.push_back(std::move(site));
    if (!ahead_.empty()) ahead_.emplace_back(0);
  }
  for (std::size_t i = 0; i < ahead_.size(); ++i) {
    ahead_[i].set_capacity(static_cast<std::int64_t>(sites_[i].capacity));
  }
}

// Below one root: what each requester owns, and what nobody does, which all may borrow.
void Books::add_quotas(const SchedulerConfig& config) {
  if (has_quotas_) {
    root_ = manager_.add_quota({.name = "pool", .nominal = Limits::of(workers_dim, 0)}).value();
  }
  for (const Requester& r : config.requesters) {
    const WorkerQuota q = r.quota.value_or(WorkerQuota{});
    const auto nominal = static_cast<std::int64_t>(q.nominal);
    nominal_.push_back(r.quota ? nominal : -1);
    most_.push_back(capped(q.borrow) == Limits::unlimited ? Limits::unlimited
                                                          : nominal + capped(q.borrow));
    floor_.push_back(q.nominal - std::min(q.nominal, q.lend));
    owned_ += nominal;
    if (!has_quotas_) {
      quota_of_.push_back(QuotaId::none);
      continue;
    }
    quota_of_.push_back(manager_
                            .add_quota({.name = "of " + r.name,
                                        .parent = root_,
                                        .nominal = Limits::of(workers_dim, nominal),
                                        .borrow = Limits::of(workers_dim, capped(q.borrow)),
                                        .lend = Limits::of(workers_dim, capped(q.lend))})
                            .value());
  }
  if (has_quotas_) own_the_rest(capacity_);
}

void Books::own_the_rest(std::size_t workers) {
  const std::int64_t rest = static_cast<std::int64_t>(workers) - owned_;
  if (rest_ != QuotaId::none) (void)manager_.move_quota(rest_, QuotaId::none);
  const auto at = rests_.find(rest);
  if (at != rests_.end()) {
    rest_ = at->second;
    (void)manager_.move_quota(rest_, root_);
    return;
  }
  rest_ = manager_
              .add_quota({.name = "unowned " + std::to_string(rest),
                          .parent = root_,
                          .nominal = Limits::of(workers_dim, rest)})
              .value();
  rests_.emplace(rest, rest_);
}

void Books::resize(const ResourceConfig& pool, std::size_t max_workers) {
  count_sites(pool, max_workers);
  if (has_quotas_) own_the_rest(max_workers);
  for (std::uint32_t r = 0; r < promised_to_.size(); ++r) {
    promised_to_[r].set_capacity(most_ahead(r));
  }
}

bool Books::serves(std::uint32_t site, std::string_view device) const noexcept {
  if (device.empty()) return true;
  const std::string& has = sites_[site].device;
  return has == device ||
         (has.size() > device.size() && has.starts_with(device) && has[device.size()] == ':');
}

bool Books::knows(std::string_view device) const noexcept {
  for (std::uint32_t s = 0; s < sites_.size(); ++s) {
    if (sites_[s].capacity > 0 && serves(s, device)) return true;
  }
  return false;
}

std::vector<std::string> Books::devices() const {
  std::vector<std::string> names;
  for (const Site& site : sites_) names.push_back(site.device);
  return names;
}

std::size_t Books::capacity_of(std::string_view device) const noexcept {
  std::size_t sum = 0;
  for (std::uint32_t s = 0; s < sites_.size(); ++s) {
    if (serves(s, device)) sum += sites_[s].capacity;
  }
  return sum;
}

const char* Books::device(BookingId id) const noexcept {
  return many_devices_ ? sites_[bookings_[id].site].device.c_str() : nullptr;
}

std::int64_t Books::free(std::uint32_t site) const {
  const auto at = static_cast<std::size_t>(sites_[site].resource);
  return manager_.ledger().resources()[at].free()[workers_dim];
}

bool Books::any_to_give() const {
  for (std::uint32_t s = 0; s < sites_.size(); ++s) {
    if (free(s) > 0) return true;
  }
  return std::any_of(blocks_.begin(), blocks_.end(),
                     [](const auto& entry) { return entry.second.ready() > 0; });
}

std::int64_t Books::held(std::uint32_t requester) const {
  auto& owner = owner_of_[requester];
  if (!owner) owner = manager_.find_owner(names_[requester]);
  if (!owner) return 0;
  const alloc::Balance& balance = manager_.ledger().owners()[*owner];
  return balance.held[workers_dim] + balance.committed[workers_dim];
}

std::int64_t Books::borrowed(std::uint32_t requester, std::int64_t more) const {
  if (!has_quotas_) return 0;
  const auto& used = manager_.ledger().quotas().own_usage(quota_of_[requester]);
  return std::max<std::int64_t>(
      0, used[workers_dim] + more - std::max<std::int64_t>(0, nominal_[requester]));
}

const alloc::Request& Books::request_for(std::uint32_t site, const Wish& wish, std::size_t count) {
  alloc::Request& request = sites_[site].request;
  request.gang.front().count = static_cast<std::int32_t>(count);
  request.quota = quota_of_[wish.requester];
  request.priority = wish.priority;
  return request;
}

BookingId Books::add(Booking booking) {
  if (free_bookings_.empty()) {
    free_bookings_.push_back(static_cast<BookingId>(bookings_.size()));
    bookings_.emplace_back();
  }
  const BookingId id = free_bookings_.back();
  free_bookings_.pop_back();
  bookings_[id] = std::move(booking);
  bookings_[id].live = true;
  bookings_[id].order = ++last_order_;
  return id;
}

void Books::release(alloc::ReservationId id) {
  (void)manager_.release_reservation(id);
}

std::int64_t Books::preemptible_at(std::uint32_t site, Time at) const {
  return std::count_if(bookings_.begin(), bookings_.end(), [&](const Booking& b) {
    return b.live && b.wish.preemptible && b.site == site && b.end > at;
  });
}

// What is promised at `site` from now on leaves room. A preemptible lease needs it for the time
// that its end would take.
bool Books::room_ahead(std::uint32_t site, const Wish& wish, std::size_t count,
                       std::span<const BookingId> gone) const {
  if (ahead_.empty()) return true;
  const Time at = now();
  const auto wanted = static_cast<std::int64_t>(count);
  if (!wish.preemptible) return ahead_[site].min_free(at, after(at, wish.duration)) >= wanted;
  const auto leaving = std::count_if(gone.begin(), gone.end(), [&](BookingId id) {
    return bookings_[id].site == site && bookings_[id].wish.preemptible && bookings_[id].end > at;
  });
  const Time until = after(at, std::min(wish.duration, grace_ + 1));
  return preemptible_at(site, at) - leaving + wanted <= ahead_[site].min_free(at, until);
}

std::optional<BookingId> Books::open(const Wish& wish) {
  if (!blocks_.empty()) {
    if (const auto drawn = draw(wish)) return drawn;
  }
  for (std::uint32_t s = 0; s < sites_.size(); ++s) {
    if (free(s) <= 0 || !serves(s, wish.device) || !room_ahead(s, wish, 1, {})) continue;
    const auto id = manager_.create_reservation(names_[wish.requester], request_for(s, wish, 1),
                                                alloc::Strategy::first_fit, alloc::forever);
    if (!id) continue;
    const Time at = now();
    Booking booking{wish, s, wish.duration, after(at, wish.duration), 0, *id};
    if (!ahead_.empty() && !wish.preemptible) {
      const auto span = ahead_[s].add(at, booking.end, 1);
      if (span) booking.span = *span;
    }
    return add(std::move(booking));
  }
  return std::nullopt;
}

bool Books::would_open(const Wish& wish, std::size_t count, std::span<const BookingId> gone) {
  std::vector<alloc::ReservationId> without;
  for (const BookingId id : gone) without.push_back(bookings_[id].ledger);
  for (std::uint32_t s = 0; s < sites_.size(); ++s) {
    if (!serves(s, wish.device) || !room_ahead(s, wish, count, gone)) continue;
    if (manager_.plan(request_for(s, wish, count), alloc::Strategy::first_fit, without))
      return true;
  }
  return false;
}

bool Books::quotas_allow(std::span<const Handover> moves) const {
  if (!has_quotas_) return true;
  const Amounts one = Amounts::of(workers_dim, 1);
  alloc::QuotaTree quotas = manager_.ledger().quotas();
  for (const Handover& move : moves) {
    quotas.charge(quota_of_[move.from], Amounts::of(workers_dim, -1));
    if (&move != &moves.back()) quotas.charge(quota_of_[move.to], one);
  }
  return quotas.check(quota_of_[moves.back().to], one).has_value();
}

Time Books::limit(BookingId id) {
  Booking& booking = bookings_[id];
  if (booking.block != 0) {
    booking.limit = std::min(booking.wish.duration, std::max<Time>(booking.end - now(), 1));
  }
  return booking.limit;
}

bool Books::confirm(BookingId id) {
  Booking& booking = bookings_[id];
  const Time end = after(now(), booking.limit);
  const bool late = end > booking.end && end - booking.end > slack;
  if (late && booking.block != 0) return false;
  if (late) {
    if (booking.span && !ahead_[booking.site].move_end(*booking.span, end)) return false;
    booking.end = end;
  }
  (void)manager_.confirm_reservation(booking.ledger);
  return true;
}

void Books::close(BookingId id) {
  Booking& booking = bookings_[id];
  if (booking.span) (void)ahead_[booking.site].remove(*booking.span);
  release(booking.ledger);
  booking.live = false;
  booking.span.reset();
  free_bookings_.push_back(id);
  if (booking.block == 0) return;
  Block& block = blocks_.at(booking.block);
  for (Block::Part& part : block.parts) {
    if (part.site == booking.site) --part.leased;
  }
  gather(block);
}

}  // namespace reeve::bridge::detail
