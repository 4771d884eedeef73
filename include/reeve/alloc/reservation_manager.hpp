// ReservationManager: the verbs on one exact ledger.
#pragma once

#include <array>
#include <deque>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>
#include <vector>

#include "reeve/alloc/ledger.hpp"
#include "reeve/base/clock.hpp"

namespace reeve::alloc {

struct Candidate;
struct PlacementRule;
namespace detail {
class CandidateIndex;
class SlotLists;
class CandidateTree;
struct ClassSet;
struct ClusterView;
}  // namespace detail

/// Lengths and instants of the manager's clock as Time: `manager.now() + ticks(1h)`.
constexpr Time ticks(Clock::duration length) noexcept {
  return length.count();
}
constexpr Time ticks(Clock::time_point at) noexcept {
  return at.time_since_epoch().count();
}

enum class ReleaseOutcome : std::uint8_t { released, partly_released, already_released };

/// Bounds and defaults of a manager.
struct ManagerOptions {
  Time ttl = 300'000'000'000;  ///< ns a hold lives without confirmation (300 s)
  /// Last states of ended reservations, idempotency keys, and requesters that have nothing, kept.
  std::size_t remembered = 65536;
  /// From this many resources on, an index finds where a piece goes; below, a look at each. The
  /// answers are the same.
  std::size_t index_from = 8;
};

/// What `audit()` found: sums over live reservations against the accounts.
struct Audit {
  std::size_t reservations = 0;
  std::vector<std::string> differences;  ///< empty: every account agrees to the unit
  bool clean() const noexcept { return differences.empty(); }
};

/// How often what happened, since construction.
struct ManagerCounts {
  std::uint64_t created = 0;
  std::array<std::uint64_t, 6> reached{};   ///< by State; held and confirmed count arrivals there
  std::array<std::uint64_t, 32> refused{};  ///< create_reservation, by Code
};

/// Reserves capacity of registered resources, now or in a later window, all or nothing.
///
/// Every verb first settles what the clock made due: holds expire, windows begin and end. A window
/// that ends without release goes on ("overrun") until it is released, and what was booked behind
/// it starts late instead of twice. A refused verb changes nothing. A verb with an idempotency
/// key that succeeded once returns that answer again and does nothing, whatever became of it since;
/// the same key with other arguments is key_conflict. Strategy and time to live are arguments; so
/// is whether a placement rule was given (but not which one: functions cannot be compared).
/// Request::identity is none.
///
/// Threads: one at a time. Each verb looks at the clock once: what it decides has one instant.
class ReservationManager {
 public:
  explicit ReservationManager(Dimensions dims, const Clock& clock = SystemClock::instance(),
                              ManagerOptions options = {});
  ReservationManager(ReservationManager&&) noexcept;
  ReservationManager& operator=(ReservationManager&&) noexcept;
  ~ReservationManager();

  /// Every entry from now on goes to `journal`; set it first, before anything is registered.
  void set_journal(Journal journal) { ledger_.set_journal(std::move(journal)); }

  /// Errors: invalid_request (no name), duplicate (name), invalid_amount (negative or no
  ///         capacity), overflow (of cluster totals).
  Result<ResourceId> register_resource(Resource resource);

  /// Changes capacity. Below what is in use the difference is debt: nothing is placed until it is
  /// paid. Errors: unknown_resource, invalid_amount, overflow.
  Result<void> resize_resource(ResourceId id, const Amounts& capacity);

  /// Draining resources keep what they have and get nothing new; `resume_resource` ends that.
  /// Errors: unknown_resource.
  Result<void> drain_resource(ResourceId id);
  Result<void> resume_resource(ResourceId id);

  /// Errors: unknown_resource, in_use.
  Result<void> remove_resource(ResourceId id);

  /// Errors: unknown_resource.
  Result<ResourceId> find_resource(std::string_view name) const;

  /// Errors: those of QuotaTree::add.
  Result<QuotaId> add_quota(QuotaSpec spec) {
    return ledger_.quotas().add(std::move(spec), &dims_);
  }
  Result<void> move_quota(QuotaId node, QuotaId parent) {
    return ledger_.quotas().move(node, parent);
  }

