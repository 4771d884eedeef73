// Victims: few, eligible, and no flapping.
#include "reeve/alloc/preemption.hpp"

#include <set>

#include "tests/alloc/shorthand.hpp"
#include "tests/support/pch.hpp"

namespace reeve::alloc {
namespace {

struct World {
  explicit World(std::vector<std::int64_t> capacities) {
    for (auto c : capacities)
      EXPECT_TRUE(manager.register_resource(
          {.name = numbered(manager.resource_count()), .capacity = cores(c)}));
  }
  ManualClock clock;
  ReservationManager manager{Dimensions::standard(), clock};
};

TEST(Preemption, FindsTheLowestPriorityAndNoMoreThanNeeded) {  // seed defect 14: found nothing
  World w({100});
  const auto low = w.manager.create_reservation("a", want(30, 1)).value();
  const auto lower = w.manager.create_reservation("b", want(30, 0)).value();
  const auto same = w.manager.create_reservation("c", want(30, 5)).value();
  EXPECT_EQ(find_victims(w.manager, want(40, 5)).value(), (std::vector{lower}));
  EXPECT_EQ(find_victims(w.manager, want(70, 5)).value(), (std::vector{lower, low}));
  EXPECT_EQ(find_victims(w.manager, want(80, 5)).refusal().code, Code::busy);
  EXPECT_TRUE(find_victims(w.manager, want(10, 5)).value().empty());
  EXPECT_EQ(find_victims(w.manager, want(40, 0)).refusal().code, Code::busy);
  EXPECT_EQ(find_victims(w.manager, want(101, 5)).refusal().code, Code::infeasible);
  EXPECT_NE(w.manager.find(same), nullptr);
  EXPECT_EQ(w.manager.live().size(), 3u);
}

TEST(Preemption, OneLargeVictimInsteadOfManySmallOnes) {
  World w({100});
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(w.manager.create_reservation("s", want(10, 0)));
  const auto large = w.manager.create_reservation("l", want(50, 1)).value();
  // The small ones go first in order, but with the large one they are not needed.
  EXPECT_EQ(find_victims(w.manager, want(60, 2)).value().size(), 2u);
  EXPECT_EQ(find_victims(w.manager, want(50, 2)).value().size(), 5u);
  (void)large;
}

TEST(Preemption, BorrowersGiveBackAndOwnersDoNot) {
  World w({100});
  const auto root = w.manager.add_quota({.name = "root"}).value();
  const auto a =
      w.manager.add_quota({.name = "a", .parent = root, .nominal = Limits::of(0, 50)}).value();
  const auto b =
      w.manager.add_quota({.name = "b", .parent = root, .nominal = Limits::of(0, 50)}).value();
  const auto own = w.manager.create_reservation("a", want(50, 0, a)).value();
  const auto borrowed = w.manager.create_reservation("a", want(40, 0, a)).value();
  const PreemptionRules fair{.lower_priority = false, .fair_share = true};
  EXPECT_FALSE(find_victims(w.manager, want(40, 0, b)));
  EXPECT_EQ(find_victims(w.manager, want(40, 0, b), fair).value(), (std::vector{borrowed}));
  EXPECT_FALSE(find_victims(w.manager, want(60, 0, b), fair));
  EXPECT_FALSE(find_victims(w.manager, want(40, 9, a), fair));  // its own queue: priority only
  (void)own;
}

TEST(Preemption, HistoryHasNoCircles) {
  EvictionHistory h;
  h.record(1, 2);
  h.record(2, 3);
  EXPECT_FALSE(h.may_evict(2, 1));
  EXPECT_FALSE(h.may_evict(3, 1));
  EXPECT_TRUE(h.may_evict(1, 3));
  EXPECT_TRUE(h.may_evict(1, 2));
  EXPECT_TRUE(h.may_evict(0, 1));
  h.forget(2);
  EXPECT_TRUE(h.may_evict(3, 1));
  EXPECT_EQ(h.size(), 0u);
}

TEST(Preemption, HistoryOfManyEvictionsIsSearchedOnce) {
  EvictionHistory h;
  const std::uint64_t n = 200'000;  // a look at all before for each would be 20 billion
  for (std::uint64_t i = 0; i < n; ++i) h.record(1, 2 + i);
  for (std::uint64_t i = 0; i < 1000; ++i) h.record(2 + i, n + 5);
  EXPECT_TRUE(h.may_evict(n + 9, 1));
  EXPECT_FALSE(h.may_evict(n + 5, 1));
  EXPECT_FALSE(h.may_evict(n + 1, 1));
}

TEST(Preemption, AWindowOfOnesOwnIsNeitherInTheWayNorAVictim) {
  World w({100});
  const auto q = w.manager.add_quota({.name = "q", .nominal = Limits::of(0, 100)}).value();
  const auto low = w.manager.create_reservation("a", want(100, 0, Time{50})).value();
  auto r = want(100, 5, q);
  r.duration = 100;
  auto ahead = r;
  ahead.priority = 1;
  ahead.not_before = w.manager.now() + 50;
  const auto window = w.manager.create_reservation("b", ahead).value();
  EXPECT_EQ(find_victims(w.manager, r, {.lower_priority = false, .window = window}).refusal().code,
            Code::busy);
  EXPECT_EQ(find_victims(w.manager, r, {.window = window}).value(), (std::vector{low}));
  (void)w.manager.release_reservation(low);
  EXPECT_TRUE(find_victims(w.manager, r, {.window = window}).value().empty());
  EXPECT_NE(w.manager.find(window), nullptr);
}

// I15: leaving out any victim, the request does not fit.
TEST(PreemptionProperty, VictimsAreMinimalInTenThousandCases) {
  std::uint64_t x = 99;
  const auto draw = [&](int low, int high) {
    x = x * 6364136223846793005ULL + 1442695040888963407ULL;
    return low + static_cast<int>((x >> 33) % static_cast<std::uint64_t>(high - low + 1));
  };
  int found = 0;
  for (int instance = 0; instance < 10'000; ++instance) {
    std::vector<std::int64_t> capacities;
    for (int n = draw(1, 3); n > 0; --n) capacities.push_back(draw(5, 20));
    World w(capacities);
    for (int n = draw(1, 12); n > 0; --n) {
      auto r = want(draw(1, 8), draw(0, 3));
      if (draw(0, 3) == 0) r.gang.push_back({.amount = cores(draw(1, 4))});
      (void)w.manager.create_reservation("x", r);
    }
    auto r = want(draw(3, 15), draw(1, 4));
    r.gang[0].count = draw(1, 2);
    const auto victims = find_victims(w.manager, r);
    if (!victims) continue;
    found += !victims->empty();
    ASSERT_TRUE(w.manager.plan(r, Strategy::balanced, *victims));
    for (std::size_t k = 0; k < victims->size(); ++k) {
      ASSERT_LT(w.manager.find((*victims)[k])->priority, r.priority);
      auto fewer = *victims;
      fewer.erase(fewer.begin() + static_cast<std::ptrdiff_t>(k));
      ASSERT_FALSE(w.manager.plan(r, Strategy::balanced, fewer)) << "instance " << instance;
    }
  }
  EXPECT_GT(found, 3000);
}

// A run in which every queue wants more than there is: evictions come to an end, and nobody evicts
// whom evicted it.
void no_flapping(std::uint64_t seed, bool nested) {
  std::uint64_t x = seed * 7919 + 17;
  const auto draw = [&](int low, int high) {
    x = x * 6364136223846793005ULL + 1442695040888963407ULL;
    return low + static_cast<int>((x >> 33) % static_cast<std::uint64_t>(high - low + 1));
  };
  World w({draw(10, 40), draw(10, 40)});
  std::vector<QuotaId> leaves;
  const auto root = w.manager.add_quota({.name = "root"}).value();
  std::vector<QuotaId> groups{root};
  if (nested)
    for (int g = 0; g < 3; ++g)
      groups.push_back(w.manager
                           .add_quota({.name = numbered(static_cast<unsigned>(g)).append("g"),
                                       .parent = groups[static_cast<std::size_t>(draw(0, g))],
                                       .nominal = Limits::of(0, draw(0, 5))})
                           .value());
  for (int l = 0; l < 5; ++l)
    leaves.push_back(
        w.manager
            .add_quota(
                {.name = numbered(static_cast<unsigned>(l)),
                 .parent =
                     groups[static_cast<std::size_t>(draw(0, static_cast<int>(groups.size()) - 1))],
                 .nominal = Limits::of(0, draw(0, 12)),
                 .borrow = draw(0, 2) ? Limits{} : Limits::of(0, draw(0, 20))})
            .value());
  std::vector<Request> requests;
  for (int i = 0; i < 16; ++i)
    requests.push_back(want(draw(1, 12), draw(0, 1), leaves[static_cast<std::size_t>(draw(0, 4))]));
  for (std::size_t i = 0; i < requests.size(); ++i) requests[i].identity = i + 1;
  std::map<int, ReservationId> running;
  std::set<std::pair<int, int>> evicted;  // (by, whom)
  EvictionHistory history;
  const PreemptionRules rules{.lower_priority = true, .fair_share = true, .history = &history};
  int steps = 0;
  for (bool moved = true; moved;) {
    moved = false;
    for (int i = 0; i < 16; ++i) {
      if (running.contains(i)) continue;
      const auto& r = requests[static_cast<std::size_t>(i)];
      const auto victims = find_victims(w.manager, r, rules);
      if (!victims) continue;
      ASSERT_LT(++steps, 2000) << "evictions do not end, seed " << seed;
      for (auto v : *victims)
        for (auto at = running.begin(); at != running.end(); ++at)
          if (at->second == v) {
            ASSERT_FALSE(evicted.contains({at->first, i}))
                << i << " evicts " << at->first << ", which evicted it; seed " << seed;
            evicted.emplace(i, at->first);
            history.record(requests[static_cast<std::size_t>(i)].identity,
                           requests[static_cast<std::size_t>(at->first)].identity);
            running.erase(at);
            break;
          }
      running[i] = w.manager.replace(*victims, numbered(static_cast<unsigned>(i)), r).value();
      moved = true;
      ASSERT_TRUE(w.manager.audit().clean());
    }
  }
}

TEST(PreemptionProperty, NoFlappingInFlatQueues) {
  for (std::uint64_t seed = 0; seed < 1000; ++seed) no_flapping(seed, false);
}
TEST(PreemptionProperty, NoFlappingInAHierarchy) {
  for (std::uint64_t seed = 0; seed < 1000; ++seed) no_flapping(seed, true);
}

// I19: anti-affinity holds after preemption too.
RC_GTEST_PROP(PreemptionProperty, AntiAffinityIsNeverBroken, ()) {
  World w({12, 12, 12});
  const auto check = [&] {
    for (auto a : w.manager.live())
      for (auto b : w.manager.live()) {
        const auto& x = *w.manager.find(a);
        const auto& y = *w.manager.find(b);
        if (a == b || !x.tags || !y.tags || x.tags->affinity.empty() ||
            x.tags->affinity[0].label != y.tags->label)
          continue;
        for (const auto& p : x.lines)
          for (const auto& q : y.lines) RC_ASSERT(p.resource != q.resource);
      }
  };
  for (int i = 0; i < 25; ++i) {
    auto r = want(*rc::gen::inRange(1, 9), *rc::gen::inRange(0, 4));
    r.label = *rc::gen::element<std::string>("a", "b");
    if (*rc::gen::arbitrary<bool>())
      r.affinity = {{.label = *rc::gen::element<std::string>("a", "b"), .anti = true}};
    const auto victims = find_victims(w.manager, r);
    if (victims) RC_ASSERT(w.manager.replace(*victims, "x", r));
    check();
    RC_ASSERT(w.manager.audit().clean());
  }
}

}  // namespace
}  // namespace reeve::alloc
