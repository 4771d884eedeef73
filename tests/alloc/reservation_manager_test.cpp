// The verbs, the seed's defects, and the invariants as properties.
#include "reeve/alloc/reservation_manager.hpp"

#include "tests/alloc/shorthand.hpp"
#include "tests/support/pch.hpp"

namespace reeve::alloc {
namespace {

struct World {
  explicit World(std::vector<std::int64_t> capacities = {100}, std::size_t index_from = 0)
      : manager(Dimensions::standard(), clock, {.index_from = index_from}) {
    manager.set_journal([this](const JournalEntry& e) { journal.push_back(e); });
    for (auto c : capacities)
      EXPECT_TRUE(manager.register_resource(
          {.name = numbered(manager.resource_count()), .capacity = cores(c)}));
  }
  Amounts free(unsigned r = 0) const { return manager.ledger().resources()[r].free(); }
  void pass(Time ns) { clock.advance(std::chrono::nanoseconds(ns)); }

  ManualClock clock;
  std::vector<JournalEntry> journal;
  ReservationManager manager;
};

TEST(ReservationManager, HoldConfirmReleaseRestoresEverything) {
  World w;
  auto id = w.manager.create_reservation("task-1", want(50)).value();
  EXPECT_EQ(w.manager.resource_state(ResourceId{0}), ResourceState::reserved);
  EXPECT_TRUE(w.manager.confirm_reservation(id));
  EXPECT_TRUE(w.manager.confirm_reservation(id));
  EXPECT_EQ(w.manager.resource_state(ResourceId{0}), ResourceState::in_use);
  EXPECT_EQ(w.manager.release_reservation(id).value(), ReleaseOutcome::released);
  EXPECT_EQ(w.manager.release_reservation(id).value(), ReleaseOutcome::already_released);
  EXPECT_EQ(w.free(), cores(100));
  EXPECT_TRUE(w.manager.audit().clean());
}

TEST(ReservationManager, TwoDemandsOnOneResourceAreBothHeldAndBothReturned) {  // seed defect 2
  World w;
  Request r{.gang = {{.amount = cores(30)}, {.amount = cores(30)}}};
  auto id = w.manager.create_reservation("a", r).value();
  EXPECT_EQ(w.free(), cores(40));
  EXPECT_EQ(w.manager.find(id)->lines.size(), 2u);
  (void)w.manager.release_reservation(id);
  EXPECT_EQ(w.free(), cores(100));
}

TEST(ReservationManager, GangIsAllOrNothing) {  // seed defect 3
  World w({10, 10});
  Request r{.gang = {{.amount = cores(8), .count = 3}}};
  const auto length = w.journal.size();
  EXPECT_EQ(w.manager.create_reservation("a", r).refusal().code, Code::infeasible);
  r.gang[0] = {.amount = cores(6), .count = 3};
  EXPECT_EQ(w.manager.create_reservation("a", r).refusal().code, Code::busy);
  EXPECT_EQ(w.journal.size(), length);
  EXPECT_EQ(w.free(0), cores(10));
}

TEST(ReservationManager, ConfirmingAPartLeavesTheRestReservable) {  // seed defects 4 and 5
  World w;
  auto a = w.manager.create_reservation("a", want(10)).value();
  auto b = w.manager.create_reservation("b", want(10)).value();
  ASSERT_TRUE(w.manager.confirm_reservation(a));
  ASSERT_TRUE(w.manager.confirm_reservation(b));
  auto c = w.manager.create_reservation("c", want(80)).value();
  (void)w.manager.release_reservation(c);
  (void)w.manager.release_reservation(a);
  EXPECT_EQ(w.manager.resource_state(ResourceId{0}), ResourceState::in_use);
  EXPECT_EQ(w.free(), cores(90));
}

TEST(ReservationManager, BadAmountsAreRefusedAndTheJournalKeepsItsLength) {  // seed defect 6
  World w;
  const auto length = w.journal.size();
  EXPECT_EQ(w.manager.create_reservation("a", want(-50)).refusal().code, Code::invalid_amount);
  EXPECT_EQ(w.manager.create_reservation("a", want(0)).refusal().code, Code::invalid_amount);
  Request many{.gang = {{.amount = cores(INT64_MAX / 2), .count = 3}}};
  EXPECT_EQ(w.manager.create_reservation("a", many).refusal().code, Code::overflow);
  EXPECT_EQ(w.manager.create_reservation("a", {}).refusal().code, Code::invalid_request);
  EXPECT_EQ(w.journal.size(), length);
}

TEST(ReservationManager, AHoldCanBeCancelled) {  // seed defect 10
  World w;
  auto id = w.manager.create_reservation("a", want(50)).value();
  EXPECT_TRUE(w.manager.cancel_reservation(id));
  EXPECT_EQ(w.free(), cores(100));
  EXPECT_EQ(w.manager.cancel_reservation(id).refusal().code, Code::wrong_state);
  EXPECT_EQ(w.manager.state(id).value(), State::cancelled);
}

TEST(ReservationManager, LateConfirmFailsAndFrees) {  // seed defect 11
  World w;
  auto id = w.manager.create_reservation("a", want(50), Strategy::balanced, 100).value();
  w.pass(100);  // half-open: at the deadline it is over
  EXPECT_EQ(w.manager.confirm_reservation(id).refusal().code, Code::expired);
  EXPECT_EQ(w.free(), cores(100));
  EXPECT_EQ(w.manager.release_reservation(id).value(), ReleaseOutcome::already_released);
}

TEST(ReservationManager, ALiveResourceCannotBeRemoved) {  // seed defect 12
  World w;
  auto id = w.manager.create_reservation("a", want(50)).value();
  EXPECT_EQ(w.manager.remove_resource(ResourceId{0}).refusal().code, Code::in_use);
  ASSERT_TRUE(w.manager.drain_resource(ResourceId{0}));
  EXPECT_EQ(w.manager.create_reservation("b", want(1)).refusal().code, Code::busy);
  (void)w.manager.release_reservation(id);
  EXPECT_TRUE(w.manager.remove_resource(ResourceId{0}));
  EXPECT_EQ(w.manager.remove_resource(ResourceId{0}).refusal().code, Code::unknown_resource);
  EXPECT_TRUE(w.manager.live().empty());
}

TEST(ReservationManager, ReleasingMoreThanHeldIsRefused) {
  World w;
  auto id = w.manager.create_reservation("a", want(50)).value();
  const Line twice[] = {{ResourceId{0}, cores(30)}, {ResourceId{0}, cores(30)}};
  EXPECT_EQ(w.manager.release_reservation(id, twice).refusal().code, Code::not_held);
  EXPECT_EQ(w.manager.release_reservation(id, std::span(twice).first(1)).value(),
            ReleaseOutcome::partly_released);
  EXPECT_EQ(w.free(), cores(80));
  const Line rest[] = {{ResourceId{0}, cores(20)}};
  EXPECT_EQ(w.manager.release_reservation(id, rest).value(), ReleaseOutcome::released);
  EXPECT_EQ(w.manager.release_reservation({99, 0}).refusal().code, Code::unknown_reservation);
}

TEST(ReservationManager, ShrinkIsDebtAndNeverASecondAllocation) {
  World w;
  auto id = w.manager.create_reservation("a", want(80)).value();
  ASSERT_TRUE(w.manager.resize_resource(ResourceId{0}, cores(50)));
  EXPECT_EQ(w.free(), cores(-30));
  EXPECT_EQ(w.manager.create_reservation("b", want(1)).refusal().code, Code::busy);
  (void)w.manager.release_reservation(id);
  EXPECT_EQ(w.free(), cores(50));
}

TEST(ReservationManager, AKeyRepeatsTheFirstAnswer) {
  World w;
  auto r = want(10);
  r.key = "once";
  auto first = w.manager.create_reservation("a", r).value();
  EXPECT_EQ(w.manager.create_reservation("a", r).value(), first);
  EXPECT_EQ(w.free(), cores(90));
  r.gang[0].amount = cores(11);
  EXPECT_EQ(w.manager.create_reservation("a", r).refusal().code, Code::key_conflict);
}

TEST(ReservationManager, BindingConstraintIsNamed) {
  World w;
  auto r = want(10);
  r.gang[0].where = {needs("arch", std::string("x86_64"))};
  EXPECT_EQ(w.manager.create_reservation("a", r).refusal().subject, "arch");
  EXPECT_EQ(w.manager.create_reservation("a", want(101)).refusal().code, Code::infeasible);
  (void)w.manager.create_reservation("a", want(60));
  const auto busy = w.manager.create_reservation("a", want(50)).refusal();
  EXPECT_EQ(busy, (Refusal{Code::busy, "compute", 50, 40, std::nullopt, Counted::millicores}));
}

TEST(ReservationManager, StrategiesChoose) {
  World w({100, 60, 50});
  auto chosen = [&](Strategy s, Request r = want(10)) {
    return w.manager.plan(r, s).value()[0].resource;
  };
  (void)w.manager.create_reservation("a", want(10), Strategy::first_fit);  // 90, 60, 50
  EXPECT_EQ(chosen(Strategy::greedy), ResourceId{0});
  EXPECT_EQ(chosen(Strategy::balanced), ResourceId{1});
  EXPECT_EQ(chosen(Strategy::best_fit), ResourceId{2});
  EXPECT_EQ(chosen(Strategy::first_fit), ResourceId{0});
  auto r = want(10);
  r.gang[0].preferred = {ResourceId{2}};
  EXPECT_EQ(chosen(Strategy::priority, r), ResourceId{2});
  EXPECT_EQ(chosen(Strategy::optimized, r), ResourceId{2});
  EXPECT_EQ(w.manager.plan(r, Strategy::quota).refusal().code, Code::invalid_request);
}

TEST(ReservationManager, SpreadPackAndAntiAffinity) {
  World w({10, 10, 10});
  Request r{
      .gang = {{.amount = cores(2), .count = 3}}, .spread = Spread::strict_spread, .label = "db"};
  auto lines = w.manager.plan(r).value();
  EXPECT_NE(lines[0].resource, lines[1].resource);
  EXPECT_NE(lines[1].resource, lines[2].resource);
  r.gang[0].count = 4;
  EXPECT_EQ(w.manager.plan(r).refusal().code, Code::affinity);
  r.spread = Spread::strict_pack;
  lines = w.manager.plan(r).value();
  EXPECT_EQ(lines[0].resource, lines[3].resource);
  r.affinity = {{.label = "web", .anti = true}};
  ASSERT_TRUE(w.manager.create_reservation("a", r));  // on resource 0, refuses web
  Request web = want(1);
  web.label = "web";
  EXPECT_EQ(w.manager.plan(web, Strategy::first_fit).value()[0].resource, ResourceId{1});
  web.affinity = {{.label = "db"}};
  EXPECT_EQ(w.manager.plan(web).refusal().code, Code::affinity);
}

TEST(ReservationManager, WindowsAheadAndOverruns) {
  World w;
  auto now = want(60);
  now.duration = 1000;
  auto running = w.manager.create_reservation("a", now).value();
  ASSERT_TRUE(w.manager.confirm_reservation(running));
  auto later = want(60);
  later.duration = 500;
  EXPECT_EQ(w.manager.plan(later).refusal().code, Code::busy);
  later.not_before = w.manager.earliest(later).value();
  EXPECT_EQ(later.not_before, w.manager.now() + 1000);
  auto booked = w.manager.create_reservation("b", later).value();
  ASSERT_TRUE(w.manager.confirm_reservation(booked));
  auto short_one = want(40);
  short_one.duration = 1500;
  ASSERT_TRUE(w.manager.plan(short_one));
  short_one.gang[0].amount = cores(41);
  EXPECT_FALSE(w.manager.plan(short_one));
  w.pass(1200);  // the first overruns: the booking starts late, nothing is placed on it
  EXPECT_FALSE(w.manager.plan(want(41)));
  EXPECT_FALSE(w.manager.find(booked)->started);
  EXPECT_EQ(w.free(), cores(40));
  (void)w.manager.release_reservation(running);
  EXPECT_TRUE(w.manager.find(booked)->started);
  EXPECT_EQ(w.free(), cores(40));
  EXPECT_TRUE(w.manager.audit().clean());
}

TEST(ReservationManager, ExtendOnlyIntoFreeTime) {
  World w;
  auto r = want(60);
  r.duration = 100;
  auto a = w.manager.create_reservation("a", r).value();
  ASSERT_TRUE(w.manager.confirm_reservation(a));
  r.not_before = w.manager.now() + 200;
  ASSERT_TRUE(w.manager.create_reservation("b", r));
  EXPECT_TRUE(w.manager.extend_reservation(a, 100));
  EXPECT_EQ(w.manager.extend_reservation(a, 1).refusal().code, Code::busy);
  EXPECT_EQ(w.manager.extend_reservation(a, 0).refusal().code, Code::invalid_request);
}

TEST(ReservationManager, ExtendingForEverKeepsFewTimers) {
  World w({100, 100});
  const auto held = w.manager.create_reservation("a", want(60)).value();
  auto r = want(30, 0, 100);
  const auto confirmed = w.manager.create_reservation("b", r).value();
  ASSERT_TRUE(w.manager.confirm_reservation(confirmed));
  std::size_t most = 0;
  for (int i = 0; i < 100'000; ++i) {
    w.pass(i % 3);
    ASSERT_TRUE(w.manager.extend_reservation(held, 200 + i % 2));  // also twice the same instant
    ASSERT_TRUE(w.manager.extend_reservation(confirmed, 1 + i % 2));
    most = std::max(most, w.manager.timer_count());
  }
  EXPECT_LE(most, 65u);
  w.pass(199);
  EXPECT_EQ(w.manager.cleanup_expired_reservations(), 0u);
  w.pass(2);
  EXPECT_EQ(w.manager.cleanup_expired_reservations(), 1u);
  w.pass(1'000'000);
  (void)w.manager.cleanup_expired_reservations();
  EXPECT_TRUE(w.manager.find(confirmed)->overrun);
}

TEST(ReservationManager, ReplaceIsOneTransaction) {
  World w;
  auto a = w.manager.create_reservation("a", want(60)).value();
  const ReservationId victims[] = {a};
  EXPECT_FALSE(w.manager.replace(victims, "b", want(101)));
  EXPECT_NE(w.manager.find(a), nullptr);
  EXPECT_TRUE(w.manager.replace(victims, "b", want(100)));
  EXPECT_EQ(w.manager.state(a).value(), State::preempted);
  EXPECT_TRUE(w.manager.audit().clean());
}

TEST(ReservationManager, ElasticAcceptsLessAndShrinks) {
  World w;
  Request r{.gang = {{.amount = cores(80), .least = cores(20)}}};
  auto a = w.manager.create_reservation("a", r).value();
  auto b = w.manager.create_reservation("b", r).value();
  EXPECT_EQ(w.free(), cores(0));
  EXPECT_EQ(w.manager.shrink_to_least(a).value(), cores(60));
  EXPECT_TRUE(w.manager.shrink_to_least(b).value().is_zero());
  EXPECT_TRUE(w.manager.audit().clean());
}

// I1-I7, I14, I20: I2 where nothing is resized: random verbs, with audit, replay, and release-all
// at the end.
void random_verbs(std::uint64_t seed, int steps, int audit_every, bool resizes = true,
                  std::size_t index_from = 0) {
  // tidy: one table of verbs
  World w({40, 30, 20}, index_from);
  QuotaId quotas[] = {QuotaId::none, QuotaId::none, QuotaId::none};
  quotas[0] = w.manager.add_quota({.name = "root", .nominal = Limits::of(0, 70)}).value();
  quotas[1] = w.manager
                  .add_quota({.name = "a",
                              .parent = quotas[0],
                              .nominal = Limits::of(0, 10),
                              .borrow = Limits::of(0, 30)})
                  .value();
  std::uint64_t x = seed * 2 + 1;
  const auto draw = [&](std::uint64_t n) {
    return ((x = x * 6364136223846793005ULL + 1442695040888963407ULL) >> 33) % n;
  };
  std::vector<ReservationId> ids;
  Ledger copy;
  copy.quotas() = w.manager.ledger().quotas();
  std::size_t replayed = 0;
  for (int i = 0; i < steps; ++i) {
    const auto id = ids.empty() ? ReservationId{} : ids[draw(ids.size())];
    w.manager.cleanup_expired_reservations();
    const auto length = w.journal.size();
    bool refused = false;
    switch (draw(10)) {
      case 0:
      case 1:
      case 2: {
        Request r{.gang = {{.amount = cores(static_cast<std::int64_t>(draw(15))),
                            .count = static_cast<int>(draw(3))}},
                  .quota = quotas[1 + draw(2)]};
        if (draw(2))
          r.gang.push_back(
              {.amount = cores(1 + static_cast<std::int64_t>(draw(5))), .least = cores(1)});
        if (draw(3) == 0) r.duration = 1 + static_cast<Time>(draw(50));
        if (draw(4) == 0) r.not_before = w.manager.now() + static_cast<Time>(draw(60));
        auto made =
            w.manager.create_reservation(draw(2) ? "x" : "y", r, static_cast<Strategy>(draw(8)),
                                         1 + static_cast<Time>(draw(40)));
        if (made) ids.push_back(*made);
        refused = !made;
        break;
      }
      case 3:
      case 4:
        refused = !w.manager.confirm_reservation(id);
        break;
      case 5: {
        const Line part[] = {
            {static_cast<ResourceId>(draw(3)), cores(1 + static_cast<std::int64_t>(draw(4)))}};
        refused = !w.manager.release_reservation(id, part);
        break;
      }
      case 6:
        refused = !w.manager.release_reservation(id);
        break;
      case 7:
        refused = !w.manager.cancel_reservation(id);
        break;
      case 8:
        w.pass(static_cast<Time>(draw(20)));
        refused = false;
        break;
      case 9:
        if (draw(4) == 0 && resizes)
          (void)w.manager.resize_resource(static_cast<ResourceId>(draw(3)),
                                          cores(10 + static_cast<std::int64_t>(draw(50))));
        else if (draw(2))
          refused = !w.manager.extend_reservation(id, 1 + static_cast<Time>(draw(30)));
        else
          refused = !w.manager.shrink_to_least(id);
        break;
    }
    if (refused) {
      ASSERT_EQ(w.journal.size(), length) << "a refused verb wrote (step " << i << ")";
    }
    if (ids.size() > 64) ids.erase(ids.begin());
    if (i % audit_every == 0) {
      const auto audit = w.manager.audit();
      ASSERT_TRUE(audit.clean()) << audit.differences[0] << " at step " << i;
      for (const auto& a : w.manager.ledger().resources())
        ASSERT_FALSE(a.balance.held.any_negative() || a.balance.committed.any_negative() ||
                     (!resizes && a.free().any_negative()));  // I2
      ASSERT_LE(w.manager.ledger().quotas().borrowed(quotas[1], 0), 30);
      ASSERT_LE(w.manager.ledger().quotas().usage(quotas[0])[0], 70);
      for (; replayed < w.journal.size(); ++replayed) copy.replay(w.journal[replayed]);
      ASSERT_TRUE(copy.same_balances(w.manager.ledger()));
      w.journal.clear();
      replayed = 0;
    }
  }
  for (auto id : w.manager.live()) (void)w.manager.release_reservation(id);
  for (const auto& a : w.manager.ledger().resources()) ASSERT_EQ(a.free(), a.capacity);
  ASSERT_TRUE(w.manager.audit().clean());
}

RC_GTEST_PROP(ReservationManagerProperty, RandomVerbsKeepTheBooks, (std::uint64_t seed)) {
  random_verbs(seed, 300, 1);
  random_verbs(seed, 300, 1, false);
  random_verbs(seed, 300, 1, true, SIZE_MAX);
}
TEST(ReservationManagerProperty, TwoHundredThousandOperations) {
  random_verbs(7, 200'000, 1000);
}
TEST(ReservationManagerFull, TenMillionOperations) {
  random_verbs(11, 10'000'000, 1000);
}

}  // namespace
}  // namespace reeve::alloc
