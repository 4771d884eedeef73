// Resources in the order of a score, with what is free below each branch: the first that fits.
#pragma once

#include <cstdint>
#include <vector>

#include "reeve/alloc/quantity.hpp"

namespace reeve::alloc::detail {

/// A B+-tree of resources, ordered by key, then (if `by_room`) by what is free, then by id. Every
/// branch knows the most that is free below it in each dimension and which classes lie below it, so
/// that a search passes over what cannot fit.
///
/// Threads: one at a time.
class CandidateTree {
 public:
  static constexpr std::uint32_t nil = UINT32_MAX;

  /// `dims`: the dimensions that are kept, as bits. `by_room`: entries with equal keys and equal
  /// free amounts lie together, so that a search can step over all of them.
  CandidateTree(std::uint8_t dims, bool by_room);

  std::uint8_t dims() const noexcept { return dims_; }
  std::size_t size() const noexcept { return size_; }

  /// Enters `id`, or moves it. Cost: O(log size); no allocation once the tree was that large.
  /// `tightest`: the least that is free, by a common measure of all dimensions.
  void put(std::uint32_t id, std::int64_t key, const Amounts& free, std::int64_t tightest,
           std::uint32_t class_id);
  /// Takes `id` out, if it is there.
  void drop(std::uint32_t id);
  void clear();
  /// Room for so many nodes that `entries`, however they move, need hardly ever more.
  void reserve(std::size_t entries);

  /// What a search asks for: at least this much free, and one of these classes.
  struct Query {
    Amounts amount;
    std::uint64_t classes = ~std::uint64_t{0};  ///< bit class % 64
    /// By the measure of put(): at most that of any entry that fits.
    std::int64_t tightest = INT64_MIN;
  };
  /// Where a search begins: at the first entry with this key, or after all that have also `free`.
  struct From {
    std::int64_t key = INT64_MIN;
    const Amounts* free = nullptr;
  };

  /// The first entry, in order, that fits and that `accept(id)` takes; nil if there is none.
  template <class Accept>
  std::uint32_t first(const Query& query, const From& from, const Accept& accept) const {
    return root_ == nil
               ? nil
               : first_below(root_, query, packed(query.amount, query.tightest), &from, accept);
  }

  /// The most that is free in `dim` of an entry that fits `query` and that `accept` takes;
  /// INT64_MIN if there is none. Dimensions in which the query asks for INT64_MIN do not matter.
  template <class Accept>
  std::int64_t most(DimId dim, const Query& query, const Accept& accept) const {
    std::int64_t best = INT64_MIN;
    if (root_ != nil)
      most_below(root_, column_of(dim), query, packed(query.amount, query.tightest), accept, best);
    return best;
  }

  /// Preconditions: `id` is in the tree.
  std::int64_t key_of(std::uint32_t id) const { return keys_of_[id]; }

 private:
  static constexpr std::uint32_t width = 32;
  struct Packed {
    std::int64_t of[max_dims + 1];
  };
  struct Node {
    std::uint32_t parent = nil;
    std::uint16_t count = 0;
    bool leaf = true;
  };

  // Where there are several dimensions, one more column has the tightest: without it, a branch with
  // much of one thing here and much of another there would look as if all fitted below it.
  Packed packed(const Amounts& amounts, std::int64_t tightest) const {
    Packed p{};
    for (std::uint32_t c = 0; c < kept_; ++c) p.of[c] = amounts[dim_of_[c]];
    if (columns_ > kept_) p.of[kept_] = tightest;
    return p;
  }
  std::uint32_t column_of(DimId dim) const {
    std::uint32_t c = 0;
    while (dim_of_[c] != dim) ++c;
    return c;
  }
  std::size_t at(std::uint32_t node, std::uint32_t i) const {
    return std::size_t{node} * width + i;
  }
  /// Free amounts of a leaf's entries, or the most below a branch's children; one row per column.
  const std::int64_t* row(std::uint32_t node, std::uint32_t column) const {
    return &room_[(std::size_t{node} * columns_ + column) * width];
  }
  std::int64_t* row(std::uint32_t node, std::uint32_t column) {
    return &room_[(std::size_t{node} * columns_ + column) * width];
  }
  bool may_fit(std::uint32_t node, std::uint32_t i, const Query& query, const Packed& need) const {
    for (std::uint32_t c = 0; c < columns_; ++c)
      if (row(node, c)[i] < need.of[c]) return false;
    return (classes_[at(node, i)] & query.classes) != 0;
  }
  bool after(const From& from, std::uint32_t node, std::uint32_t i) const;

  template <class Accept>
  std::uint32_t first_below(std::uint32_t node, const Query& query, const Packed& need,
                            const From* from, const Accept& accept) const {
    const Node& n = nodes_[node];
    std::uint32_t i = 0;
    if (from) {
      while (i < n.count && !after(*from, node, i)) ++i;
      if (!n.leaf && i > 0) --i;  // the rest of that branch may still be after it
    }
    const auto bounded = i;
    for (; i < n.count; ++i) {
      if (!may_fit(node, i, query, need)) continue;
      if (n.leaf) {
        if (accept(ids_[at(node, i)])) return ids_[at(node, i)];
        continue;
      }
      const auto found =
          first_below(children_[at(node, i)], query, need, i == bounded ? from : nullptr, accept);
      if (found != nil) return found;
    }
    return nil;
  }

  template <class Accept>
  void most_below(std::uint32_t node, std::uint32_t column, const Query& query, const Packed& need,
                  const Accept& accept, std::int64_t& best) const {
    const Node& n = nodes_[node];
    for (std::uint32_t i = 0; i < n.count; ++i) {
      if (row(node, column)[i] <= best || !may_fit(node, i, query, need)) continue;
      if (!n.leaf) {
        most_below(children_[at(node, i)], column, query, need, accept, best);
      } else if (accept(ids_[at(node, i)])) {
        best = row(node, column)[i];
      }
    }
  }

  std::uint32_t make_node(bool leaf);
  std::uint32_t position(std::uint32_t node) const;  // among its parent's children
  bool less(std::int64_t key, const Packed& free, std::uint32_t id, std::uint32_t node,
            std::uint32_t i) const;
  void open_gap(std::uint32_t node, std::uint32_t i);
  void close_gap(std::uint32_t node, std::uint32_t i);
  void move_tail(std::uint32_t from, std::uint32_t begin, std::uint32_t to);
  bool summarize(std::uint32_t node);  // into its parent; false: nothing changed
  void refresh(std::uint32_t node);
  void split(std::uint32_t node);
  void erase_node(std::uint32_t node);
  void merge_with_neighbour(std::uint32_t node);

  std::uint8_t dims_;
  bool by_room_;
  std::uint32_t kept_ = 0;  // dimensions
  std::uint32_t columns_ = 0;
  DimId dim_of_[max_dims] = {};
  std::size_t size_ = 0;
  std::uint32_t root_ = nil;

  std::vector<Node> nodes_;
  std::vector<std::uint32_t> free_nodes_;
  // By node and position. A branch describes its children: first key, first id, most free, classes.
  std::vector<std::int64_t> keys_;
  std::vector<std::uint32_t> ids_;
  std::vector<std::uint32_t> children_;
  std::vector<std::uint64_t> classes_;
  std::vector<std::int64_t> room_;
  // By id.
  std::vector<std::uint32_t> leaf_of_;
  std::vector<std::int64_t> keys_of_;
  std::vector<Packed> room_of_;
};

}  // namespace reeve::alloc::detail
