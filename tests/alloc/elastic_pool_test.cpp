// Pools: what each kind may change, draining, cool-down.
#include "reeve/alloc/elastic_pool.hpp"

#include "tests/alloc/shorthand.hpp"
#include "tests/support/pch.hpp"

namespace reeve::alloc {
namespace {

const Advisor by_threshold = [](std::span<const LoadSample> w, std::int32_t size,
                                const ScalingLimits& limits) {
  return advise_by_threshold(w, size, {}, limits);
};

struct Pools : testing::Test {
  ElasticPool make(PoolKind kind, std::int32_t size, std::int32_t most = 5) {
    return ElasticPool::create(
               manager, {.name = "node", .capacity = cores(10)},
               {.kind = kind, .size = size, .limits = {.size_max = most, .cooldown = 100}})
        .value();
  }
  void pass(Time ns) { clock.advance(std::chrono::nanoseconds(ns)); }
  ManualClock clock;
  ReservationManager manager{Dimensions::standard(), clock};
};

TEST_F(Pools, AFixedPoolKeepsItsSize) {  // seed defect 14: the strategy was stored and never read
  auto pool = make(PoolKind::fixed, 2);
  (void)manager.create_reservation("a", want(10)).value();
  (void)manager.create_reservation("a", want(10)).value();
  EXPECT_EQ(pool.step(by_threshold).added, 0);
  EXPECT_EQ(pool.resize(3).refusal().code, Code::invalid_request);
  EXPECT_EQ(pool.utilisation(), 1);
}

TEST_F(Pools, GrowsUnderLoadAndWaitsForTheCooldown) {
  auto pool = make(PoolKind::elastic, 1);
  (void)manager.create_reservation("a", want(9)).value();
  auto step = pool.step(by_threshold);
  EXPECT_EQ(step.added, 1);
  EXPECT_EQ(step.advice.trigger, ScalingTrigger::utilisation);
  (void)manager.create_reservation("a", want(9)).value();
  pass(99);
  EXPECT_EQ(pool.step(by_threshold).added, 0);
  pass(1);
  EXPECT_EQ(pool.step(by_threshold).added, 1);
  EXPECT_TRUE(manager.find_resource("node-3"));
}

TEST_F(Pools, NeverRemovesAResourceInUse) {
  auto pool = make(PoolKind::dynamic, 3);
  PlacementRule third{
      .filter = [&](const Amounts&, const Candidate& c) { return c.id == pool.members()[2]; }};
  const auto id = manager.create_reservation("a", want(1), third).value();
  auto step = pool.step(by_threshold);
  EXPECT_EQ(step.drained, 1);
  EXPECT_EQ(step.removed, 0);
  EXPECT_NE(manager.find(id), nullptr);
  EXPECT_EQ(manager.create_reservation("b", want(10), third).refusal().code, Code::busy);
  pass(1);
  (void)manager.release_reservation(id);
  EXPECT_EQ(pool.step(by_threshold).removed, 1);
  EXPECT_FALSE(manager.find_resource("node-3"));
  EXPECT_EQ(pool.draining(), 0);
}

TEST_F(Pools, AMemberThatDrainsIsResumedBeforeANewOneIsMade) {
  auto pool = make(PoolKind::dynamic, 2);
  for (int i = 0; i < 2; ++i) (void)manager.create_reservation("a", want(10)).value();
  EXPECT_EQ(pool.resize(1).value().drained, 1);
  const auto step = pool.resize(3).value();
  EXPECT_EQ(step.resumed, 1);
  EXPECT_EQ(step.added, 1);
  EXPECT_EQ(pool.resize(9).refusal().code, Code::invalid_request);
  EXPECT_EQ(pool.resize(0).refusal().code, Code::invalid_request);
}

TEST_F(Pools, RefusesASizeOutsideItsLimits) {
  EXPECT_EQ(
      ElasticPool::create(manager, {.name = "x", .capacity = cores(1)}, {.size = 0}).refusal().code,
      Code::invalid_request);
  EXPECT_EQ(ElasticPool::create(manager, {.name = "x"}, {}).refusal().code, Code::invalid_amount);
  EXPECT_EQ(manager.resource_count(), 0u);
}

RC_GTEST_PROP(ElasticPoolProperty, LiveReservationsSurviveEveryStep, ()) {
  ManualClock clock;
  ReservationManager manager{Dimensions::standard(), clock};
  auto pool = ElasticPool::create(manager, {.name = "n", .capacity = cores(10)},
                                  {.size = 2, .limits = {.size_max = 6, .cooldown = 1}})
                  .value();
  std::vector<ReservationId> live;
  for (int i = 0; i < 40; ++i) {
    clock.advance(std::chrono::nanoseconds(1));
    if (*rc::gen::arbitrary<bool>()) {
      auto id = manager.create_reservation("a", want(*rc::gen::inRange(1, 11)));
      if (id && manager.confirm_reservation(*id)) live.push_back(*id);
    } else if (!live.empty()) {
      (void)manager.release_reservation(live.back());
      live.pop_back();
    }
    (void)pool.step(by_threshold);
    RC_ASSERT(pool.size() >= 1);
    RC_ASSERT(pool.size() <= 6);
    for (auto id : live) RC_ASSERT(manager.find(id) != nullptr);
    RC_ASSERT(manager.audit().clean());
  }
}

}  // namespace
}  // namespace reeve::alloc
