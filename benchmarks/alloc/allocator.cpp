// Figures of the allocator: timeline, shares, devices, replay, decisions; each beside a naive form.
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <reeve/alloc.hpp>

#include "benchmarks/support/report.hpp"

using namespace reeve::alloc;
using reeve::bench::Figure;

namespace {

class Draw {
 public:
  explicit Draw(std::uint64_t seed) : x_(seed * 2 + 1) {}
  std::int64_t operator()(std::int64_t low, std::int64_t high) {
    x_ = x_ * 6364136223846793005ULL + 1442695040888963407ULL;
    return low + static_cast<std::int64_t>((x_ >> 33) % static_cast<std::uint64_t>(high - low + 1));
  }

 private:
  std::uint64_t x_;
};

template <class Body>
double per_second(std::int64_t operations, Body body) {
  const auto begin = std::chrono::steady_clock::now();
  body();
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  return double(operations) / took.count();
}

std::string named(const char* what, std::int64_t n) {
  std::string text = what;
  text += ' ';
  text += std::to_string(n / 1000);
  return text += " k";
}

// Sorted steps in a vector: what a planner without a tree does.
class NaiveTimeline {
 public:
  explicit NaiveTimeline(std::int64_t capacity) : steps_{{INT64_MIN, capacity}} {}
  void change(Time from, Time to, std::int64_t d) {
    const auto first = cut(from);
    const auto last = cut(to);
    for (auto i = first; i < last; ++i) steps_[i].second += d;
  }
  std::int64_t min_free(Time from, Time to) const {
    auto i = static_cast<std::size_t>(
        std::upper_bound(steps_.begin(), steps_.end(), std::pair(from, INT64_MAX)) -
        steps_.begin() - 1);
    std::int64_t least = INT64_MAX;
    for (; i < steps_.size() && steps_[i].first < to; ++i)
      least = std::min(least, steps_[i].second);
    return least;
  }

