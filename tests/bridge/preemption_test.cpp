// Leases that are asked to end, and taken back, for somebody who goes before them.
#include "tests/bridge/bridge_test_support.hpp"

namespace reeve::test {
namespace {

using testing::HasSubstr;

WorkerRequest preemptible(int priority = 0) {
  WorkerRequest request;
  request.preemptible = true;
  request.priority = priority;
  return request;
}

WorkerRequest urgent(int priority) {
  WorkerRequest request;
  request.priority = priority;
  return request;
}

SchedulerConfig two(std::chrono::milliseconds grace = 10s) {
  SchedulerConfig config = of({{"alice"}, {"bob"}}, SchedulingPolicy::priority);
  config.preemption.grace = grace;
  return config;
}

void spin_until_asked() {
  while (!this_worker::stop_requested()) std::this_thread::yield();
}

asio::awaitable<void> work_until_asked(TurnPtr turn) {
  co_await turn->lease->run<&spin_until_asked>();
  turn->lease.reset();
}

TEST(Preemption, AVictimThatHeedsTheRequestLosesNothing) {
  Shop shop(1, two());
  const auto victim = shop.ask("bob", preemptible());
  std::exception_ptr failure;
  bool ended = false;
  asio::co_spawn(shop.context, work_until_asked(victim), [&](std::exception_ptr e) {
    failure = e;
    ended = true;
  });
  shop.settle();
  EXPECT_FALSE(ended);
  const auto taker = shop.ask("alice", urgent(1));  // a quick thread has heeded it by now
  ASSERT_TRUE(run_until(shop.context, [&] { return ended && taker->has(); }));
  EXPECT_FALSE(failure) << "its call returned, and the lease was given back";
  EXPECT_EQ(shop.of("bob").preempted, 1U);
  EXPECT_EQ(shop.of("alice").preempting, 1U);
}

TEST(Preemption, TheLeaseIsRevokedWhenTheGraceIsOverAndTheErrorSaysWhy) {
  Shop shop(1, two(10s));
  const auto victim = shop.ask("bob", preemptible(1));
  const auto taker = shop.ask("alice", urgent(7));
  EXPECT_EQ(shop.scheduler->status().stopping, 1U);
  shop.advance(9999ms);
  EXPECT_FALSE(victim->lease->revoked());
  EXPECT_FALSE(taker->has());
  shop.advance(1ms);
  EXPECT_TRUE(victim->lease->revoked());
  EXPECT_TRUE(taker->has());
  try {
    victim->lease->rethrow_cause();
    FAIL() << "no cause";
  } catch (const WorkerPreemptedError& e) {
    EXPECT_EQ(e.by(), "alice");
    EXPECT_THAT(e.what(), HasSubstr("its priority is 7, that of the lease 1"));
  }
  EXPECT_EQ(shop.scheduler->status().stopping, 0U);
  EXPECT_EQ(shop.scheduler->status().leased, 1U);
}

TEST(Preemption, NoGraceRevokesAtOnce) {
  Shop shop(1, two(0ms));
  const auto victim = shop.ask("bob", preemptible());
  const auto taker = shop.ask("alice", urgent(1));
  EXPECT_TRUE(victim->lease->revoked());
  EXPECT_TRUE(taker->has());
}

TEST(Preemption, OnlyWhatIsPreemptibleAndLower) {
  Shop shop(3, two(0ms));
  const auto firm = shop.ask("bob", urgent(0));
  const auto equal = shop.ask("bob", preemptible(5));
  const auto higher = shop.ask("bob", preemptible(6));
  const auto taker = shop.ask("alice", urgent(5));
  EXPECT_FALSE(taker->has());
  for (const auto& turn : {firm, equal, higher}) EXPECT_FALSE(turn->lease->revoked());
}

TEST(Preemption, TheLowestThenTheNewestGoes) {
  Shop shop(4, two(0ms));
  const auto old_low = shop.ask("bob", preemptible(1));
  const auto new_low = shop.ask("bob", preemptible(1));
  const auto middle = shop.ask("bob", preemptible(2));
  const auto high = shop.ask("bob", preemptible(3));
  std::vector<TurnPtr> order{new_low, old_low, middle, high};
  std::vector<TurnPtr> takers;
  for (std::size_t i = 0; i < order.size(); ++i) {
    for (std::size_t j = i; j < order.size(); ++j) EXPECT_FALSE(order[j]->lease->revoked());
    takers.push_back(shop.ask("alice", urgent(9)));
    EXPECT_TRUE(takers.back()->has());
    EXPECT_TRUE(order[i]->lease->revoked()) << i;
  }
}

TEST(Preemption, OneVictimPerRequestHoweverOftenOneLooks) {
  Shop shop(3, two(10s));
  std::vector<TurnPtr> victims;
  for (int i = 0; i < 3; ++i) victims.push_back(shop.ask("bob", preemptible()));
  const auto first = shop.ask("alice", urgent(1));
  for (int i = 0; i < 5; ++i) shop.advance(1s);
  EXPECT_EQ(shop.scheduler->status().stopping, 1U);
  const auto second = shop.ask("alice", urgent(1));
  EXPECT_EQ(shop.scheduler->status().stopping, 2U) << "each names its own";
  shop.advance(20s);
  EXPECT_TRUE(first->has() && second->has());
  EXPECT_EQ(std::count_if(victims.begin(), victims.end(),
                          [](const TurnPtr& v) { return v->lease->revoked(); }),
            2);
}

TEST(Preemption, WhoIsServedOtherwiseSparesItsVictim) {
  Shop shop(2, two(10s));
  const auto victim = shop.ask("bob", preemptible());
  const auto other = shop.ask("bob", urgent(9));
  const auto taker = shop.ask("alice", urgent(1));
  EXPECT_EQ(shop.scheduler->status().stopping, 1U);
  other->give_back();
  shop.settle();
  EXPECT_TRUE(taker->has());
  shop.advance(20s);
  EXPECT_FALSE(victim->lease->revoked());
  EXPECT_EQ(shop.scheduler->status().stopping, 0U);
  EXPECT_EQ(shop.of("bob").preempted, 0U);
}

TEST(Preemption, WhoStopsWaitingSparesItsVictim) {
  Shop shop(1, two(10s));
  const auto victim = shop.ask("bob", preemptible());
  const auto taker = shop.ask("alice", urgent(1));
  taker->cancel();
  shop.settle();
  shop.advance(20s);
  EXPECT_FALSE(victim->lease->revoked());
  const auto again = shop.ask("alice", urgent(1));
  shop.advance(10s);
  EXPECT_TRUE(victim->lease->revoked()) << "and it may be asked again";
  EXPECT_TRUE(again->has());
}

/// A shop with one warm worker, which `firm` has, and one whose process or thread is yet to start,
/// which bob was granted: it is asked to end for alice before it is there.
struct VictimThatIsComing {
  explicit VictimThatIsComing(std::chrono::milliseconds grace) : shop(1, two(grace)) {
    firm = shop.ask("bob", urgent(9));
    run_in(shop.context, shop.scheduler->resize(2));
    acquiring.emplace(shop.scheduler->acquire_worker("bob", preemptible()));
    asio::co_spawn(shop.context, take(shop.scheduler->acquire_worker("alice", urgent(1)), taker),
                   asio::bind_cancellation_slot(taker->signal.slot(), done(taker)));
    poll();
  }
  static std::function<void(std::exception_ptr)> done(TurnPtr turn) {
    return [turn](std::exception_ptr e) {
      turn->failure = e;
      turn->done = true;
    };
  }
  void poll() {
    shop.context.restart();
    shop.context.poll();
  }
  void arrive() {
    asio::co_spawn(shop.context, take(std::move(*acquiring), victim), done(victim));
    shop.settle();
  }

