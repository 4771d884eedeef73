// Indexed heaps of exact fractions.
#include "reeve/alloc/share_tree.hpp"

#include <algorithm>

#include "alloc/fraction.hpp"

namespace reeve::alloc {

using detail::multiply;

ShareTree::ShareTree(const Amounts& total) : total_(total), nodes_(1) {}

Result<ShareId> ShareTree::add(ShareId parent, std::uint32_t weight) {
  if (weight == 0)
    return Refusal{.code = Code::invalid_amount,
                   .subject = "weight 0",
                   .detail = "shares nothing; give 1 or more"};
  if (index(parent) >= nodes_.size())
    return Refusal{.code = Code::invalid_request, .subject = "there is no such parent"};
  Node& above = nodes_[index(parent)];
  if (above.children == 0 && (above.active || !above.usage.is_zero()))
    return Refusal{.code = Code::invalid_request,
                   .subject = "the parent is a user with usage or demand"};
  ++above.children;
  nodes_.emplace_back();
  nodes_.back().parent = static_cast<std::uint32_t>(parent);
  nodes_.back().weight = weight;
  return static_cast<ShareId>(nodes_.size() - 1);
}

void ShareTree::refresh(Node& node) const {
  const auto share = detail::dominant(node.usage, total_);
  node.share_used = share.used;
  node.share_total = share.total;
}

bool ShareTree::less(std::uint32_t a, std::uint32_t b) const {
  const Node& x = nodes_[a];
  const Node& y = nodes_[b];
  const auto left = multiply(x.share_used, y.share_total, y.weight);
  const auto right = multiply(y.share_used, x.share_total, x.weight);
  if (const auto order = left <=> right; order != 0) return order < 0;
  if (x.tasks != y.tasks) return x.tasks < y.tasks;
  return a < b;
}

bool ShareTree::before(ShareId a, ShareId b) const {
  return less(static_cast<std::uint32_t>(a), static_cast<std::uint32_t>(b));
}

void ShareTree::sift(std::vector<std::uint32_t>& heap, std::uint32_t at) {
  const auto put = [&](std::uint32_t place, std::uint32_t child) {
    heap[place] = child;
    nodes_[child].heap_position = place;
  };
  const auto moving = heap[at];
  while (at > 0 && less(moving, heap[(at - 1) / 2])) {
    put(at, heap[(at - 1) / 2]);
    at = (at - 1) / 2;
  }
  for (;;) {
    std::uint32_t child = 2 * at + 1;
    if (child >= heap.size()) break;
    if (child + 1 < heap.size() && less(heap[child + 1], heap[child])) ++child;
    if (!less(heap[child], moving)) break;
    put(at, heap[child]);
    at = child;
  }
  put(at, moving);
}

void ShareTree::reposition(std::uint32_t child) {
  if (nodes_[child].heap_position != UINT32_MAX)
    sift(nodes_[nodes_[child].parent].heap, nodes_[child].heap_position);
}

void ShareTree::enter(std::uint32_t child) {
  auto& heap = nodes_[nodes_[child].parent].heap;
  heap.push_back(child);
  nodes_[child].heap_position = static_cast<std::uint32_t>(heap.size() - 1);
  reposition(child);
}

void ShareTree::leave(std::uint32_t child) {
  auto& heap = nodes_[nodes_[child].parent].heap;
  const auto at = nodes_[child].heap_position;
  const auto last = heap.back();
  heap.pop_back();
  nodes_[child].heap_position = UINT32_MAX;
  if (last == child) return;
  heap[at] = last;
  nodes_[last].heap_position = at;
  reposition(last);
}

void ShareTree::set_active(ShareId user, bool active) {
  auto at = static_cast<std::uint32_t>(user);
  if (nodes_[at].active == active) return;
  nodes_[at].active = active;
  while (at != 0) {
    const auto parent = nodes_[at].parent;
    if (active) {
      enter(at);
    } else {
      leave(at);
    }
    // A group takes part while any child does.
    const bool group_changes = nodes_[parent].heap.size() == (active ? 1u : 0u);
    if (!group_changes) break;
    nodes_[parent].active = active;
    at = parent;
  }
}

void ShareTree::charge(ShareId user, const Amounts& delta, std::int32_t tasks) {
  for (auto at = static_cast<std::uint32_t>(user);; at = nodes_[at].parent) {
    Node& node = nodes_[at];
    node.usage += delta;
    node.tasks += tasks;
    if (at == 0) break;
    refresh(node);
    reposition(at);
  }
}

std::optional<ShareId> ShareTree::next() const {
  if (nodes_[0].heap.empty()) return std::nullopt;
  std::uint32_t at = 0;
  while (!nodes_[at].heap.empty()) at = nodes_[at].heap.front();
  return static_cast<ShareId>(at);
}

}  // namespace reeve::alloc
