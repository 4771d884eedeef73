// Windows ahead, and those who are granted before theirs begins.
#include "reeve/alloc/contention.hpp"
#include "tests/alloc/shorthand.hpp"
#include "tests/support/pch.hpp"

namespace reeve::alloc {
namespace {

constexpr Time second = 1'000'000'000;

struct Windows : testing::Test {
  Windows() { EXPECT_TRUE(manager.register_resource({.name = "node", .capacity = cores(1000)})); }
  // `low` has everything for 100 s; `high` waits with a window behind it.
  void begin(Time length_of_high, const Amounts& least = {}) {
    Request running = want(1000, 1, 100 * second);
    running.gang[0].least = least;
    (void)allocator.submit("low", running).value();
    low = allocator.schedule().granted.at(0).reservation;
    high = allocator.submit("high", want(400, 5, length_of_high)).value();
    ASSERT_EQ(allocator.schedule().waiting.at(0).why.earliest, manager.now() + 100 * second);
    ASSERT_TRUE(allocator.find(high)->has_window);
  }
  Contention event() const { return {.id = 1, .waiting = {high}}; }
  Amounts free() const { return manager.ledger().resources()[0].free(); }

  ManualClock clock;
  ReservationManager manager{Dimensions::standard(), clock};
  ResourceAllocator allocator{manager, fifo(), {.rule = QueueRule::reserve}};
  Resolver resolver{allocator};
  ReservationId low;
  Ticket high{};
};

TEST_F(Windows, WhoIsGrantedByPreemptionGivesItsWindowBack) {
  begin(100 * second);
  const ReservationId victims[] = {low};
  const auto id = allocator.grant_by_preemption(high, victims).value();
  EXPECT_EQ(manager.live_count(), 1u);
  EXPECT_EQ(manager.counts().reached[static_cast<std::size_t>(State::preempted)], 1u);
  ASSERT_EQ(manager.release_reservation(id).value(), ReleaseOutcome::released);
  ASSERT_TRUE(allocator.withdraw(allocator.waiting().at(0).ticket));
  EXPECT_EQ(manager.live_count(), 0u);
  clock.advance(std::chrono::seconds(500));
  EXPECT_EQ(free(), cores(1000));
  EXPECT_TRUE(manager.create_reservation("x", want(1000)));
}

TEST_F(Windows, ARequestIsNotInItsOwnWay) {
  begin(200 * second);
  // Its window lies in [100, 300), where it would still run itself.
  EXPECT_EQ(resolver.plan(event(), Resolution::wait).value().until, manager.now() + 100 * second);
  const auto plan = resolver.plan(event(), Resolution::preempt).value();
  EXPECT_EQ(plan.victims, (std::vector{low}));
  ASSERT_TRUE(resolver.apply(plan));
  EXPECT_EQ(manager.live_count(), 1u);
  EXPECT_TRUE(manager.audit().clean());
}

TEST_F(Windows, NorWhenOthersShrinkForIt) {
  begin(700 * second, cores(300));
  const auto plan = resolver.plan(event(), Resolution::redistribute).value();
  EXPECT_EQ(plan.shrink, (std::vector{low}));
  ASSERT_TRUE(resolver.apply(plan));
  EXPECT_EQ(manager.live_count(), 2u);
  EXPECT_EQ(free(), cores(300));
}

TEST_F(Windows, ItMayGoWithoutVictimsWhereOnlyItsWindowIsInTheWay) {
  begin(200 * second);
  (void)manager.release_reservation(low);
  EXPECT_TRUE(resolver.plan(event(), Resolution::preempt).value().victims.empty());
  EXPECT_TRUE(allocator.grant_by_preemption(high, {}));
  EXPECT_EQ(manager.live_count(), 1u);
}

TEST_F(Windows, ARefusalLeavesTheWindow) {
  begin(200 * second);
  EXPECT_EQ(allocator.grant_by_preemption(high, {}).refusal().code, Code::busy);
  ASSERT_TRUE(allocator.find(high)->has_window);
  EXPECT_NE(manager.find(allocator.find(high)->window), nullptr);
}

TEST_F(Windows, AWindowOfAnotherThatWasEndedIsNoneAnyMore) {
  begin(200 * second);
  const auto urgent = allocator.submit("urgent", want(700, 9)).value();
  const ReservationId victims[] = {low, allocator.find(high)->window};
  ASSERT_TRUE(allocator.grant_by_preemption(urgent, victims));
  EXPECT_FALSE(allocator.find(high)->has_window);
}

// A window that has begun, and no cycle since.
TEST_F(Windows, OnesOwnWindowIsNoUsageOfOnes) {
  ResourceAllocator fair(manager, FairPolicy(0), {.rule = QueueRule::reserve});
  const auto blocker = manager.create_reservation("x", want(1000, 0, 100 * second)).value();
  const auto first = fair.submit("a", want(600, 0, 100 * second)).value();
  (void)fair.schedule();
  ASSERT_TRUE(fair.find(first)->has_window);
  clock.advance(std::chrono::seconds(100));
  (void)manager.release_reservation(blocker);
  EXPECT_EQ(free(), cores(400));
  ContentionDetector detector;
  EXPECT_TRUE(detector.measure(fair).empty()) << "600 of 1000, not 1200";
  (void)fair.submit("b", want(600, 0, 100 * second)).value();
  const auto report = fair.schedule();
  ASSERT_EQ(report.granted.size(), 1u);
  EXPECT_EQ(report.granted[0].ticket, first);
}

// It was refused by its spread, not as busy, and had no window: whoever came later passed for ever.
TEST(WindowsOfGangs, AGangThatLiesApartGetsOneToo) {
  ManualClock clock;
  ReservationManager manager(Dimensions::standard(), clock);
  for (const char* name : {"a", "b"})
    ASSERT_TRUE(manager.register_resource({.name = name, .capacity = cores(2)}));
  ResourceAllocator allocator(manager, first_fit(), {.rule = QueueRule::reserve});
  (void)allocator.submit("x", want(2, 0, 10 * second)).value();
  Request apart = want(1, 0, 10 * second);
  apart.gang[0].count = 2;
  apart.spread = Spread::strict_spread;
  const auto gang = allocator.submit("gang", apart).value();
  (void)allocator.submit("long", want(2, 0, 50 * second)).value();
  const auto report = allocator.schedule();
  ASSERT_EQ(report.granted.size(), 1u);
  ASSERT_EQ(report.waiting.size(), 2u);
  EXPECT_EQ(report.waiting[0].ticket, gang);
  EXPECT_EQ(report.waiting[0].why.earliest, manager.now() + 10 * second);
}

// Who never fits stands first, and takes no window from the one behind it.
TEST(WindowsOfGangs, WhatNeverFitsTakesNobodysWindow) {
  ManualClock clock;
  ReservationManager manager(Dimensions::standard(), clock);
  for (const char* name : {"a", "b"})
    ASSERT_TRUE(manager.register_resource({.name = name, .capacity = cores(2)}));
  ResourceAllocator allocator(manager, first_fit(), {.rule = QueueRule::reserve, .depth = 1});
  (void)allocator.submit("x", want(2, 0, 10 * second)).value();
  (void)allocator.submit("x", want(1, 0, 10 * second)).value();
  for (int i = 0; i < 9; ++i) {
    Request never = want(1, 0, second);
    never.gang[0].count = 3;
    never.spread = Spread::strict_spread;
    (void)allocator.submit("never", never).value();
  }
  const auto behind = allocator.submit("behind", want(2, 0, second)).value();
  const auto report = allocator.schedule();
  ASSERT_EQ(report.waiting.size(), 10u);
  EXPECT_EQ(report.waiting.back().ticket, behind);
  EXPECT_EQ(report.waiting.back().why.earliest, manager.now() + 10 * second);
}

// Five that must lie apart on four never fit: a cycle may not search all ends for each such gang.
TEST(WindowsOfGangs, WhatNeverFitsIsSearchedForOnceInACycle) {
  const auto time_of_a_cycle = [](int gangs) {
    ManualClock clock;
    ReservationManager manager(Dimensions::standard(), clock);
    for (const char* name : {"a", "b", "c", "d"})
      (void)manager.register_resource({.name = name, .capacity = cores(1000)}).value();
    for (int i = 0; i < 400; ++i)
      (void)manager.create_reservation("x", want(1, 0, (i + 1) * second)).value();
    ResourceAllocator allocator(manager, first_fit(), {.rule = QueueRule::reserve, .depth = 1});
    Request apart = want(1, 0, second);
    apart.gang[0].count = 5;
    apart.spread = Spread::strict_spread;
    for (int i = 0; i < gangs; ++i) (void)allocator.submit("gang", apart).value();
    const auto begun = std::chrono::steady_clock::now();
    EXPECT_EQ(allocator.schedule().waiting.size(), static_cast<std::size_t>(gangs));
    return std::chrono::steady_clock::now() - begun;
  };
  const auto one = std::min({time_of_a_cycle(1), time_of_a_cycle(1), time_of_a_cycle(1)});
  EXPECT_LT(std::min(time_of_a_cycle(100), time_of_a_cycle(100)), 25 * one) << "not 100 times";
}

// Every live reservation is a grant or the window of somebody who waits; in the end nothing is
// left.
class Life {
 public:
  Life(std::size_t depth, const std::vector<int>& capacities)
      : allocator_(manager_, PriorityPolicy(), {.rule = QueueRule::reserve, .depth = depth}) {
    for (auto c : capacities)
      (void)manager_
          .register_resource({.name = numbered(manager_.resource_count()), .capacity = cores(c)})
          .value();
  }

