// What is free when: walks through the tree of steps.
#include <algorithm>

#include "alloc/instants.hpp"
#include "reeve/alloc/timeline.hpp"

namespace reeve::alloc {

using detail::count_before;
using detail::last_at_most;

Timeline::Path Timeline::descend(Time at) const {
  Path path;
  path.above = capacity_;
  auto node = root_;
  for (std::uint32_t level = 0; level < levels_; ++level) {
    const Branch& b = branches_[node];
    const auto i = last_at_most(b.at, b.count, at);
    path.branch[level] = node;
    path.slot[level] = i;
    path.above += b.add[i];
    node = b.child[i];
  }
  path.leaf = node;
  path.pos = last_at_most(leaves_[node].at, leaves_[node].count, at);
  return path;
}

std::int64_t Timeline::free_at(Time at) const {
  const auto path = descend(at);
  return path.above + leaves_[path.leaf].value[path.pos];
}

std::int64_t Timeline::min_below(std::uint32_t level, std::uint32_t node, Time from,
                                 Time to) const {
  std::int64_t least = INT64_MAX;
  if (level == levels_) {
    const Leaf& leaf = leaves_[node];
    auto i = leaf.at[0] > from ? 0 : last_at_most(leaf.at, leaf.count, from);
    for (; i < leaf.count && leaf.at[i] < to; ++i) least = std::min(least, leaf.value[i]);
    return least;
  }
  const Branch& b = branches_[node];
  const auto first = b.at[0] > from ? 0 : last_at_most(b.at, b.count, from);
  const auto end = count_before(b.at, b.count, to);
  for (auto i = first; i < end; ++i) {
    if (b.least[i] >= least) continue;
    const bool whole = b.at[i] >= from && i + 1 < end;
    least =
        std::min(least, whole ? b.least[i] : b.add[i] + min_below(level + 1, b.child[i], from, to));
  }
  return least;
}

std::int64_t Timeline::min_free(Time from, Time to) const {
  return capacity_ + min_below(0, root_, from, to);
}

std::optional<Time> Timeline::first_below(std::uint32_t level, std::uint32_t node,
                                          std::int64_t above, const Time* from,
                                          std::int64_t amount) const {
  if (level == levels_) {
    const Leaf& leaf = leaves_[node];
    for (auto i = from ? last_at_most(leaf.at, leaf.count, *from) : 0; i < leaf.count; ++i)
      if (above + leaf.value[i] < amount) return from ? std::max(*from, leaf.at[i]) : leaf.at[i];
    return std::nullopt;
  }
  const Branch& b = branches_[node];
  for (auto i = from ? last_at_most(b.at, b.count, *from) : 0; i < b.count; ++i, from = nullptr) {
    if (above + b.least[i] >= amount) continue;
    if (const auto found = first_below(level + 1, b.child[i], above + b.add[i], from, amount))
      return found;
  }
  return std::nullopt;
}

std::optional<Time> Timeline::first_below(Time from, std::int64_t amount) const {
  return first_below(0, root_, capacity_, &from, amount);
}

struct Timeline::Search {
  Time from;
  std::uint64_t duration;
  std::int64_t amount;
  std::uint64_t gaps = 0;
  Time start = 0;        // of the run that is being looked at
  bool running = false;  // there is one

