// Free capacity over time: one amount, exact, in a balanced tree.
#pragma once

#include <bit>
#include <cstdint>
#include <optional>
#include <vector>

#include "reeve/alloc/result.hpp"

namespace reeve::alloc {

/// A span of a Timeline: slot and generation, so that a stale id is recognised for ever.
struct SpanId {
  std::uint32_t slot = UINT32_MAX;
  std::uint32_t generation = 0;
  friend auto operator<=>(const SpanId&, const SpanId&) = default;
};

/// What is free of one amount at every instant, given spans `[start, end)` that take parts of it.
///
/// Free may be negative: after set_capacity below what is planned, or when a span overruns into
/// what was planned behind it. Nothing new fits there until that is over.
///
/// Threads: one at a time.
/// Cost:    O(log steps) where not said otherwise; equal neighbours are one step. No allocation
///          once the tree was that large.
class Timeline {
 public:
  /// Preconditions: capacity >= 0.
  explicit Timeline(std::int64_t capacity);

  /// Takes `amount` during `[start, end)`; `end` may be forever.
  /// Errors: invalid_request (start >= end), invalid_amount (amount <= 0), busy (with the first
  ///         instant at which it fits, from `start` on, in `earliest`).
  Result<SpanId> add(Time start, Time end, std::int64_t amount);

  /// Errors: unknown_reservation.
  Result<void> remove(SpanId id);

  /// Ends at `end` instead, earlier or later.
  /// Errors: unknown_reservation, invalid_request (end <= start), busy (somebody else is there).
  Result<void> move_end(SpanId id, Time end);

  /// It did not end: takes its amount until removed, even where others are planned, which then find
  /// free below zero.
  /// Errors: unknown_reservation.
  Result<void> overrun(SpanId id);

  /// The first instant from `from` on at which `amount` is free for `duration`; it may lie inside a
  /// step. Nothing if that never happens.
  /// Preconditions: duration > 0.
  /// Cost: one pass from `from` on. It passes over branches that hold no end of a run, and over
  /// those
  ///       whose runs an earlier search found too short, as long as nothing changes there. At most
  ///       (2 + 2 * gaps) tree descents, where gaps are the ends of runs that it looks at and finds
  ///       too short; a comb is linear at first, some nanoseconds each. gaps() counts them.
  std::optional<Time> earliest_fit(Time from, Time duration, std::int64_t amount) const;

  std::int64_t free_at(Time at) const;
  /// Preconditions: from < to.
  std::int64_t min_free(Time from, Time to) const;
  /// The first instant from `from` on with less than `amount` free.
  std::optional<Time> first_below(Time from, std::int64_t amount) const;

  /// Changes what there is, at every instant.
  void set_capacity(std::int64_t capacity);
  std::int64_t capacity() const noexcept { return capacity_; }

  /// Merges all steps before `at` into one; queries before `at` then answer as at `at`.
  /// Cost: O(steps forgotten + log steps).
  void forget_before(Time at);

  std::size_t spans() const noexcept { return spans_.size() - free_spans_.size(); }
  std::size_t steps() const noexcept { return steps_; }
  /// Runs that earliest_fit found too short, since construction.
  std::uint64_t gaps() const noexcept { return gaps_; }

 private:
  // A B+-tree of steps. A branch knows the least and most of each child and what is still to be
  // added to all below it.
  static constexpr std::uint32_t width = 32;
  static constexpr std::uint32_t levels_max = 12;
  struct Leaf {
    std::uint32_t count = 0;
    Time at[width];
    std::int64_t value[width];  // free from `at` on; without what branches above still add
  };
  struct Branch {
    std::uint32_t count = 0;
    Time at[width];  // of the first step below each child
    std::int64_t least[width];
    std::int64_t most[width];
    std::int64_t add[width];
    std::uint32_t child[width];
  };
  // From the root to the last step that begins at or before some instant.
  struct Path {
    std::uint32_t branch[levels_max];
    std::uint32_t slot[levels_max];
    std::uint32_t leaf = 0;
    std::uint32_t pos = 0;
    std::int64_t above = 0;  // sum of what is to be added to the leaf
  };
  struct Search;
  // What searches found out about the runs in one node: per half power of two of what is free there
  // at most beyond the amount asked for, the amount and a bound of the longest run of it.
  struct Runs {
    static constexpr std::uint32_t kinds = 16;
    std::uint16_t known = 0;  // by bits
    std::int64_t amount[kinds];
    std::uint64_t longest[kinds];

