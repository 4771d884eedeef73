// Orders of all resources by what a placement looks at, kept while amounts change.
#pragma once

#include <memory>
#include <span>
#include <unordered_map>

#include "alloc/candidate_tree.hpp"
#include "reeve/alloc/ledger.hpp"

namespace reeve::alloc::detail {

/// What the index reads; the manager owns it.
struct ClusterView {
  const std::vector<Ledger::Account>& accounts;
  const std::vector<Amounts>& overlay;  ///< taken by the plan in progress
  const std::vector<std::uint32_t>& class_of;
  const Amounts& largest;
};

/// Which classes of resources satisfy a list of constraints.
struct ClassSet {
  std::vector<char> ok;
  std::uint64_t bits = 0;  ///< of class % 64
};

/// Trees by order and dimensions, made when first asked for, each caught up from a log of changed
/// resources when it is searched.
///
/// Threads: one at a time.
class CandidateIndex {
 public:
  enum class Order : std::uint8_t {
    id,
    left,  ///< least left over first
    room,  ///< most left over first
    used,  ///< least utilised first
  };
  static constexpr std::size_t trees_max = 16;
  static constexpr std::size_t class_sets_max = 1024;

  /// Amounts, capacity or openness of `resource` differ from before, or it is new.
  void changed(std::uint32_t resource);
  /// The largest capacities differ from before.
  void rescale();

  /// A tree that agrees with `now`; null when too many kinds are in use at once.
  /// Cost: O(changes since it was searched last * log resources).
  const CandidateTree* tree(Order order, std::uint8_t dims, const ClusterView& now);

  /// Changes that some tree may still have to read; bounded, searched or not.
  std::size_t logged() const noexcept { return log_.size(); }

  /// Valid until the next call.
  const ClassSet& classes(std::span<const Constraint> where,
                          const std::vector<Capabilities>& classes);

 private:
  struct Kept {
    Kept(Order o, std::uint8_t dims) : order(o), tree(dims, o == Order::left || o == Order::room) {}
    Order order;
    bool stale = true;
    std::uint64_t seen = 0;      // position in the log
    std::uint64_t searched = 0;  // when, by searches_
    CandidateTree tree;
  };
  struct WhereHash {
    using is_transparent = void;
    std::size_t operator()(std::span<const Constraint> where) const;
  };
  struct WhereEqual {
    using is_transparent = void;
    bool operator()(std::span<const Constraint> a, std::span<const Constraint> b) const;
  };

  Kept* find(Order order, std::uint8_t dims, std::size_t resources);
  static void enter(Kept& kept, std::uint32_t resource, const ClusterView& now);

  std::vector<std::unique_ptr<Kept>> kept_;
  std::vector<std::uint32_t> log_;
  std::uint64_t log_begin_ = 0;  // position of log_.front()
  std::size_t log_max_ = 2048;
  std::uint64_t read_ = 0;  // up to where some tree has seen the log
  std::uint64_t searches_ = 0;
  std::unordered_map<std::vector<Constraint>, ClassSet, WhereHash, WhereEqual> sets_;
};

}  // namespace reeve::alloc::detail
