// The tree of steps: additions to ranges, and steps that come and go.
#include <algorithm>

#include "alloc/instants.hpp"
#include "reeve/alloc/timeline.hpp"

namespace reeve::alloc {

using detail::count_before;
using detail::last_at_most;

namespace {

template <class T>
void open_gap(T* first, std::uint32_t i, std::uint32_t count) {
  std::copy_backward(first + i, first + count, first + count + 1);
}

template <class T>
void close_gap(T* first, std::uint32_t i, std::uint32_t count) {
  std::copy(first + i + 1, first + count, first + i);
}

// Appends entries of `b`, from `begin` on, to those of `a`, with `d` added.
template <class Leaf>
  requires requires(Leaf l) { l.value; }
void append(Leaf& a, const Leaf& b, std::uint32_t begin, std::int64_t d) {
  for (auto i = begin; i < b.count; ++i, ++a.count) {
    a.at[a.count] = b.at[i];
    a.value[a.count] = b.value[i] + d;
  }
}

template <class Branch>
  requires requires(Branch b) { b.child; }
void append(Branch& a, const Branch& b, std::uint32_t begin, std::int64_t d) {
  for (auto i = begin; i < b.count; ++i, ++a.count) {
    a.at[a.count] = b.at[i];
    a.least[a.count] = b.least[i] + d;
    a.most[a.count] = b.most[i] + d;
    a.add[a.count] = b.add[i] + d;
    a.child[a.count] = b.child[i];
  }
}

template <class Node, class Runs>
std::uint32_t make(std::vector<Node>& nodes, std::vector<std::uint32_t>& free,
                   std::vector<Runs>& runs) {
  if (free.empty()) {
    free.push_back(static_cast<std::uint32_t>(nodes.size()));
    nodes.emplace_back();
    runs.emplace_back();
    free.reserve(nodes.capacity());  // all may be free at once
  }
  const auto node = free.back();
  free.pop_back();
  nodes[node].count = 0;
  runs[node].known = 0;
  return node;
}

}  // namespace

void Timeline::summarize(std::uint32_t level, Branch& branch, std::uint32_t slot) {
  std::int64_t least = INT64_MAX;
  std::int64_t most = INT64_MIN;
  const auto child = branch.child[slot];
  if (level + 1 == levels_) {
    const Leaf& leaf = leaves_[child];
    for (std::uint32_t i = 0; i < leaf.count; ++i) {
      least = std::min(least, leaf.value[i]);
      most = std::max(most, leaf.value[i]);
    }
    branch.at[slot] = leaf.at[0];
  } else {
    const Branch& b = branches_[child];
    for (std::uint32_t i = 0; i < b.count; ++i) {
      least = std::min(least, b.least[i]);
      most = std::max(most, b.most[i]);
    }
    branch.at[slot] = b.at[0];
  }
  branch.least[slot] = branch.add[slot] + least;
  branch.most[slot] = branch.add[slot] + most;
}

// Branches of the path above `level` learn what changed below.
void Timeline::refresh(const Path& path, std::uint32_t level) {
  while (level-- > 0) summarize(level, branches_[path.branch[level]], path.slot[level]);
}

// Steps of the subtree lie before `end`; adds to those in [from, to).
void Timeline::add_below(std::uint32_t level, std::uint32_t node, Time end, Time from, Time to,
                         std::int64_t d) {
  runs(level, node).known = 0;
  if (level == levels_) {
    Leaf& leaf = leaves_[node];
    const auto last = to >= end ? leaf.count : count_before(leaf.at, leaf.count, to);
    for (auto i = count_before(leaf.at, leaf.count, from); i < last; ++i) leaf.value[i] += d;
    return;
  }
  Branch& b = branches_[node];
  const auto first = b.at[0] > from ? 0 : last_at_most(b.at, b.count, from);
  const auto last = count_before(b.at, b.count, to);
  for (auto i = first; i < last; ++i) {
    const auto child_end = i + 1 < b.count ? b.at[i + 1] : end;
    if (from <= b.at[i] && child_end <= to) {
      b.add[i] += d;
      b.least[i] += d;
      b.most[i] += d;
    } else {
      add_below(level + 1, b.child[i], child_end, from, to, d);
      summarize(level, b, i);
    }
  }
}

void Timeline::add_range(Time from, Time to, std::int64_t d) {
  add_below(0, root_, forever, from, to, d);
}

bool Timeline::full(const Path& path, std::uint32_t level) const {
  return (level == levels_ ? leaves_[path.leaf].count : branches_[path.branch[level]].count) ==
         width;
}

// Splits the node of the path at `level`, whose parent has room.
void Timeline::split(const Path& path, std::uint32_t level) {
  const bool leaf = level == levels_;
  const auto node = leaf ? path.leaf : path.branch[level];
  if (level == 0) {
    root_ = make(branches_, free_branches_, branch_runs_);
    Branch& root = branches_[root_];
    root.count = 1;
    root.add[0] = 0;
    root.child[0] = node;
    ++levels_;
  }
  const auto right = leaf ? make(leaves_, free_leaves_, leaf_runs_)
                          : make(branches_, free_branches_, branch_runs_);
  runs(level == 0 ? 1 : level, node).known = 0;
  const auto halve = [&](auto& nodes) {
    append(nodes[right], nodes[node], width / 2, 0);
    nodes[node].count = width / 2;
  };
  if (leaf) {
    halve(leaves_);
  } else {
    halve(branches_);
  }
  Branch& parent = branches_[level == 0 ? root_ : path.branch[level - 1]];
  const auto slot = (level == 0 ? 0 : path.slot[level - 1]) + 1;
  open_gap(parent.at, slot, parent.count);
  open_gap(parent.least, slot, parent.count);
  open_gap(parent.most, slot, parent.count);
  open_gap(parent.add, slot, parent.count);
  open_gap(parent.child, slot, parent.count);
  ++parent.count;
  parent.add[slot] = parent.add[slot - 1];
  parent.child[slot] = right;
  const auto above = level == 0 ? 0 : level - 1;
  summarize(above, parent, slot - 1);
  summarize(above, parent, slot);
}

void Timeline::mark(Time at) {
  auto path = descend(at);
  if (leaves_[path.leaf].at[path.pos] == at) return;
  while (full(path, levels_)) {
    auto level = levels_;
    while (level > 0 && full(path, level - 1)) --level;
    split(path, level);
    path = descend(at);
  }
  forget_runs(path);
  // The new step has the value of the one that it cuts, so no branch has to learn of it.
  Leaf& leaf = leaves_[path.leaf];
  open_gap(leaf.at, path.pos + 1, leaf.count);
  open_gap(leaf.value, path.pos + 1, leaf.count);
  leaf.at[path.pos + 1] = at;
  leaf.value[path.pos + 1] = leaf.value[path.pos];
  ++leaf.count;
  ++steps_;
}

void Timeline::unmark(Time at) {
  const auto path = descend(at);
  const Leaf& leaf = leaves_[path.leaf];
  if (leaf.at[path.pos] != at) return;
  const auto before = path.pos > 0 ? path.above + leaf.value[path.pos - 1] : free_at(at - 1);
  if (path.above + leaf.value[path.pos] == before) erase_step(path);
}

void Timeline::erase_step(const Path& path) {
  forget_runs(path);
  Leaf& leaf = leaves_[path.leaf];
  close_gap(leaf.at, path.pos, leaf.count);
  close_gap(leaf.value, path.pos, leaf.count);
  --leaf.count;
  --steps_;
  if (leaf.count == 0) return erase_child(path, levels_);
  if (path.pos == 0) refresh(path, levels_);
  if (leaf.count < width / 4) merge(path, levels_);
}

// The node of the path at `level` is empty and leaves its parent.
void Timeline::erase_child(const Path& path, std::uint32_t level) {
  if (level == levels_) {
    free_leaves_.push_back(path.leaf);
  } else {
    free_branches_.push_back(path.branch[level]);
  }
  Branch& parent = branches_[path.branch[level - 1]];
  const auto slot = path.slot[level - 1];
  close_gap(parent.at, slot, parent.count);
  close_gap(parent.least, slot, parent.count);
  close_gap(parent.most, slot, parent.count);
  close_gap(parent.add, slot, parent.count);
  close_gap(parent.child, slot, parent.count);
  if (--parent.count == 0) return erase_child(path, level - 1);
  refresh(path, level - 1);
  if (level > 1 && parent.count < width / 4) return merge(path, level - 1);
  while (levels_ > 0 && branches_[root_].count == 1) {
    Branch& root = branches_[root_];
    const auto d = root.add[0];
    free_branches_.push_back(root_);
    root_ = root.child[0];
    --levels_;
    runs(0, root_).known = 0;
    if (d == 0) continue;
    if (levels_ == 0) {
      for (std::uint32_t i = 0; i < leaves_[root_].count; ++i) leaves_[root_].value[i] += d;
      continue;
    }
    Branch& below = branches_[root_];
    for (std::uint32_t i = 0; i < below.count; ++i) {
      below.add[i] += d;
      below.least[i] += d;
      below.most[i] += d;
    }
  }
}

// The node of the path at `level` joins a neighbour if both are small.
void Timeline::merge(const Path& path, std::uint32_t level) {
  if (level == 0) return;
  const auto above = path.branch[level - 1];
  const auto slot = path.slot[level - 1];
  const auto count_of = [&](std::uint32_t child) {
    return level == levels_ ? leaves_[child].count : branches_[child].count;
  };
  for (const auto left : {slot - 1, slot}) {
    Branch& parent = branches_[above];
    if (left == UINT32_MAX || left + 1 >= parent.count) continue;
    const auto a = parent.child[left];
    const auto b = parent.child[left + 1];
    if (count_of(a) + count_of(b) > width * 3 / 4) continue;
    const auto d = parent.add[left + 1] - parent.add[left];
    if (level == levels_) {
      append(leaves_[a], leaves_[b], 0, d);
    } else {
      append(branches_[a], branches_[b], 0, d);
    }
    summarize(level - 1, parent, left);
    runs(level, a).known = 0;
    Path gone = path;
    gone.slot[level - 1] = left + 1;
    (level == levels_ ? gone.leaf : gone.branch[level]) = b;
    return erase_child(gone, level);
  }
}

// The step at `at` begins at the smallest time, and those before it are gone.
void Timeline::forget_steps(Time at) {
  for (;;) {
    const auto path = descend(INT64_MIN);
    forget_runs(path);
    Leaf& leaf = leaves_[path.leaf];
    if (descend(at).leaf != path.leaf) {
      steps_ -= leaf.count;
      leaf.count = 0;
      erase_child(path, levels_);
      // Whatever is first now begins at the smallest time, so that descents find it.
      auto node = root_;
      for (std::uint32_t level = 0; level < levels_; node = branches_[node].child[0], ++level)
        branches_[node].at[0] = INT64_MIN;
      leaves_[node].at[0] = INT64_MIN;
      continue;
    }
    const auto keep = last_at_most(leaf.at, leaf.count, at);
    for (auto i = keep; i < leaf.count; ++i) {
      leaf.at[i - keep] = leaf.at[i];
      leaf.value[i - keep] = leaf.value[i];
    }
    leaf.at[0] = INT64_MIN;
    leaf.count -= keep;
    steps_ -= keep;
    refresh(path, levels_);
    if (leaf.count < width / 4) merge(path, levels_);
    return;
  }
}

}  // namespace reeve::alloc
