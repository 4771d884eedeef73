// Leases that are observed, asked to stop and revoked by somebody who does not hold them.
#include <reeve/pool/lease_control.hpp>

#include "tests/pool/pool_test_support.hpp"

namespace reeve::test {
namespace {

class Ears final : public LeaseObserver {
 public:
  void on_lease_ended(std::uint64_t token) noexcept override {
    heard.push_back(token);
    if (then) then();
  }
  std::vector<std::uint64_t> heard;
  std::function<void()> then;
};

void spin_until_asked() {
  while (!this_worker::stop_requested()) std::this_thread::yield();
}

bool is_asked() {
  return this_worker::stop_requested();
}

asio::awaitable<void> call_spin(std::shared_ptr<WorkerLease> lease) {
  co_await lease->run<&spin_until_asked>();
}

asio::awaitable<bool> ask_it(std::shared_ptr<WorkerLease> lease) {
  co_return co_await lease->run<&is_asked>();
}

asio::awaitable<std::shared_ptr<WorkerLease>> hold_with(ResourcePool& pool,
                                                        AcquireOptions options) {
  auto lease = co_await pool.acquire_worker("limited", options);
  co_return std::make_shared<WorkerLease>(std::move(lease));
}

class LeaseControl : public testing::TestWithParam<Isolation> {
 protected:
  LeaseControl() : pool(context.get_executor(), make_config()) {}
  static ResourceConfig make_config() {
    ResourceConfig config = small_config();
    config.max_workers = 1;
    config.isolation = GetParam();
    return config;
  }
  asio::io_context context;
  ResourcePool pool;
};

TEST_P(LeaseControl, ObserverIsToldWhenTheWorkerIsFreeAgain) {
  auto lease = run_in(context, hold(pool, "a"));
  const auto ears = std::make_shared<Ears>();
  std::optional<WorkerLease> next;
  ears->then = [&] { next = pool.try_acquire("b"); };
  EXPECT_TRUE(lease->observe(ears, 7));
  EXPECT_TRUE(ears->heard.empty());
  lease.reset();
  EXPECT_EQ(ears->heard, std::vector<std::uint64_t>{7});
  EXPECT_TRUE(next.has_value());
  next.reset();
  EXPECT_EQ(ears->heard.size(), 1U) << "told of a lease that it does not observe";
}

TEST_P(LeaseControl, TheLatestObserverIsTold) {
  auto lease = run_in(context, hold(pool, "a"));
  const auto first = std::make_shared<Ears>();
  const auto second = std::make_shared<Ears>();
  EXPECT_TRUE(lease->observe(first, 1));
  EXPECT_TRUE(lease->observe(second, 2));
  std::move(*lease).discard();
  EXPECT_TRUE(first->heard.empty());
  EXPECT_EQ(second->heard, std::vector<std::uint64_t>{2});
}

TEST_P(LeaseControl, PreemptEndsACallAndNamesWhoIsServed) {
  auto lease = run_in(context, hold(pool, "victim"));
  const auto ears = std::make_shared<Ears>();
  EXPECT_TRUE(lease->observe(ears, 3));
  std::exception_ptr failure;
  asio::co_spawn(context, call_spin(lease), [&](std::exception_ptr e) { failure = e; });
  context.restart();
  context.run_for(20ms);
  ASSERT_FALSE(failure);
  EXPECT_TRUE(pool.preempt(lease->key(), "alice", "priority 9 before 1"));
  EXPECT_TRUE(ears->heard.empty()) << "told under the lock of whoever revokes";
  EXPECT_FALSE(pool.preempt(lease->key(), "bob", "twice"));
  ASSERT_TRUE(run_until(context, [&] { return failure && !ears->heard.empty(); }));
  try {
    std::rethrow_exception(failure);
  } catch (const WorkerPreemptedError& e) {
    EXPECT_EQ(e.by(), "alice");
    EXPECT_EQ(e.task(), "victim");
    EXPECT_EQ(e.evidence().mechanism, "preemption");
    EXPECT_NE(std::string(e.what()).find("alice"), std::string::npos) << e.what();
    EXPECT_NE(std::string(e.what()).find("priority 9 before 1"), std::string::npos) << e.what();
  }
  EXPECT_TRUE(lease->revoked());
  EXPECT_THROW(lease->rethrow_cause(), WorkerPreemptedError);
  EXPECT_FALSE(lease->observe(ears, 4)) << "it has ended";
  EXPECT_FALSE(pool.request_stop(lease->key()));
  lease.reset();
  EXPECT_EQ(ears->heard, std::vector<std::uint64_t>{3}) << "told once";
  EXPECT_EQ(pool.status().deaths.cancelled, 1U);
  expect_pool_works(context, pool);
}

TEST_P(LeaseControl, AnObserverIsToldEvenIfTheContextEndsFirst) {
  const auto ears = std::make_shared<Ears>();
  std::shared_ptr<WorkerLease> lease;
  {
    asio::io_context short_lived;
    ResourcePool other(short_lived.get_executor(), make_config());
    lease = run_in(short_lived, hold(other, "a"));
    EXPECT_TRUE(lease->observe(ears, 5));
    EXPECT_TRUE(other.preempt(lease->key(), "alice", "her turn"));
    EXPECT_TRUE(ears->heard.empty());
  }
  lease.reset();
  EXPECT_EQ(ears->heard, std::vector<std::uint64_t>{5});
}

TEST_P(LeaseControl, PreemptBetweenCallsIsLearnedAtTheNextOne) {
  auto lease = run_in(context, hold(pool, "victim"));
  EXPECT_FALSE(run_in(context, ask_it(lease)));
  EXPECT_TRUE(pool.preempt(lease->key(), "", "no name was given"));
  const auto error = error_of<WorkerPreemptedError>(context, ask_it(lease));
  ASSERT_TRUE(error);
  EXPECT_EQ(error->by(), "another requester");
  expect_pool_works(context, pool);
}

TEST_P(LeaseControl, AKeyOutlivesItsLeaseWithoutHarm) {
  auto lease = run_in(context, hold(pool, "old"));
  const LeaseKey old = lease->key();
  lease.reset();
  lease = run_in(context, hold(pool, "new"));
  EXPECT_EQ(lease->key().slot, old.slot);
  EXPECT_NE(lease->key(), old);
  EXPECT_FALSE(pool.preempt(old, "alice", "too late"));
  EXPECT_FALSE(pool.request_stop(old));
  EXPECT_FALSE(pool.preempt(LeaseKey{}, "alice", "no lease at all"));
  EXPECT_FALSE(lease->revoked());
  EXPECT_FALSE(run_in(context, ask_it(lease)));
}

TEST_P(LeaseControl, StopIsSeenInTheCallAndInLaterOnesOfTheLeaseAlone) {
  auto lease = run_in(context, hold(pool, "asked"));
  bool returned = false;
  asio::co_spawn(context, call_spin(lease), [&](std::exception_ptr e) { returned = !e; });
  context.restart();
  context.run_for(20ms);
  ASSERT_FALSE(returned);
  EXPECT_TRUE(pool.request_stop(lease->key()));
  ASSERT_TRUE(run_until(context, [&] { return returned; }));
  EXPECT_TRUE(run_in(context, ask_it(lease)));
  lease.reset();
  lease = run_in(context, hold(pool, "next"));
  EXPECT_FALSE(run_in(context, ask_it(lease)));
}

TEST_P(LeaseControl, TimeLimitOfOneLeaseIsTighterNeverLooser) {
  AcquireOptions options;
  options.time_limit = 50ms;
  auto lease = run_in(context, hold_with(pool, options));
  const auto from = std::chrono::steady_clock::now();
  const auto error = error_of<WorkerTimeoutError>(context, call_spin(lease));
  ASSERT_TRUE(error);
  EXPECT_LT(seconds_since(from), 10.0) << "worker_timeout is 20 s";
  EXPECT_EQ(error->evidence().time_limit, 50ms);
  lease.reset();
  options.time_limit = 1h;
  lease = run_in(context, hold_with(pool, options));
  pool.preempt(lease->key(), "test", "to read its evidence");
  const auto evidence = error_of<WorkerPreemptedError>(context, ask_it(lease));
  ASSERT_TRUE(evidence);
  EXPECT_EQ(evidence->evidence().time_limit, 20s);
}

TEST_P(LeaseControl, WaitersGetTheirTimeLimitToo) {
  auto first = run_in(context, hold(pool, "first"));
  std::shared_ptr<WorkerLease> second;
  AcquireOptions options;
  options.time_limit = 30ms;
  asio::co_spawn(
      context, hold_with(pool, options),
      [&](std::exception_ptr, std::shared_ptr<WorkerLease> l) { second = std::move(l); });
  context.restart();
  context.run_for(5ms);
  ASSERT_EQ(pool.status().waiting, 1U);
  first.reset();
  ASSERT_TRUE(run_until(context, [&] { return second != nullptr; }));
  EXPECT_TRUE(error_of<WorkerTimeoutError>(context, call_spin(second)));
}

INSTANTIATE_TEST_SUITE_P(Isolations, LeaseControl,
                         testing::Values(Isolation::process, Isolation::thread),
                         [](const auto& row) {
                           return row.param == Isolation::process ? "process" : "thread";
                         });

}  // namespace
}  // namespace reeve::test
