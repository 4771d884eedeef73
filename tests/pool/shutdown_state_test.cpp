// What shutdown promises for leases and waiters, and in the states that are not in shutdown_test.
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>

#include "tests/pool/scenario_support.hpp"

namespace reeve::test {
namespace {

ResourceConfig workers(std::size_t count, Isolation isolation = Isolation::process) {
  ResourceConfig config = small_config();
  config.max_workers = count;
  config.isolation = isolation;
  config.quarantine_max = 16;
  return config;
}

enum class End { none, well, closed, lost, crashed, timeout, other };

asio::awaitable<void> nap_and_note(ResourcePool& pool, int milliseconds, End& end) {
  try {
    auto worker = co_await pool.acquire_worker("naps");
    co_await worker.run<&nap>(milliseconds);
    end = End::well;
  } catch (const PoolClosedError&) {
    end = End::closed;
  } catch (const WorkerLostError&) {
    end = End::lost;
  } catch (const std::exception&) {
    end = End::other;
  }
}

class ShutdownModes : public testing::TestWithParam<Isolation> {
 protected:
  asio::io_context context;
  ResourcePool pool{context.get_executor(), workers(1, GetParam())};
  End ends[3] = {};

  /// One runs, two wait.
  void SetUp() override {
    for (End& end : ends) spawn(context, nap_and_note(pool, 40, end));
    ASSERT_TRUE(run_until(
        context, [&] { return pool.status().active_tasks == 1 && pool.status().waiting == 2; }));
  }
  void expect_ends(End first, End second, End third) {
    EXPECT_TRUE(run_until(context, [&] {
      return ends[0] != End::none && ends[1] != End::none && ends[2] != End::none;
    }));
    EXPECT_EQ(ends[0], first);
    EXPECT_EQ(ends[1], second);
    EXPECT_EQ(ends[2], third);
    const PoolStatus status = pool.status();
    EXPECT_TRUE(status.closed);
    EXPECT_EQ(status.active_tasks, 0u);
  }
};

// 64
TEST_P(ShutdownModes, drain_serves_those_who_wait_already) {
  const ShutdownReport report = run_in(context, pool.shutdown(ShutdownMode::drain, 10s));
  expect_ends(End::well, End::well, End::well);
  EXPECT_EQ(report.completed, 3u);
  EXPECT_EQ(report.cancelled + report.killed, 0u);
  EXPECT_FALSE(report.deadline_reached);
}

// 64
TEST_P(ShutdownModes, cancel_pending_turns_the_waiting_away) {
  const ShutdownReport report = run_in(context, pool.shutdown(ShutdownMode::cancel_pending, 10s));
  expect_ends(End::well, End::closed, End::closed);
  EXPECT_EQ(report.completed, 1u);
  EXPECT_EQ(report.cancelled, 2u);
  EXPECT_EQ(report.killed, 0u);
}

// 64
TEST_P(ShutdownModes, kill_ends_everything_now) {
  const auto started = Clock::now();
  const ShutdownReport report = run_in(context, pool.shutdown(ShutdownMode::kill, 5s));
  EXPECT_LT(Clock::now() - started, 4s);
  expect_ends(End::lost, End::closed, End::closed);
  EXPECT_EQ(report.cancelled, 2u);
  EXPECT_EQ(report.killed, 1u);
  EXPECT_EQ(report.completed, 0u);
}

// 64: what other pools call wait=false.
TEST_P(ShutdownModes, a_deadline_of_zero_forces_the_end_at_once) {
  const auto started = Clock::now();
  const ShutdownReport report = run_in(context, pool.shutdown(ShutdownMode::drain, 0ms));
  EXPECT_LT(Clock::now() - started, 4s);
  EXPECT_TRUE(report.deadline_reached);
  expect_ends(End::lost, End::closed, End::closed);
}

INSTANTIATE_TEST_SUITE_P(Isolation, ShutdownModes,
                         testing::Values(Isolation::process, Isolation::thread),
                         [](const auto& test) {
                           return test.param == Isolation::thread ? "thread" : "process";
                         });

asio::awaitable<void> spin_until_limit(ResourcePool& pool, bool& timed_out) {
  auto worker = co_await pool.acquire_worker("spins");
  try {
    co_await worker.run<&spin>(RunLimits(15ms));
  } catch (const WorkerTimeoutError&) {
    timed_out = true;
  } catch (const WorkerLostError&) {
  }
}

// 64: while workers are being killed for their limits.
TEST(PoolShutdownState, while_killing) {
  for (int delay = 10; delay <= 20; ++delay) {
    Mark mark;
    asio::io_context context;
    ResourcePool pool(context.get_executor(), workers(3));
    run_in(context, pool.warm_up(3));
    bool timed_out[3] = {};
    for (bool& out : timed_out) spawn(context, spin_until_limit(pool, out));
    // On a busy machine the first may be at its limit before the last has begun.
    const auto killing = [&] {
      return pool.status().active_tasks == 3 || timed_out[0] || timed_out[1] || timed_out[2];
    };
    ASSERT_TRUE(run_until(context, killing));
    run_in(context, pause_for(std::chrono::milliseconds(delay)));
    const ShutdownReport report = run_in(context, pool.shutdown(ShutdownMode::kill, 5s));
    EXPECT_FALSE(report.deadline_reached) << "after " << delay << " ms";
    EXPECT_EQ(pool.status().active_tasks, 0u);
    EXPECT_TRUE(mark.gone_within(5s));
  }
}

int crash_later(int milliseconds) {
  nap(milliseconds);
  return crash();
}

// 64: a task that crashes after the call ended well enough for shutdown.
TEST(PoolShutdownState, a_crash_after_the_call) {
  asio::io_context context;
  ResourcePool pool(context.get_executor(), workers(2));
  End end = End::none;
  asio::co_spawn(context, call_once<&crash_later>(pool, "crashes", 30),
                 [&](std::exception_ptr failure, int) {
                   end = End::other;
                   try {
                     if (failure) std::rethrow_exception(failure);
                   } catch (const WorkerCrashedError&) {
                     end = End::crashed;
                   } catch (...) {
                   }
                 });
  ASSERT_TRUE(run_until(context, [&] { return pool.status().active_tasks == 1; }));
  const ShutdownReport report = run_in(context, pool.shutdown(ShutdownMode::drain, 10s));
  EXPECT_TRUE(run_until(context, [&] { return end != End::none; }));
  EXPECT_EQ(end, End::crashed);
  EXPECT_FALSE(report.deadline_reached);
  EXPECT_EQ(report.killed, 0u);
}

// 64: a shutdown that is given up leaves a pool that can be shut down.
TEST(PoolShutdownState, a_cancelled_shutdown_can_be_repeated) {
  asio::io_context context;
  ResourcePool pool(context.get_executor(), workers(1));
  End end = End::none;
  spawn(context, nap_and_note(pool, 100, end));
  ASSERT_TRUE(run_until(context, [&] { return pool.status().active_tasks == 1; }));
  asio::cancellation_signal signal;
  bool returned = false;
  asio::co_spawn(context, pool.shutdown(ShutdownMode::drain, 10s),
                 asio::bind_cancellation_slot(
                     signal.slot(), [&](std::exception_ptr, ShutdownReport) { returned = true; }));
  run_in(context, pause_for(5ms));
  signal.emit(asio::cancellation_type::terminal);
  EXPECT_TRUE(run_until(context, [&] { return returned; }, 5s));
  const ShutdownReport report = run_in(context, pool.shutdown());
  EXPECT_FALSE(report.deadline_reached);
  EXPECT_EQ(end, End::well);
}

// 58, 64: afterwards everything says so.
TEST(PoolShutdownState, a_closed_pool_refuses_everything) {
  asio::io_context context;
  ResourcePool pool(context.get_executor(), workers(1));
  run_in(context, pool.shutdown());
  EXPECT_TRUE(error_of<PoolClosedError>(context, pool.warm_up(1)));
  EXPECT_TRUE(error_of<PoolClosedError>(context, pool.resize(1)));
  EXPECT_TRUE(error_of<PoolClosedError>(context, hold(pool, "late")));
  EXPECT_THROW(pool.try_acquire("late"), PoolClosedError);
  EXPECT_EQ(pool.status().live_workers, 0u);
}

// ------------------------------------------------------------------------------------------------
// Programs that end in an unusual order.

TEST(PoolVictim, DISABLED_pool_outlives_its_context) {
  static std::optional<ResourcePool> pool;
  static std::optional<WorkerLease> lease;
  static asio::io_context context;  // made last, destroyed first
  pool.emplace(context.get_executor(),
               workers(2, Victim::argument() == "thread" ? Isolation::thread : Isolation::process));
  run_in(context, pool->warm_up(2));
  lease = pool->try_acquire("for ever");
  asio::co_spawn(context, lease->run<&spin>(), asio::detached);
  run_in(context, pause_for(10ms));
  std::exit(3);
}

// 65, 66: the context is gone before the pool, a lease outlives both, a worker is busy for ever.
TEST(PoolShutdownState, static_objects_in_the_wrong_order_do_not_hang_the_exit) {
  for (const char* kind : {"process", "thread"}) {
    Mark mark;
    Victim victim("PoolVictim.DISABLED_pool_outlives_its_context", kind);
    const auto status = victim.wait_status(20s);
    ASSERT_TRUE(status) << kind;
    EXPECT_TRUE(WIFEXITED(*status) && WEXITSTATUS(*status) == 3) << kind << " " << *status;
    EXPECT_TRUE(mark.gone_within(5s)) << kind;
  }
}

// 66: a thread that does not end is counted, and the deadline holds in every mode.
TEST(PoolShutdownState, a_stuck_thread_is_reported) {
  asio::io_context context;
  for (const ShutdownMode mode :
       {ShutdownMode::drain, ShutdownMode::cancel_pending, ShutdownMode::kill}) {
    ResourcePool pool(context.get_executor(), workers(1, Isolation::thread));
    const auto lease = run_in(context, hold(pool, "stuck"));
    asio::co_spawn(context, lease->run<&nap>(4000), asio::detached);
    run_in(context, pause_for(5ms));
    const auto started = Clock::now();
    const ShutdownReport report = run_in(context, pool.shutdown(mode, 50ms));
    EXPECT_LT(Clock::now() - started, 3s);
    EXPECT_EQ(report.killed, 1u);
    EXPECT_EQ(report.quarantined, 1u);
    EXPECT_TRUE(lease->revoked());
  }
}

}  // namespace
}  // namespace reeve::test
