// What a scheduler's configuration may not be, each fault with its value, range and remedy.
#include <reeve/bridge/config.hpp>

#include "tests/bridge/bridge_test_support.hpp"

namespace reeve::test {
namespace {

using testing::HasSubstr;

SchedulerConfig good() {
  return of({{"alice"}, {"bob"}});
}

void expect_fault(const SchedulerConfig& config, const std::vector<std::string>& parts) {
  const auto fault = find_fault(config, thread_config(4));
  ASSERT_TRUE(fault) << parts.front();
  for (const std::string& part : parts) EXPECT_THAT(*fault, HasSubstr(part));
  asio::io_context context;
  ResourcePool pool(context.get_executor(), thread_config(4));
  EXPECT_THROW(WorkerScheduler(pool, config), ConfigError);
}

TEST(BridgeConfig, DefaultsAreGood) {
  EXPECT_EQ(find_fault(good(), thread_config(4)), std::nullopt);
}

TEST(BridgeConfig, NobodyToServe) {
  expect_fault(SchedulerConfig{}, {"requesters is empty", "name at least one"});
}

TEST(BridgeConfig, NamesAreOnesOwn) {
  expect_fault(of({{"alice"}, {"bob"}, {"alice"}}), {"two requesters 'alice'", "of its own"});
  expect_fault(of({{""}}), {"1 to 100 bytes", "has 0"});
  expect_fault(of({{std::string(101, 'x')}}), {"1 to 100 bytes", "has 101"});
  EXPECT_EQ(find_fault(of({{std::string(100, 'x')}}), thread_config(4)), std::nullopt);
}

TEST(BridgeConfig, ZeroWeight) {
  expect_fault(of({{"alice", 0}}), {"'alice' has weight 0", "1 or more"});
}

TEST(BridgeConfig, QuotasFitThePool) {
  expect_fault(of({{"alice", 1, 0, WorkerQuota{5}}}),
               {"nominal quota of 5", "4 workers", "lower the quota"});
  expect_fault(of({{"alice", 1, 0, WorkerQuota{3}}, {"bob", 1, 0, WorkerQuota{2}}}),
               {"sum up to 5", "4 workers"});
  EXPECT_EQ(find_fault(of({{"alice", 1, 0, WorkerQuota{3}}, {"bob", 1, 0, WorkerQuota{1}}}),
                       thread_config(4)),
            std::nullopt);
  expect_fault(of({{"alice", 1, 0, WorkerQuota{1, 0, 2}}}), {"would lend 2 of its 1"});
  expect_fault(of({{"alice", 1, 0, WorkerQuota{0, 0}}}), {"could never get one"});
}

TEST(BridgeConfig, TimesHaveRanges) {
  SchedulerConfig config = good();
  config.half_life = -1ms;
  expect_fault(config, {"half_life is -1 ms", "0 to"});
  config = good();
  config.preemption.grace = 2h;
  expect_fault(config, {"preemption.grace is 7200000 ms", "0 to 3600000 ms"});
  config = good();
  config.policy = SchedulingPolicy::priority;
  config.ageing.period = -5ms;
  expect_fault(config, {"ageing.period is -5 ms"});
}

TEST(BridgeConfig, WhatAPolicyDoesNotKnowIsAFault) {
  SchedulerConfig config = good();
  config.policy = SchedulingPolicy::fifo;
  config.half_life = 1h;
  expect_fault(config, {"half_life", "only fair_share"});
  config = good();
  config.ageing.period = 1s;
  expect_fault(config, {"ageing.period", "only the policy priority"});
}

TEST(BridgeConfig, OtherRanges) {
  SchedulerConfig config = good();
  config.ageing.step = 0;
  expect_fault(config, {"ageing.step is 0", "1 or more"});
  config = good();
  config.ageing.gained_max = -1;
  expect_fault(config, {"ageing.gained_max is -1"});
  config = good();
  config.waiter_count_max = 0;
  expect_fault(config, {"waiter_count_max is 0"});
  config = good();
  config.clock = nullptr;
  expect_fault(config, {"clock is null"});
}

TEST(BridgeConfig, APoolHasOneScheduler) {
  asio::io_context context;
  ResourcePool pool(context.get_executor(), thread_config(4));
  ResourcePool other(context.get_executor(), thread_config(4));
  {
    const WorkerScheduler scheduler(pool, good());
    const WorkerScheduler copy = scheduler;
    const WorkerScheduler of_other(other, good());
    try {
      WorkerScheduler(ResourcePool(pool), good());
      ADD_FAILURE() << "a second scheduler on one pool";
    } catch (const ConfigError& e) {
      EXPECT_THAT(e.what(), HasSubstr("has a WorkerScheduler already"));
      EXPECT_THAT(e.what(), HasSubstr("a pool of its own"));
    }
  }
  EXPECT_NO_THROW(WorkerScheduler(pool, good()));  // the first is gone
}

}  // namespace
}  // namespace reeve::test
