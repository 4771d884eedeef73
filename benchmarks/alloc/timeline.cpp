// Figures of the timeline: mixed operations and earliest fits over its number of spans, beside a
// sorted vector of steps.
#include "reeve/alloc/timeline.hpp"

#include "benchmarks/alloc/measure.hpp"
#include "benchmarks/alloc/naive.hpp"
#include "benchmarks/support/report.hpp"

using namespace reeve::alloc;
using namespace reeve::bench;

namespace {

constexpr std::int64_t plenty = 1'000'000'000;

// G3: all spans start now; then a mix of remove, add, free_at and min_free.
double timeline_rate(std::int64_t spans) {
  Timeline t(plenty);
  Draw draw(3);
  std::vector<SpanId> ids;
  for (std::int64_t i = 0; i < spans; ++i)
    ids.push_back(t.add(0, draw(1, 100'000'000), draw(1, 9)).value());
  const std::int64_t operations = 200'000;
  volatile std::int64_t sink = 0;
  return per_second(operations, [&] {
    for (std::int64_t i = 0; i < operations / 4; ++i) {
      auto& id = ids[draw.below(ids.size())];
      (void)t.remove(id).has_value();
      id = t.add(0, draw(1, 100'000'000), draw(1, 9)).value();
      const auto at = draw(0, 50'000'000);
      sink = t.free_at(at) + t.min_free(at, at + 10'000'000);
    }
  });
}

double naive_timeline_rate(std::int64_t spans) {
  NaiveTimeline t(plenty);
  Draw draw(3);
  std::vector<std::pair<Time, std::int64_t>> live;
  for (std::int64_t i = 0; i < spans; ++i) {
    live.emplace_back(draw(1, 100'000'000), draw(1, 9));
    t.change(0, live.back().first, -live.back().second);
  }
  const std::int64_t operations = spans > 10'000 ? 800 : 8'000;
  volatile std::int64_t sink = 0;
  return per_second(operations, [&] {
    for (std::int64_t i = 0; i < operations / 4; ++i) {
      auto& span = live[draw.below(live.size())];
      t.change(0, span.first, span.second);
      span = {draw(1, 100'000'000), draw(1, 9)};
      sink = t.min_free(0, span.first);  // add() asks whether it fits
      t.change(0, span.first, -span.second);
      const auto at = draw(0, 50'000'000);
      sink = t.free_at(at) + t.min_free(at, at + 10'000'000);
    }
  });
}

// G4: a fragmented plan, built from empty by earliest fit and add.
double earliest_rate(std::int64_t spans, double* gaps) {
  Timeline t(1000);
  Draw draw(5);
  const double rate = per_second(spans, [&] {
    for (std::int64_t i = 0; i < spans; ++i) {
      const auto length = draw(1, 3600);
      const auto amount = draw(1, 700);
      const auto at = t.earliest_fit(0, length, amount).value();
      (void)t.add(at, at + length, amount).has_value();
    }
  });
  *gaps = static_cast<double>(t.gaps()) / static_cast<double>(spans);
  return rate;
}

double naive_earliest_rate(std::int64_t spans, double* gaps) {
  NaiveTimeline t(1000);
  Draw draw(5);
  const double rate = per_second(spans, [&] {
    for (std::int64_t i = 0; i < spans; ++i) {
      const auto length = draw(1, 3600);
      const auto amount = draw(1, 700);
      const auto at = t.earliest_fit(0, length, amount);
      if (t.min_free(at, at + length) >= amount) t.change(at, at + length, -amount);
    }
  });
  *gaps = static_cast<double>(t.gaps()) / static_cast<double>(spans);
  return rate;
}

// The same with as many spans all the time: the oldest goes, one more comes.
double steady_rate(std::int64_t spans) {
  Timeline t(1000);
  Draw draw(5);
  std::vector<SpanId> ids;
  const auto place = [&] {
    const auto length = draw(1, 3600);
    const auto amount = draw(1, 700);
    const auto at = t.earliest_fit(0, length, amount).value();
    return t.add(at, at + length, amount).value();
  };
  for (std::int64_t i = 0; i < spans; ++i) ids.push_back(place());
  const std::int64_t operations = 5'000;
  return per_second(operations, [&] {
    for (std::int64_t i = 0; i < operations; ++i) {
      auto& oldest = ids[static_cast<std::size_t>(i % spans)];
      (void)t.remove(oldest).has_value();
      oldest = place();
    }
  });
}

}  // namespace

int main() {
  double base = 0;
  for (std::int64_t n : {1'000, 10'000, 100'000}) {
    const double rate = best_of_three([&] { return timeline_rate(n); });
    if (n == 1'000) base = rate;
    Figure f("alloc", named("timeline mixed ops (G3) spans", n), rate, "1/s");
    if (n == 10'000) f.at_least(1e6);
    f.against("sorted vector", best_of_three([&] { return naive_timeline_rate(n); })).print();
    if (n == 100'000)
      Figure("alloc", "timeline time 100 k / 1 k (G3)", base / rate, "x").at_most(3).print();
  }
  for (std::int64_t n : {1'000, 10'000, 30'000, 100'000}) {
    double gaps = 0;
    const double rate = best_of_three([&] { return earliest_rate(n, &gaps); });
    Figure f("alloc", named("earliest fit and add (G4) spans", n), rate, "1/s");
    if (n == 10'000) f.at_least(20'000);
    Figure g("alloc", named("gaps per earliest fit (G5) spans", n), gaps, "1");
    if (n <= 30'000) {
      double all_gaps = 0;  // of a search that passes over none
      f.against("sorted vector", naive_earliest_rate(n, &all_gaps));
      g.against("sorted vector", all_gaps);
      if (n == 10'000) g.at_most(all_gaps / 10);
    }
    f.print();
    g.print();
    Figure("alloc", named("oldest out, earliest fit, add (G4) spans", n), steady_rate(n), "1/s")
        .print();
  }
}
