// Tasks that do not stop by themselves: integration tests with real kills. Medians, bounds
// generous.
#include <reeve/pool/worker_lease.hpp>

#include <poll.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <filesystem>
#include <fstream>

#include "tests/pool/pool_test_support.hpp"

namespace reeve::test {
namespace {

using std::chrono::steady_clock;
using testing::AllOf;
using testing::HasSubstr;

constexpr auto limit = 60ms;

void spin() {
  volatile std::uint64_t turns = 0;
  for (;;) turns = turns + 1;
}
void ignore_all_signals() {
  for (int number = 1; number < NSIG; ++number) signal(number, SIG_IGN);
  sigset_t all;
  sigfillset(&all);
  sigprocmask(SIG_BLOCK, &all, nullptr);
  spin();
}
void sleep_in_a_system_call() {
  for (;;) pause();
}
void stop_myself() {
  kill(getpid(), SIGSTOP);
  for (;;) pause();
}
// A child that traces its parent stops it where no signal but SIGKILL reaches it.
void stopped_by_a_tracer() {
  const int worker = getpid();
  if (fork() == 0) {
    ptrace(PTRACE_ATTACH, worker, nullptr, nullptr);
    for (;;) pause();
  }
  for (;;) pause();
}

template <auto Fn>
asio::awaitable<void> call_with_limit(ResourcePool& pool, std::chrono::milliseconds time) {
  auto worker = co_await pool.acquire_worker("endless");
  co_await worker.template run<Fn>(RunLimits(time));
}

class Timeout : public testing::Test {
 protected:
  asio::io_context context;
  ResourcePool pool{context.get_executor(), small_config()};

