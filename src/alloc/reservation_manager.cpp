// Slots, timers, and the creation of reservations.
#include "reeve/alloc/reservation_manager.hpp"

#include <algorithm>

#include "alloc/candidate_index.hpp"
#include "alloc/idempotency.hpp"
#include "alloc/slot_lists.hpp"

namespace reeve::alloc {

namespace {

enum TimerKind : std::uint8_t { at_end, at_deadline, at_start };

Time after(Time at, Time by) {
  Time sum = 0;
  return by == forever || __builtin_add_overflow(at, by, &sum) ? forever : sum;
}

using detail::mix;

}  // namespace

std::uint64_t detail::digest_of(std::string_view requester, const Request& r) {
  std::uint64_t h = digest_start;
  const auto text = [&](std::string_view s) {
    for (unsigned char c : s) h = mix(h, c);
    h = mix(h, s.size());
  };
  text(requester);
  for (const auto& d : r.gang) {
    for (DimId i = 0; i < max_dims; ++i) {
      h = mix(h, static_cast<std::uint64_t>(d.amount[i]));
      h = mix(h, static_cast<std::uint64_t>(d.least[i]));
    }
    h = mix(h, static_cast<std::uint64_t>(d.count));
    for (const auto& c : d.where) {
      text(c.key);
      h = mix(h, static_cast<std::uint64_t>(c.kind));
      for (const auto& v : c.values) {
        h = mix(h, v.index());
        if (const auto* s = std::get_if<std::string>(&v)) text(*s);
        if (const auto* n = std::get_if<std::int64_t>(&v))
          h = mix(h, static_cast<std::uint64_t>(*n));
        if (const auto* b = std::get_if<bool>(&v)) h = mix(h, *b);
      }
    }
    for (auto p : d.preferred) h = mix(h, static_cast<std::uint64_t>(p));
  }
  h = mix(h, static_cast<std::uint64_t>(r.quota));
  h = mix(h, static_cast<std::uint64_t>(r.priority));
  h = mix(h, static_cast<std::uint64_t>(r.spread));
  text(r.spread_domain);
  text(r.label);
  for (const auto& a : r.affinity) {
    text(a.label);
    text(a.domain);
    h = mix(h, a.anti * 2 + a.hard);
  }
  return mix(mix(h, static_cast<std::uint64_t>(r.not_before)),
             static_cast<std::uint64_t>(r.duration));
}

ReservationManager::ReservationManager(Dimensions dims, const Clock& clock, ManagerOptions options)
    : dims_(std::move(dims)),
      clock_(&clock),
      options_(options),
      index_(std::make_unique<detail::CandidateIndex>()),
      on_resource_(std::make_unique<detail::SlotLists>()) {}

ReservationManager::ReservationManager(ReservationManager&&) noexcept = default;
ReservationManager& ReservationManager::operator=(ReservationManager&&) noexcept = default;
ReservationManager::~ReservationManager() = default;

std::uint32_t ReservationManager::intern_owner(std::string_view name) {
  if (const auto at = owner_ids_.find(name); at != owner_ids_.end()) return at->second;
  auto id = static_cast<std::uint32_t>(owner_names_.size());
  if (id > 0 && id >= options_.remembered && id >= 2 * live_count()) {
    // Half of them and more have nothing, so one is found soon.
    while (live_of_[next_owner_ %= owner_names_.size()] != 0) ++next_owner_;
    id = static_cast<std::uint32_t>(next_owner_++);
    owner_ids_.erase(owner_names_[id]);
    owner_names_[id] = name;
  } else {
    owner_names_.emplace_back(name);
    live_of_.push_back(0);
  }
  owner_ids_.emplace(std::string(name), id);
  return id;
}

std::optional<std::uint32_t> ReservationManager::find_owner(std::string_view requester) const {
  const auto at = owner_ids_.find(requester);
  return at == owner_ids_.end() ? std::nullopt : std::optional(at->second);
}

Column ReservationManager::column_of(const Reservation& r) const {
  if (!r.started) return Column::booked;
  return r.state == State::confirmed ? Column::committed : Column::held;
}

void ReservationManager::post(ReservationId id, const Line& line, const Amounts& delta) {
  const auto& r = slots_[id.slot];
  ledger_.post(id, static_cast<std::uint32_t>(line.resource), r.owner, r.quota, column_of(r), delta,
               at_);
  changed(static_cast<std::size_t>(line.resource));
}

void ReservationManager::add_timer(Timer timer) {
  if (timer.at == forever) return;
  if (timers_.size() > 64 && timers_.size() > 4 * live_count()) drop_stale_timers();
  timers_.push_back(timer);
  std::push_heap(timers_.begin(), timers_.end(), std::greater<>{});
}

// What is left is one deadline and one start or end for each live reservation.
void ReservationManager::drop_stale_timers() {
  std::erase_if(timers_, [&](const Timer& t) {
    const Reservation& r = slots_[t.id.slot];
    return r.generation != t.id.generation || (t.kind == at_deadline && t.at != r.deadline) ||
           (t.kind == at_end && t.at != r.end) || (t.kind == at_start && r.started);
  });
  std::sort(timers_.begin(), timers_.end());  // ascending is a heap too
  timers_.erase(std::unique(timers_.begin(), timers_.end()), timers_.end());
}

ReservationId ReservationManager::open_slot(std::string_view requester, const Request& request,
                                            Window window, Time ttl) {
  if (free_slots_.empty()) {
    free_slots_.push_back(static_cast<std::uint32_t>(slots_.size()));
    slots_.emplace_back();
    free_slots_.reserve(slots_.capacity());  // all may be free at once
    hidden_.push_back(Seen::whole);
  }
  const ReservationId id{free_slots_.back(), slots_[free_slots_.back()].generation};
  free_slots_.pop_back();
  Reservation& r = slots_[id.slot];
  r.owner = intern_owner(requester);
  ++live_of_[r.owner];
  ++counts_.created;
  ++counts_.reached[static_cast<std::size_t>(State::held)];
  r.quota = request.quota;
  r.priority = request.priority;
  r.identity = request.identity;
  r.state = State::held;
  r.started = window.start <= at_;
  r.overrun = false;
  r.created = at_;
  r.deadline = after(at_, ttl);
  r.start = window.start;
  r.end = window.end;
  r.lines.assign(plan_.begin(), plan_.end());
  if (!request.label.empty() || !request.affinity.empty())
    r.tags =
        std::make_unique<Reservation::Tags>(Reservation::Tags{request.label, request.affinity, {}});
  for (const auto& a : request.affinity) hard_anti_live_ += a.anti && a.hard;
  for (const auto& line : r.lines) {
    const auto slots = (*on_resource_)[static_cast<std::size_t>(line.resource)];
    if (std::find(slots.begin(), slots.end(), id.slot) == slots.end()) {
      on_resource_->add(static_cast<std::size_t>(line.resource), id.slot);
      bookings_on_[static_cast<std::size_t>(line.resource)] += !r.started;
    }
    post(id, line, line.amount);
  }
  add_timer({r.deadline, at_deadline, id});
  if (!r.started) add_timer({r.start, at_start, id});
  if (r.started) add_timer({r.end, at_end, id});
  return id;
}

void ReservationManager::finish(ReservationId id, State how) {
  Reservation& r = slots_[id.slot];
  for (const auto& line : r.lines) {
    post(id, line, Amounts{} - line.amount);
    if (on_resource_->drop(static_cast<std::size_t>(line.resource), id.slot))
      bookings_on_[static_cast<std::size_t>(line.resource)] -= !r.started;
  }
  if (r.tags)
    for (const auto& a : r.tags->affinity) hard_anti_live_ -= a.anti && a.hard;
  --live_of_[r.owner];
  ++counts_.reached[static_cast<std::size_t>(how)];
  std::erase(due_, id);
  r.tags.reset();
  r.lines.clear();
  r.state = how;
  ++r.generation;
  free_slots_.push_back(id.slot);
  remember_end(id, how);
}

void ReservationManager::remember_end(ReservationId id, State how) {
  if (options_.remembered == 0) return;
  if (ended_.empty()) ended_.reserve(std::min<std::size_t>(options_.remembered, 65536));
  if (ended_.size() < options_.remembered) {
    ended_.emplace_back(id, how);
  } else {
    ended_[ended_next_] = {id, how};
    ended_next_ = (ended_next_ + 1) % ended_.size();
  }
}

bool ReservationManager::try_start(ReservationId id) {
  Reservation& r = slots_[id.slot];
  for (const auto& line : r.lines) overlay_[static_cast<std::size_t>(line.resource)] += line.amount;
  bool room = true;
  for (const auto& line : r.lines) {
    const auto at = static_cast<std::size_t>(line.resource);
    room = room && overlay_[at].fits(ledger_.resources()[at].free());
  }
  for (const auto& line : r.lines) overlay_[static_cast<std::size_t>(line.resource)] = {};
  if (!room) return false;
  for (const auto& line : r.lines) post(id, line, Amounts{} - line.amount);
  const Time late = at_ - r.start;
  if (r.end != forever && late > 0) r.end = after(r.end, late);
  for (std::size_t i = 0; i < r.lines.size(); ++i) {
    const auto at = r.lines[i].resource;
    const bool first =
        std::none_of(r.lines.begin(), r.lines.begin() + static_cast<std::ptrdiff_t>(i),
                     [&](const Line& l) { return l.resource == at; });
    if (first) --bookings_on_[static_cast<std::size_t>(at)];
  }
  r.started = true;
  for (const auto& line : r.lines) post(id, line, line.amount);
  add_timer({r.end, at_end, id});
  return true;
}

void ReservationManager::start_due() {
  std::sort(due_.begin(), due_.end(), [&](ReservationId a, ReservationId b) {
    return std::pair(slots_[a.slot].start, a) < std::pair(slots_[b.slot].start, b);
  });
  std::erase_if(due_, [&](ReservationId id) { return try_start(id); });
}

void ReservationManager::settle() {
  at_ = now();
  bool any = false;
  while (!timers_.empty() && timers_.front().at <= at_) {
    const Timer timer = timers_.front();
    std::pop_heap(timers_.begin(), timers_.end(), std::greater<>{});
    timers_.pop_back();
    Reservation& r = slots_[timer.id.slot];
    if (r.generation != timer.id.generation) continue;
    any = true;
    if (timer.kind == at_deadline && r.state == State::held && r.deadline <= at_) {
      finish(timer.id, State::expired);
      ++expired_;
    } else if (timer.kind == at_start && !r.started) {
      due_.push_back(timer.id);
    } else if (timer.kind == at_end && r.started && r.end <= at_) {
      r.overrun = true;
    }
  }
  if (any && !due_.empty()) start_due();
}

std::size_t ReservationManager::cleanup_expired_reservations() {
  const auto before = expired_;
  settle();
  return expired_ - before;
}

Reservation* ReservationManager::live_record(ReservationId id) {
  return const_cast<Reservation*>(find(id));
}

const Reservation* ReservationManager::find(ReservationId id) const {
  if (id.slot >= slots_.size()) return nullptr;
  const auto& r = slots_[id.slot];
  return r.generation == id.generation && !terminal(r.state) ? &r : nullptr;
}

std::vector<ReservationId> ReservationManager::live() const {
  std::vector<ReservationId> ids;
  for (std::uint32_t s = 0; s < slots_.size(); ++s)
    if (!terminal(slots_[s].state)) ids.push_back({s, slots_[s].generation});
  return ids;
}

Result<State> ReservationManager::state(ReservationId id) const {
  if (const auto* r = find(id)) return r->state;
  if (id.slot >= slots_.size() || id.generation >= slots_[id.slot].generation)
    return Refusal{.code = Code::unknown_reservation};
  // Backwards from the newest.
  for (std::size_t k = 0; k < ended_.size(); ++k) {
    const auto& [ended, how] = ended_[(ended_next_ + ended_.size() - 1 - k) % ended_.size()];
    if (ended == id) return how;
  }
  return Refusal{.code = Code::wrong_state, .subject = "ended long ago"};
}

Refusal ReservationManager::refuse_ended(ReservationId id) const {
  const auto how = state(id);
  if (!how) return how.refusal();
  if (*how == State::expired) return {.code = Code::expired};
  return {.code = Code::wrong_state, .subject = to_string(*how)};
}

std::uint64_t ReservationManager::question(std::string_view requester, const Request& request,
                                           Strategy strategy, std::optional<Time> ttl) const {
  auto h = mix(detail::digest_of(requester, request), static_cast<std::uint64_t>(strategy));
  h = mix(h, rule_ != nullptr);
  return mix(mix(h, ttl.has_value()), static_cast<std::uint64_t>(ttl.value_or(0)));
}

Result<ReservationId> ReservationManager::create_reservation(std::string_view requester,
                                                             const Request& request,
                                                             Strategy strategy,
                                                             std::optional<Time> ttl) {
  const auto create = [&] { return try_create(requester, request, strategy, ttl); };
  auto id =
      request.key.empty()
          ? create()
          : once<ReservationId>(request.key, question(requester, request, strategy, ttl), create);
  if (!id) ++counts_.refused[static_cast<std::size_t>(id.refusal().code)];
  return id;
}

Result<ReservationId> ReservationManager::replace(std::span<const ReservationId> victims,
                                                  std::string_view requester,
                                                  const Request& request, Strategy strategy,
                                                  std::span<const ReservationId> shrunk,
                                                  std::span<const ReservationId> released) {
  const auto replace = [&] {
    return do_replace(victims, requester, request, strategy, shrunk, released);
  };
  if (request.key.empty()) return replace();
  auto mark = mix(question(requester, request, strategy, {}), 'p');
  for (const auto& ids : {victims, shrunk, released}) {
    mark = mix(mark, ids.size());
    for (const auto& id : ids) mark = mix(mark, id);
  }
  return once<ReservationId>(request.key, mark, replace);
}

ReservationManager::Window ReservationManager::window_of(const Request& request) const {
  const Time start = std::max(request.not_before, at_);
  return {start, after(start, request.duration)};
}

Result<ReservationId> ReservationManager::try_create(std::string_view requester,
                                                     const Request& request, Strategy strategy,
                                                     std::optional<Time> ttl) {
  settle();
  if (ttl && *ttl <= 0)
    return Refusal{.code = Code::invalid_request,
                   .subject = "its time to live is " + to_text(*ttl, Counted::nanoseconds) +
                              "; give more than 0"};
  if (auto ok = validate_entry(requester, request, at_); !ok) return ok.refusal();
  if (auto ok = validate_request(request, strategy); !ok) return ok.refusal();
  const Window window = window_of(request);
  if (auto ok = make_plan(request, strategy, window); !ok) {
    clear_plan();
    return ok.refusal();
  }
  const auto id = open_slot(requester, request, window, ttl.value_or(options_.ttl));
  clear_plan();
  return id;
}

}  // namespace reeve::alloc
