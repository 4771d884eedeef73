// Reservations of workers in time.
#include <algorithm>

#include "bridge/books.hpp"

namespace reeve::bridge::detail {

using alloc::Code;
using alloc::Refusal;

std::size_t Block::workers() const noexcept {
  std::size_t sum = 0;
  for (const Part& part : parts) sum += part.count;
  return sum;
}

std::size_t Block::ready() const noexcept {
  std::size_t sum = 0;
  for (const Part& part : parts) sum += part.ready.size();
  return sum;
}

std::size_t Block::leased() const noexcept {
  std::size_t sum = 0;
  for (const Part& part : parts) sum += part.leased;
  return sum;
}

// A worker that is kept ready is held in the ledger, outside of quotas.
std::optional<alloc::ReservationId> Books::hold_ready(std::uint32_t site, std::uint32_t requester) {
  if (free(site) <= 0) return std::nullopt;
  alloc::Request& request = sites_[site].request;
  request.gang.front().count = 1;
  request.quota = alloc::QuotaId::none;
  request.priority = INT32_MAX;
  const auto id = manager_.create_reservation(names_[requester], request,
                                              alloc::Strategy::first_fit, alloc::forever);
  return id ? std::optional(*id) : std::nullopt;
}

void Books::gather(Block& block) {
  for (Block::Part& part : block.parts) {
    while (part.missing() > 0) {
      const auto id = hold_ready(part.site, block.requester);
      if (!id) break;
      part.ready.push_back(*id);
    }
  }
}

// A worker out of a reservation that has begun; its lease ends with it.
std::optional<BookingId> Books::draw(const Wish& wish) {
  const Time at = now();
  for (auto& [id, block] : blocks_) {
    if (!block.started || block.requester != wish.requester || block.end <= at) continue;
    for (Block::Part& part : block.parts) {
      if (part.ready.empty() || !serves(part.site, wish.device)) continue;
      Booking booking{wish, part.site};
      booking.wish.preemptible = false;
      booking.block = id;
      booking.ledger = part.ready.back();
      booking.limit = std::min(wish.duration, block.end - at);
      booking.end = block.end;
      part.ready.pop_back();
      ++part.leased;
      return add(std::move(booking));
    }
  }
  return std::nullopt;
}

// What a requester may reserve at a time: its quota, as far as others keep nothing for themselves.
std::int64_t Books::most_ahead(std::uint32_t requester) const {
  auto most = static_cast<std::int64_t>(capacity_);
  for (std::uint32_t other = 0; other < names_.size(); ++other) {
    if (other != requester) most -= static_cast<std::int64_t>(floor_[other]);
  }
  return std::max<std::int64_t>(0, std::min(most, most_[requester]));
}

void Books::look_ahead() {
  if (!ahead_.empty()) return;
  const Time at = now();
  for (const Site& site : sites_) {
    (void)site;
    ahead_.emplace_back(std::int64_t{1} << 32);
  }
  for (Booking& b : bookings_) {
    if (!b.live || b.wish.preemptible || b.end <= at) continue;
    const auto span = ahead_[b.site].add(at, b.end, 1);
    if (span) b.span = *span;
  }
  for (std::size_t s = 0; s < sites_.size(); ++s) {
    ahead_[s].set_capacity(static_cast<std::int64_t>(sites_[s].capacity));
  }
  for (std::uint32_t r = 0; r < names_.size(); ++r) promised_to_.emplace_back(most_ahead(r));
}

alloc::Result<std::uint64_t> Books::reserve(std::uint32_t requester, std::size_t workers,
                                            Time start, Time duration, std::string_view device) {
  look_ahead();
  const auto wanted = static_cast<std::int64_t>(workers);
  const Time end = start + duration;
  Refusal refusal{.code = Code::quota_exceeded, .subject = names_[requester], .asked = wanted};
  const auto promise = promised_to_[requester].add(start, end, wanted);
  if (!promise) {
    refusal.available = std::max<std::int64_t>(0, promised_to_[requester].min_free(start, end));
    refusal.earliest = promise.refusal().earliest;
  } else {
    // The first time at which all devices together have enough for long enough.
    refusal.code = Code::busy;
    for (Time at = start;;) {
      std::int64_t sum = 0;
      std::optional<Time> next;
      for (std::uint32_t s = 0; s < sites_.size(); ++s) {
        if (!serves(s, device)) continue;
        const std::int64_t least = std::max<std::int64_t>(0, ahead_[s].min_free(at, at + duration));
        sum += least;
        const auto more = ahead_[s].earliest_fit(at, duration, least + 1);
        if (more && *more > at && (!next || *more < *next)) next = more;
      }
      if (at == start) refusal.available = sum;
      if (sum >= wanted) {
        refusal.earliest = at;
        break;
      }
      if (!next) break;
      at = *next;
    }
  }
  if (promise && refusal.earliest == start) {
    Block block{.id = next_block_++, .requester = requester, .start = start, .end = end};
    for (std::uint32_t s = 0; s < sites_.size() && workers > 0; ++s) {
      if (!serves(s, device)) continue;
      const auto least =
          static_cast<std::size_t>(std::max<std::int64_t>(0, ahead_[s].min_free(start, end)));
      const std::size_t part = std::min(workers, least);
      if (part == 0) continue;
      const auto span = ahead_[s].add(start, end, static_cast<std::int64_t>(part)).value();
      block.parts.push_back({s, part, span});
      workers -= part;
    }
    promise_of_.emplace(block.id, *promise);
    const std::uint64_t id = block.id;
    blocks_.emplace(id, std::move(block));
    return id;
  }
  if (promise) (void)promised_to_[requester].remove(*promise);
  if (blocks_.empty()) {
    blocks_.emplace(0, Block{});  // nothing is promised: the timelines go as with the last one
    end_block(blocks_.begin());
  }
  return refusal;
}

// Leases out of it go on until their own limit, as leases like any other.
void Books::end_block(std::map<std::uint64_t, Block>::iterator at) {
  const Time instant = now();
  Block block = std::move(at->second);
  blocks_.erase(at);
  for (Block::Part& part : block.parts) {
    (void)ahead_[part.site].remove(part.span);
    for (const alloc::ReservationId id : part.ready) release(id);
  }
  for (Booking& b : bookings_) {
    if (!b.live || b.block == 0 || b.block != block.id) continue;
    b.block = 0;
    if (b.end <= instant) continue;
    const auto span = ahead_[b.site].add(instant, b.end, 1);
    if (span) b.span = *span;
  }
  if (const auto promise = promise_of_.find(block.id); promise != promise_of_.end()) {
    (void)promised_to_[block.requester].remove(promise->second);
    promise_of_.erase(promise);
  }
  if (!blocks_.empty()) return;
  ahead_.clear();
  promised_to_.clear();
  for (Booking& b : bookings_) b.span.reset();
}

bool Books::cancel(std::uint64_t block) {
  const auto at = blocks_.find(block);
  if (at == blocks_.end()) return false;
  end_block(at);
  return true;
}

void Books::advance() {
  if (blocks_.empty()) return;
  const Time at = now();
  for (auto it = blocks_.begin(); it != blocks_.end();) {
    const auto here = it++;
    if (here->second.end <= at) end_block(here);
  }
  for (auto& [id, block] : blocks_) {
    if (block.start <= at) block.started = true;
    if (block.started) gather(block);
  }
}

std::size_t Books::shortage(const Block& block, const Block::Part& part, std::size_t spared) const {
  std::int64_t lacking = static_cast<std::int64_t>(part.missing());
  if (!block.started) {
    lacking = preemptible_at(part.site, block.start) - ahead_[part.site].free_at(block.start);
  }
  lacking -= static_cast<std::int64_t>(spared);
  return static_cast<std::size_t>(
      std::clamp<std::int64_t>(lacking, 0, static_cast<std::int64_t>(part.count)));
}

}  // namespace reeve::bridge::detail
