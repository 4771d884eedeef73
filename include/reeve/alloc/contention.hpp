// Contention: how much more is wanted than there is, what can be done, and what it did.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "reeve/alloc/preemption.hpp"
#include "reeve/alloc/resource_allocator.hpp"

namespace reeve::alloc {

enum class Severity : std::uint8_t { none, low, medium, high, critical };

const char* to_string(Severity) noexcept;

/// By demand / supply: up to 1 none, 1.2 low, 1.5 medium, 2 high, above that critical.
/// Preconditions: neither is negative.
constexpr Severity severity_of(std::int64_t demand, std::int64_t supply) {
  const auto within =
      [&](std::int64_t tenths) {  // demand * 10 <= supply * tenths, without overflow
        return demand / tenths < supply / 10 ||
               (demand / tenths == supply / 10 && demand % tenths * 10 <= supply % 10 * tenths);
      };
  return demand <= supply ? Severity::none
         : within(12)     ? Severity::low
         : within(15)     ? Severity::medium
         : within(20)     ? Severity::high
                          : Severity::critical;
}
static_assert(severity_of(10, 10) == Severity::none);
static_assert(severity_of(12, 10) == Severity::low);
static_assert(severity_of(121, 100) == Severity::medium);
static_assert(severity_of(20, 10) == Severity::high);
static_assert(severity_of(21, 10) == Severity::critical);
static_assert(severity_of(1, 0) == Severity::critical);

/// Resources of one class that are asked for beyond what they are.
struct Contention {
  std::uint64_t id = 0;
  DimId dim = 0;
  std::vector<Constraint> where;  ///< the class: what the waiting demands insist on
  std::int64_t demand = 0;  ///< in use by anybody, and waiting; a window of who waits is no use
  std::int64_t supply = 0;  ///< capacity that accepts work
  std::int64_t unmet = 0;   ///< waiting, beyond what is free
  Severity severity = Severity::none;
  Time since = 0;
  std::vector<Ticket> waiting;  ///< those that ask for it, in order of arrival
};

/// Measures what waits against what there is. An event opens when demand exceeds supply and
/// closes only when a measurement says that it no longer does, whatever was done about it.
class ContentionDetector {
 public:
  /// Opens, updates and closes; returns what is open, by id.
  const std::vector<Contention>& measure(const ResourceAllocator& allocator);

  const std::vector<Contention>& open() const noexcept { return open_; }
  std::uint64_t opened() const noexcept { return next_ - 1; }
  std::uint64_t closed() const noexcept { return closed_; }

 private:
  std::vector<Contention> open_;
  std::uint64_t next_ = 1;
  std::uint64_t closed_ = 0;
};

enum class Resolution : std::uint8_t { wait, priority, preempt, scale, redistribute };

const char* to_string(Resolution) noexcept;

/// low: wait; medium: redistribute; high: priority; critical: preempt.
Resolution usual_resolution(Severity) noexcept;

/// What a resolution would do. Making one changes nothing.
struct ResolutionPlan {
  std::uint64_t event = 0;
  Resolution how = Resolution::wait;
  std::uint64_t version = 0;           ///< of the allocator; another one makes the plan stale
  Ticket beneficiary{};                ///< wait, preempt, redistribute: the request it is made for
  Time until = 0;                      ///< wait: when the beneficiary fits
  std::vector<Ticket> order;           ///< priority: in which order they will be served
  std::vector<ReservationId> victims;  ///< preempt: to be ended
  std::vector<ReservationId> shrink;   ///< redistribute: to be shrunk to their least
  std::vector<Resource> add;           ///< scale: to be registered
};

/// What applying a plan did.
struct Evidence {
  Resolution how = Resolution::wait;
  Amounts freed;  ///< taken from victims or elastic reservations
  Amounts added;  ///< new capacity
  std::vector<CycleReport::Grant> granted;
  std::vector<ResourceId> resources;  ///< registered
  std::uint64_t journal_from = 0;     ///< entries [from, to) are the transaction
  std::uint64_t journal_to = 0;
};

struct ResolverOptions {
  PreemptionRules preemption{};  ///< always with the allocator's history: nobody takes revenge
  Strategy strategy = Strategy::balanced;
  std::size_t scale_max = 16;  ///< most resources that one plan adds
};

/// Plans and applies resolutions on one allocator.
///
/// Lifetime: the allocator outlives the resolver. Threads: one at a time.
class Resolver {
 public:
  explicit Resolver(ResourceAllocator& allocator, ResolverOptions options = {})
      : allocator_(&allocator), options_(options) {}

  /// The beneficiary is the waiting request of highest priority, then of earliest arrival. A window
  /// that is booked ahead for it is in nobody's way: it goes when the plan is applied.
  /// Errors: invalid_request (nobody waits any more); busy when this resolution cannot help: no
  ///         known end (wait), no eligible victims (preempt), nothing elastic (redistribute), no
  ///         resource of the class to copy or too many needed (scale).
  Result<ResolutionPlan> plan(const Contention& event, Resolution how);

  /// Carries a plan out as one transaction: all of it, or nothing.
  /// Errors: stale_plan, and those of the verbs, with nothing changed.
  Result<Evidence> apply(const ResolutionPlan& plan);

 private:
  Result<void> plan_scale(const Contention& event, ResolutionPlan& plan) const;
  Result<void> plan_redistribute(const ResourceAllocator::Entry& entry, ResolutionPlan& plan);
  Result<void> apply_replacing(const ResolutionPlan& plan, Evidence& evidence);
  Result<void> apply_scale(const ResolutionPlan& plan, Evidence& evidence);

  ResourceAllocator* allocator_;
  ResolverOptions options_;
};

}  // namespace reeve::alloc
