// Contention: measured amounts, plans that work, events that close by measurement only.
#include "reeve/alloc/contention.hpp"

#include "tests/alloc/shorthand.hpp"
#include "tests/support/pch.hpp"

namespace reeve::alloc {
namespace {

struct Contended : testing::Test {
  Contended() { EXPECT_TRUE(manager.register_resource({.name = "node", .capacity = cores(100)})); }
  Ticket wait_for(const Request& r) {
    const auto t = allocator.submit("w", r).value();
    (void)allocator.schedule();
    return t;
  }
  ManualClock clock;
  ReservationManager manager{Dimensions::standard(), clock};
  ResourceAllocator allocator{manager};
  ContentionDetector detector;
  Resolver resolver{allocator};
};

TEST_F(Contended, SeverityFollowsAmountsNotCounts) {
  (void)manager.create_reservation("a", want(100)).value();
  const std::vector<std::pair<std::int64_t, Severity>> rows{
      {20, Severity::low}, {30, Severity::medium}, {50, Severity::high}, {1, Severity::critical}};
  for (const auto& [more, severity] : rows) {
    (void)wait_for(want(more));
    const auto& open = detector.measure(allocator);
    ASSERT_EQ(open.size(), 1u);
    EXPECT_EQ(open[0].severity, severity) << more;
    EXPECT_EQ(open[0].unmet, open[0].demand - 100);
  }
  EXPECT_EQ(detector.opened(), 1u);
}

TEST_F(Contended, FreeCapacityIsNoContention) {
  (void)manager.create_reservation("a", want(60)).value();
  (void)allocator.submit("w", want(40)).value();
  EXPECT_TRUE(detector.measure(allocator).empty());
}

TEST_F(Contended, ClassesAreMeasuredApart) {
  ASSERT_TRUE(manager.register_resource(
      {.name = "gpu", .capacity = cores(10), .capabilities = {{"gpu", true}}}));
  auto r = want(10);
  r.gang[0].where = {needs("gpu", true)};
  (void)manager.create_reservation("a", r).value();
  (void)wait_for(r);
  const auto& open = detector.measure(allocator);
  ASSERT_EQ(open.size(), 1u);
  EXPECT_EQ(open[0].supply, 10);
  EXPECT_EQ(open[0].severity, Severity::high);
}

TEST_F(Contended, WaitSaysUntilWhenAndChangesNothing) {
  const auto a = manager.create_reservation("a", want(80, 0, 500)).value();
  (void)wait_for(want(50));
  const auto event = detector.measure(allocator).at(0);
  const auto plan = resolver.plan(event, Resolution::wait).value();
  EXPECT_EQ(plan.until, manager.now() + 500);
  const auto evidence = resolver.apply(plan).value();
  EXPECT_EQ(evidence.journal_from, evidence.journal_to);
  EXPECT_EQ(detector.measure(allocator).size(), 1u) << "an event closes by measurement only";
  (void)manager.release_reservation(a);
  EXPECT_TRUE(detector.measure(allocator).empty());
  EXPECT_EQ(detector.closed(), 1u);
}

TEST_F(Contended, PriorityServesTheUrgentFirst) {
  const auto a = manager.create_reservation("a", want(100)).value();
  (void)wait_for(want(60, 0));
  const auto urgent = wait_for(want(60, 5));
  const auto event = detector.measure(allocator).at(0);
  (void)manager.release_reservation(a);
  const auto plan = resolver.plan(event, Resolution::priority).value();
  EXPECT_EQ(plan.order.at(0), urgent);
  const auto evidence = resolver.apply(plan).value();
  ASSERT_EQ(evidence.granted.size(), 1u);
  EXPECT_EQ(evidence.granted[0].ticket, urgent);
  EXPECT_EQ(allocator.policy().name, "fifo");
}

TEST_F(Contended, PreemptionEndsVictimsAndQueuesThemAgain) {
  ASSERT_TRUE(allocator.submit("low", want(80, 0)));
  const auto low = allocator.schedule().granted.at(0);
  const auto urgent = wait_for(want(50, 5));
  const auto event = detector.measure(allocator).at(0);
  const auto plan = resolver.plan(event, Resolution::preempt).value();
  EXPECT_EQ(plan.victims, (std::vector{low.reservation}));
  const auto evidence = resolver.apply(plan).value();
  EXPECT_EQ(evidence.freed, cores(80));
  EXPECT_EQ(evidence.granted.at(0).ticket, urgent);
  EXPECT_EQ(manager.state(low.reservation).value(), State::preempted);
  EXPECT_NE(allocator.find(low.ticket), nullptr) << "it waits again, under its ticket";
  EXPECT_LT(evidence.journal_from, evidence.journal_to);
  EXPECT_TRUE(manager.audit().clean());
  // Now the victim is raised above all: it still may not evict whom evicted it.
  auto back = *allocator.find(low.ticket);
  back.request.priority = 9;
  EXPECT_FALSE(find_victims(manager, back.request, {.history = &allocator.evictions()}));
  EXPECT_TRUE(find_victims(manager, back.request));
}

TEST_F(Contended, ScaleAddsCopiesUntilDemandIsMet) {
  (void)manager.create_reservation("a", want(100)).value();
  for (int i = 0; i < 3; ++i) (void)wait_for(want(70));
  const auto plan = resolver.plan(detector.measure(allocator).at(0), Resolution::scale).value();
  EXPECT_EQ(plan.add.size(), 3u);  // 210 more on nodes of 100
  const auto evidence = resolver.apply(plan).value();
  EXPECT_EQ(evidence.added, cores(300));
  EXPECT_EQ(evidence.granted.size(), 3u);
  EXPECT_TRUE(detector.measure(allocator).empty());
  EXPECT_TRUE(manager.find_resource("node+1"));
}

TEST_F(Contended, RedistributionShrinksOnlyWhatIsNeeded) {
  Request elastic{.gang = {{.amount = cores(40), .least = cores(10)}}};
  const auto a = manager.create_reservation("a", elastic).value();
  const auto b = manager.create_reservation("b", elastic).value();
  (void)wait_for(want(45));
  const auto plan =
      resolver.plan(detector.measure(allocator).at(0), Resolution::redistribute).value();
  EXPECT_EQ(plan.shrink.size(), 1u);
  const auto evidence = resolver.apply(plan).value();
  EXPECT_EQ(evidence.freed, cores(30));
  EXPECT_EQ(evidence.granted.size(), 1u);
  EXPECT_NE(manager.find(a), nullptr);
  EXPECT_NE(manager.find(b), nullptr);
  EXPECT_TRUE(manager.audit().clean());
}

TEST_F(Contended, StalePlansAndHopelessOnesAreRefused) {
  (void)manager.create_reservation("a", want(100)).value();
  (void)wait_for(want(50));
  const auto event = detector.measure(allocator).at(0);
  EXPECT_EQ(resolver.plan(event, Resolution::preempt).refusal().code, Code::busy);
  EXPECT_EQ(resolver.plan(event, Resolution::redistribute).refusal().code, Code::busy);
  EXPECT_EQ(resolver.plan(event, Resolution::wait).refusal().code, Code::busy);
  const auto plan = resolver.plan(event, Resolution::scale).value();
  (void)wait_for(want(1));
  const auto length = manager.ledger().length();
  EXPECT_EQ(resolver.apply(plan).refusal().code, Code::stale_plan);
  EXPECT_EQ(manager.ledger().length(), length);
  EXPECT_EQ(Resolver(allocator, {.scale_max = 0}).plan(event, Resolution::scale).refusal().code,
            Code::busy);
  for (const auto& e : std::vector(allocator.waiting())) (void)allocator.withdraw(e.ticket);
  EXPECT_EQ(resolver.plan(event, Resolution::scale).refusal().code, Code::invalid_request);
}

TEST(Contention, EverySeverityHasItsUsualResolution) {
  EXPECT_EQ(usual_resolution(Severity::low), Resolution::wait);
  EXPECT_EQ(usual_resolution(Severity::medium), Resolution::redistribute);
  EXPECT_EQ(usual_resolution(Severity::high), Resolution::priority);
  EXPECT_EQ(usual_resolution(Severity::critical), Resolution::preempt);
  EXPECT_EQ(severity_of(INT64_MAX, INT64_MAX / 2), Severity::critical);
  EXPECT_EQ(severity_of(INT64_MAX - 1, INT64_MAX / 2), Severity::high);
}

}  // namespace
}  // namespace reeve::alloc