  // Ends a few tasks by their limit; the median lateness must be small.
  template <auto Fn>
  void expect_killed_in_time(int times = 5) {
    run_in(context, pool.warm_up(2));
    std::vector<double> lateness;
    for (int i = 0; i < times; ++i) {
      const auto error = error_of<WorkerTimeoutError>(context, call_with_limit<Fn>(pool, limit));
      ASSERT_TRUE(error);
      const Evidence& evidence = error->evidence();
      EXPECT_THAT(error->what(), AllOf(HasSubstr("'endless'"), HasSubstr("used its 0.06"),
                                       HasSubstr("worker_timeout")));
      EXPECT_EQ(evidence.mechanism, "deadline");
      EXPECT_GE(evidence.elapsed, limit);
      EXPECT_TRUE(evidence.tree_complete);
      lateness.push_back(std::chrono::duration<double>(evidence.elapsed - limit).count());
      EXPECT_EQ(kill(evidence.pid, 0), -1) << "the worker is still there";
    }
    EXPECT_LT(median(lateness), 0.05);
    expect_pool_works(context, pool);
  }
};

// 20
TEST_F(Timeout, busy_loop_is_killed) {
  expect_killed_in_time<&spin>();
}
// 21
TEST_F(Timeout, a_task_that_ignores_and_blocks_all_signals_is_killed) {
  expect_killed_in_time<&ignore_all_signals>();
}
// 22
TEST_F(Timeout, a_task_asleep_in_a_system_call_is_killed) {
  expect_killed_in_time<&sleep_in_a_system_call>();
}
// 22
TEST_F(Timeout, a_stopped_worker_is_killed) {
  expect_killed_in_time<&stop_myself>();
}
// 22: where tracing is not allowed, the worker merely sleeps, with a child.
TEST_F(Timeout, a_traced_worker_is_killed) {
  expect_killed_in_time<&stopped_by_a_tracer>(3);
}

asio::awaitable<void> call_and_count(ResourcePool& pool, const char* task, bool endless,
                                     std::vector<std::string>& ends) {
  try {
    auto worker = co_await pool.acquire_worker(task);
    if (endless) {
      co_await worker.run<&spin>(RunLimits(limit));
    } else {
      co_await worker.run<&add>(1, 2);
    }
    ends.push_back(task);
  } catch (const WorkerTimeoutError&) {
    ends.push_back(std::string(task) + " timed out");
  } catch (const AcquireTimeoutError&) {
    ends.push_back(std::string(task) + " was not served");
  }
}

// 23: the program's own loop is blocked; the warden keeps the limit all the same.
TEST_F(Timeout, a_blocked_event_loop_does_not_delay_the_kill) {
  run_in(context, pool.warm_up(1));
  auto worker = pool.try_acquire("endless");
  ASSERT_TRUE(worker);
  const int process = static_cast<int>(syscall(SYS_pidfd_open, worker->pid(), 0));
  ASSERT_GE(process, 0);
  std::exception_ptr failure;
  asio::co_spawn(context, worker->run<&spin>(RunLimits(200ms)),
                 [&](std::exception_ptr e) { failure = e; });
  context.restart();
  context.poll();
  const auto started = steady_clock::now();
  pollfd death{process, POLLIN, 0};
  EXPECT_EQ(poll(&death, 1, 2000), 1) << "alive after 2 s without an event loop";
  EXPECT_LT(seconds_since(started), 1.0);
  close(process);
  EXPECT_FALSE(failure);
  EXPECT_TRUE(run_until(context, [&] { return failure != nullptr; }));
  EXPECT_THROW(std::rethrow_exception(failure), WorkerTimeoutError);
}

int sleep_for_us(int time) {
  usleep(static_cast<useconds_t>(time));
  return time;
}

struct RaceEnds {
  int results = 0;
  int timeouts = 0;
};

asio::awaitable<void> race(ResourcePool& pool, int runs, RaceEnds& ends) {
  for (int i = 0; i < runs; ++i) {
    // The limit is 4 ms; the task ends up to 1 ms before or after it.
    const int time = 3000 + (i * 7919) % 2001;
    bool result = false;
    {
      auto worker = co_await pool.acquire_worker("race");
      // A fresh worker's first call is slower, under a sanitizer by more than the millisecond.
      co_await worker.run<&sleep_for_us>(0);
      try {
        const int slept = co_await worker.run<&sleep_for_us>(RunLimits(4ms), time);
        result = true;
        if (slept != time) throw std::logic_error("the result of another call");
      } catch (const WorkerTimeoutError&) {
        if (!worker.revoked()) throw std::logic_error("a timeout without a revocation");
      }
    }
    ++(result ? ends.results : ends.timeouts);
  }
}

void race_results_against_limits(int runs) {
  asio::io_context context;
  ResourcePool pool(context.get_executor(), small_config());
  RaceEnds ends;
  run_in(context, race(pool, runs, ends), std::chrono::seconds(30 + runs / 50));
  EXPECT_EQ(ends.results + ends.timeouts, runs);
  EXPECT_GT(ends.results, 0);
  EXPECT_GT(ends.timeouts, 0);
  EXPECT_TRUE(run_until(context, [&] { return pool.status().active_tasks == 0; }));
  const PoolStatus status = pool.status();
  EXPECT_EQ(status.grants, static_cast<std::uint64_t>(runs));
  EXPECT_GE(status.deaths.timeout, static_cast<std::uint64_t>(ends.timeouts));
  EXPECT_EQ(status.deaths.crashed + status.deaths.lost + status.deaths.cancelled, 0u);
  expect_pool_works(context, pool);
}

// 24: exactly one outcome, and never the outcome of another call.
TEST(TimeoutRace, a_result_at_the_instant_of_the_limit_has_one_outcome) {
  race_results_against_limits(500);
}
TEST(TimeoutRaceFull, a_result_at_the_instant_of_the_limit_has_one_outcome) {
  race_results_against_limits(10'000);
}

// 25: what comes with a call: huge limits are cut to the lease's (zero and negative ones are
// errors: bad_input_test.cpp).
TEST_F(Timeout, huge_limits_of_a_call_are_those_of_the_lease) {
  using std::chrono::milliseconds;
  for (const milliseconds time : {milliseconds(std::chrono::hours(100'000)), milliseconds::max()}) {
    run_in(context, [](ResourcePool& p, milliseconds t) -> asio::awaitable<void> {
      auto worker = co_await p.acquire_worker("strange");
      RunLimits limits(t);
      limits.soft_timeout = t;
      EXPECT_EQ(co_await worker.run<&add>(limits, 1, 2), 3);
      EXPECT_EQ(co_await worker.run<&sleep_for_us>(limits, 2000), 2000);
    }(pool, time));
  }
}

asio::awaitable<void> acquire_for(ResourcePool& pool, std::chrono::milliseconds time) {
  AcquireOptions options;
  options.timeout = time;
  auto worker = co_await pool.acquire_worker("waits", options);
}

// 25: the longest wait there is does not overflow into the past.
TEST_F(Timeout, the_longest_acquire_timeout_waits) {
  auto first = run_in(context, hold(pool, "first"));
  auto second = run_in(context, hold(pool, "second"));
  bool served = false;
  asio::co_spawn(context, acquire_for(pool, std::chrono::milliseconds::max()),
                 [&](std::exception_ptr failure) { served = failure == nullptr; });
  context.restart();
  context.run_for(20ms);
  EXPECT_EQ(pool.status().waiting, 1u);
  std::move(*first).discard();
  EXPECT_TRUE(run_until(context, [&] { return served; }));
}

// 26: a wait that ends by its own limit names the holders.
TEST_F(Timeout, an_acquire_that_waits_too_long_names_the_holders) {
  const auto first = run_in(context, hold(pool, "holder-1"));
  const auto second = run_in(context, hold(pool, "holder-2"));
  const auto started = steady_clock::now();
  const auto error = error_of<AcquireTimeoutError>(context, acquire_for(pool, 50ms));
  ASSERT_TRUE(error);
  EXPECT_THAT(error->what(), AllOf(HasSubstr("'waits'"), HasSubstr("'holder-1'"),
                                   HasSubstr("'holder-2'"), HasSubstr("max_workers")));
  EXPECT_GE(seconds_since(started), 0.05);
  EXPECT_LT(seconds_since(started), 2.0);
}

// 26, 27: who waits is not charged for it, and runs when the worker before was killed.
TEST(TimeoutQueue, a_waiting_task_is_not_charged_and_runs_after_the_kill) {
  asio::io_context context;
  ResourceConfig config = small_config();
  config.max_workers = 1;
  config.worker_timeout = 150ms;  // less than the two waits before the last task
  ResourcePool pool(context.get_executor(), config);
  std::vector<std::string> ends;
  const auto endless = [](ResourcePool& p, std::vector<std::string>& e) -> asio::awaitable<void> {
    try {
      auto worker = co_await p.acquire_worker("endless");
      co_await worker.run<&spin>();
    } catch (const WorkerTimeoutError& error) {
      EXPECT_NEAR(std::chrono::duration<double>(error.evidence().time_limit).count(), 0.15, 0.001);
      e.push_back("timeout");
    }
  };
  spawn(context, endless(pool, ends));
  spawn(context, endless(pool, ends));
  spawn(context, call_and_count(pool, "short", false, ends));
  EXPECT_TRUE(run_until(context, [&] { return ends.size() == 3; }));
  EXPECT_THAT(ends, testing::ElementsAre("timeout", "timeout", "short"));
}

// 28: the warden's timers run on CLOCK_MONOTONIC, which nobody can set.
int warden_pid() {
  return getppid();
}

TEST_F(Timeout, the_wardens_timers_do_not_follow_the_wall_clock) {
  const int warden = run_in(context, call_once<&warden_pid>(pool, "who"));
  int timers = 0;
  const std::filesystem::path files = "/proc/" + std::to_string(warden) + "/fdinfo";
  for (const auto& entry : std::filesystem::directory_iterator(files)) {
    std::ifstream file(entry.path());
    for (std::string word; file >> word;) {
      int clock = -1;
      if (word != "clockid:" || !(file >> clock)) continue;
      EXPECT_EQ(clock, CLOCK_MONOTONIC);
      ++timers;
    }
  }
  EXPECT_EQ(timers, 1);
}

// 29: cancelled while it starts, runs, is killed, or has ended: the lease ends, the pool goes on.
asio::awaitable<void> cancelled_after(ResourcePool& pool, int delay_us, int& aborted, int& done) {
  auto executor = co_await asio::this_coro::executor;
  auto cancel = std::make_shared<asio::cancellation_signal>();
  auto timer = std::make_shared<asio::steady_timer>(executor);
  timer->expires_after(std::chrono::microseconds(delay_us));
  timer->async_wait([cancel, timer](const boost::system::error_code&) {
    cancel->emit(asio::cancellation_type::terminal);
  });
  const auto work = [](ResourcePool& p) -> asio::awaitable<void> {
    auto worker = co_await p.acquire_worker("cancelled");
    co_await worker.run<&sleep_for_us>(RunLimits(4ms), 3000);
  };
  const auto finish = [&aborted, &done, cancel](std::exception_ptr failure) {
    ++done;
    try {
      if (failure) std::rethrow_exception(failure);
    } catch (const boost::system::system_error& error) {
      aborted += error.code() == asio::error::operation_aborted;
    } catch (const WorkerTimeoutError&) {
    }
  };
  asio::co_spawn(executor, work(pool), asio::bind_cancellation_slot(cancel->slot(), finish));
}

TEST_F(Timeout, cancellation_at_any_time_ends_the_lease_once) {
  int aborted = 0;
  int done = 0;
  for (int i = 0; i < 200; ++i) {
    run_in(context, cancelled_after(pool, (i % 50) * 120, aborted, done));
    ASSERT_TRUE(run_until(context, [&] { return done == i + 1; }));
  }
  EXPECT_GT(aborted, 0);
  EXPECT_LT(aborted, 200);
  EXPECT_TRUE(run_until(context, [&] { return pool.status().active_tasks == 0; }));
  expect_pool_works(context, pool);
}

// 30: first the request to stop, then the kill.
int heed() {
  while (!this_worker::stop_requested()) usleep(1000);
  return 11;
}
void heed_and_go_on() {
  while (!this_worker::stop_requested()) usleep(1000);
  spin();
}

TEST_F(Timeout, the_soft_limit_asks_before_the_hard_one_kills) {
  RunLimits limits(5s);
  limits.soft_timeout = 40ms;
  auto polite = run_in(context, hold(pool, "polite"));
  const auto started = steady_clock::now();
  EXPECT_EQ(run_in(context, polite->run<&heed>(limits)), 11);
  EXPECT_GE(seconds_since(started), 0.04);
  EXPECT_LT(seconds_since(started), 3.0);
  EXPECT_EQ(run_in(context, polite->run<&add>(1, 1)), 2) << "the lease lives on";
  limits.timeout = 120ms;
  const auto error = error_of<WorkerTimeoutError>(context, polite->run<&heed_and_go_on>(limits));
  ASSERT_TRUE(error);
  EXPECT_GE(seconds_since(started), 0.16);
}

}  // namespace
}  // namespace reeve::test
