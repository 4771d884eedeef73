// Workers that are promised for a time are there at that time.
#include "tests/bridge/bridge_test_support.hpp"

namespace reeve::test {
namespace {

using testing::HasSubstr;

WorkerRequest lasting(std::chrono::milliseconds limit, bool preemptible = false) {
  WorkerRequest request;
  request.time_limit = limit;
  request.preemptible = preemptible;
  return request;
}

SchedulerConfig two(std::chrono::milliseconds grace = 10s) {
  SchedulerConfig config = of({{"alice"}, {"bob"}});
  config.preemption.grace = grace;
  return config;
}

TEST(Reservation, NothingThatWouldOutlastItsStartIsPlacedOnItsWorkers) {
  Shop shop(3, two());
  const auto reserved = shop.scheduler->reserve("alice", 2, shop.in(100s), 50s);
  const auto one = shop.ask("bob", lasting(1000s));
  const auto long_one = shop.ask("bob", lasting(1000s));
  EXPECT_TRUE(one->has()) << "one worker is not promised";
  EXPECT_FALSE(long_one->has());
  shop.advance(1s);
  const auto exact = shop.scheduler->try_acquire("bob", lasting(99s));
  EXPECT_FALSE(exact) << "behind its own, who waits";
  const auto alice = shop.ask("alice", lasting(99s));
  EXPECT_TRUE(alice->has()) << "it ends in time";
  EXPECT_FALSE(shop.ask("alice", lasting(100s))->has());
}

TEST(Reservation, ItsWorkersAreThereAtItsStartAndFreeAfterItsEnd) {
  Shop shop(3, two());
  const auto reserved = shop.scheduler->reserve("alice", 2, shop.in(100s), 50s);
  const auto other = shop.ask("bob", lasting(1000s));
  const auto waits = shop.ask("bob", lasting(1000s));
  shop.advance(100s);
  EXPECT_EQ(reserved.status()->ready, 2U);
  EXPECT_FALSE(waits->has());
  const auto a1 = shop.ask("alice");
  const auto a2 = shop.ask("alice");
  EXPECT_TRUE(a1->has() && a2->has());
  EXPECT_EQ(reserved.status()->leased, 2U);
  a1->give_back();
  shop.settle();
  EXPECT_FALSE(waits->has()) << "it goes back to the reservation";
  EXPECT_EQ(reserved.status()->ready, 1U);
  shop.advance(50s);
  EXPECT_TRUE(waits->has());
  EXPECT_FALSE(reserved.status()) << "it is over";
  EXPECT_TRUE(a2->has());
}

TEST(Reservation, ALeaseOutOfItEndsWithIt) {
  Shop shop(1, two());
  const auto reserved = shop.scheduler->reserve("alice", 1, shop.in(0s), 20s);
  const auto turn = shop.ask("alice");
  ASSERT_TRUE(turn->has());
  shop.pool.preempt(turn->lease->key(), "test", "to read its limit");
  try {
    turn->lease->rethrow_cause();
  } catch (const WorkerError& e) {
    EXPECT_EQ(e.evidence().time_limit, 20s) << "the pool's is an hour";
  }
}

TEST(Reservation, PreemptibleLeasesYieldAGracePeriodBefore) {
  Shop shop(2, two(10s));
  const auto yields = shop.ask("bob", lasting(0ms, true));
  const auto reserved = shop.scheduler->reserve("alice", 2, shop.in(100s), 50s);
  const auto late = shop.ask("bob", lasting(0ms, true));
  EXPECT_TRUE(late->has()) << "it will yield, so it may be placed there";
  shop.advance(89s);
  EXPECT_EQ(shop.scheduler->status().stopping, 0U);
  shop.advance(1s);
  EXPECT_EQ(shop.scheduler->status().stopping, 2U);
  EXPECT_FALSE(late->lease->revoked());
  EXPECT_FALSE(shop.scheduler->try_acquire("bob", lasting(0ms, true)));
  late->give_back();
  shop.settle();
  EXPECT_FALSE(shop.scheduler->try_acquire("bob", lasting(0ms, true)))
      << "what is freed now stays free";
  EXPECT_TRUE(shop.scheduler->try_acquire("bob", lasting(9s))) << "unless it ends in time";
  shop.advance(10s);
  EXPECT_TRUE(yields->lease->revoked());
  EXPECT_EQ(reserved.status()->ready, 2U);
  try {
    yields->lease->rethrow_cause();
  } catch (const WorkerPreemptedError& e) {
    EXPECT_EQ(e.by(), "alice");
    EXPECT_THAT(e.what(), HasSubstr("its reservation of 2 workers begins"));
  }
}

TEST(Reservation, OnlyAsManyYieldAsAreMissing) {
  Shop shop(4, two(10s));
  std::vector<TurnPtr> turns;
  for (int i = 0; i < 3; ++i) turns.push_back(shop.ask("bob", lasting(0ms, true)));
  const auto reserved = shop.scheduler->reserve("alice", 2, shop.in(100s), 50s);
  shop.advance(90s);
  EXPECT_EQ(shop.scheduler->status().stopping, 1U);
  shop.advance(10s);
  EXPECT_TRUE(turns[2]->lease->revoked()) << "the newest";
  EXPECT_FALSE(turns[0]->lease->revoked() || turns[1]->lease->revoked());
  EXPECT_EQ(reserved.status()->ready, 2U);
}

TEST(Reservation, NowTakesWhatIsPreemptibleAtOnce) {
  Shop shop(1, two(10s));
  const auto turn = shop.ask("bob", lasting(0ms, true));
  const auto reserved = shop.scheduler->reserve("alice", 1, shop.in(0s), 50s);
  shop.settle();
  EXPECT_TRUE(turn->lease->revoked());
  EXPECT_EQ(reserved.status()->ready, 1U);
}

TEST(Reservation, LeasesThatAreNotPreemptibleStandInItsWay) {
  Shop shop(2, two());
  const auto turn = shop.ask("bob", lasting(60s));
  EXPECT_THROW((void)shop.scheduler->reserve("alice", 2, shop.in(59s), 10s),
               bridge::ReservationRefusedError);
  const auto reserved = shop.scheduler->reserve("alice", 2, shop.in(60s), 10s);
  EXPECT_TRUE(reserved.status());
}

TEST(Reservation, DestroyingItGivesItUp) {
  Shop shop(1, two());
  TurnPtr waits;
  {
    const auto reserved = shop.scheduler->reserve("alice", 1, shop.in(10s), 10s);
    waits = shop.ask("bob", lasting(60s));
    EXPECT_FALSE(waits->has());
  }
  shop.settle();
  EXPECT_TRUE(waits->has());
  EXPECT_TRUE(shop.scheduler->status().reservations.empty());
}

TEST(Reservation, GivenUpWhileItRunsItsLeasesGoOn) {
  Shop shop(2, two());
  auto reserved = shop.scheduler->reserve("alice", 2, shop.in(0s), 100s);
  const auto turn = shop.ask("alice", lasting(50s));
  ASSERT_TRUE(turn->has());
  reserved.cancel();
  shop.settle();
  EXPECT_FALSE(turn->lease->revoked());
  const auto other = shop.ask("bob", lasting(10s));
  EXPECT_TRUE(other->has());
  turn->give_back();
  shop.settle();
  EXPECT_TRUE(shop.ask("bob", lasting(10s))->has());
  EXPECT_TRUE(shop.scheduler->status().differences.empty());
}

TEST(Reservation, OfADevice) {
  ResourceConfig config = thread_config(3);
  config.devices = {"cpu", "cuda:0", "cuda:1"};
  Shop shop(config, two());
  const auto reserved = shop.scheduler->reserve("alice", 2, shop.in(0s), 50s, "cuda");
  WorkerRequest gpu;
  gpu.device = "cuda";
  EXPECT_FALSE(shop.ask("bob", gpu)->has());
  EXPECT_TRUE(shop.ask("bob")->has()) << "the cpu";
  const auto turn = shop.ask("alice", gpu);
  ASSERT_TRUE(turn->has());
  EXPECT_TRUE(turn->lease->device().starts_with("cuda:"));
}

TEST(Reservation, AResizeMovesWhatMayBeReserved) {
  Shop shop(2, two());
  const auto one = shop.scheduler->reserve("alice", 1, shop.in(100s), 1h);
  run_in(shop.context, shop.scheduler->resize(8));
  const auto six = shop.scheduler->reserve("alice", 6, shop.in(100s), 1h);
  EXPECT_TRUE(six.status()) << "seven workers are free";
  EXPECT_THROW((void)shop.scheduler->reserve("bob", 2, shop.in(100s), 1h),
               bridge::ReservationRefusedError);
  EXPECT_TRUE(shop.scheduler->reserve("bob", 1, shop.in(100s), 1h).status());
}

TEST(Reservation, AfterAShrinkWhatOthersKeepStaysTheirs) {
  Shop shop(8, of({{"alice", 1, 0, WorkerQuota{2, bridge::unlimited, 0}}, {"bob"}}));
  const auto one = shop.scheduler->reserve("bob", 1, shop.in(100s), 1h);
  run_in(shop.context, shop.scheduler->resize(4));
  EXPECT_THROW((void)shop.scheduler->reserve("bob", 2, shop.in(100s), 1h),
               bridge::ReservationRefusedError)
      << "two of four are alice's own";
  const auto second = shop.scheduler->reserve("bob", 1, shop.in(100s), 1h);
  const auto own = shop.scheduler->reserve("alice", 2, shop.in(100s), 1h);
  EXPECT_TRUE(second.status() && own.status());
  run_in(shop.context, shop.scheduler->resize(2));
  EXPECT_THROW((void)shop.scheduler->reserve("bob", 1, shop.in(100s), 1h),
               bridge::ReservationRefusedError)
      << "more is promised than there is";
}

TEST(Reservation, BadInputIsNamed) {
  Shop shop(2, two());
  const auto expect = [&](auto reserve, const std::string& text) {
    try {
      (void)reserve(*shop.scheduler);
      ADD_FAILURE() << "accepted: " << text;
    } catch (const ConfigError& e) {
      EXPECT_THAT(e.what(), HasSubstr(text));
    }
  };
  const auto now = shop.in(0s);
  expect([&](auto& s) { return s.reserve("carol", 1, now, 1s); }, "'carol' is no requester");
  expect([&](auto& s) { return s.reserve("bob", 0, now, 1s); }, "has 1 to 2 workers");
  expect([&](auto& s) { return s.reserve("bob", 3, now, 1s); }, "as there are, not 3");
  expect([&](auto& s) { return s.reserve("bob", 1, now - 1s, 1s); }, "begin 1.000 s ago");
  expect([&](auto& s) { return s.reserve("bob", 1, now + 24h * 3661, 1s); }, "ten years");
  expect([&](auto& s) { return s.reserve("bob", 1, now, 0s); }, "would last 0.000 s");
  expect([&](auto& s) { return s.reserve("bob", 1, now, 24h * 3661); }, "ten years");
  expect([&](auto& s) { return s.reserve("bob", 1, now, 1s, "cuda"); }, "device 'cuda'");
  EXPECT_TRUE(shop.scheduler->status().reservations.empty());
}

}  // namespace
}  // namespace reeve::test