  void step() {
    switch (*rc::gen::inRange(0, 8)) {
      case 0:
      case 1:
        submit();
        break;
      case 2:
        keep(allocator_.schedule().granted);
        break;
      case 3:
        clock_.advance(std::chrono::nanoseconds(*rc::gen::inRange(0, 12)));
        (void)manager_.cleanup_expired_reservations();
        break;
      case 4:
        if (!grants_.empty()) (void)manager_.release_reservation(grants_[pick(grants_.size())]);
        break;
      case 5:
        if (!allocator_.waiting().empty())
          RC_ASSERT(
              allocator_.withdraw(allocator_.waiting()[pick(allocator_.waiting().size())].ticket));
        break;
      case 6:
        preempt();
        break;
      default:
        resolve();
    }
    check();
  }

  void end() {
    for (auto id : grants_) (void)manager_.release_reservation(id);
    while (!allocator_.waiting().empty())
      RC_ASSERT(allocator_.withdraw(allocator_.waiting()[0].ticket));
    RC_ASSERT(manager_.live_count() == 0u);
    for (const auto& account : manager_.ledger().resources())
      RC_ASSERT(account.free() == account.capacity);
  }

 private:
  static std::size_t pick(std::size_t n) { return *rc::gen::inRange<std::size_t>(0, n); }