 private:
  std::size_t cut(Time at) {
    const auto i = std::lower_bound(steps_.begin(), steps_.end(), std::pair(at, INT64_MIN));
    const auto k = i - steps_.begin();
    if (i == steps_.end() || i->first != at)
      steps_.insert(i, {at, steps_[std::size_t(k) - 1].second});
    return static_cast<std::size_t>(k);
  }
  std::vector<std::pair<Time, std::int64_t>> steps_;
};

// G3: all spans start now; then a mix of remove, add, free_at and min_free.
double timeline_rate(std::int64_t spans) {
  Timeline t(1'000'000'000);
  Draw draw(3);
  std::vector<SpanId> ids;
  for (std::int64_t i = 0; i < spans; ++i)
    ids.push_back(t.add(0, draw(1, 100'000'000), draw(1, 9)).value());
  const std::int64_t operations = 200'000;
  volatile std::int64_t sink = 0;
  return per_second(operations, [&] {
    for (std::int64_t i = 0; i < operations / 4; ++i) {
      auto& id = ids[static_cast<std::size_t>(draw(0, spans - 1))];
      (void)t.remove(id).has_value();
      id = t.add(0, draw(1, 100'000'000), draw(1, 9)).value();
      const auto at = draw(0, 50'000'000);
      sink = t.free_at(at) + t.min_free(at, at + 10'000'000);
    }
  });
}

double naive_timeline_rate(std::int64_t spans) {
  NaiveTimeline t(1'000'000'000);
  Draw draw(3);
  std::vector<std::pair<Time, std::int64_t>> live;
  for (std::int64_t i = 0; i < spans; ++i) {
    live.emplace_back(draw(1, 100'000'000), draw(1, 9));
    t.change(0, live.back().first, -live.back().second);
  }
  const std::int64_t operations = 2000;
  volatile std::int64_t sink = 0;
  return per_second(operations, [&] {
    for (std::int64_t i = 0; i < operations / 4; ++i) {
      auto& span = live[static_cast<std::size_t>(draw(0, spans - 1))];
      t.change(0, span.first, span.second);
      span = {draw(1, 100'000'000), draw(1, 9)};
      t.change(0, span.first, -span.second);
      const auto at = draw(0, 50'000'000);
      sink = t.min_free(at, at + 1) + t.min_free(at, at + 10'000'000);
    }
  });
}

// G4: build a fragmented plan from empty: earliest fit and add.
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
  *gaps = double(t.gaps()) / double(spans);
  return rate;
}

// G6: charge one user, which moves it in its heap.
double share_rate(std::int64_t users) {
  ShareTree tree(Amounts::of(0, 1'000'000'000));
  std::vector<ShareId> ids;
  for (std::int64_t u = 0; u < users; ++u) ids.push_back(tree.add().value());
  for (auto id : ids) tree.set_active(id, true);
  Draw draw(7);
  const std::int64_t operations = 1'000'000;
  return per_second(operations, [&] {
    for (std::int64_t i = 0; i < operations; ++i)
      tree.charge(ids[static_cast<std::size_t>(draw(0, users - 1))], Amounts::of(0, draw(1, 9)));
  });
}

// The user that is behind, found by looking at all.
double naive_share_rate(std::int64_t users) {
  std::vector<std::int64_t> used(static_cast<std::size_t>(users), 0);
  Draw draw(7);
  const std::int64_t operations = 2000;
  volatile std::int64_t sink = 0;
  return per_second(operations, [&] {
    for (std::int64_t i = 0; i < operations; ++i) {
      used[static_cast<std::size_t>(draw(0, users - 1))] += draw(1, 9);
      sink = std::min_element(used.begin(), used.end()) - used.begin();
    }
  });
}

// G2: create and release on a filled cluster of two dimensions with a capability filter.
double decisions(std::int64_t nodes, Strategy strategy, std::int64_t operations, double* p99) {
  reeve::ManualClock clock;
  ReservationManager manager(Dimensions::standard(), clock);
  Draw draw(9);
  for (std::int64_t n = 0; n < nodes; ++n) {
    Amounts capacity = Amounts::of(0, 64'000);
    capacity[1] = 256;
    (void)manager
        .register_resource({.name = numbered(static_cast<std::uint64_t>(n)),
                            .capacity = capacity,
                            .capabilities = {{"class", n % 15}}})
        .value();
  }
  std::vector<ReservationId> live;
  std::vector<double> micros;
  const double rate = per_second(operations, [&] {
    for (std::int64_t i = 0; i < operations; ++i) {
      Request r{.gang = {{.amount = Amounts::of(0, 1000 * draw(1, 16)),
                          .where = {needs("class", draw(0, 4))}}}};
      r.gang[0].amount[1] = draw(1, 64);
      const auto begin = std::chrono::steady_clock::now();
      auto id = manager.create_reservation("x", r, strategy);
      micros.push_back(
          std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - begin)
              .count());
      if (id) live.push_back(*id);
      if (live.size() > std::size_t(nodes) * 4) {
        auto& old = live[static_cast<std::size_t>(draw(0, std::ssize(live) - 1))];
        (void)manager.release_reservation(old).has_value();
        old = live.back();
        live.pop_back();
      }
    }
  });
  *p99 = reeve::bench::percentile(micros, 0.99);
  return rate;
}

void replay() {
  const char* root = std::getenv("REEVE_DATA_DIR");
  std::ifstream in(root ? std::string(root).append("/allocation/hpc2n.swf") : std::string());
  if (!in) return;
  const auto trace = read_swf(in).value();
  double best = 1e9;
  double slowdown = 0;
  for (int round = 0; round < 5; ++round) {
    const double rate = per_second(1, [&] {
      slowdown =
          simulate(trace.jobs, {.processors = trace.processors}).value().mean_bounded_slowdown;
    });
    best = std::min(best, 1000 / rate);
  }
  Figure("alloc", "hpc2n EASY replay (G8)", best, "ms").at_most(50).print();
  Figure("alloc", "hpc2n EASY bounded slowdown (G8)", slowdown, "x").at_most(17.07).print();
}

}  // namespace

int main() {
  double base = 0;
  for (std::int64_t n : {1'000, 10'000, 100'000}) {
    const double rate = timeline_rate(n);
    if (n == 1'000) base = rate;
    Figure f("alloc", named("timeline mixed ops (G3) spans", n), rate, "1/s");
    if (n == 10'000) f.at_least(1e6);
    if (n <= 10'000) f.against("sorted vector", naive_timeline_rate(n));
    f.print();
    if (n == 100'000)
      Figure("alloc", "timeline time 100 k / 1 k (G3)", base / rate, "x").at_most(3).print();
  }
  for (std::int64_t n : {1'000, 10'000, 30'000}) {
    double gaps = 0;
    Figure f("alloc", named("earliest fit and add (G4) spans", n), earliest_rate(n, &gaps), "1/s");
    if (n == 10'000) f.at_least(20'000);
    f.print();
    Figure("alloc", named("gaps per earliest fit (G5) spans", n), gaps, "1").print();
  }
  for (std::int64_t n : {1'000, 10'000, 100'000}) {
    Figure f("alloc", named("share updates (G6) users", n), share_rate(n), "1/s");
    if (n == 100'000) f.at_least(1e6);
    f.against("linear scan", naive_share_rate(n)).print();
  }
  for (const auto& [nodes, operations] :
       {std::pair<std::int64_t, std::int64_t>{1'213, 20'000}, {10'000, 3'000}}) {
    double p99 = 0;
    const double first = decisions(nodes, Strategy::first_fit, operations, &p99);
    Figure("alloc", named("create, first fit (G2) nodes", nodes), first, "1/s")
        .at_least(1e6)
        .print();
    const double best = decisions(nodes, Strategy::best_fit, operations, &p99);
    Figure("alloc", named("create, best fit (G2) nodes", nodes), best, "1/s")
        .at_least(nodes > 5000 ? 2e5 : 3e5)
        .print();
    Figure("alloc", named("create, best fit p99 (G2) nodes", nodes), p99, "us").at_most(20).print();
  }
  Figure("alloc", "record of a live reservation (G11)", sizeof(Reservation), "B")
      .at_most(200)
      .print();
  replay();
}
