// Where a request goes among nodes with so much free each.
#pragma once

#include <array>
#include <span>
#include <string>
#include <vector>

#include "reeve/alloc/node_simulator.hpp"

namespace reeve::alloc::detail {

/// What is free of one node, or what there is.
struct FreeNode {
  std::int64_t memory = 0;  // uncounted, for ever, where nobody counts it
  std::int32_t processors = 0;

  friend bool operator==(const FreeNode&, const FreeNode&) = default;
};

using FreeNodes = std::vector<FreeNode>;

void take_shares(FreeNodes& nodes, std::span<const NodeShare> shares);
void give_shares(FreeNodes& nodes, std::span<const NodeShare> shares);

/// What of can_run() needs no machine.
Result<void> check_request(const NodeRequest& request);

/// The nodes of a machine, and which of them have what.
class NodeFit {
 public:
  explicit NodeFit(const NodeMachine& machine);

  /// A request whose conditions were looked up.
  struct Part {
    std::int32_t count;
    std::int32_t processors;
    std::int64_t memory;
    std::size_t fit_for;  // position in fit_for_
  };
  struct Wanted {
    std::vector<Part> parts;
    bool apart;
    bool alone;
    std::int64_t processors;  // in all
  };

  /// Preconditions: check_request() finds no fault.
  Wanted look_up(const NodeRequest& request);

  /// On the lowest nodes that have room: what they give, in `shares`; nothing there if null.
  /// False, and `shares` without meaning, when there is no place.
  bool place(const Wanted& wanted, std::span<const FreeNode> free,
             std::vector<NodeShare>* shares) const;

  /// What the empty machine lacks for `request`. Preconditions: those of look_up().
  Result<void> explain(const NodeRequest& request);

  const FreeNodes& capacity() const noexcept { return capacity_; }

 private:
  // How many nodes there are for each set of parts that they can take; what each part wants.
  using Masks = std::array<std::int64_t, std::size_t{1} << node_parts_max>;
  using PerPart = std::array<std::int64_t, node_parts_max>;

  bool has(std::size_t node, std::size_t group, const Constraint& c) const;
  std::size_t nodes_for(const std::vector<Constraint>& where);
  std::int64_t room(const Part& part, bool alone, std::size_t node, const FreeNode& free) const;
  NodeShare share(const Part& part, bool alone, std::size_t node, std::int64_t pieces) const;
  bool place_together(const Wanted& wanted, std::span<const FreeNode> free,
                      std::vector<NodeShare>* shares) const;
  bool place_alike(const Wanted& wanted, std::span<const FreeNode> free,
                   std::vector<NodeShare>* shares) const;
  bool place_parts(const Wanted& wanted, std::span<const FreeNode> free,
                   std::vector<NodeShare>* shares) const;
  std::size_t mask_of(const Wanted& wanted, std::size_t node, const FreeNode& free) const;
  Masks count_masks(const Wanted& wanted, std::span<const FreeNode> free) const;
  static std::int64_t shortage(const Masks& nodes, const PerPart& wanted, std::size_t parts);
  Result<void> explain_part(const NodePart& part, const NodeRequest& request);

  std::vector<Capabilities> has_;  // of a group
  std::vector<std::size_t> group_of_;
  std::vector<std::string> names_;
  FreeNodes capacity_;
  std::vector<std::vector<Constraint>> where_;
  std::vector<std::vector<char>> fit_for_;  // by node, for each of where_
};

}  // namespace reeve::alloc::detail
