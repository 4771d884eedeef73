// ResourceAllocator: a queue in front of a ReservationManager, served by a policy.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "reeve/alloc/policy.hpp"
#include "reeve/alloc/preemption.hpp"
#include "reeve/alloc/reservation_manager.hpp"

namespace reeve::alloc {

/// A place in the queue; ascending, never reused.
enum class Ticket : std::uint64_t {};

/// What happens behind a request that does not fit.
enum class QueueRule : std::uint8_t {
  strict,   ///< it blocks its queue (of its user, where users take turns by share)
  skip,     ///< others pass
  reserve,  ///< it gets a window ahead, and others pass where they do not delay it
};

struct AllocatorOptions {
  QueueRule rule = QueueRule::skip;
  /// `reserve`: how many blocked requests get a window. 1 is EASY, 64 a usual hybrid,
  /// SIZE_MAX conservative.
  std::size_t depth = 1;
  std::size_t waiting_max = 65536;  ///< a longer queue refuses new requests
  bool confirm = true;              ///< grants are confirmed at once; else they are holds
  std::size_t remembered = 65536;   ///< idempotency keys kept, beside those of who waits
};

/// What became of the queue in one cycle.
struct CycleReport {
  struct Grant {
    Ticket ticket;
    ReservationId reservation;
    Time waited;
    friend bool operator==(const Grant&, const Grant&) = default;
  };
  /// Why a request still waits.
  struct Waiting {
    Ticket ticket;
    Refusal why;                ///< `earliest` is its window, where it has one
    bool behind_other = false;  ///< it was not tried: `strict` holds it behind another
  };
  std::vector<Grant> granted;  ///< in the order of the policy
  std::vector<Waiting> waiting;
};

/// Queues requests and grants them in the order of a policy; every amount is in the manager's
/// ledger.
///
/// Usage by which fair policies judge is what the ledger says of the requester, whoever reserved
/// it. Equal input gives an equal sequence of grants.
///
/// Lifetime: the manager outlives the allocator. Threads: one at a time.
class ResourceAllocator {
 public:
  explicit ResourceAllocator(ReservationManager& manager, Policy policy = fifo(),
                             AllocatorOptions options = {});

  /// Replaces the policy; the queue stays.
  void set_policy(Policy policy) { policy_ = std::move(policy); }
  const Policy& policy() const noexcept { return policy_; }

  /// Appends to the queue.
  ///
  /// A key in the request stands for one ticket: whoever repeats the call gets it again and queues
  /// nothing, whether the request still waits, was granted, was evicted (it waits again under that
  /// ticket) or has ended. Who wants the same once more takes another key; withdraw() sets a key
  /// free. Keys of this queue are apart from those of the manager, which sees none of them.
  ///
  /// Errors: those of create_reservation that no waiting can mend; busy when the queue is full;
  ///         key_conflict (the key stands for another requester or request).
  Result<Ticket> submit(std::string_view requester, Request request);

  /// Leaves the queue; its key and its evictions are forgotten.
  /// Errors: invalid_request (not waiting).
  Result<void> withdraw(Ticket ticket);

  /// Ends reservations that this allocator granted, puts their requests back into the queue under
  /// their old tickets, and grants `ticket` in their place: all of it, or nothing. `shrunk` give
  /// the elastic part of theirs. A window booked ahead for `ticket` is given back and is not in its
  /// way; victims may be windows of others, which get new ones in the next cycle.
  /// Errors: invalid_request (not waiting), and those of ReservationManager::replace.
  Result<ReservationId> grant_by_preemption(Ticket ticket, std::span<const ReservationId> victims,
                                            std::span<const ReservationId> shrunk = {},
                                            Strategy strategy = Strategy::balanced);
  /// Who evicted whom by that; hand it to PreemptionRules.
  const EvictionHistory& evictions() const noexcept { return evictions_; }

  /// Grants what the policy allows, in its order.
  /// Cost: O(waiting * log waiting) comparisons and one placement per request tried; under
  /// QueueRule::reserve, besides, a search for each window and at most four in vain, each of one
  /// placement for every end of a live reservation.
  CycleReport schedule();

  /// One request, in turn with those that wait: granted now, or refused and not queued. With a key
  /// that stands for a granted request it returns that reservation, ended or not; one that waits is
  /// tried and goes on waiting.
  /// Errors: those of submit and create_reservation; invalid_request when others go first.
  Result<ReservationId> allocate(std::string_view requester, const Request& request);

  struct Entry {
    Ticket ticket{};
    std::string requester;
    Request request;  ///< without its key
    Time submitted = 0;
    ReservationId window{};  ///< booked ahead by QueueRule::reserve
    bool has_window = false;
    std::int32_t boost = 0;  ///< added to the request's priority, see raise()
  };
  /// Those that wait, in order of arrival.
  const std::vector<Entry>& waiting() const noexcept { return waiting_; }
  const Entry* find(Ticket ticket) const;

  /// Adds to the priority of a waiting request. Errors: invalid_request (not waiting).
  Result<void> raise(Ticket ticket, std::int32_t by);

  /// Ledger length and queue changes: a plan made at another version is stale.
  std::uint64_t version() const noexcept { return manager_->ledger().length() + changes_; }

  ReservationManager& manager() noexcept { return *manager_; }
  const ReservationManager& manager() const noexcept { return *manager_; }

  /// Capacity of all resources that accept work.
  Amounts capacity() const;

 private:
  class Cycle;

  ReservationManager* manager_;
  Policy policy_;
  AllocatorOptions options_;
  void remember(Entry entry, ReservationId id);
  void forget_ended();
  void forget_keys();
  void begin_now(Request& request) const;

  struct Known {
    std::uint64_t digest = 0;
    Ticket ticket{};
    ReservationId granted{};  // last
  };

  std::vector<Entry> waiting_;
  std::map<ReservationId, Entry> running_;  // granted, to be queued again when evicted
  EvictionHistory evictions_;
  std::unordered_map<std::string, Known> keys_;
  std::map<Ticket, std::string> key_of_;
  std::uint64_t next_ticket_ = 1;
  std::uint64_t changes_ = 0;
};

}  // namespace reeve::alloc
