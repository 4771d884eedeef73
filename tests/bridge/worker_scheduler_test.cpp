// Who gets the next worker: turns, shares, priorities, quotas; waiting that loses nothing.
#include <reeve/bridge/worker_scheduler.hpp>

#include "tests/bridge/bridge_test_support.hpp"

namespace reeve::test {
namespace {

using testing::HasSubstr;

WorkerRequest with_priority(int priority) {
  WorkerRequest request;
  request.priority = priority;
  return request;
}

WorkerRequest within(std::chrono::milliseconds timeout) {
  WorkerRequest request;
  request.timeout = timeout;
  return request;
}

std::vector<bool> have(const std::vector<TurnPtr>& turns) {
  std::vector<bool> result;
  for (const TurnPtr& turn : turns) result.push_back(turn->has());
  return result;
}

asio::awaitable<int> add_in(WorkerLease& lease) {
  co_return co_await lease.run<&add>(20, 22);
}

TEST(WorkerScheduler, ALeaseIsAPoolsLease) {
  Shop shop(1, of({{"alice"}}));
  const auto turn = shop.ask("alice");
  ASSERT_TRUE(turn->has());
  EXPECT_EQ(turn->lease->task(), "alice");
  EXPECT_EQ(run_in(shop.context, add_in(*turn->lease)), 42);
  EXPECT_EQ(shop.pool.status().active_tasks, 1U);
  EXPECT_EQ(shop.of("alice").held, 1U);
  turn->give_back();
  EXPECT_EQ(shop.of("alice").held, 0U) << "known at once, not when the context runs";
  EXPECT_EQ(shop.pool.status().active_tasks, 0U);
}

TEST(WorkerScheduler, OneRequesterIsServedFirstComeFirstServedUnderEveryPolicy) {
  for (const auto policy :
       {SchedulingPolicy::fifo, SchedulingPolicy::priority, SchedulingPolicy::fair_share}) {
    Shop shop(1, of({{"alice"}}, policy));
    std::vector<TurnPtr> turns;
    for (int i = 0; i < 4; ++i) turns.push_back(shop.ask("alice"));
    for (std::size_t i = 0; i < 4; ++i) {
      std::vector<bool> expected(4, false);
      expected[i] = true;
      EXPECT_EQ(have(turns), expected) << "turn " << i;
      turns[i]->give_back();
      shop.settle();
    }
  }
}

TEST(WorkerScheduler, FifoKnowsNeitherWeightNorPriority) {
  Shop shop(1, of({{"alice", 100}, {"bob"}}, SchedulingPolicy::fifo));
  const auto first = shop.ask("bob");
  const auto second = shop.ask("bob");
  const auto third = shop.ask("alice", with_priority(9));
  first->give_back();
  shop.settle();
  EXPECT_TRUE(second->has());
  EXPECT_FALSE(third->has());
}

TEST(WorkerScheduler, FairShareServesWhoHasLeastForItsWeight) {
  Shop shop(6, of({{"alice", 2}, {"bob", 1}}));
  std::vector<TurnPtr> alice;
  std::vector<TurnPtr> bob;
  for (int i = 0; i < 6; ++i) bob.push_back(shop.ask("bob"));
  for (int i = 0; i < 6; ++i) alice.push_back(shop.ask("alice"));
  for (int i = 0; i < 6; ++i) bob.push_back(shop.ask("bob"));
  EXPECT_EQ(shop.of("bob").held, 6U) << "nobody else wanted any";
  for (std::size_t i = 0; i < 4; ++i) {
    bob[i]->give_back();
    shop.settle();
  }
  EXPECT_EQ(shop.of("alice").held, 4U);
  EXPECT_EQ(shop.of("bob").held, 2U);
  alice[0]->give_back();
  shop.settle();
  EXPECT_EQ(shop.of("alice").held, 4U) << "3 / 2 is less than 2 / 1";
  bob[4]->give_back();
  shop.settle();
  EXPECT_EQ(shop.of("bob").held, 2U) << "1 / 1 is less than 4 / 2";
}

TEST(WorkerScheduler, DecayedShareRemembersWhoUsedTheWorkers) {
  SchedulerConfig config = of({{"alice"}, {"bob"}});
  config.half_life = 60s;
  Shop shop(1, config);
  auto a = shop.ask("alice");
  shop.advance(60s);
  EXPECT_NEAR(shop.of("alice").used, 60 / std::log(2.0) / 2, 1e-6);
  a->give_back();
  shop.settle();
  a = shop.ask("alice");  // nobody else wants it
  ASSERT_TRUE(a->has());
  const auto again = shop.ask("alice");
  const auto bob = shop.ask("bob");
  a->give_back();
  shop.settle();
  EXPECT_TRUE(bob->has()) << "alice came first, and has used 60 s";
  EXPECT_FALSE(again->has());
  const auto third = shop.ask("bob");
  shop.advance(20s);
  bob->give_back();
  shop.settle();
  EXPECT_TRUE(third->has()) << "alice's past still weighs more than 20 s";
  shop.advance(200s);
  const auto fourth = shop.ask("bob");
  third->give_back();
  shop.settle();
  EXPECT_TRUE(again->has()) << "it is forgotten, and bob has used 220 s meanwhile";
  EXPECT_FALSE(fourth->has());
}

TEST(WorkerScheduler, PriorityOfRequesterAndRequestAddUp) {
  Shop shop(1, of({{"alice", 1, 5}, {"bob", 1, 0}}, SchedulingPolicy::priority));
  const auto held = shop.ask("bob");
  const auto low = shop.ask("bob", with_priority(4));
  const auto middle = shop.ask("alice");
  const auto high = shop.ask("bob", with_priority(6));
  std::vector<TurnPtr> order{held, high, middle, low};
  for (std::size_t i = 0; i + 1 < order.size(); ++i) {
    order[i]->give_back();
    shop.settle();
    EXPECT_TRUE(order[i + 1]->has()) << i;
  }
}

TEST(WorkerScheduler, AgeingLetsALowPriorityPassInTheEnd) {
  SchedulerConfig config = of({{"alice"}, {"bob"}}, SchedulingPolicy::priority);
  config.ageing.period = 10s;
  Shop shop(1, config);
  auto held = shop.ask("alice");
  const auto old = shop.ask("bob");
  for (int i = 0; i < 3; ++i) {
    const auto young = shop.ask("alice", with_priority(2));
    shop.advance(8s);
    held->give_back();
    shop.settle();
    if (old->has()) {
      EXPECT_EQ(i, 2) << "it gained 2 after 20 s, and came first";
      return;
    }
    EXPECT_TRUE(young->has());
    held = young;
  }
  FAIL() << "it starved";
}

TEST(WorkerScheduler, QuotaLimitsAndLends) {
  Shop shop(4, of({{"alice", 1, 0, WorkerQuota{2, 1, 1}},
                   {"bob", 1, 0, WorkerQuota{2, bridge::unlimited, 2}}}));
  std::vector<TurnPtr> alice;
  for (int i = 0; i < 4; ++i) alice.push_back(shop.ask("alice"));
  EXPECT_EQ(have(alice), (std::vector<bool>{true, true, true, false})) << "nominal 2, borrow 1";
  const auto b1 = shop.ask("bob");
  EXPECT_TRUE(b1->has());
  const auto b2 = shop.ask("bob");
  EXPECT_FALSE(b2->has()) << "lent out, and nothing is free";
  alice[0]->give_back();
  shop.settle();
  EXPECT_TRUE(b2->has()) << "within its quota goes before one that would borrow again";
  EXPECT_FALSE(alice[3]->has());
  alice[1]->give_back();
  b1->give_back();
  b2->give_back();
  shop.settle();
  EXPECT_EQ(shop.of("alice").held, 2U);
  std::vector<TurnPtr> bob;
  for (int i = 0; i < 4; ++i) bob.push_back(shop.ask("bob"));
  EXPECT_EQ(shop.of("bob").held, 2U);
  for (const TurnPtr& turn : alice) turn->give_back();
  shop.settle();
  EXPECT_EQ(shop.of("bob").held, 3U) << "alice lends one of her two";
}

TEST(WorkerScheduler, ATimedOutRequestSaysWhoHoldsTheWorkers) {
  Shop shop(1, of({{"alice"}, {"bob"}}));
  const auto held = shop.ask("alice");
  const auto late = shop.ask("bob", within(300ms));
  shop.advance(299ms);
  EXPECT_TRUE(late->waits());
  shop.advance(1ms);
  const auto error = late->error<AcquireTimeoutError>();
  ASSERT_TRUE(error);
  EXPECT_THAT(error->what(), HasSubstr("'bob' within 0.300 s"));
  EXPECT_THAT(error->what(), HasSubstr("1 of 1 workers are leased: 1 by alice"));
  EXPECT_EQ(shop.of("bob").waits.timed_out, 1U);
  held->give_back();
  shop.settle();
  EXPECT_TRUE(shop.ask("bob")->has());
}

TEST(WorkerScheduler, TheRealClockRingsByItself) {
  asio::io_context context;
  ResourcePool pool(context.get_executor(), thread_config(1));
  WorkerScheduler scheduler(pool, of({{"alice"}}));
  const auto first = std::make_shared<Turn>();
  const auto second = std::make_shared<Turn>();
  run_in(context, take(scheduler.acquire_worker("alice"), first));
  const auto from = std::chrono::steady_clock::now();
  EXPECT_THROW(run_in(context, take(scheduler.acquire_worker("alice", within(50ms)), second)),
               AcquireTimeoutError);
  EXPECT_GE(seconds_since(from), 0.05);
  EXPECT_LT(seconds_since(from), 10.0);
}

TEST(WorkerScheduler, ACancelledRequestLeavesNothingBehind) {
  Shop shop(1, of({{"alice"}, {"bob"}}));
  const auto held = shop.ask("alice");
  const auto gone = shop.ask("bob");
  const auto next = shop.ask("bob");
  gone->cancel();
  shop.settle();
  EXPECT_TRUE(gone->error<boost::system::system_error>());
  EXPECT_EQ(shop.of("bob").waiting, 1U);
  EXPECT_EQ(shop.of("bob").waits.cancelled, 1U);
  held->give_back();
  next->cancel();  // granted at this instant: it gets the worker, or the next does
  shop.settle();
  const auto last = shop.ask("alice");
  EXPECT_NE(next->has(), last->has());
}

TEST(WorkerScheduler, TryAcquireNeverOvertakesItsOwn) {
  Shop shop(2, of({{"alice", 1, 0, WorkerQuota{1, 0}}, {"bob"}}));
  auto first = shop.scheduler->try_acquire("alice");
  EXPECT_TRUE(first);
  EXPECT_FALSE(shop.scheduler->try_acquire("alice")) << "its quota is one";
  const auto waits = shop.ask("alice");
  auto other = shop.scheduler->try_acquire("bob");
  EXPECT_TRUE(other) << "a worker that alice may not have is of no use to her";
  other.reset();
  EXPECT_EQ(shop.of("bob").held, 0U);
}

TEST(WorkerScheduler, BadRequestsFailAtOnce) {
  Shop shop(1, of({{"alice"}, {"bob"}}));
  WorkerScheduler& scheduler = *shop.scheduler;
  const auto expect = [&](std::string_view who, WorkerRequest request, const std::string& text) {
    try {
      (void)scheduler.acquire_worker(who, request);
      ADD_FAILURE() << "accepted: " << text;
    } catch (const ConfigError& e) {
      EXPECT_THAT(e.what(), HasSubstr(text));
    }
  };
  expect("carol", {}, "'carol' is no requester of this scheduler; it has 'alice', 'bob'");
  expect("alice", within(-1ms), "timeout is -1 ms");
  WorkerRequest request;
  request.time_limit = -2ms;
  expect("alice", request, "time_limit is -2 ms");
  request = {};
  request.device = "cuda";
  expect("alice", request, "no worker of this pool has a device 'cuda'; its workers have cpu");
  const std::string long_id(128, 'x');
  request = {};
  request.task = long_id.c_str();
  expect("alice", request, "1 to 127 bytes");
  EXPECT_EQ(shop.of("alice").held, 0U);
}

TEST(WorkerScheduler, TheQueueHasABound) {
  SchedulerConfig config = of({{"alice"}});
  config.waiter_count_max = 2;
  Shop shop(1, config);
  std::vector<TurnPtr> turns;
  for (int i = 0; i < 4; ++i) turns.push_back(shop.ask("alice"));
  const auto error = turns[3]->error<PoolSaturatedError>();
  ASSERT_TRUE(error);
  EXPECT_THAT(error->what(), HasSubstr("2 requests wait already (waiter_count_max = 2)"));
  EXPECT_EQ(shop.of("alice").waits.cancelled, 0U) << "it was refused: nobody cancelled it";
  turns[0]->give_back();
  shop.settle();
  EXPECT_TRUE(turns[1]->has());
}

TEST(WorkerScheduler, WhoWaitsWhenTheSchedulerGoesIsTold) {
  Shop shop(1, of({{"alice"}}));
  const auto held = shop.ask("alice");
  const auto waits = shop.ask("alice");
  shop.scheduler.reset();
  shop.settle();
  EXPECT_TRUE(waits->error<PoolClosedError>());
  EXPECT_EQ(run_in(shop.context, add_in(*held->lease)), 42) << "leases go on";
  held->give_back();
  EXPECT_EQ(shop.pool.status().active_tasks, 0U);
}

TEST(WorkerScheduler, ALostWorkerIsFreeAgainThoughItsLeaseIsHeld) {
  Shop shop(1, of({{"alice"}, {"bob"}}));
  const auto lost = shop.ask("alice");
  const auto next = shop.ask("bob");
  shop.pool.preempt(lost->lease->key(), "outside", "a worker is lost");
  shop.settle();
  EXPECT_TRUE(next->has());
  EXPECT_EQ(shop.of("alice").held, 0U);
  lost->give_back();
  shop.settle();
  EXPECT_EQ(shop.of("bob").held, 1U) << "the end of a dead lease frees nothing";
}

TEST(WorkerScheduler, ColdWorkersComeLater) {
  asio::io_context context;
  ResourcePool pool(context.get_executor(), thread_config(1));
  WorkerScheduler scheduler(pool, of({{"alice"}}));
  const auto turn = std::make_shared<Turn>();
  EXPECT_FALSE(scheduler.try_acquire("alice"));
  EXPECT_EQ(scheduler.status().coming, 0U);
  auto acquiring = take(scheduler.acquire_worker("alice"), turn);
  run_in(context, std::move(acquiring));
  EXPECT_TRUE(turn->has());
}

TEST(WorkerScheduler, AnAwaitableThatIsNeverAwaitedHoldsNothing) {
  Shop shop(1, of({{"alice"}}));
  {
    auto never = shop.scheduler->acquire_worker("alice");
    EXPECT_EQ(shop.of("alice").held, 1U);
  }
  EXPECT_EQ(shop.of("alice").held, 0U);
  EXPECT_TRUE(shop.ask("alice")->has());
}

TEST(WorkerScheduler, DevicesAreKeptApart) {
  ResourceConfig config = thread_config(3);
  config.devices = {"cpu", "cuda:0", "cuda:1"};
  Shop shop(config, of({{"alice"}, {"bob"}}));
  WorkerRequest gpu;
  gpu.device = "cuda";
  const auto g1 = shop.ask("alice", gpu);
  const auto g2 = shop.ask("alice", gpu);
  const auto g3 = shop.ask("alice", gpu);
  ASSERT_TRUE(g1->has() && g2->has());
  EXPECT_EQ(g1->lease->device(), "cuda:0");
  EXPECT_EQ(g2->lease->device(), "cuda:1");
  EXPECT_FALSE(g3->has());
  const auto any = shop.ask("alice");
  ASSERT_TRUE(any->has()) << "behind nobody who wants the same";
  EXPECT_EQ(any->lease->device(), "cpu");
  any->give_back();
  shop.settle();
  EXPECT_FALSE(g3->has());
  g1->give_back();
  shop.settle();
  ASSERT_TRUE(g3->has());
  EXPECT_EQ(g3->lease->device(), "cuda:0");
}

TEST(WorkerScheduler, ResizeChangesPoolAndLedger) {
  Shop shop(2, of({{"alice", 1, 0, WorkerQuota{2, bridge::unlimited, 0}}, {"bob"}}));
  std::vector<TurnPtr> bob{shop.ask("bob"), shop.ask("bob")};
  EXPECT_EQ(shop.of("bob").held, 0U) << "alice keeps both";
  run_in(shop.context, shop.scheduler->resize(3));
  shop.settle();
  EXPECT_EQ(have(bob), (std::vector<bool>{true, false}));
  EXPECT_THROW(run_in(shop.context, shop.scheduler->resize(1)), ConfigError);
  EXPECT_EQ(shop.scheduler->status().workers, 3U);
  bob[0]->give_back();
  bob[1]->cancel();
  shop.settle();
  run_in(shop.context, shop.scheduler->resize(2));
  EXPECT_FALSE(shop.ask("bob")->has());
  EXPECT_EQ(shop.pool.status().total_workers, 2U);
}

}  // namespace
}  // namespace reeve::test