  void submit() {
    auto r = want(*rc::gen::inRange(1, 10), *rc::gen::inRange(0, 4));
    if (*rc::gen::inRange(0, 4) != 0) r.duration = *rc::gen::inRange(1, 30);
    if (*rc::gen::inRange(0, 3) == 0) r.gang[0].least = cores(1);
    (void)allocator_.submit(*rc::gen::element<std::string>("a", "b"), r).has_value();
  }

  void preempt() {
    if (allocator_.waiting().empty()) return;
    const auto ticket = allocator_.waiting()[pick(allocator_.waiting().size())].ticket;
    std::vector<ReservationId> victims;
    for (auto id : manager_.live())
      if (*rc::gen::inRange(0, 3) == 0) victims.push_back(id);
    const auto length = manager_.ledger().length();
    auto id = allocator_.grant_by_preemption(ticket, victims);
    if (id) grants_.push_back(*id);
    if (!id) RC_ASSERT(manager_.ledger().length() == length);
  }

  void resolve() {
    if (allocator_.waiting().empty()) return;
    const auto ticket = allocator_.waiting()[pick(allocator_.waiting().size())].ticket;
    const auto how = *rc::gen::element(Resolution::preempt, Resolution::redistribute);
    const auto plan = resolver_.plan({.id = 1, .waiting = {ticket}}, how);
    if (!plan) return;
    auto evidence = resolver_.apply(*plan);
    RC_ASSERT(evidence);
    keep(evidence->granted);
  }

  void keep(const std::vector<CycleReport::Grant>& grants) {
    for (const auto& g : grants) grants_.push_back(g.reservation);
  }

  void check() {
    std::erase_if(grants_, [&](auto id) { return !manager_.find(id); });
    std::size_t windows = 0;
    for (const auto& e : allocator_.waiting()) {
      if (!e.has_window) continue;
      RC_ASSERT(manager_.find(e.window));
      ++windows;
    }
    RC_ASSERT(manager_.live_count() == grants_.size() + windows);
    RC_ASSERT(manager_.audit().clean());
    for (const auto& account : manager_.ledger().resources())
      RC_ASSERT(!account.free().any_negative());
  }

  ManualClock clock_;
  ReservationManager manager_{Dimensions::standard(), clock_};
  ResourceAllocator allocator_;
  Resolver resolver_{allocator_};
  std::vector<ReservationId> grants_;
};

RC_GTEST_PROP(WindowsProperty, NothingIsLeftBehind, ()) {
  Life life(*rc::gen::element<std::size_t>(1, 3, SIZE_MAX), {12, 9});
  for (int i = 0; i < 60; ++i) life.step();
  life.end();
}

}  // namespace
}  // namespace reeve::alloc
