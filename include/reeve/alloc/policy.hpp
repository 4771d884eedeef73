// Policies: pure functions that order requests, admit them, and filter, score and pick candidates.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "reeve/alloc/model.hpp"

namespace reeve::alloc {

/// One waiting request, as a policy sees it.
struct Pending {
  std::uint64_t ticket = 0;  ///< ascending in order of arrival: the last tie-break
  std::uint32_t user = 0;    ///< position in QueueView::users
  std::int32_t priority = 0;
  Time submitted = 0;
  Time duration = forever;
  QuotaId quota = QuotaId::none;
  Amounts amount;  ///< of the whole gang
};

/// A requester with what it holds now.
struct UserView {
  std::string_view name;
  Amounts usage;
  std::int64_t tasks = 0;
};

/// What every ordering and admission may look at.
struct QueueView {
  Time now = 0;
  Amounts total;  ///< capacity of the cluster
  std::span<const UserView> users;
  const QuotaTree* quotas = nullptr;
  const Dimensions* dims = nullptr;  ///< names and units for refusals
};

/// A resource on which a piece fits.
struct Candidate {
  ResourceId id{};
  const Amounts& capacity;
  const Amounts& free;   ///< before the piece is placed
  const Amounts& scale;  ///< largest capacity of one resource, per dimension
  bool preferred = false;
};

/// A candidate with its scores; unused ones are 0.
struct Scored {
  ResourceId id{};
  std::array<std::int64_t, 4> scores{};
};

/// Which of two goes first; `equivalent` leaves it to the next ordering and then to arrival.
using Ordering =
    std::function<std::weak_ordering(const QueueView&, const Pending&, const Pending&)>;
/// Whether a request may be placed now, whatever is free; a refusal names the rule.
using Admission = std::function<Result<void>(const QueueView&, const Pending&)>;
using Filter = std::function<bool(const Amounts& piece, const Candidate&)>;
/// Lower is better; parts per million where amounts are compared.
using Score = std::function<std::int64_t(const Amounts& piece, const Candidate&)>;
/// Position in a non-empty list, which is in ascending order of id.
using Pick = std::function<std::size_t(std::span<const Scored>)>;

/// How a piece is placed: filter, then scores compared from first to last (at most four), then
/// pick.
struct PlacementRule {
  Filter filter{};              ///< empty: all
  std::vector<Score> scores{};  ///< empty: the strategy of the call
  Pick pick{};                  ///< empty: the lowest scores, ties to the lower id
};

/// Who shares with whom, by weighted dominant share over the dimensions that `shared` names.
struct ShareSpec {
  std::vector<DimId> shared;  ///< empty: all
  std::map<std::string, std::uint32_t, std::less<>> weights;
  std::map<std::string, std::string, std::less<>> group_of;  ///< user or group -> group
};

/// A whole policy; every part may be empty. Policies compose with `|`: the left one decides first.
struct Policy {
  std::string name;
  Ordering order{};
  Admission admit{};
  PlacementRule placement{};
  /// Non-null: users take turns by share, and `order` ranks the requests of one user.
  std::shared_ptr<const ShareSpec> shares{};
};

/// Left first, then right; both must admit; all filters hold; scores left to right; shares and pick
/// of the left one where it has any.
Policy operator|(Policy left, Policy right);

/// `then(a, b)`: a, and b among those that a leaves equivalent.
Ordering then(Ordering first, Ordering second);
/// The sum of scores times weights, saturating.
Score weighted(std::vector<std::pair<Score, std::int32_t>> parts);

// Orderings.
Ordering by_arrival();
Ordering by_shortest();  ///< duration

/// Priority that grows while a request waits.
struct Ageing {
  Time period = 0;                    ///< each of these waited adds `step`; 0: no ageing
  std::int32_t step = 1;              ///< priority gained per period
  std::int32_t gained_max = 1 << 20;  ///< most that ageing adds
};
/// Effective priority, highest first; `of` adds to the priority of every request of a requester.
Ordering by_priority(Ageing ageing = {}, std::map<std::string, std::int32_t, std::less<>> of = {});
/// Effective priority of a request at `now`.
std::int64_t aged_priority(std::int32_t priority, Time waited, const Ageing& ageing);

/// Weighted dominant share of the requester, least first, as an exact fraction.
Ordering by_share(ShareSpec spec = {});
/// Requests that stay within the nominal amounts of their quota node, before those that borrow.
Ordering by_borrowing();

// Scores: what is left (or used) is measured in each dimension that the piece asks for.
Score least_left();  ///< best fit
Score most_left();   ///< worst fit
Score least_used();  ///< lowest utilisation, of the fullest dimension
Score lowest_id();   ///< first fit
Score preferred_first();

/// One shape of the expected mix of work.
struct Shape {
  Amounts amount;
  std::uint32_t weight = 1;  ///< how often it comes
};
/// Increase of fragmentation: free capacity in `dim` on which shapes of `mix` no longer fit.
/// Source: Weng et al., "Beware of Fragmentation", USENIX ATC 2023, for undivided resources; see
/// DeviceCluster for those that consist of devices.
Score least_fragmenting(std::vector<Shape> mix, DimId dim);
/// Free capacity in `dim` of a resource with `free`, weighted over the shapes that do not fit it.
/// In canonical units times the sum of weights; saturating.
std::int64_t fragmentation(const Amounts& free, std::span<const Shape> mix, DimId dim);

// Policies.
Policy fifo();
Policy shortest_job_first();
Policy best_fit();
Policy worst_fit();
Policy first_fit();
Policy fragmentation_aware(std::vector<Shape> mix, DimId dim);
/// One of the `k` best, drawn by a hash of all scores and `seed`: spreads herds, still
/// deterministic.
Pick pick_among_best(std::size_t k, std::uint64_t seed);

/// Max-min fairness over one dimension: whoever has least goes next.
class FairPolicy {
 public:
  explicit FairPolicy(DimId dim) : dim_(dim) {}
  operator Policy() const;

 private:
  DimId dim_;
};

/// Dominant resource fairness: weighted, and hierarchical where groups are named.
class DrfPolicy {
 public:
  /// Errors: invalid_amount (weight 0).
  Result<void> set_weight(std::string name, std::uint32_t weight);
  /// Puts a user or group below `group`.
  /// Errors: invalid_request (a group would be its own ancestor).
  Result<void> set_group(std::string name, std::string group);
  operator Policy() const;

 private:
  ShareSpec spec_;
};

/// Max-min fairness over one dimension in proportion to weights.
class WeightedPolicy {
 public:
  explicit WeightedPolicy(DimId dim) { spec_.shared = {dim}; }
  /// Errors: invalid_amount (weight 0).
  Result<void> set_requester_weight(std::string requester, std::uint32_t weight);
  operator Policy() const;

 private:
  ShareSpec spec_;
};

/// Highest priority first; waiting raises it where `ageing` says so.
class PriorityPolicy {
 public:
  explicit PriorityPolicy(Ageing ageing = {}) : ageing_(ageing) {}
  PriorityPolicy& set_requester_priority(std::string requester, std::int32_t priority);
  operator Policy() const;

 private:
  Ageing ageing_;
  std::map<std::string, std::int32_t, std::less<>> of_;
};

/// Holds back what exceeds its quota node (borrowing and lending limits included) and lets those
/// within their nominal amounts go first. `everyone_has_quota` also refuses requests without one.
class QuotaPolicy {
 public:
  explicit QuotaPolicy(bool everyone_has_quota = false) : strict_(everyone_has_quota) {}
  operator Policy() const;

 private:
  bool strict_;
};

}  // namespace reeve::alloc
