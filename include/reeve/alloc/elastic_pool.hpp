// A group of equal resources that grows and shrinks, and never removes one in use.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "reeve/alloc/resource_allocator.hpp"
#include "reeve/alloc/scaling.hpp"

namespace reeve::alloc {

/// What may change about a pool's size.
enum class PoolKind : std::uint8_t {
  fixed,    ///< nothing: a static pool
  dynamic,  ///< all of it, between size_min and size_max
  elastic,  ///< a fixed core of size_min, and a burst up to size_max that is drained first
};

struct PoolOptions {
  PoolKind kind = PoolKind::elastic;
  std::int32_t size = 1;  ///< at the start
  ScalingLimits limits{};
  std::size_t window = 256;  ///< load samples kept
};

/// From load samples and size to advice: one of scaling.hpp with its rule, or your own.
using Advisor = std::function<ScalingAdvice(std::span<const LoadSample>, std::int32_t size,
                                            const ScalingLimits&)>;

/// What a step of a pool did.
struct PoolStep {
  ScalingAdvice advice;
  std::int32_t added = 0;
  std::int32_t drained = 0;  ///< get nothing new from now on
  std::int32_t resumed = 0;  ///< were draining and are wanted again
  std::int32_t removed = 0;  ///< drained before, and empty now
};

/// Equal resources "name-1", "name-2", ... of one ledger.
///
/// To shrink, the newest members drain; they are removed once nothing lives on them.
///
/// Lifetime: the manager outlives the pool; destroying the pool leaves its resources.
/// Threads:  one at a time.
class ElasticPool {
 public:
  /// Registers `options.size` copies of `model`.
  /// Errors: invalid_request (size outside its limits), and those of register_resource.
  static Result<ElasticPool> create(ReservationManager& manager, Resource model,
                                    PoolOptions options = {});

  /// Samples the load, asks `advisor`, and applies its advice unless the last change is younger
  /// than the cool-down; also removes members that have drained.
  PoolStep step(const Advisor& advisor, double contentions_per_minute = 0,
                double longest_wait_s = 0);

  /// Grows or shrinks to `size` members that accept work, whatever advisors say.
  /// Errors: invalid_request (outside the limits, or the pool is fixed).
  Result<PoolStep> resize(std::int32_t size);

  std::int32_t size() const noexcept { return static_cast<std::int32_t>(members_.size()); }
  std::int32_t draining() const noexcept { return static_cast<std::int32_t>(draining_.size()); }
  const std::vector<ResourceId>& members() const noexcept { return members_; }
  const std::vector<LoadSample>& window() const noexcept { return window_; }
  const std::string& name() const noexcept { return model_.name; }
  PoolKind kind() const noexcept { return options_.kind; }
  /// Used / capacity of the members, in the fullest dimension of the model.
  double utilisation() const;

 private:
  ElasticPool(ReservationManager& manager, Resource model, PoolOptions options)
      : manager_(&manager), model_(std::move(model)), options_(options) {}
  Result<void> add_one(PoolStep& step);
  void set_size(std::int32_t size, PoolStep& step);
  void remove_drained(PoolStep& step);

  ReservationManager* manager_;
  Resource model_;
  PoolOptions options_;
  std::vector<ResourceId> members_;
  std::vector<ResourceId> draining_;
  std::vector<LoadSample> window_;
  std::uint64_t next_ = 1;
  std::optional<Time> last_change_;
};

}  // namespace reeve::alloc
