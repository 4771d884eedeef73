// Entries move, nodes split and join, branches learn of it.
#include "alloc/candidate_tree.hpp"

#include <algorithm>

namespace reeve::alloc::detail {

CandidateTree::CandidateTree(std::uint8_t dims, bool by_room) : dims_(dims), by_room_(by_room) {
  for (DimId d = 0; d < max_dims; ++d)
    if (dims >> d & 1) dim_of_[kept_++] = d;
  columns_ = kept_ > 1 ? kept_ + 1 : kept_;
}

// Nodes are three quarters full when they join, and half when they were split.
void CandidateTree::reserve(std::size_t entries) {
  const auto nodes = 4 * entries / width + 8;
  if (nodes <= nodes_.capacity()) return;
  nodes_.reserve(nodes);
  free_nodes_.reserve(nodes);
  keys_.reserve(nodes * width);
  ids_.reserve(nodes * width);
  children_.reserve(nodes * width);
  classes_.reserve(nodes * width);
  room_.reserve(nodes * width * columns_);
}

void CandidateTree::clear() {
  nodes_.clear();
  free_nodes_.clear();
  keys_.clear();
  ids_.clear();
  children_.clear();
  classes_.clear();
  room_.clear();
  leaf_of_.assign(leaf_of_.size(), nil);
  root_ = nil;
  size_ = 0;
}

std::uint32_t CandidateTree::make_node(bool leaf) {
  if (free_nodes_.empty()) {
    free_nodes_.push_back(static_cast<std::uint32_t>(nodes_.size()));
    nodes_.emplace_back();
    free_nodes_.reserve(nodes_.capacity());
    const auto entries = nodes_.size() * width;
    keys_.resize(entries);
    ids_.resize(entries);
    children_.resize(entries);
    classes_.resize(entries);
    room_.resize(entries * columns_);
  }
  const auto node = free_nodes_.back();
  free_nodes_.pop_back();
  nodes_[node] = {.parent = nil, .count = 0, .leaf = leaf};
  return node;
}

std::uint32_t CandidateTree::position(std::uint32_t node) const {
  const auto* children = &children_[at(nodes_[node].parent, 0)];
  std::uint32_t i = 0;
  while (children[i] != node) ++i;
  return i;
}

bool CandidateTree::after(const From& from, std::uint32_t node, std::uint32_t i) const {
  if (const auto key = keys_[at(node, i)]; key != from.key) return key > from.key;
  if (!from.free) return true;
  const auto& room = room_of_[ids_[at(node, i)]];
  for (std::uint32_t c = 0; c < kept_; ++c)
    if (room.of[c] != (*from.free)[dim_of_[c]]) return room.of[c] > (*from.free)[dim_of_[c]];
  return false;
}

bool CandidateTree::less(std::int64_t key, const Packed& free, std::uint32_t id, std::uint32_t node,
                         std::uint32_t i) const {
  if (key != keys_[at(node, i)]) return key < keys_[at(node, i)];
  const auto other = ids_[at(node, i)];
  if (by_room_)
    for (std::uint32_t c = 0; c < kept_; ++c)
      if (free.of[c] != room_of_[other].of[c]) return free.of[c] < room_of_[other].of[c];
  return id < other;
}

void CandidateTree::open_gap(std::uint32_t node, std::uint32_t i) {
  const auto shift = [&](auto* first) {
    std::copy_backward(first + i, first + nodes_[node].count, first + nodes_[node].count + 1);
  };
  shift(&keys_[at(node, 0)]);
  shift(&ids_[at(node, 0)]);
  shift(&classes_[at(node, 0)]);
  if (!nodes_[node].leaf) shift(&children_[at(node, 0)]);
  for (std::uint32_t c = 0; c < columns_; ++c) shift(row(node, c));
  ++nodes_[node].count;
}

void CandidateTree::close_gap(std::uint32_t node, std::uint32_t i) {
  const auto shift = [&](auto* first) {
    std::copy(first + i + 1, first + nodes_[node].count, first + i);
  };
  shift(&keys_[at(node, 0)]);
  shift(&ids_[at(node, 0)]);
  shift(&classes_[at(node, 0)]);
  if (!nodes_[node].leaf) shift(&children_[at(node, 0)]);
  for (std::uint32_t c = 0; c < columns_; ++c) shift(row(node, c));
  --nodes_[node].count;
}

// Appends the entries of `from`, from `begin` on, to those of `to`.
void CandidateTree::move_tail(std::uint32_t from, std::uint32_t begin, std::uint32_t to) {
  const auto end = nodes_[from].count;
  const auto place = nodes_[to].count;
  const auto carry = [&](const auto* source, auto* target) {
    std::copy(source + begin, source + end, target + place);
  };
  carry(&keys_[at(from, 0)], &keys_[at(to, 0)]);
  carry(&ids_[at(from, 0)], &ids_[at(to, 0)]);
  carry(&classes_[at(from, 0)], &classes_[at(to, 0)]);
  carry(&children_[at(from, 0)], &children_[at(to, 0)]);
  for (std::uint32_t c = 0; c < columns_; ++c) carry(row(from, c), row(to, c));
  for (auto i = begin; i < end; ++i) {
    if (nodes_[from].leaf) {
      leaf_of_[ids_[at(from, i)]] = to;
    } else {
      nodes_[children_[at(from, i)]].parent = to;
    }
  }
  nodes_[to].count = static_cast<std::uint16_t>(place + (end - begin));
  nodes_[from].count = static_cast<std::uint16_t>(begin);
}

bool CandidateTree::summarize(std::uint32_t node) {
  const auto parent = nodes_[node].parent;
  const auto slot = position(node);
  const auto count = nodes_[node].count;
  std::uint64_t classes = 0;
  for (std::uint32_t i = 0; i < count; ++i) classes |= classes_[at(node, i)];
  bool changed = keys_[at(parent, slot)] != keys_[at(node, 0)] ||
                 ids_[at(parent, slot)] != ids_[at(node, 0)] ||
                 classes_[at(parent, slot)] != classes;
  keys_[at(parent, slot)] = keys_[at(node, 0)];
  ids_[at(parent, slot)] = ids_[at(node, 0)];
  classes_[at(parent, slot)] = classes;
  for (std::uint32_t c = 0; c < columns_; ++c) {
    const auto* mine = row(node, c);
    std::int64_t most = mine[0];
    for (std::uint32_t i = 1; i < count; ++i) most = std::max(most, mine[i]);
    changed = changed || row(parent, c)[slot] != most;
    row(parent, c)[slot] = most;
  }
  return changed;
}

void CandidateTree::refresh(std::uint32_t node) {
  while (nodes_[node].parent != nil && summarize(node)) node = nodes_[node].parent;
}

void CandidateTree::split(std::uint32_t node) {
  if (nodes_[node].parent == nil) {
    const auto root = make_node(false);
    nodes_[root].count = 1;
    children_[at(root, 0)] = node;
    nodes_[node].parent = root;
    root_ = root;
    summarize(node);
  } else if (nodes_[nodes_[node].parent].count == width) {
    split(nodes_[node].parent);
  }
  const auto right = make_node(nodes_[node].leaf);
  const auto parent = nodes_[node].parent;
  const auto slot = position(node) + 1;
  open_gap(parent, slot);
  children_[at(parent, slot)] = right;
  nodes_[right].parent = parent;
  move_tail(node, width / 2, right);
  summarize(right);
  summarize(node);
  refresh(parent);
}

void CandidateTree::put(std::uint32_t id, std::int64_t key, const Amounts& free,
                        std::int64_t tightest, std::uint32_t class_id) {
  if (id >= leaf_of_.size()) {
    leaf_of_.resize(id + 1, nil);
    keys_of_.resize(id + 1);
    room_of_.resize(id + 1);
  }
  const Packed room = packed(free, tightest);
  if (const auto leaf = leaf_of_[id]; leaf != nil) {
    const bool same_room = std::equal(room.of, room.of + columns_, room_of_[id].of);
    if (keys_of_[id] == key && same_room) return;
    if (keys_of_[id] == key && !by_room_) {
      std::uint32_t i = 0;
      while (ids_[at(leaf, i)] != id) ++i;
      for (std::uint32_t c = 0; c < columns_; ++c) row(leaf, c)[i] = room.of[c];
      room_of_[id] = room;
      return refresh(leaf);
    }
    drop(id);
  }
  if (root_ == nil) root_ = make_node(true);
  auto node = root_;
  for (;;) {
    if (nodes_[node].count == width) {
      split(node);
      node = root_;
    }
    if (nodes_[node].leaf) break;
    std::uint32_t i = 1;
    while (i < nodes_[node].count && !less(key, room, id, node, i)) ++i;
    node = children_[at(node, i - 1)];
  }
  std::uint32_t i = 0;
  while (i < nodes_[node].count && !less(key, room, id, node, i)) ++i;
  open_gap(node, i);
  keys_[at(node, i)] = key;
  ids_[at(node, i)] = id;
  classes_[at(node, i)] = std::uint64_t{1} << (class_id % 64);
  for (std::uint32_t c = 0; c < columns_; ++c) row(node, c)[i] = room.of[c];
  leaf_of_[id] = node;
  keys_of_[id] = key;
  room_of_[id] = room;
  ++size_;
  refresh(node);
}

void CandidateTree::drop(std::uint32_t id) {
  if (id >= leaf_of_.size() || leaf_of_[id] == nil) return;
  const auto leaf = leaf_of_[id];
  std::uint32_t i = 0;
  while (ids_[at(leaf, i)] != id) ++i;
  close_gap(leaf, i);
  leaf_of_[id] = nil;
  --size_;
  if (nodes_[leaf].count == 0) return erase_node(leaf);
  refresh(leaf);
  if (nodes_[leaf].count < width / 4) merge_with_neighbour(leaf);
}

// An empty node leaves its parent, and a root with one child gives way to it.
void CandidateTree::erase_node(std::uint32_t node) {
  const auto parent = nodes_[node].parent;
  if (parent == nil) {
    root_ = nil;
    free_nodes_.push_back(node);
    return;
  }
  close_gap(parent, position(node));
  free_nodes_.push_back(node);
  if (nodes_[parent].count == 0) return erase_node(parent);
  refresh(parent);
  if (parent != root_ && nodes_[parent].count < width / 4) return merge_with_neighbour(parent);
  while (!nodes_[root_].leaf && nodes_[root_].count == 1) {
    free_nodes_.push_back(root_);
    root_ = children_[at(root_, 0)];
    nodes_[root_].parent = nil;
  }
}

void CandidateTree::merge_with_neighbour(std::uint32_t node) {
  const auto parent = nodes_[node].parent;
  if (parent == nil) return;
  const auto slot = position(node);
  for (const auto left : {slot - 1, slot}) {
    if (left == UINT32_MAX || left + 1 >= nodes_[parent].count) continue;
    const auto a = children_[at(parent, left)];
    const auto b = children_[at(parent, left + 1)];
    if (nodes_[a].count + nodes_[b].count > width * 3 / 4) continue;
    move_tail(b, 0, a);
    summarize(a);
    return erase_node(b);
  }
}

}  // namespace reeve::alloc::detail