    /// A bound of the longest run of `asked` that is below `duration`, if one is known.
    std::optional<std::uint64_t> bound(std::int64_t asked, std::uint64_t duration) const {
      for (auto bits = known; bits != 0; bits &= static_cast<std::uint16_t>(bits - 1)) {
        const auto k = std::countr_zero(bits);
        if (amount[k] <= asked && longest[k] < duration) return longest[k];
      }
      return std::nullopt;
    }
    void learn(std::int64_t most, std::int64_t asked, std::uint64_t found) {
      const auto more = static_cast<std::uint64_t>(most) - static_cast<std::uint64_t>(asked);
      const auto octave = static_cast<std::uint32_t>(std::bit_width(more));
      const auto half = octave > 1 ? static_cast<std::uint32_t>(more >> (octave - 2)) & 1u : 0u;
      const auto k = (2 * octave + half) % kinds;
      known |= static_cast<std::uint16_t>(1u << k);
      amount[k] = asked;
      longest[k] = found;
    }
  };
  struct Span {
    Time start;
    Time end;
    std::int64_t amount;
    std::uint32_t generation;
    bool live;
  };

  Span* find(SpanId id);
  void change(Time from, Time to, std::int64_t d);

  // timeline_tree.cpp
  Path descend(Time at) const;
  void mark(Time at);
  void unmark(Time at);
  void add_range(Time from, Time to, std::int64_t d);
  void add_below(std::uint32_t level, std::uint32_t node, Time end, Time from, Time to,
                 std::int64_t d);
  std::int64_t min_below(std::uint32_t level, std::uint32_t node, Time from, Time to) const;
  std::optional<Time> first_below(std::uint32_t level, std::uint32_t node, std::int64_t above,
                                  const Time* from, std::int64_t amount) const;
  bool search_below(std::uint32_t level, std::uint32_t node, std::int64_t above, bool bounded,
                    Search& search, std::uint64_t& longest) const;
  bool pass_over(std::uint32_t level, std::uint32_t node, std::int64_t above, Search& search,
                 std::uint64_t& longest) const;
  std::optional<Time> last_run(std::uint32_t level, std::uint32_t node, std::int64_t above,
                               std::int64_t amount) const;
  Time last_step(std::uint32_t level, std::uint32_t node) const;
  Runs& runs(std::uint32_t level, std::uint32_t node) const {
    return level == levels_ ? leaf_runs_[node] : branch_runs_[node];
  }
  void forget_runs(const Path& path) const;
  bool full(const Path& path, std::uint32_t level) const;
  void split(const Path& path, std::uint32_t level);
  void summarize(std::uint32_t level, Branch& branch, std::uint32_t slot);
  void refresh(const Path& path, std::uint32_t level);
  void erase_step(const Path& path);
  void erase_child(const Path& path, std::uint32_t level);
  void merge(const Path& path, std::uint32_t level);
  void forget_steps(Time at);

  std::vector<Leaf> leaves_;
  std::vector<std::uint32_t> free_leaves_;
  std::vector<Branch> branches_;
  std::vector<std::uint32_t> free_branches_;
  std::uint32_t root_ = 0;    // a leaf while there are no levels of branches
  std::uint32_t levels_ = 0;  // of branches
  std::size_t steps_ = 1;
  std::int64_t capacity_;  // to be added to every step
  std::vector<Span> spans_;
  std::vector<std::uint32_t> free_spans_;
  Time horizon_ = INT64_MIN;  // nothing is known before it
  mutable std::vector<Runs> leaf_runs_;
  mutable std::vector<Runs> branch_runs_;
  mutable std::uint64_t gaps_ = 0;
};

}  // namespace reeve::alloc
