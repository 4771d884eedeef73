// Dominant resource fairness: weighted, hierarchical, with exact comparisons.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "reeve/alloc/quantity.hpp"

namespace reeve::alloc {

/// A leaf (user) or inner node (group) of a ShareTree.
enum class ShareId : std::uint32_t { root = 0 };

/// Keeps users and groups in the order of dominant share / weight.
///
/// The dominant share of a node is the largest, over dimensions, of its usage / total. Shares are
/// compared as fractions with 192-bit products, never as floating point. Ties: fewer allocations,
/// then lower id. Only nodes with an active user below them take part.
///
/// Limit: a group's share is that of its summed usage; a group with a blocked user is not rescaled.
/// Threads: one writer.
/// Source:  Ghodsi et al., "Dominant Resource Fairness", NSDI 2011.
class ShareTree {
 public:
  /// Preconditions: no dimension of `total` is negative; a dimension of 0 is not shared.
  explicit ShareTree(const Amounts& total);

  /// A new inactive node below `parent`. A node that gets a child becomes a group.
  /// Errors: invalid_amount (weight 0), invalid_request (unknown parent, or one that has usage or
  /// is active).
  Result<ShareId> add(ShareId parent = ShareId::root, std::uint32_t weight = 1);

  /// Whether this user wants anything now.
  /// Preconditions: a leaf. Cost: O(depth * log siblings).
  void set_active(ShareId user, bool active);

  /// Adds `delta` (negative: gives back) to the user and its groups; `tasks` likewise.
  /// Preconditions: a leaf. Cost: O(depth * log siblings), no allocation.
  void charge(ShareId user, const Amounts& delta, std::int32_t tasks = 1);

  /// The active user that is furthest behind, from the root down; nothing when none is active.
  std::optional<ShareId> next() const;

  const Amounts& usage(ShareId id) const { return nodes_[index(id)].usage; }
  std::int64_t tasks(ShareId id) const { return nodes_[index(id)].tasks; }
  std::size_t size() const noexcept { return nodes_.size(); }

  /// Dominant share / weight of `a` is below that of `b`; ties as above.
  bool before(ShareId a, ShareId b) const;

 private:
  struct Node {
    std::uint32_t parent = 0;
    std::uint32_t weight = 1;
    bool active = false;
    Amounts usage;
    std::int64_t tasks = 0;
    std::int64_t share_used = 0;  // dominant share = used / total
    std::int64_t share_total = 1;
    std::uint32_t heap_position = UINT32_MAX;
    std::vector<std::uint32_t> heap;  // active children, least share first
    std::uint32_t children = 0;
  };
  static std::size_t index(ShareId id) noexcept { return static_cast<std::size_t>(id); }
  bool less(std::uint32_t a, std::uint32_t b) const;
  void refresh(Node& node) const;
  void reposition(std::uint32_t child);
  void enter(std::uint32_t child);
  void leave(std::uint32_t child);
  void sift(std::vector<std::uint32_t>& heap, std::uint32_t at);

  Amounts total_;
  std::vector<Node> nodes_;
};

}  // namespace reeve::alloc
