// The timeline against a naive array, at every instant.
#include "reeve/alloc/timeline.hpp"

#include "tests/support/pch.hpp"

namespace reeve::alloc {
namespace {

// The array ends at `length`; the last cell stands for all that comes later.
struct Array {
  explicit Array(Time end) : length(end), free(static_cast<std::size_t>(end) + 1) {}
  Time length;
  std::vector<std::int64_t> free;

  std::int64_t& at(Time t) { return free[static_cast<std::size_t>(t)]; }
  std::int64_t at(Time t) const { return free[static_cast<std::size_t>(t)]; }
  void change(Time from, Time to, std::int64_t d) {
    for (Time t = from; t <= length && t < to; ++t) at(t) += d;
  }
  std::int64_t min(Time from, Time to) const {
    std::int64_t least = INT64_MAX;
    for (Time t = from; t <= length && t < to; ++t) least = std::min(least, at(t));
    return least;
  }
  std::optional<Time> below(Time from, std::int64_t amount) const {
    for (Time t = from; t <= length; ++t)
      if (at(t) < amount) return t;
    return std::nullopt;
  }
  std::optional<Time> earliest(Time from, Time duration, std::int64_t amount) const {
    std::optional<Time> start;
    for (Time t = from; t <= length; ++t) {
      if (at(t) < amount) {
        start.reset();
        continue;
      }
      if (!start) start = t;
      if (t - *start >= duration - 1) break;
    }
    return start;
  }
};

// I8 and I9: every query equals the array's, under add, remove, move_end, overrun, capacity changes
// and forgetting; the earliest fit fits, and no earlier instant does.
void against_array(std::uint64_t seed, int steps, Time length = 64, Time longest = forever,
                   std::int64_t capacity_max = 20) {
  // tidy: one table of operations
  std::uint64_t x = seed * 2 + 1;
  const auto draw = [&](Time low, Time high) {
    x = x * 6364136223846793005ULL + 1442695040888963407ULL;
    return low + static_cast<Time>((x >> 33) % static_cast<std::uint64_t>(high - low + 1));
  };
  struct Span {
    SpanId id;
    Time start, end;
    std::int64_t amount;
  };
  std::int64_t capacity = draw(1, capacity_max);
  Timeline timeline(capacity);
  Array array(length);
  array.change(0, forever, capacity);
  std::vector<Span> spans;
  Time horizon = 0;
  std::size_t most_steps = 0;
  for (int i = 0; i < steps; ++i) {
    const auto pick = spans.empty() ? 0 : static_cast<std::size_t>(draw(0, std::ssize(spans) - 1));
    switch (draw(0, 9)) {
      case 0:
      case 1:
      case 2:
      case 3: {
        const auto start = draw(horizon, length - 1);
        const auto end = draw(0, 9)
                             ? draw(start + 1, longest < length - start ? start + longest : length)
                             : forever;
        const auto amount = draw(1, 8);
        const auto made = timeline.add(start, end, amount);
        ASSERT_EQ(made.has_value(), array.min(start, end) >= amount);
        if (!made) {
          ASSERT_EQ(made.refusal().earliest,
                    array.earliest(start, end == forever ? forever : end - start, amount));
          break;
        }
        array.change(start, end, -amount);
        spans.push_back({*made, start, end, amount});
        break;
      }
      case 4:
      case 5:
        if (spans.empty()) break;
        ASSERT_TRUE(timeline.remove(spans[pick].id));
        ASSERT_EQ(timeline.remove(spans[pick].id).refusal().code, Code::unknown_reservation);
        array.change(std::max(spans[pick].start, horizon), spans[pick].end, spans[pick].amount);
        spans.erase(spans.begin() + static_cast<std::ptrdiff_t>(pick));
        break;
      case 6: {
        if (spans.empty() || spans[pick].end <= horizon || spans[pick].end == forever) break;
        auto& s = spans[pick];
        const auto end = draw(std::max(s.start + 1, horizon), length);
        const bool room = end <= s.end || array.min(s.end, end) >= s.amount;
        ASSERT_EQ(timeline.move_end(s.id, end).has_value(), room);
        if (!room) break;
        array.change(std::min(end, s.end), std::max(end, s.end),
                     end < s.end ? s.amount : -s.amount);
        s.end = end;
        break;
      }
      case 7:
        if (spans.empty() || spans[pick].end <= horizon || draw(0, 3)) break;
        ASSERT_TRUE(timeline.overrun(spans[pick].id));
        if (spans[pick].end != forever) array.change(spans[pick].end, forever, -spans[pick].amount);
        spans[pick].end = forever;
        break;
      case 8: {
        const auto to = draw(1, capacity_max);
        timeline.set_capacity(to);
        array.change(0, forever, to - capacity);
        capacity = to;
        break;
      }
      case 9:
        if (draw(0, length > 100 ? 40 : 5)) break;
        horizon = draw(horizon, std::min(length - 8, horizon + std::max<Time>(3, length / 100)));
        timeline.forget_before(horizon);
        break;
    }
    for (Time t = horizon; t <= length; ++t) ASSERT_EQ(timeline.free_at(t), array.at(t)) << t;
    const auto from = draw(horizon, length - 1), to = draw(from + 1, length);
    ASSERT_EQ(timeline.min_free(from, to), array.min(from, to));
    const auto amount = draw(1, capacity_max * 3 / 5), duration = draw(1, length / 2);
    ASSERT_EQ(timeline.first_below(from, amount), array.below(from, amount));
    ASSERT_EQ(timeline.earliest_fit(from, duration, amount),
              array.earliest(from, duration, amount));
    ASSERT_EQ(timeline.spans(), spans.size());
    most_steps = std::max(most_steps, timeline.steps());
    ASSERT_LE(timeline.steps(), 2 * spans.size() + 2) << "equal neighbours are one step";
  }
  if (length > 1000) {
    EXPECT_GT(most_steps, 1500u) << "the tree is not deep";
  }
}

RC_GTEST_PROP(TimelineProperty, EqualsANaiveArray, (std::uint64_t seed)) {
  against_array(seed, 60);
}
TEST(TimelineProperty, EqualsANaiveArrayFor20000Operations) {
  against_array(5, 20'000);
}
TEST(TimelineProperty, EqualsANaiveArrayInADeepTree) {  // thousands of steps: several levels
  against_array(6, 6'000, 6'000, 40, 4000);
}
TEST(TimelineFull, EqualsANaiveArrayInDeepTrees) {
  for (std::uint64_t seed = 0; seed < 6; ++seed) against_array(seed, 15'000, 8'000, 60, 4000);
}

// I11: conservative backfill that compresses: when a job ends early, each waiting one in turn is
// taken out and placed again, and no guaranteed start moves later.
RC_GTEST_PROP(TimelineProperty, CompressionNeverMovesAStartLater, ()) {
  Timeline timeline(10);
  struct Waiting {
    SpanId id;
    Time start, duration;
    std::int64_t amount;
  };
  std::vector<Waiting> jobs;
  Time now = 0;
  for (int i = 0; i < 30; ++i) {
    now += *rc::gen::inRange(0, 4);
    const Time duration = *rc::gen::inRange(1, 20);
    const std::int64_t amount = *rc::gen::inRange(1, 11);
    const auto start = timeline.earliest_fit(now, duration, amount).value();
    jobs.push_back(
        {timeline.add(start, start + duration, amount).value(), start, duration, amount});
    // One that runs ends early.
    const auto running = std::find_if(jobs.begin(), jobs.end(), [&](const Waiting& j) {
      return j.start < now && now < j.start + j.duration;
    });
    if (running == jobs.end()) continue;
    RC_ASSERT(timeline.move_end(running->id, now));
    jobs.erase(running);
    for (auto& j : jobs) {
      if (j.start <= now) continue;
      RC_ASSERT(timeline.remove(j.id));
      const auto again = timeline.earliest_fit(now, j.duration, j.amount).value();
      RC_ASSERT(again <= j.start);
      j.start = again;
      j.id = timeline.add(again, again + j.duration, j.amount).value();
    }
  }
}

TEST(Timeline, AnswersInsideAStep) {
  // Asked from 150 it says 150: not the next change, at 300.
  Timeline t(10);
  ASSERT_TRUE(t.add(0, 100, 10));
  ASSERT_TRUE(t.add(300, 400, 10));
  EXPECT_EQ(t.earliest_fit(150, 100, 5), 150);
  EXPECT_EQ(t.earliest_fit(150, 200, 5), 400);
  EXPECT_EQ(t.earliest_fit(0, 200, 11), std::nullopt);
}

TEST(Timeline, OverrunShowsAsDebtAndNothingFitsThere) {
  Timeline t(10);
  const auto running = t.add(0, 100, 6).value();
  ASSERT_TRUE(t.add(100, 200, 8));
  ASSERT_TRUE(t.overrun(running));
  EXPECT_EQ(t.first_below(0, 0), 100);
  EXPECT_EQ(t.free_at(150), -4);
  EXPECT_EQ(t.add(150, 160, 1).refusal().code, Code::busy);
  ASSERT_TRUE(t.remove(running));
  EXPECT_EQ(t.free_at(150), 2);
}

TEST(Timeline, ShrinkNeverAllocatesTwice) {
  Timeline t(10);
  const auto a = t.add(0, 100, 8).value();
  t.set_capacity(5);
  EXPECT_EQ(t.free_at(50), -3);
  EXPECT_FALSE(t.add(50, 60, 1));
  ASSERT_TRUE(t.remove(a));
  EXPECT_EQ(t.free_at(50), 5);
  t.set_capacity(10);
  EXPECT_EQ(t.steps(), 1u);
}

TEST(Timeline, GapsAreCountedAndBound) {
  Timeline t(1);
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(t.add(10 * i, 10 * i + 9, 1));
  EXPECT_EQ(t.earliest_fit(0, 2, 1), 999);
  EXPECT_EQ(t.gaps(), 99u);  // a comb: one for every gap too short
}

TEST(Timeline, SearchesRememberWhereRunsAreTooShort) {
  Timeline t(1);
  std::vector<SpanId> spans;
  for (int i = 0; i < 2000; ++i) spans.push_back(t.add(10 * i, 10 * i + 9, 1).value());
  EXPECT_EQ(t.earliest_fit(0, 2, 1), 19'999);
  EXPECT_EQ(t.gaps(), 1999u);
  EXPECT_EQ(t.earliest_fit(0, 3, 1), 19'999);
  EXPECT_LT(t.gaps(), 2099u) << "once for each branch that is passed over";
  ASSERT_TRUE(t.remove(spans[1000]));
  EXPECT_EQ(t.earliest_fit(0, 3, 1), 9'999) << "what changed is looked at anew";
  ASSERT_TRUE(t.add(9'999, 10'009, 1));
  EXPECT_EQ(t.earliest_fit(0, 3, 1), 19'999);
  EXPECT_LT(t.gaps(), 2299u);
}

TEST(Timeline, RefusesBadSpans) {
  Timeline t(10);
  EXPECT_EQ(t.add(5, 5, 1).refusal().code, Code::invalid_request);
  EXPECT_EQ(t.add(5, 6, 0).refusal().code, Code::invalid_amount);
  EXPECT_EQ(t.remove({}).refusal().code, Code::unknown_reservation);
  const auto a = t.add(5, 10, 1).value();
  EXPECT_EQ(t.move_end(a, 5).refusal().code, Code::invalid_request);
}

}  // namespace
}  // namespace reeve::alloc
