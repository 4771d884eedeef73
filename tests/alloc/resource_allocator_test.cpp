// The queue under every policy.
#include "reeve/alloc/resource_allocator.hpp"

#include "tests/alloc/shorthand.hpp"
#include "tests/support/pch.hpp"

namespace reeve::alloc {
namespace {

Amounts vec(std::int64_t a, std::int64_t b) {
  Amounts v = cores(a);
  v[1] = b;
  return v;
}

struct World {
  explicit World(std::vector<Amounts> capacities, Policy policy = fifo(),
                 AllocatorOptions options = {})
      : allocator(manager, std::move(policy), options) {
    for (const auto& c : capacities)
      EXPECT_TRUE(
          manager.register_resource({.name = numbered(manager.resource_count()), .capacity = c}));
  }
  std::vector<int> order(const CycleReport& r) const {
    std::vector<int> tickets;
    for (const auto& g : r.granted) tickets.push_back(static_cast<int>(g.ticket));
    return tickets;
  }
  std::map<std::string, int> granted_by(const CycleReport& r) const {
    std::map<std::string, int> n;
    for (const auto& g : r.granted) ++n[manager.owner_name(manager.find(g.reservation)->owner)];
    return n;
  }
  ManualClock clock;
  ReservationManager manager{Dimensions::standard(), clock};
  ResourceAllocator allocator;
};

std::vector<Policy> every_policy() {
  return {fifo(),           shortest_job_first(), best_fit(),
          worst_fit(),      first_fit(),          fragmentation_aware({{cores(10)}}, 0),
          FairPolicy(0),    DrfPolicy(),          WeightedPolicy(0),
          PriorityPolicy(), QuotaPolicy()};
}

TEST(ResourceAllocator, AllocatesUnderEveryPolicy) {  // seed defect 1
  for (const auto& policy : every_policy()) {
    World w({cores(100)}, policy);
    auto id = w.allocator.allocate("task-1", want(cores(50)));
    ASSERT_TRUE(id) << policy.name;
    EXPECT_EQ(w.manager.find(*id)->state, State::confirmed);
    EXPECT_EQ(w.allocator.allocate("task-2", want(cores(60))).refusal().code, Code::busy);
    EXPECT_TRUE(w.allocator.waiting().empty());
  }
}

TEST(ResourceAllocator, ThePapersDrfExample) {
  World w({vec(9, 18)}, DrfPolicy());
  for (int i = 0; i < 9; ++i) {
    ASSERT_TRUE(w.allocator.submit("A", want(vec(1, 4))));
    ASSERT_TRUE(w.allocator.submit("B", want(vec(3, 1))));
  }
  const auto report = w.allocator.schedule();
  EXPECT_EQ(w.granted_by(report), (std::map<std::string, int>{{"A", 3}, {"B", 2}}));
  EXPECT_EQ(w.allocator.waiting().size(), 13u);
}

TEST(ResourceAllocator, GroupsShareBeforeTheirMembers) {
  DrfPolicy drf;
  ASSERT_TRUE(drf.set_group("x", "team"));
  ASSERT_TRUE(drf.set_group("y", "team"));
  World w({cores(40)}, drf);
  for (int i = 0; i < 40; ++i)
    for (const char* user : {"x", "y", "z"}) ASSERT_TRUE(w.allocator.submit(user, want(cores(1))));
  EXPECT_EQ(w.granted_by(w.allocator.schedule()),
            (std::map<std::string, int>{{"x", 10}, {"y", 10}, {"z", 20}}));
}

TEST(ResourceAllocator, WeightsAreUsed) {  // seed defect 14: the share was computed and ignored
  WeightedPolicy weighted(0);
  ASSERT_TRUE(weighted.set_requester_weight("b", 3));
  World w({cores(40)}, weighted);
  for (int i = 0; i < 40; ++i)
    for (const char* user : {"a", "b"}) ASSERT_TRUE(w.allocator.submit(user, want(cores(1))));
  EXPECT_EQ(w.granted_by(w.allocator.schedule()),
            (std::map<std::string, int>{{"a", 10}, {"b", 30}}));
}

TEST(ResourceAllocator, FairnessCountsWhatTheLedgerSays) {
  World w({cores(10)}, FairPolicy(0));
  ASSERT_TRUE(w.manager.create_reservation("a", want(cores(4))));
  for (int i = 0; i < 10; ++i)
    for (const char* user : {"a", "b"}) ASSERT_TRUE(w.allocator.submit(user, want(cores(1))));
  EXPECT_EQ(w.granted_by(w.allocator.schedule()), (std::map<std::string, int>{{"a", 1}, {"b", 5}}));
}

TEST(ResourceAllocator, PriorityAndAgeing) {
  World w({cores(10)}, PriorityPolicy({.period = 10}));
  ASSERT_TRUE(w.allocator.submit("a", want(cores(10), 1)));
  w.clock.advance(std::chrono::nanoseconds(100));
  ASSERT_TRUE(w.allocator.submit("b", want(cores(10), 5)));
  EXPECT_EQ(w.order(w.allocator.schedule()), (std::vector<int>{1}));
  World young({cores(10)}, PriorityPolicy());
  ASSERT_TRUE(young.allocator.submit("a", want(cores(10), 1)));
  ASSERT_TRUE(young.allocator.submit("b", want(cores(10), 5)));
  EXPECT_EQ(young.order(young.allocator.schedule()), (std::vector<int>{2}));
}

TEST(ResourceAllocator, StrictBlocksAndSkipPasses) {
  for (auto rule : {QueueRule::strict, QueueRule::skip}) {
    World w({cores(10)}, fifo(), {.rule = rule});
    ASSERT_TRUE(w.manager.create_reservation("x", want(cores(5))));
    ASSERT_TRUE(w.allocator.submit("a", want(cores(8))));
    ASSERT_TRUE(w.allocator.submit("b", want(cores(2))));
    const auto report = w.allocator.schedule();
    EXPECT_EQ(report.granted.size(), rule == QueueRule::skip ? 1u : 0u);
    EXPECT_EQ(report.waiting[0].why.code, Code::busy);
    if (rule == QueueRule::strict) {
      EXPECT_TRUE(report.waiting[1].behind_other);
      EXPECT_FALSE(w.allocator.allocate("c", want(cores(1))));
    }
  }
}

TEST(ResourceAllocator, EasyBackfillsWithoutDelayingTheFirst) {
  World w({cores(10)}, fifo(), {.rule = QueueRule::reserve, .depth = 1});
  ASSERT_TRUE(w.allocator.submit("a", want(cores(6), 0, 100)));
  ASSERT_TRUE(w.allocator.submit("b", want(cores(8), 0, 100)));  // waits for a
  ASSERT_TRUE(w.allocator.submit("c", want(cores(4), 0, 101)));  // would delay b
  ASSERT_TRUE(w.allocator.submit("d", want(cores(4), 0, 100)));  // ends in time
  ASSERT_TRUE(w.allocator.submit("e", want(cores(2), 0, 500)));  // fits beside b, but d took it
  const auto report = w.allocator.schedule();
  EXPECT_EQ(w.order(report), (std::vector<int>{1, 4}));
  EXPECT_EQ(report.waiting[0].why.earliest, w.manager.now() + 100);
  EXPECT_TRUE(w.manager.audit().clean());
  w.clock.advance(std::chrono::nanoseconds(100));
  for (const auto& g : report.granted) (void)w.manager.release_reservation(g.reservation);
  EXPECT_EQ(w.order(w.allocator.schedule()), (std::vector<int>{2, 5}));
}

TEST(ResourceAllocator, BadRequestsNeverQueue) {
  World w({cores(10)}, fifo(), {.waiting_max = 1});
  EXPECT_EQ(w.allocator.submit("a", want(cores(11))).refusal().code, Code::infeasible);
  EXPECT_EQ(w.allocator.submit("a", {}).refusal().code, Code::invalid_request);
  const auto t = w.allocator.submit("a", want(cores(10))).value();
  EXPECT_EQ(w.allocator.submit("a", want(cores(1))).refusal().code, Code::busy);
  EXPECT_TRUE(w.allocator.withdraw(t));
  EXPECT_EQ(w.allocator.withdraw(t).refusal().code, Code::invalid_request);
}

TEST(ResourceAllocator, WhoLeavesLeavesNoEvictionsBehind) {
  World w({cores(10)});
  ASSERT_TRUE(w.allocator.submit("b", want(cores(10), 1)));
  const auto b = w.allocator.schedule().granted.at(0);
  const auto a = w.allocator.submit("a", want(cores(10), 2)).value();
  const ReservationId victims[] = {b.reservation};
  ASSERT_TRUE(w.allocator.grant_by_preemption(a, victims));
  EXPECT_EQ(w.allocator.evictions().size(), 1u);
  ASSERT_TRUE(w.allocator.withdraw(b.ticket));
  EXPECT_EQ(w.allocator.evictions().size(), 0u);
}

TEST(ResourceAllocator, QuotaHoldsBackByName) {
  World w({cores(10)}, QuotaPolicy());
  auto r = want(cores(6));
  r.quota = w.manager.add_quota({.name = "q", .nominal = Limits::of(0, 5)}).value();
  ASSERT_TRUE(w.allocator.submit("a", r));
  const auto report = w.allocator.schedule();
  EXPECT_EQ(report.waiting[0].why.code, Code::quota_exceeded);
  EXPECT_EQ(report.waiting[0].why.subject, "q");
}

struct Work {
  std::vector<Amounts> capacities;
  std::vector<std::pair<std::string, Request>> requests;
};

Work random_work() {
  Work work;
  for (auto n = *rc::gen::inRange(1, 5); n > 0; --n)
    work.capacities.push_back(vec(*rc::gen::inRange(4, 20), *rc::gen::inRange(4, 20)));
  for (auto n = *rc::gen::inRange(1, 25); n > 0; --n)
    work.requests.emplace_back(*rc::gen::element<std::string>("a", "b", "c"),
                               want(vec(*rc::gen::inRange(1, 5), *rc::gen::inRange(0, 5)),
                                    *rc::gen::inRange(0, 3), *rc::gen::inRange(1, 50)));
  return work;
}

// I10: EASY: the guaranteed start of the first waiting request never moves later, while nobody runs
// longer than announced.
RC_GTEST_PROP(ResourceAllocatorProperty, TheGuaranteeOfTheFirstNeverMovesLater, ()) {
  World w({cores(12), cores(9)}, fifo(), {.rule = QueueRule::reserve, .depth = 1});
  struct Guarantee {
    Ticket ticket{};
    Time start = 0;
  } first;
  std::vector<ReservationId> running;
  for (int i = 0; i < 40; ++i) {
    w.clock.advance(std::chrono::nanoseconds(*rc::gen::inRange(0, 6)));
    for (int n = *rc::gen::inRange(0, 3); n > 0; --n)
      RC_ASSERT(w.allocator.submit(
          "a", want(cores(*rc::gen::inRange(1, 10)), 0, *rc::gen::inRange(1, 30))));
    // Some end early, and all at their announced end.
    std::erase_if(running, [&](ReservationId id) {
      const bool ends = w.manager.find(id)->end <= w.manager.now() || *rc::gen::inRange(0, 6) == 0;
      if (ends) (void)w.manager.release_reservation(id);
      return ends;
    });
    const auto report = w.allocator.schedule();
    for (const auto& g : report.granted) running.push_back(g.reservation);
    if (w.allocator.waiting().empty()) continue;
    const auto& head = w.allocator.waiting()[0];
    RC_ASSERT(head.has_window);
    const Time start = w.manager.find(head.window)->start;
    if (head.ticket == first.ticket) RC_ASSERT(start <= std::max(first.start, w.manager.now()));
    first = {head.ticket, start};
  }
}

// I12: after a cycle nothing that fits is left waiting.
RC_GTEST_PROP(ResourceAllocatorProperty, WorkIsConserved, ()) {
  const auto work = random_work();
  for (const auto& policy : every_policy()) {
    World w(work.capacities, policy);
    for (const auto& [user, r] : work.requests) (void)w.allocator.submit(user, r);
    const auto report = w.allocator.schedule();
    RC_ASSERT(report.waiting.size() == w.allocator.waiting().size());
    for (const auto& e : w.allocator.waiting()) RC_ASSERT(!w.manager.plan(e.request));
    RC_ASSERT(w.manager.audit().clean());
  }
}

// I17: with all amounts multiplied, the same requests are granted on the same resources.
RC_GTEST_PROP(ResourceAllocatorProperty, ScalingAllAmountsChangesNothing, ()) {
  const auto work = random_work();
  const std::int64_t k = *rc::gen::inRange(2, 1000);
  const auto times = [&](const Amounts& a) {
    Amounts b;
    b.add_checked(a, k);
    return b;
  };
  for (const auto& policy : every_policy()) {
    if (policy.name == "fgd") continue;  // its mix is an amount too
    World small(work.capacities, policy);
    std::vector<Amounts> large_capacities;
    for (const auto& c : work.capacities) large_capacities.push_back(times(c));
    World large(large_capacities, policy);
    for (auto [user, r] : work.requests) {
      const auto a = small.allocator.submit(user, r);
      r.gang[0].amount = times(r.gang[0].amount);
      RC_ASSERT(a.has_value() == large.allocator.submit(user, r).has_value());
    }
    const auto a = small.allocator.schedule();
    const auto b = large.allocator.schedule();
    RC_ASSERT(a.granted == b.granted);
    for (const auto& g : a.granted)
      RC_ASSERT(small.manager.find(g.reservation)->lines[0].resource ==
                large.manager.find(g.reservation)->lines[0].resource);
  }
}

// I18: another resource never makes one request fail that fitted.
RC_GTEST_PROP(ResourceAllocatorProperty, AnotherResourceNeverTurnsAFitIntoARefusal, ()) {
  const auto work = random_work();
  World w(work.capacities);
  for (const auto& [user, r] : work.requests) {
    const bool before = w.manager.plan(r).has_value();
    World more(work.capacities);
    for (auto id : w.manager.live()) {
      const auto& lines = w.manager.find(id)->lines;
      Request same = want(lines[0].amount);
      const PlacementRule there{
          .filter = [&](const Amounts&, const Candidate& c) { return c.id == lines[0].resource; }};
      RC_ASSERT(more.manager.create_reservation("x", same, there));
    }
    RC_ASSERT(more.manager.register_resource(
        {.name = "more", .capacity = vec(*rc::gen::inRange(1, 20), 1)}));
    if (before) RC_ASSERT(more.manager.plan(r));
    (void)w.manager.create_reservation(user, r);
  }
}

// I16: who is granted does not depend on the order in which simultaneous requests were submitted,
// where the policy itself tells them apart.
RC_GTEST_PROP(ResourceAllocatorProperty, OrderOfSimultaneousSubmitsDoesNotMatter, ()) {
  const auto n = *rc::gen::inRange(2, 12);
  std::vector<std::pair<std::string, Request>> requests;
  for (int i = 0; i < n; ++i)
    requests.emplace_back(numbered(static_cast<unsigned>(i)),
                          want(cores(*rc::gen::inRange(1, 9)), i, 10 + i));
  auto other = requests;
  for (std::size_t i = other.size(); i > 1; --i)
    std::swap(other[i - 1], other[*rc::gen::inRange<std::size_t>(0, i)]);
  for (const Policy& policy : {Policy(PriorityPolicy()), shortest_job_first()}) {
    std::vector<std::map<std::string, int>> got;
    for (const auto* list : {&requests, &other}) {
      World w({cores(12), cores(7)}, policy);
      for (const auto& [user, r] : *list) RC_ASSERT(w.allocator.submit(user, r));
      got.push_back(w.granted_by(w.allocator.schedule()));
    }
    RC_ASSERT(got[0] == got[1]);
  }
}

// I16 for those who take turns by share, in groups and weighted too: while no two shares are equal.
RC_GTEST_PROP(ResourceAllocatorProperty, OrderOfSimultaneousUsersDoesNotMatter, ()) {
  const char* users[] = {"a", "b", "c", "d", "e"};
  DrfPolicy drf;
  WeightedPolicy weighted(0);
  (void)drf.set_group("a", "team").value();
  (void)drf.set_group("b", "team").value();
  (void)drf.set_weight("c", 2).value();
  (void)weighted.set_requester_weight("d", 2).value();
  std::vector<std::pair<std::string, Request>> requests;
  for (const char* user : users)
    for (int n = *rc::gen::inRange(1, 9); n > 0; --n)  // parts of what is shared: 4096 each
      requests.emplace_back(user, want(cores(4096 * (1 + user[0] % 3))));
  auto other = requests;
  for (std::size_t i = other.size(); i > 1; --i)
    std::swap(other[i - 1], other[*rc::gen::inRange<std::size_t>(0, i)]);
  for (const Policy& policy : {Policy(FairPolicy(0)), Policy(drf), Policy(weighted)})
    for (auto rule : {QueueRule::strict, QueueRule::skip, QueueRule::reserve}) {
      std::vector<std::map<std::string, int>> got;
      for (const auto* list : {&requests, &other}) {
        World w({cores(12 * 4096 + 400)}, policy, {.rule = rule});
        std::int64_t has = 1;  // 1, 3, 9, 27, 81: never equal, whatever multiple of 4096 is added
        for (const char* user : users) {
          RC_ASSERT(w.manager.create_reservation(user, want(cores(has))));
          has *= 3;
        }
        for (const auto& [user, r] : *list) RC_ASSERT(w.allocator.submit(user, r));
        got.push_back(w.granted_by(w.allocator.schedule()));
      }
      RC_ASSERT(got[0] == got[1]);
    }
}

}  // namespace
}  // namespace reeve::alloc
