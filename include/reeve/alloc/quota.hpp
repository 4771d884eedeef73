// Quota tree: nominal amounts, borrowing limits and lending limits.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "reeve/alloc/quantity.hpp"

namespace reeve::alloc {

/// A node of a QuotaTree.
enum class QuotaId : std::uint32_t { none = UINT32_MAX };

/// What a quota node owns and how far it shares.
struct QuotaSpec {
  std::string name;
  QuotaId parent = QuotaId::none;
  Limits nominal = Limits::none();  ///< its own; unlimited: not counted in that dimension
  Limits borrow{};                  ///< most it may take from its parent beyond its own
  Limits lend{};                    ///< most of its own that others may use; the rest is its floor
};

/// Usage against quotas, in a forest. Charging a node fills its floor first; only what is above the
/// floor counts at the parent. Changing a quota never changes usage, so `available` can be
/// negative.
///
/// Threads: one writer.
class QuotaTree {
 public:
  /// `dims`, here and below, lets a refusal name the dimension and print amounts in its unit.
  /// Errors: invalid_request (no name), duplicate, unknown_quota (parent), invalid_amount (a
  ///         negative limit).
  Result<QuotaId> add(QuotaSpec spec, const Dimensions* dims = nullptr);

  /// Moves `node` below `parent` (none: makes it a root).
  /// Errors: unknown_quota, cyclic_quota.
  Result<void> move(QuotaId node, QuotaId parent);

  /// Replaces the limits of `node`; name and parent stay.
  /// Errors: unknown_quota, invalid_amount.
  Result<void> set_limits(QuotaId node, const Limits& nominal, const Limits& borrow,
                          const Limits& lend);

  /// Errors: unknown_quota.
  Result<QuotaId> find(std::string_view name) const;

  bool contains(QuotaId node) const noexcept { return index(node) < nodes_.size(); }
  std::size_t size() const noexcept { return nodes_.size(); }

  /// Preconditions for all below: contains(node).
  const QuotaSpec& spec(QuotaId node) const { return nodes_[index(node)].spec; }
  /// Charged here and, above their floors, by descendants.
  const Amounts& usage(QuotaId node) const { return nodes_[index(node)].usage; }
  /// Charged to this very node.
  const Amounts& own_usage(QuotaId node) const { return nodes_[index(node)].own; }

  /// What may still be charged to `node`, borrowing included.
  /// Cost: O(depth).
  std::int64_t available(QuotaId node, DimId dim) const;

  /// Charged above nominal, that is borrowed.
  std::int64_t borrowed(QuotaId node, DimId dim) const;

  /// The first dimension in which `amounts` cannot be charged; quota_exceeded with its figures.
  Result<void> check(QuotaId node, const Amounts& amounts, const Dimensions* dims = nullptr) const;
  /// unknown_quota, naming `node` and how many there are.
  Refusal unknown(QuotaId node) const;

  /// Charges (or, negative, gives back) without a check.
  /// Cost: O(depth).
  void charge(QuotaId node, const Amounts& delta);

 private:
  struct Node {
    QuotaSpec spec;
    Amounts own;
    Amounts usage;
    Limits subtree;  // own nominal plus what children lend
  };

  static std::size_t index(QuotaId id) noexcept { return static_cast<std::size_t>(id); }
  std::int64_t floor_of(const Node& node, DimId dim) const;
  void rebuild();

  std::vector<Node> nodes_;
};

}  // namespace reeve::alloc