  /// Holds what `request` asks for until it is confirmed or `ttl` is over.
  /// With a key, a repeated call returns the first answer.
  ///
  /// Errors: invalid_request (also: no requester, a window that is over), invalid_amount,
  /// invalid_constraint, unknown_resource (preferred),
  ///         unmet_constraint, infeasible, affinity, busy, quota_exceeded, unknown_quota,
  ///         key_conflict.
  /// Cost:   a piece placed now, by a strategy and without affinity: O(log resources) and those
  ///         passed over, which are few unless what is free is scattered over dimensions; no
  ///         allocation in the long run. Else O(resources) for each piece. A resource with later
  ///         bookings adds O(k log k) of its k lines.
  Result<ReservationId> create_reservation(std::string_view requester, const Request& request,
                                           Strategy strategy = Strategy::balanced,
                                           std::optional<Time> ttl = std::nullopt);

  /// The same, placed by a rule of policy.hpp.
  Result<ReservationId> create_reservation(std::string_view requester, const Request& request,
                                           const PlacementRule& rule,
                                           std::optional<Time> ttl = std::nullopt);

  /// Errors: expired, wrong_state, unknown_reservation. Confirming twice is confirming once.
  Result<void> confirm_reservation(ReservationId id, std::string_view key = {});

  /// Held: lives `by` longer from now. Confirmed with an end: ends `by` later.
  /// Errors: invalid_request (by <= 0), busy, expired, wrong_state, unknown_reservation.
  Result<void> extend_reservation(ReservationId id, Time by, std::string_view key = {});

  /// Gives back everything, or the parts named. Releasing twice is `already_released`.
  /// Errors: not_held, invalid_amount, unknown_resource, unknown_reservation.
  Result<ReleaseOutcome> release_reservation(ReservationId id, std::span<const Line> part = {},
                                             std::string_view key = {});

  /// Errors: wrong_state unless held, unknown_reservation.
  Result<void> cancel_reservation(ReservationId id, std::string_view key = {});

  /// Ends `victims` (preempted) and `released`, shrinks every elastic line of `shrunk` to its
  /// least, and creates `request` in their place; or changes nothing.
  /// With a key in the request, a repeated call returns the first answer.
  /// Errors: those of create_reservation, and of ids that are not live.
  Result<ReservationId> replace(std::span<const ReservationId> victims, std::string_view requester,
                                const Request& request, Strategy strategy = Strategy::balanced,
                                std::span<const ReservationId> shrunk = {},
                                std::span<const ReservationId> released = {});

  /// Shrinks every elastic line of `id` to its least.
  /// Errors: wrong_state, unknown_reservation.
  Result<Amounts> shrink_to_least(ReservationId id, std::string_view key = {});

  /// Settles what the clock made due; returns how many holds expired.
  std::size_t cleanup_expired_reservations();

  /// The lines `request` would get now if `without` were gone and the elastic lines of `shrunk`
  /// were at their least. Changes nothing. Errors: those of create_reservation; of ids that are not
  /// live.
  Result<std::vector<Line>> plan(const Request& request, Strategy strategy = Strategy::balanced,
                                 std::span<const ReservationId> without = {},
                                 std::span<const ReservationId> shrunk = {});

  /// What only those who create are asked for: a requester with a name, and a window that is not
  /// over. Errors: invalid_request.
  static Result<void> validate_entry(std::string_view requester, const Request& request, Time now);

  /// The first instant at which `request` fits, given what is known of the ends of windows, if
  /// `without` were gone.
  /// Errors: busy when no known end helps, and those of create_reservation; of ids that are not
  /// live.
  Result<Time> earliest(const Request& request, Strategy strategy = Strategy::balanced,
                        std::span<const ReservationId> without = {});

  /// State, also of the last ended ones.
  /// Errors: unknown_reservation; wrong_state for one that ended too long ago to know how.
  Result<State> state(ReservationId id) const;
  /// The live reservation, or null.
  const Reservation* find(ReservationId id) const;
  std::size_t live_count() const noexcept { return slots_.size() - free_slots_.size(); }
  /// Ids of live reservations, in slot order.
  std::vector<ReservationId> live() const;

  ResourceState resource_state(ResourceId id) const;
  const Resource& resource(ResourceId id) const { return resources_[static_cast<std::size_t>(id)]; }
  std::size_t resource_count() const noexcept { return resources_.size(); }
  const std::string& owner_name(std::uint32_t owner) const { return owner_names_[owner]; }
  /// Position in Ledger::owners() of a requester that has a reservation or had one; once more than
  /// ManagerOptions::remembered are known, one that has nothing gives its position to a new one.
  std::optional<std::uint32_t> find_owner(std::string_view requester) const;
  /// Live reservations of an owner.
  std::int64_t live_of(std::uint32_t owner) const { return live_of_[owner]; }