  std::uint64_t length(Time until) const {
    return static_cast<std::uint64_t>(until) - static_cast<std::uint64_t>(start);
  }
  std::uint64_t length_from(Time first, Time until) const {
    return static_cast<std::uint64_t>(until) - static_cast<std::uint64_t>(std::max(start, first));
  }
  bool long_enough(Time until) const { return length(until) >= duration; }
};

void Timeline::forget_runs(const Path& path) const {
  leaf_runs_[path.leaf].known = 0;
  for (std::uint32_t level = 0; level < levels_; ++level)
    branch_runs_[path.branch[level]].known = 0;
}

Time Timeline::last_step(std::uint32_t level, std::uint32_t node) const {
  for (; level < levels_; ++level) node = branches_[node].child[branches_[node].count - 1];
  return leaves_[node].at[leaves_[node].count - 1];
}

// Where the run begins in which a subtree ends; nothing if its last step has too little.
std::optional<Time> Timeline::last_run(std::uint32_t level, std::uint32_t node, std::int64_t above,
                                       std::int64_t amount) const {
  std::optional<Time> start;
  if (level == levels_) {
    const Leaf& leaf = leaves_[node];
    for (auto i = leaf.count; i > 0 && above + leaf.value[i - 1] >= amount; --i)
      start = leaf.at[i - 1];
    return start;
  }
  const Branch& b = branches_[node];
  for (auto i = b.count; i-- > 0;) {
    if (above + b.least[i] < amount) {
      const auto inside = last_run(level + 1, b.child[i], above + b.add[i], amount);
      return inside ? inside : start;
    }
    start = b.at[i];
  }
  return start;
}

// Goes on behind a subtree in which some step has too little and every run is too short.
bool Timeline::pass_over(std::uint32_t level, std::uint32_t node, std::int64_t above,
                         Search& search, std::uint64_t& longest) const {
  if (search.running) {
    const auto end = *first_below(level, node, above, nullptr, search.amount);
    if (search.long_enough(end)) return true;
    longest = std::max(longest, search.length(end));
    ++search.gaps;
  }
  const auto start = last_run(level, node, above, search.amount);
  search.running = start.has_value();
  if (start) search.start = *start;
  return false;
}

// Goes on with a search through a subtree; true once it has its answer. Else `longest` bounds the
// runs that end below it, as if the last step ended all.
bool Timeline::search_below(std::uint32_t level, std::uint32_t node, std::int64_t above,
                            bool bounded, Search& search, std::uint64_t& longest) const {
  longest = 0;
  if (level == levels_) {
    const Leaf& leaf = leaves_[node];
    for (auto i = bounded ? last_at_most(leaf.at, leaf.count, search.from) : 0; i < leaf.count;
         ++i) {
      const bool enough = above + leaf.value[i] >= search.amount;
      if (enough == search.running) continue;
      if (enough) {
        search.start = std::max(search.from, leaf.at[i]);
      } else {
        if (search.long_enough(leaf.at[i])) return true;
        longest = std::max(longest, search.length(leaf.at[i]));
        ++search.gaps;
      }
      search.running = enough;
    }
    if (search.running)
      longest = std::max(longest, search.length_from(leaf.at[0], leaf.at[leaf.count - 1]));
    return false;
  }
  const Branch& b = branches_[node];
  for (auto i = bounded ? last_at_most(b.at, b.count, search.from) : 0; i < b.count;
       ++i, bounded = false) {
    if (search.running) {
      if (above + b.least[i] >= search.amount) continue;
      if (search.long_enough(b.at[i])) return true;
    } else if (above + b.most[i] < search.amount) {
      continue;
    } else if (above + b.least[i] >= search.amount) {
      search.running = true;
      search.start = std::max(search.from, b.at[i]);
      continue;
    }
    const auto here = above + b.add[i];
    const auto asked = search.amount - here;
    Runs& known = runs(level + 1, b.child[i]);
    if (const auto bound = bounded ? std::nullopt : known.bound(asked, search.duration); bound) {
      longest = std::max(longest, *bound);
      if (pass_over(level + 1, b.child[i], here, search, longest)) return true;
      continue;
    }
    std::uint64_t below = 0;
    if (search_below(level + 1, b.child[i], here, bounded, search, below)) return true;
    if (!bounded) known.learn(b.most[i] - b.add[i], asked, below);
    longest = std::max(longest, below);
  }
  if (search.running)
    longest = std::max(longest, search.length_from(b.at[0], last_step(level, node)));
  return false;
}

std::optional<Time> Timeline::earliest_fit(Time from, Time duration, std::int64_t amount) const {
  Search search{from, static_cast<std::uint64_t>(duration), amount};
  std::uint64_t longest = 0;
  (void)search_below(0, root_, capacity_, true, search, longest);
  gaps_ += search.gaps;
  return search.running ? std::optional(search.start) : std::nullopt;
}

}  // namespace reeve::alloc
