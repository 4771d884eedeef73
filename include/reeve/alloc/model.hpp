// The nouns of the allocator: resources, demands, requests, reservations.
#pragma once

#include <compare>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "reeve/alloc/capability.hpp"
#include "reeve/alloc/quantity.hpp"
#include "reeve/alloc/quota.hpp"

namespace reeve::alloc {

/// Given out by registration, never reused.
enum class ResourceId : std::uint32_t {};

/// Slot and generation: a stale id is recognised for ever.
struct ReservationId {
  std::uint32_t slot = UINT32_MAX;
  std::uint32_t generation = 0;
  friend auto operator<=>(const ReservationId&, const ReservationId&) = default;
};

/// Something that has capacity.
struct Resource {
  std::string name;
  Amounts capacity;
  Capabilities capabilities{};
};

/// What a resource is doing, computed from its amounts; never stored.
enum class ResourceState : std::uint8_t { available, reserved, in_use, maintenance, removed };

const char* to_string(ResourceState) noexcept;

/// One part of a gang: `count` equal pieces.
struct Demand {
  Amounts amount;
  std::vector<Constraint> where{};
  std::vector<ResourceId> preferred{};
  std::int32_t count = 1;
  Amounts least{};  ///< elastic: accepts down to this; all zero: rigid
};

/// How the pieces of a gang lie on resources (or on domains, see Request::spread_domain).
enum class Spread : std::uint8_t {
  any,
  pack,           ///< few resources, if possible
  spread,         ///< many resources, if possible
  strict_pack,    ///< one resource, or refused
  strict_spread,  ///< a different one for each piece, or refused
};

/// "Near" or "not near" live reservations that carry `label`.
struct Affinity {
  std::string label;
  bool anti = false;
  bool hard = true;
  std::string domain{};  ///< capability that names the domain (rack, zone); empty: the resource

  friend bool operator==(const Affinity&, const Affinity&) = default;
};

/// A gang of demands, placed all or not at all.
struct Request {
  std::vector<Demand> gang;
  QuotaId quota = QuotaId::none;
  std::int32_t priority = 0;  ///< higher goes first and may preempt lower
  Spread spread = Spread::any;
  std::string spread_domain{};  ///< capability that names the domain; empty: the resource
  std::string label{};          ///< what affinities of others refer to
  std::vector<Affinity> affinity{};
  /// ns of the manager's clock (see Time); 0 or past: at once, but a window that is wholly past is
  /// refused. In an hour: `manager.now() + ticks(1h)`.
  Time not_before = 0;
  Time duration = forever;  ///< ns: `ticks(30min)`
  std::string key{};        ///< idempotency key; empty: none
  /// Stays the same when a preempted request is submitted again, so that preemptions cannot go
  /// round in circles (see EvictionHistory); 0: none.
  std::uint64_t identity = 0;
};

/// Which resource a piece goes to, among those that fit. Ties go to the lower id.
enum class Strategy : std::uint8_t {
  greedy,     ///< most free capacity
  balanced,   ///< least utilised
  priority,   ///< preferred ones, then most free
  quota,      ///< balanced; the request must name a quota
  optimized,  ///< half utilisation, half preference
  best_fit,   ///< least left over
  worst_fit,  ///< most left over: another name of greedy
  first_fit,  ///< lowest id
};

/// Part of a reservation on one resource.
struct Line {
  ResourceId resource{};
  Amounts amount;
  Amounts least{};  ///< what an elastic piece may be shrunk to; equal to amount when rigid
  friend bool operator==(const Line&, const Line&) = default;
};

enum class State : std::uint8_t { held, confirmed, released, expired, cancelled, preempted };

const char* to_string(State) noexcept;
constexpr bool terminal(State s) noexcept {
  return s != State::held && s != State::confirmed;
}

/// One reservation, as the manager keeps it.
struct Reservation {
  std::uint32_t generation = 0;
  std::uint32_t owner = 0;
  QuotaId quota = QuotaId::none;
  std::int32_t priority = 0;
  State state = State::released;
  bool started = false;  ///< false: its window lies ahead, or its capacity is not free yet
  bool overrun = false;  ///< its window is over and it was not released
  Time created = 0;
  Time deadline = forever;  ///< of the hold; half-open
  Time start = 0;
  Time end = forever;
  std::uint64_t identity = 0;
  std::vector<Line> lines;
  struct Tags {
    std::string label;
    std::vector<Affinity> affinity;
    std::string key;
  };
  std::unique_ptr<Tags> tags;  ///< only where the request has any
};

}  // namespace reeve::alloc