  Shop shop;
  TurnPtr firm;
  TurnPtr victim = std::make_shared<Turn>();
  TurnPtr taker = std::make_shared<Turn>();
  std::optional<asio::awaitable<WorkerLease>> acquiring;
};

TEST(Preemption, AVictimThatIsComingIsTakenBackWhenItIsThere) {
  for (const auto grace : {0ms, 1000ms}) {
    VictimThatIsComing scene(grace);
    EXPECT_EQ(scene.shop.scheduler->status().coming, 1U);
    EXPECT_EQ(scene.shop.scheduler->status().stopping, 1U);
    scene.shop.clock.advance(grace);
    scene.shop.scheduler->poll();
    scene.arrive();
    EXPECT_TRUE(scene.victim->has() && scene.victim->lease->revoked());
    EXPECT_TRUE(scene.taker->has());
  }
}

TEST(Preemption, AVictimThatIsComingIsSparedByWhoIsServedOtherwise) {
  for (const auto grace : {0ms, 1000ms}) {
    VictimThatIsComing scene(grace);
    scene.shop.clock.advance(grace);
    scene.shop.scheduler->poll();
    scene.firm->give_back();
    scene.poll();
    ASSERT_TRUE(scene.taker->has());
    scene.arrive();
    ASSERT_TRUE(scene.victim->has());
    EXPECT_FALSE(scene.victim->lease->revoked());
    EXPECT_EQ(scene.shop.scheduler->status().stopping, 0U);
    EXPECT_EQ(scene.shop.of("bob").preempted, 0U);
    EXPECT_EQ(scene.shop.of("alice").preempting, 0U);
  }
}

TEST(Preemption, AVictimThatIsComingIsSparedByWhoStopsWaiting) {
  for (const auto grace : {0ms, 1000ms}) {
    VictimThatIsComing scene(grace);
    scene.shop.clock.advance(grace);
    scene.shop.scheduler->poll();
    scene.taker->cancel();
    scene.poll();
    ASSERT_TRUE(scene.taker->done);
    scene.arrive();
    ASSERT_TRUE(scene.victim->has());
    EXPECT_FALSE(scene.victim->lease->revoked());
    EXPECT_EQ(scene.shop.scheduler->status().stopping, 0U);
  }
}

TEST(Preemption, TheFreedWorkerGoesToWhomItWasTakenFor) {
  SchedulerConfig config = two(10s);
  config.policy = SchedulingPolicy::fifo;  // under which the taker is not next
  Shop shop(1, config);
  const auto victim = shop.ask("bob", preemptible());
  const auto before = shop.ask("bob", urgent(0));
  const auto taker = shop.ask("alice", urgent(1));
  shop.advance(10s);
  EXPECT_TRUE(taker->has());
  EXPECT_FALSE(before->has());
}

TEST(Preemption, OwnersTakeBackWhatTheyLent) {
  SchedulerConfig config = of({{"alice", 1, 0, WorkerQuota{2}}, {"bob"}});
  config.preemption.grace = 0ms;
  Shop shop(3, config);
  std::vector<TurnPtr> bob;
  for (int i = 0; i < 3; ++i) bob.push_back(shop.ask("bob", preemptible(100)));
  std::vector<TurnPtr> alice;
  for (int i = 0; i < 3; ++i) alice.push_back(shop.ask("alice"));
  EXPECT_EQ(shop.of("alice").held, 2U) << "her quota, whatever bob's priority";
  EXPECT_EQ(shop.of("bob").held, 1U);
  EXPECT_FALSE(alice[2]->has());
  try {
    bob[2]->lease->rethrow_cause();
  } catch (const WorkerPreemptedError& e) {
    EXPECT_THAT(e.what(), HasSubstr("it takes back what it owns (2 of the workers)"));
    EXPECT_THAT(e.what(), HasSubstr("bob borrows"));
  }
}

TEST(Preemption, NobodyIsAskedForOneWhomQuotasRefuseBesideAnother) {
  SchedulerConfig config = of({{"alice", 1, 0, WorkerQuota{2, bridge::unlimited, 0}},
                               {"bob", 1, 0, WorkerQuota{0, 1}},
                               {"carol", 1, 0, WorkerQuota{0, 1}}});
  config.preemption.grace = 10s;
  Shop shop(3, config);
  std::vector<TurnPtr> alice;
  for (int i = 0; i < 3; ++i) alice.push_back(shop.ask("alice", preemptible()));
  const auto bob = shop.ask("bob", urgent(1));
  const auto carol = shop.ask("carol", urgent(1));
  EXPECT_EQ(shop.scheduler->status().stopping, 1U) << "two of the three are alice's for certain";
  shop.advance(10s);
  EXPECT_TRUE(bob->has());
  EXPECT_FALSE(carol->has());
  EXPECT_EQ(shop.of("alice").held, 2U);
  EXPECT_EQ(shop.of("alice").preempted, 1U);
  bob->give_back();
  shop.settle();
  EXPECT_TRUE(carol->has());
}

TEST(Preemption, BySharePreemptsUntilSharesAreFairAndThenStops) {
  SchedulerConfig config = of({{"alice", 3}, {"bob", 1}});
  config.preemption.by_share = true;
  config.preemption.grace = 0ms;
  Shop shop(8, config);
  std::vector<TurnPtr> bob;
  std::vector<TurnPtr> alice;
  for (int i = 0; i < 8; ++i) bob.push_back(shop.ask("bob", preemptible()));
  for (int i = 0; i < 8; ++i) alice.push_back(shop.ask("alice", preemptible()));
  for (int i = 0; i < 8; ++i) bob.push_back(shop.ask("bob", preemptible()));
  EXPECT_EQ(shop.of("alice").held, 6U);
  EXPECT_EQ(shop.of("bob").held, 2U);
  const auto before = shop.of("alice").preempted + shop.of("bob").preempted;
  shop.advance(100s);
  EXPECT_EQ(shop.of("alice").preempted + shop.of("bob").preempted, before) << "it goes round";
  EXPECT_EQ(before, 6U);
}

TEST(Preemption, RulesCanBeTurnedOff) {
  SchedulerConfig config = two(0ms);
  config.preemption.by_priority = false;
  Shop shop(1, config);
  const auto safe = shop.ask("bob", preemptible());
  EXPECT_FALSE(shop.ask("alice", urgent(9))->has());
  EXPECT_FALSE(safe->lease->revoked());
}

TEST(Preemption, AProcessIsKilledAndReplaced) {
  ResourceConfig pool = small_config();
  pool.max_workers = 1;
  Shop shop(pool, two(0ms));
  const auto victim = shop.ask("bob", preemptible());
  std::exception_ptr failure;
  bool ended = false;
  asio::co_spawn(shop.context, work_until_asked(victim), [&](std::exception_ptr e) {
    failure = e;
    ended = true;
  });
  shop.settle();
  const auto taker = shop.ask("alice", urgent(1));
  ASSERT_TRUE(run_until(shop.context, [&] { return ended && taker->has(); }));
  EXPECT_THROW(std::rethrow_exception(failure), WorkerPreemptedError);
}

}  // namespace
}  // namespace reeve::test
