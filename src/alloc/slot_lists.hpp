// Short lists of slots, one per resource, in blocks of one store: no heap of their own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <vector>

namespace reeve::alloc::detail {

/// A list grows by blocks that other lists gave back, so a resource that holds more than ever
/// before takes nothing from the heap as long as all of them together do not.
///
/// Threads: one at a time.
/// Cost:    O(length of the list) for add and drop; the order within a list is not kept.
class SlotLists {
 public:
  static constexpr std::uint32_t per_block = 15;
  static constexpr std::uint32_t nil = UINT32_MAX;

  std::size_t size() const noexcept { return lists_.size(); }

  /// One more list, empty. Its first block is its own.
  void add_list() {
    lists_.push_back({take_block(), 0});
    // A quarter of all may need a second one before the store grows.
    const auto wanted = lists_.size() + lists_.size() / 4 + 16;
    if (blocks_.capacity() < wanted) blocks_.reserve(2 * wanted);
  }

  /// Preconditions: `slot` is not in `list`.
  void add(std::size_t list, std::uint32_t slot) {
    List& l = lists_[list];
    auto block = l.first;
    for (auto i = l.count; i >= per_block; i -= per_block) {
      if (blocks_[block].next == nil) {
        const auto more = take_block();  // the store may move
        blocks_[block].next = more;
      }
      block = blocks_[block].next;
    }
    blocks_[block].slots[l.count % per_block] = slot;
    ++l.count;
  }

  /// False if it is not there.
  bool drop(std::size_t list, std::uint32_t slot) {
    List& l = lists_[list];
    std::uint32_t* found = nullptr;
    std::uint32_t before = nil;
    auto block = l.first;
    auto left = l.count;
    for (;; left -= per_block, before = block, block = blocks_[block].next) {
      const auto here = left < per_block ? left : per_block;
      for (std::uint32_t i = 0; i < here; ++i)
        if (blocks_[block].slots[i] == slot) found = &blocks_[block].slots[i];
      if (left <= per_block) break;
    }
    if (!found) return false;
    *found = blocks_[block].slots[left - 1];
    --l.count;
    if (left == 1 && before != nil) {
      blocks_[before].next = nil;
      blocks_[block].next = free_;
      free_ = block;
    }
    return true;
  }

  class Iterator {
   public:
    using value_type = std::uint32_t;
    using difference_type = std::ptrdiff_t;
    using iterator_category = std::forward_iterator_tag;
    using pointer = const std::uint32_t*;
    using reference = const std::uint32_t&;

    Iterator() = default;
    Iterator(const SlotLists* lists, std::uint32_t block, std::uint32_t left)
        : lists_(lists), block_(block), left_(left) {}
    reference operator*() const { return lists_->blocks_[block_].slots[at_]; }
    Iterator& operator++() {
      --left_;
      if (++at_ == per_block) {
        at_ = 0;
        block_ = lists_->blocks_[block_].next;
      }
      return *this;
    }
    Iterator operator++(int) {
      const auto old = *this;
      ++*this;
      return old;
    }
    friend bool operator==(const Iterator& a, const Iterator& b) { return a.left_ == b.left_; }

   private:
    const SlotLists* lists_ = nullptr;
    std::uint32_t block_ = nil;
    std::uint32_t at_ = 0;
    std::uint32_t left_ = 0;
  };
  struct Range {
    Iterator first;
    bool empty() const { return first == Iterator{}; }
    Iterator begin() const { return first; }
    Iterator end() const { return {}; }
  };
  /// Valid until the next change.
  Range operator[](std::size_t list) const {
    return {{this, lists_[list].first, lists_[list].count}};
  }

 private:
  struct Block {
    std::uint32_t slots[per_block];
    std::uint32_t next = nil;
  };
  struct List {
    std::uint32_t first = nil;
    std::uint32_t count = 0;
  };

  std::uint32_t take_block() {
    if (free_ != nil) {
      const auto block = free_;
      free_ = blocks_[block].next;
      blocks_[block].next = nil;
      return block;
    }
    blocks_.emplace_back();
    return static_cast<std::uint32_t>(blocks_.size() - 1);
  }

  std::vector<Block> blocks_;
  std::uint32_t free_ = nil;
  std::vector<List> lists_;
};

}  // namespace reeve::alloc::detail