  const Ledger& ledger() const noexcept { return ledger_; }
  const Dimensions& dimensions() const noexcept { return dims_; }
  Time now() const { return clock_->now().time_since_epoch().count(); }

  const ManagerCounts& counts() const noexcept { return counts_; }
  /// Instants that settling waits for. When one is added to more than 64, and more than four for
  /// each live reservation, those that mean nothing any more go: however often reservations are
  /// extended, their number follows that of the live ones.
  std::size_t timer_count() const noexcept { return timers_.size(); }

  /// Sums all live reservations again and compares resources, owners and quotas.
  Audit audit() const;

 private:
  struct Timer {
    Time at;
    std::uint8_t kind;  // 0 end, 1 deadline, 2 start: the order in which simultaneous ones run
    ReservationId id;
    friend auto operator<=>(const Timer&, const Timer&) = default;
  };
  struct Known {
    std::uint64_t digest;
    std::variant<std::monostate, ReservationId, ReleaseOutcome, Amounts> answer;
  };
  template <class T, class Verb>
  Result<T> once(std::string_view key, std::uint64_t digest, Verb verb);
  struct Window {
    Time start;
    Time end;
  };

  Reservation* live_record(ReservationId id);
  Refusal refuse_ended(ReservationId id) const;
  void settle();
  void start_due();
  bool try_start(ReservationId id);
  void finish(ReservationId id, State how);
  void remember_end(ReservationId id, State how);
  void add_timer(Timer timer);
  void drop_stale_timers();
  std::uint32_t intern_owner(std::string_view name);
  Result<void> do_confirm(ReservationId id);
  Result<void> do_extend(ReservationId id, Time by);
  Result<ReleaseOutcome> do_release(ReservationId id, std::span<const Line> part);
  Result<void> do_cancel(ReservationId id);
  Result<Amounts> do_shrink(ReservationId id);
  Amounts give_excess(ReservationId id);
  Result<ReservationId> do_replace(std::span<const ReservationId> victims,
                                   std::string_view requester, const Request& request,
                                   Strategy strategy, std::span<const ReservationId> shrunk,
                                   std::span<const ReservationId> released);
  Column column_of(const Reservation& r) const;
  void post(ReservationId id, const Line& line, const Amounts& delta);
  Result<ReservationId> try_create(std::string_view requester, const Request& request,
                                   Strategy strategy, std::optional<Time> ttl);
  Window window_of(const Request& request) const;
  // What a key stands for.
  std::uint64_t question(std::string_view requester, const Request& request, Strategy strategy,
                         std::optional<Time> ttl) const;
  ReservationId open_slot(std::string_view requester, const Request& request, Window window,
                          Time ttl);

