// Free capacity over time: one amount, exact, in a balanced tree.
#pragma once

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
/// once
///          the pool of steps is warm.
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
  /// Cost: (2 + 2 * gaps) tree descents, where gaps are the runs of enough free capacity that are
  /// too
  ///       short; a comb of them is linear. gaps() counts them.
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
  std::size_t steps() const noexcept { return nodes_.size() - free_nodes_.size(); }
  /// Runs that earliest_fit found too short, since construction.
  std::uint64_t gaps() const noexcept { return gaps_; }

 private:
  static constexpr std::uint32_t nil = UINT32_MAX;
  struct Node {
    Time at;
    std::int64_t value;  // free from `at` on; without what ancestors still have to add
    std::int64_t least;
    std::int64_t most;
    std::int64_t add;  // pending for both subtrees
    std::uint32_t left;
    std::uint32_t right;
    std::uint32_t priority;
  };
  struct Span {
    Time start;
    Time end;
    std::int64_t amount;
    std::uint32_t generation;
    bool live;
  };

  Span* find(SpanId id);
  std::uint32_t make(Time at, std::int64_t value);
  void apply(std::uint32_t t, std::int64_t d);
  void push(std::uint32_t t);
  void pull(std::uint32_t t);
  void split(std::uint32_t t, Time at, std::uint32_t& left, std::uint32_t& right);
  std::uint32_t merge(std::uint32_t left, std::uint32_t right);
  void insert(std::uint32_t& t, std::uint32_t fresh);
  void erase(std::uint32_t& t, Time at);
  void add_range(std::uint32_t t, Time low, Time high, Time from, Time to, std::int64_t d);
  void change(Time from, Time to, std::int64_t d);
  void mark(Time at);
  void unmark(Time at);
  bool has(Time at) const;
  void drop(std::uint32_t t);
  std::optional<Time> first(std::uint32_t t, Time from, std::int64_t amount, bool below,
                            std::int64_t pending) const;

  std::vector<Node> nodes_;
  std::vector<std::uint32_t> free_nodes_;
  std::vector<Span> spans_;
  std::vector<std::uint32_t> free_spans_;
  std::uint32_t root_ = nil;
  std::int64_t capacity_;
  Time horizon_ = INT64_MIN;  // nothing is known before it
  std::uint64_t random_ = 0x9E3779B97F4A7C15ULL;
  mutable std::uint64_t gaps_ = 0;
};

}  // namespace reeve::alloc
