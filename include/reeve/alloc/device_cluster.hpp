// Nodes whose devices (GPUs) are shared in parts, and where to put the next piece of work.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "reeve/alloc/quantity.hpp"

namespace reeve::alloc {

/// What one piece of work takes from one node. One device may be taken in part, several only whole.
struct DeviceDemand {
  Amounts amount;                     ///< beside the devices: cores, memory, ...
  std::int32_t devices = 0;           ///< how many
  std::int64_t share = 1000;          ///< thousandths of each; below 1000 only with one device
  std::vector<std::string> models{};  ///< empty: any

  friend bool operator==(const DeviceDemand&, const DeviceDemand&) = default;
};

/// Which node and device, among those that fit. Ties go to the lower node, then the lower device.
enum class DeviceRule : std::uint8_t {
  best_fit,   ///< least left: half the first dimension, half the devices; the fullest device
  worst_fit,  ///< most left; the emptiest device
  first_fit,  ///< lowest node, lowest device
  fragmentation_aware,  ///< least increase of device capacity that the mix cannot use, in steps
};

/// Where a piece lies; hand it back to release().
struct DevicePlacement {
  std::uint32_t shape = 0;
  std::uint32_t node = 0;
  std::vector<std::uint8_t> devices;
};

/// A cluster of nodes with devices in thousandths. Scores are kept per shape of demand and made
/// anew only for nodes that changed since the shape was placed last.
///
/// Threads: one at a time.
/// Source:  Weng et al., "Beware of Fragmentation: Scheduling GPU-Sharing Workloads with
///          Fragmentation Gradient Descent", USENIX ATC 2023.
class DeviceCluster {
 public:
  static constexpr std::int64_t whole = 1000;

  explicit DeviceCluster(DeviceRule rule) : rule_(rule) {}

  /// Preconditions: nothing placed yet.
  /// Errors: invalid_amount (negative capacity, more than 64 devices).
  Result<std::uint32_t> add_node(const Amounts& capacity, std::int32_t devices, std::string model);

  /// Names a shape; `weight` is how often the mix has it (0: not part of it).
  /// Preconditions: nothing placed yet.
  /// Errors: invalid_amount, invalid_request (a part of several devices).
  Result<std::uint32_t> add_shape(const DeviceDemand& demand, std::uint32_t weight = 1);

  /// Errors: busy (no node has room now), unmet_constraint (no node has the model).
  /// Cost: O(nodes changed since this shape came last + nodes / 16), no allocation but the answer.
  Result<DevicePlacement> place(std::uint32_t shape);

  /// Preconditions: the placement was given out and not released.
  void release(const DevicePlacement& placement);

  /// Takes a placement again, for example one read from a log.
  /// Preconditions: there is room for it.
  void restore(const DevicePlacement& placement);

  /// Free thousandths of the devices of a node.
  std::span<const std::int32_t> devices(std::uint32_t node) const { return nodes_[node].devices; }
  const Amounts& free(std::uint32_t node) const { return nodes_[node].free; }
  std::size_t size() const noexcept { return nodes_.size(); }
  std::int64_t device_capacity() const noexcept { return total_; }
  std::int64_t device_used() const noexcept { return used_; }
  /// Free device capacity that the mix can not use, in thousandths, weighted.
  double fragmented() const;

 private:
  struct Node {
    Amounts free;
    std::vector<std::int32_t> devices;
    std::uint32_t model = 0;
    std::int32_t free_sum = 0;
    std::int64_t fragmentation = 0;
  };
  struct Shape {
    DeviceDemand demand;
    std::uint32_t weight = 0;
    std::vector<char> model_ok;
    std::vector<std::int64_t> scores;  // by node; INT64_MAX: does not fit
    std::size_t seen = 0;              // position in log_
  };

  bool fits(const Node& node, const Shape& shape) const;
  std::int64_t score(const Node& node, const Shape& shape, std::uint64_t* chosen) const;
  std::int64_t fragmentation(const Amounts& free, std::span<const std::int32_t> devices,
                             std::uint32_t model) const;
  std::int64_t least_fragmenting(const Node& node, const Shape& shape, std::uint64_t* chosen) const;
  std::uint64_t choose(const Node& node, const Shape& shape) const;
  void catch_up(Shape& shape);
  void apply(std::uint32_t node, const Shape& shape, std::span<const std::uint8_t> devices,
             int sign);

  DeviceRule rule_;
  std::vector<Node> nodes_;
  std::vector<Shape> shapes_;
  std::vector<std::string> models_;
  Amounts largest_;
  std::int64_t largest_devices_ = 0;
  std::int64_t total_ = 0;
  std::int64_t used_ = 0;
  std::int64_t sum_ = 0;            // of weights
  std::int64_t weights_ = 1;        // the same, at least 1
  bool measured_ = false;           // fragmentation of all nodes, at the first place()
  std::vector<std::uint32_t> log_;  // nodes in the order they changed
  std::vector<std::uint64_t> stamp_;
  std::uint64_t stamp_now_ = 0;
};

}  // namespace reeve::alloc
