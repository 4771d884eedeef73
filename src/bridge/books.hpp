// The books of a scheduler: amounts in a ledger, promises ahead on timelines. No Asio.
#pragma once

#include <deque>
#include <map>
#include <optional>
#include <reeve/alloc/reservation_manager.hpp>
#include <reeve/alloc/timeline.hpp>
#include <reeve/bridge/config.hpp>
#include <reeve/pool/config.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace reeve::bridge::detail {

using alloc::Time;
using BookingId = std::uint32_t;
inline constexpr BookingId no_booking = ~BookingId{0};
inline constexpr alloc::DimId workers_dim = 0;

/// What one request wants of the books.
struct Wish {
  std::uint32_t requester = 0;
  int priority = 0;  ///< with the requester's own
  bool preemptible = false;
  Time duration = alloc::forever;
  std::string device;  ///< empty: any

  friend bool operator==(const Wish&, const Wish&) = default;
};

/// One worker, decided for a request: held until the pool leased it, then committed.
struct Booking {
  Wish wish;
  std::uint32_t site = 0;
  Time limit = alloc::forever;  ///< of the lease
  Time end = alloc::forever;    ///< of the lease, as decided
  std::uint64_t block = 0;      ///< the reservation that it is drawn from; 0: none
  alloc::ReservationId ledger{};
  std::optional<alloc::SpanId> span{};  ///< on the timeline of its site
  std::uint64_t order = 0;              ///< ascending with the decisions
  bool live = false;
};

/// A worker that one requester is to lose and another is to get.
struct Handover {
  std::uint32_t from = 0;
  std::uint32_t to = 0;
};

/// The workers of one device.
struct Site {
  std::string device;
  std::size_t capacity = 0;
  alloc::ResourceId resource{};
  alloc::Request request{};  ///< of one worker here, to be filled in
};

/// A reservation of workers in time.
struct Block {
  struct Part {
    std::uint32_t site = 0;
    std::size_t count = 0;
    alloc::SpanId span{};
    std::vector<alloc::ReservationId> ready{};  ///< held, to be drawn
    std::size_t leased = 0;
    std::size_t missing() const noexcept { return count - ready.size() - leased; }
  };
  std::uint64_t id = 0;
  std::uint32_t requester = 0;
  Time start = 0;
  Time end = 0;
  bool started = false;
  std::vector<Part> parts{};

  std::size_t workers() const noexcept;
  std::size_t ready() const noexcept;
  std::size_t leased() const noexcept;
};

/// Threads: one at a time.
class Books {
 public:
  Books(const SchedulerConfig& config, const ResourceConfig& pool);

  /// True if a worker of this pool could ever serve `device` (empty: any).
  bool knows(std::string_view device) const noexcept;
  std::vector<std::string> devices() const;

  /// One worker for `wish` now, out of a reservation of its requester first; nothing if there is
  /// none that it may have.
  std::optional<BookingId> open(const Wish& wish);
  /// Whether `count` such wishes would be served if the bookings `gone` were closed.
  bool would_open(const Wish& wish, std::size_t count, std::span<const BookingId> gone);
  /// Whether quotas allow the last of `moves` after all others.
  /// Cost: O(quotas + moves) where there are quotas.
  bool quotas_allow(std::span<const Handover> moves) const;
  /// What the pool is to be asked for now.
  Time limit(BookingId id);
  /// The pool has leased it. False: it began too late to end in time; close it.
  bool confirm(BookingId id);
  void close(BookingId id);
  const Booking& booking(BookingId id) const noexcept { return bookings_[id]; }

  /// Promises workers ahead. Refusal: busy (with the earliest time), quota_exceeded.
  alloc::Result<std::uint64_t> reserve(std::uint32_t requester, std::size_t workers, Time start,
                                       Time duration, std::string_view device);
  bool cancel(std::uint64_t block);
  /// Begins and ends reservations, and gathers what those that have begun still miss.
  void advance();
  const std::map<std::uint64_t, Block>& blocks() const noexcept { return blocks_; }
  /// Of the preemptible workers at `site`, how many must end so that `block` has its own at its
  /// start (or now); `spared` of them will have ended.
  std::size_t shortage(const Block& block, const Block::Part& part, std::size_t spared) const;