  // Planning (placement.cpp): fills plan_ and leaves the accounts as they are.
  Result<void> validate_request(const Request& request, Strategy strategy) const;
  Result<std::vector<Line>> plan_in(const Request& request, Strategy strategy,
                                    std::span<const ReservationId> without,
                                    std::span<const ReservationId> shrunk, Window window);
  Result<void> make_plan(const Request& request, Strategy strategy, Window window);
  Result<void> place_gang(const Request& request, Strategy strategy, Window window, bool least,
                          std::int64_t only_domain);
  Result<void> place_packed(const Request& request, Strategy strategy, Window window, bool least);
  Result<std::size_t> place_piece(const Request& request, const Demand& demand,
                                  const Amounts& amount, Strategy strategy, Window window,
                                  std::int64_t only_domain);
  Refusal explain(const Request& request, const Demand& demand, const Amounts& amount,
                  Window window, bool blocked_by_affinity);
  Refusal explain_time(const Request& request, const Amounts& amount, Window window,
                       std::span<const std::size_t> candidates);
  Refusal too_little(DimId dim, std::int64_t asked, std::int64_t most, Window window) const;
  Time free_until(std::size_t resource, const Amounts& wanted, Window window);
  bool reasons_ = true;  // false: nobody reads why there is too little time
  // The same through the index (indexed_placement.cpp); nothing when it has no such order.
  bool can_use_index(const Request& request, Window window) const;
  std::optional<Result<std::size_t>> place_by_index(const Request& request, const Demand& demand,
                                                    const Amounts& amount, Strategy strategy,
                                                    Window window);
  template <class Accept>
  std::size_t lowest(const detail::CandidateTree& tree, const Amounts& amount,
                     std::uint64_t class_bits, const Demand& demand, Strategy strategy,
                     const Accept& accept) const;
  std::size_t lowest_touched(const Request& request, const Demand& demand, const Amounts& amount,
                             Strategy strategy, Window window, const std::vector<char>& class_ok);
  Refusal explain_by_index(const detail::CandidateTree& tree, const Request& request,
                           const Demand& demand, const Amounts& amount, Window window,
                           const detail::ClassSet& classes);
  detail::ClusterView view() const;
  void changed(std::size_t resource);
  void enlarge(const Amounts& capacity);
  bool fits(std::size_t resource, const Amounts& amount, Window window);
  Amounts peak(std::size_t resource, Window window);
  bool affinity_allows(const Request& request, std::size_t resource) const;
  int soft_misses(const Request& request, std::size_t resource) const;
  bool domain_has(std::size_t resource, const Affinity& rule) const;
  std::int64_t base_score(std::size_t resource, const Demand& demand, const Amounts& amount,
                          Strategy strategy) const;
  std::size_t choose_by_rule(const Demand& demand, const Amounts& amount) const;
  bool rule_allows(std::size_t resource, const Demand& demand, const Amounts& amount) const;
  std::int64_t domain_of(std::size_t resource, const std::string& key) const;
  void clear_plan();
  enum class Seen : char { whole, gone, least };  // what a plan sees of a reservation
  void look_at(std::span<const ReservationId> ids, Seen how);
  Amounts hidden_part(std::uint32_t slot, const Line& line) const {
    return hidden_[slot] == Seen::gone    ? line.amount
           : hidden_[slot] == Seen::least ? line.amount - line.least
                                          : Amounts{};
  }

  Dimensions dims_;
  const Clock* clock_;
  Time at_ = 0;  // of the verb under way: settle() looks at the clock, nothing else does
  ManagerOptions options_;
  Ledger ledger_;
  Amounts total_;    // of capacity
  Amounts largest_;  // capacity of one resource, per dimension; never shrinks
  std::vector<Resource> resources_;
  std::unique_ptr<detail::CandidateIndex> index_;
  std::vector<std::uint32_t> class_of_;  // resources with equal capabilities
  std::vector<Capabilities> classes_;
  std::unique_ptr<detail::SlotLists> on_resource_;  // slots with a line there
  std::vector<std::uint32_t> bookings_on_;          // of those, not started
  std::vector<std::string> owner_names_;
  struct NameHash {
    using is_transparent = void;
    std::size_t operator()(std::string_view s) const noexcept {
      return std::hash<std::string_view>{}(s);
    }
  };
  std::unordered_map<std::string, std::uint32_t, NameHash, std::equal_to<>> owner_ids_;
  std::unordered_map<std::string, std::uint32_t, NameHash, std::equal_to<>> resource_ids_;
  std::vector<std::int64_t> live_of_;  // by owner
  std::size_t next_owner_ = 0;         // where the search for one that has nothing goes on
  std::vector<Reservation> slots_;
  std::vector<std::uint32_t> free_slots_;
  std::vector<Timer> timers_;  // min-heap; stale entries are skipped
  std::vector<ReservationId> due_;
  std::vector<std::pair<ReservationId, State>> ended_;  // a ring once it is full
  std::size_t ended_next_ = 0;                          // where the next one goes
  std::unordered_map<std::string, Known> keys_;
  std::deque<std::string> key_order_;
  std::size_t hard_anti_live_ = 0;
  std::size_t expired_ = 0;
  ManagerCounts counts_;

  // Scratch of one plan.
  const PlacementRule* rule_ = nullptr;
  std::vector<std::uint32_t> ranked_;  // candidates of the lowest rank, for rule_
  std::vector<Line> plan_;
  std::vector<Amounts> overlay_;
  std::vector<std::uint32_t> touched_;
  std::vector<Seen> hidden_;  // by slot
  std::size_t hiding_ = 0;    // how many of those are not whole
  std::vector<char> class_ok_;
  std::vector<std::pair<std::int64_t, int>> used_domains_;
  struct Step {
    Time at;
    Amounts delta;
  };
  std::vector<Step> steps_;  // of peak()
  Amounts peak_begin_;       // usage before them
};

}  // namespace reeve::alloc