  /// Errors: none; the pool checked it.
  void resize(const ResourceConfig& pool, std::size_t max_workers);
  /// Workers that quotas own: a pool must not be smaller.
  std::size_t owned() const noexcept { return static_cast<std::size_t>(owned_); }

  Time now() const { return manager_.now(); }
  std::size_t capacity() const noexcept { return capacity_; }
  std::size_t capacity_of(std::string_view device) const noexcept;
  /// The device that the pool is to be asked for; null: any will do.
  const char* device(BookingId id) const noexcept;
  /// Between sums over reservations and the ledger's accounts.
  std::vector<std::string> differences() const { return manager_.audit().differences; }
  std::size_t site_count() const noexcept { return sites_.size(); }
  std::int64_t free(std::uint32_t site) const;
  /// Something is free, or ready in a reservation that has begun.
  bool any_to_give() const;
  /// Workers that a requester holds in the ledger, reserved ones included.
  std::int64_t held(std::uint32_t requester) const;
  /// What it would borrow beyond its nominal quota with `more` workers.
  std::int64_t borrowed(std::uint32_t requester, std::int64_t more = 0) const;
  alloc::QuotaId quota(std::uint32_t requester) const noexcept { return quota_of_[requester]; }
  const alloc::ReservationManager& manager() const noexcept { return manager_; }
  bool has_quotas() const noexcept { return has_quotas_; }
  bool serves(std::uint32_t site, std::string_view device) const noexcept;

 private:
  void count_sites(const ResourceConfig& pool, std::size_t max_workers);
  void add_quotas(const SchedulerConfig& config);
  void own_the_rest(std::size_t workers);
  bool room_ahead(std::uint32_t site, const Wish& wish, std::size_t count,
                  std::span<const BookingId> gone) const;
  std::int64_t preemptible_at(std::uint32_t site, Time at) const;
  std::optional<BookingId> draw(const Wish& wish);
  const alloc::Request& request_for(std::uint32_t site, const Wish& wish, std::size_t count);
  std::optional<alloc::ReservationId> hold_ready(std::uint32_t site, std::uint32_t requester);
  BookingId add(Booking booking);
  void release(alloc::ReservationId id);
  void gather(Block& block);
  void end_block(std::map<std::uint64_t, Block>::iterator at);
  void look_ahead();
  std::int64_t most_ahead(std::uint32_t requester) const;

  std::vector<std::string> names_;
  std::vector<std::int64_t> nominal_;  // per requester; -1: no quota
  std::vector<std::int64_t> most_;     // per requester: nominal + borrow
  std::vector<alloc::QuotaId> quota_of_;
  mutable std::vector<std::optional<std::uint32_t>> owner_of_;
  alloc::QuotaId root_ = alloc::QuotaId::none;
  std::map<std::int64_t, alloc::QuotaId> rests_;  // nodes of what nobody owns; one is below root_
  alloc::QuotaId rest_ = alloc::QuotaId::none;
  std::int64_t owned_ = 0;
  std::vector<std::size_t> floor_;  // per requester: its own that is never lent
  bool has_quotas_ = false;
  bool many_devices_ = false;
  Time grace_;
  std::size_t capacity_ = 0;
  alloc::ReservationManager manager_;
  std::vector<Site> sites_;
  std::vector<alloc::Timeline> ahead_;        // per site; empty while nothing is promised
  std::vector<alloc::Timeline> promised_to_;  // per requester, likewise
  std::vector<Booking> bookings_;
  std::vector<BookingId> free_bookings_;
  std::map<std::uint64_t, Block> blocks_;
  std::map<std::uint64_t, alloc::SpanId> promise_of_;  // block -> span in promised_to_
  std::uint64_t next_block_ = 1;
  std::uint64_t last_order_ = 0;
};

}  // namespace reeve::bridge::detail
