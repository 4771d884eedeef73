// Who gets a worker, and when: order, hand-over, lifetimes (scenarios 54 to 58, 62).
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <numeric>

#include "tests/pool/scenario_support.hpp"

namespace reeve::test {
namespace {

ResourceConfig thread_config(std::size_t workers) {
  ResourceConfig config = small_config();
  config.isolation = Isolation::thread;
  config.max_workers = workers;
  return config;
}

asio::awaitable<int> call_double(ResourcePool& pool, int x) {
  auto worker = co_await pool.acquire_worker("double");
  co_return co_await worker.run<&double_it>(x);
}

struct Visit {
  int number = 0;
  Clock::time_point asked;
  Clock::time_point granted;
};

asio::awaitable<void> visit(ResourcePool& pool, int number, int milliseconds,
                            std::vector<Visit>& visits) {
  Visit mine{number, Clock::now(), {}};
  auto worker = co_await pool.acquire_worker("visit-" + std::to_string(number));
  mine.granted = Clock::now();
  visits.push_back(mine);
  co_await worker.run<&nap>(milliseconds);
}

void expect_fifo(ResourceConfig config) {
  asio::io_context context;
  ResourcePool pool(context.get_executor(), config);
  run_in(context, pool.warm_up(10));
  std::vector<Visit> visits;
  for (int i = 0; i < 100; ++i) spawn(context, visit(pool, i, 5, visits));
  ASSERT_TRUE(run_until(context, [&] {
    const PoolStatus status = pool.status();
    return visits.size() == 100 && status.active_tasks == 0;
  }));
  double sum = 0, most = 0;
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(visits[static_cast<std::size_t>(i)].number, i);
    const std::chrono::duration<double> waited =
        visits[static_cast<std::size_t>(i)].granted - visits[static_cast<std::size_t>(i)].asked;
    sum += waited.count();
    most = std::max(most, waited.count());
  }
  // All ask at once: waits grow evenly, so the longest is twice the mean; 1.5 for a busy machine.
  EXPECT_LE(most, 1.5 * 2 * sum / 100);
}

// 54: 100 waiters, 10 workers: first come, first served, and nobody starves.
TEST(PoolAcquire, is_first_come_first_served) {
  ResourceConfig config = small_config();
  config.max_workers = 10;
  expect_fifo(config);
}
TEST(PoolAcquire, is_first_come_first_served_with_threads) {
  expect_fifo(thread_config(10));
}

asio::awaitable<void> note_turn(ResourcePool& pool, AcquireOptions options, int number,
                                std::vector<int>& order) {
  auto worker = co_await pool.acquire_worker("turn", options);
  order.push_back(number);
}

TEST(PoolAcquire, higher_priority_first_and_equal_ones_in_order) {
  asio::io_context context;
  ResourcePool pool(context.get_executor(), thread_config(1));
  run_in(context, pool.warm_up(1));
  auto held = pool.try_acquire("held");
  ASSERT_TRUE(held);
  std::vector<int> order;
  const int priorities[] = {0, 5, 0, 5, 9, -1};
  for (int i = 0; i < 6; ++i) {
    AcquireOptions options;
    options.priority = priorities[i];
    spawn(context, note_turn(pool, options, i, order));
  }
  run_until(context, [&] { return pool.status().waiting == 6; });
  held.reset();
  ASSERT_TRUE(run_until(context, [&] { return order.size() == 6; }));
  EXPECT_EQ(order, (std::vector<int>{4, 1, 3, 0, 2, 5}));
}

enum class End { none, granted, cancelled, closed, timeout, other };

asio::awaitable<void> acquire_and_note(ResourcePool& pool, std::string task, End& end,
                                       std::optional<WorkerLease>& lease) {
  try {
    lease.emplace(co_await pool.acquire_worker(task));
    end = End::granted;
  } catch (const boost::system::system_error&) {
    end = End::cancelled;
  } catch (const PoolClosedError&) {
    end = End::closed;
  } catch (const AcquireTimeoutError&) {
    end = End::timeout;
  } catch (const std::exception&) {
    end = End::other;
  }
}

void hand_over(asio::cancellation_type type, bool cancel_first) {
  asio::io_context context;
  ResourcePool pool(context.get_executor(), thread_config(1));
  run_in(context, pool.warm_up(1));
  auto held = pool.try_acquire("held");
  ASSERT_TRUE(held);
  End ends[2] = {End::none, End::none};
  std::optional<WorkerLease> leases[2];
  asio::cancellation_signal signal;
  asio::co_spawn(context, acquire_and_note(pool, "first", ends[0], leases[0]),
                 asio::bind_cancellation_slot(signal.slot(), asio::detached));
  spawn(context, acquire_and_note(pool, "second", ends[1], leases[1]));
  ASSERT_TRUE(run_until(context, [&] { return pool.status().waiting == 2; }));
  if (cancel_first) signal.emit(type);
  held.reset();                          // granted to the first ...
  if (!cancel_first) signal.emit(type);  // ... which is cancelled before it can run
  ASSERT_TRUE(run_until(context, [&] { return ends[0] != End::none; }));
  if (ends[0] == End::granted) leases[0].reset();
  ASSERT_TRUE(run_until(context, [&] { return ends[1] != End::none; }));
  EXPECT_EQ(ends[1], End::granted);
  leases[1].reset();
  EXPECT_EQ(pool.status().active_tasks, 0u);
  EXPECT_EQ(pool.status().waiting, 0u);
  EXPECT_TRUE(pool.try_acquire("again"));
}

// 55: a worker granted to a waiter that is cancelled at that instant is not lost.
TEST(PoolAcquire, cancelled_waiter_hands_its_worker_over) {
  for (const auto type : {asio::cancellation_type::terminal, asio::cancellation_type::partial,
                          asio::cancellation_type::total}) {
    hand_over(type, true);
    hand_over(type, false);
  }
}

asio::awaitable<void> acquire_release(ResourcePool& pool) {
  auto worker = co_await pool.acquire_worker("churn");
}

// 55: the same, thousands of times: grants and cancellations race on a busy pool.
TEST(PoolAcquire, no_worker_is_lost_in_a_storm_of_cancellations) {
  asio::io_context context;
  ResourcePool pool(context.get_executor(), thread_config(2));
  run_in(context, pool.warm_up(2));
  std::vector<std::unique_ptr<asio::cancellation_signal>> signals;
  std::size_t ended = 0;
  for (int i = 0; i < 5000; ++i) {
    signals.push_back(std::make_unique<asio::cancellation_signal>());
    asio::co_spawn(
        context, acquire_release(pool),
        asio::bind_cancellation_slot(signals.back()->slot(), [&](std::exception_ptr) { ++ended; }));
    if (i % 3 == 2) signals[signals.size() / 2]->emit(asio::cancellation_type::terminal);
    context.restart();
    first_cancellable_step == 0 ? context.poll_one() : context.poll();
  }
  ASSERT_TRUE(run_until(context, [&] { return ended == 5000; }));
  EXPECT_EQ(pool.status().active_tasks, 0u);
  EXPECT_TRUE(pool.try_acquire("one"));
}

// 56: where and when a lease may end.
TEST(PoolLeaseLife, ends_on_another_thread) {
  asio::io_context context;
  ResourcePool pool(context.get_executor(), small_config());
  run_in(context, pool.warm_up(2));
  for (int i = 0; i < 50; ++i) {
    auto lease = pool.try_acquire("thread");
    ASSERT_TRUE(lease);
    std::thread([lease = std::move(*lease)]() mutable {
      WorkerLease end(std::move(lease));
    }).join();
    EXPECT_EQ(pool.status().active_tasks, 0u);
  }
}

// 56
TEST(PoolLeaseLife, outlives_the_pool) {
  Mark mark;
  asio::io_context context;
  std::optional<ResourcePool> pool(std::in_place, context.get_executor(), small_config());
  run_in(context, pool->warm_up(1));
  auto lease = pool->try_acquire("late");
  ASSERT_TRUE(lease);
  pool.reset();
  EXPECT_EQ(run_in(context, lease->run<&double_it>(4)), 8);
  lease.reset();
  EXPECT_TRUE(mark.gone_within(3s));
}

// 56
TEST(PoolLeaseLife, outlives_the_context) {
  Mark mark;
  std::optional<WorkerLease> lease;
  std::optional<ResourcePool> pool;
  {
    asio::io_context context;
    pool.emplace(context.get_executor(), small_config());
    run_in(context, pool->warm_up(1));
    lease = pool->try_acquire("late");
    ASSERT_TRUE(lease);
  }
  EXPECT_THROW((void)pool->try_acquire("never"), PoolClosedError);
  EXPECT_THROW((void)lease->run<&double_it>(4), Error);
  lease.reset();
  EXPECT_EQ(pool->status().active_tasks, 0u);
  EXPECT_TRUE(mark.gone_within(3s));
}

// 56
TEST(PoolLeaseLife, moved_from_is_empty) {
  asio::io_context context;
  ResourcePool pool(context.get_executor(), thread_config(1));
  run_in(context, pool.warm_up(1));
  auto lease = pool.try_acquire("moved");
  ASSERT_TRUE(lease);
  WorkerLease other(std::move(*lease));
  EXPECT_TRUE(lease->revoked());
  EXPECT_THROW((void)lease->run<&double_it>(1), std::logic_error);
  EXPECT_THROW((void)lease->wait_revoked(), std::logic_error);
  EXPECT_THROW((void)lease->make_buffer<int>(4), std::logic_error);
  EXPECT_NO_THROW(lease->rethrow_cause());
  EXPECT_EQ(lease->task(), "");
  EXPECT_EQ(lease->pid(), 0);
  EXPECT_EQ(run_in(context, other.run<&double_it>(3)), 6);
  *lease = std::move(other);
  EXPECT_EQ(lease->task(), "moved");
  lease.reset();
  EXPECT_EQ(pool.status().active_tasks, 0u);
}

asio::awaitable<void> hold_and_nap(ResourcePool& pool) {
  auto worker = co_await pool.acquire_worker("held");
  co_await pause_for(60s);
}

// 56
TEST(PoolLeaseLife, ends_with_its_cancelled_coroutine) {
  asio::io_context context;
  ResourcePool pool(context.get_executor(), thread_config(1));
  asio::cancellation_signal signal;
  asio::co_spawn(context, hold_and_nap(pool),
                 asio::bind_cancellation_slot(signal.slot(), asio::detached));
  ASSERT_TRUE(run_until(context, [&] { return pool.status().active_tasks == 1; }));
  signal.emit(asio::cancellation_type::terminal);
  ASSERT_TRUE(run_until(context, [&] { return pool.status().active_tasks == 0; }));
}

// 57: the pool goes while some hold workers and others wait for them.
TEST(PoolLeaseLife, pool_is_destroyed_with_waiters_and_leases) {
  Mark mark;
  asio::io_context context;
  auto pool = std::make_unique<ResourcePool>(context.get_executor(), small_config());
  run_in(context, pool->warm_up(2));
  auto one = pool->try_acquire("one");
  auto two = pool->try_acquire("two");
  ASSERT_TRUE(one && two);
  End ends[3] = {};
  std::optional<WorkerLease> leases[3];
  for (int i = 0; i < 3; ++i) {
    spawn(context, acquire_and_note(*pool, "waiter", ends[i], leases[i]));
  }
  ASSERT_TRUE(run_until(context, [&] { return pool->status().waiting == 3; }));
  pool.reset();
  ASSERT_TRUE(run_until(context, [&] { return ends[2] != End::none; }));
  for (const End end : ends) EXPECT_EQ(end, End::closed);
  EXPECT_EQ(run_in(context, one->run<&double_it>(2)), 4);
  one.reset();
  EXPECT_EQ(run_in(context, two->run<&double_it>(2)), 4);
  two.reset();
  EXPECT_TRUE(mark.gone_within(3s));
}

// 58: an acquire that is made before the context runs is served when it does.
TEST(PoolAcquire, before_run) {
  asio::io_context context;
  ResourcePool pool(context.get_executor(), small_config());
  EXPECT_FALSE(pool.try_acquire("early"));  // starts one
  EXPECT_EQ(run_in(context, call_double(pool, 6)), 12);
}

// 58
TEST(PoolAcquire, after_shutdown) {
  asio::io_context context;
  ResourcePool pool(context.get_executor(), small_config());
  EXPECT_EQ(run_in(context, call_double(pool, 6)), 12);
  run_in(context, pool.shutdown());
  EXPECT_THROW(run_in(context, call_double(pool, 6)), PoolClosedError);
  EXPECT_THROW((void)pool.try_acquire("late"), PoolClosedError);
  EXPECT_THROW(run_in(context, pool.warm_up(1)), PoolClosedError);
  EXPECT_THROW(run_in(context, pool.resize(3)), PoolClosedError);
  EXPECT_TRUE(pool.status().closed);
}

asio::awaitable<void> acquire_twice(ResourcePool& pool) {
  auto outer = co_await pool.acquire_worker("outer-task");
  AcquireOptions options;
  options.timeout = 80ms;
  auto inner = co_await pool.acquire_worker("inner-task", options);
}

// 62: a task that waits for a worker while it holds the last one is told who holds it.
TEST(PoolAcquire, nested_acquire_names_the_holders) {
  asio::io_context context;
  ResourcePool pool(context.get_executor(), thread_config(1));
  try {
    run_in(context, acquire_twice(pool));
    FAIL() << "no timeout";
  } catch (const AcquireTimeoutError& e) {
    EXPECT_NE(std::string(e.what()).find("'outer-task'"), std::string::npos) << e.what();
    EXPECT_NE(std::string(e.what()).find("'inner-task'"), std::string::npos) << e.what();
  }
  EXPECT_EQ(pool.status().active_tasks, 0u);
}

int use_a_pool_inside(int x) {
  asio::io_context context;
  ResourceConfig config = small_config();
  config.max_workers = 1;
  ResourcePool pool(context.get_executor(), config);
  return run_in(context, call_double(pool, x));
}

asio::awaitable<int> call_nested(ResourcePool& pool, int x) {
  auto worker = co_await pool.acquire_worker("nested");
  co_return co_await worker.run<&use_a_pool_inside>(x);
}

// 62: a worker is a program like any other: it may have a pool of its own, which ends with it.
TEST(PoolAcquire, pool_inside_a_worker) {
  Mark mark;
  {
    asio::io_context context;
    ResourceConfig config = small_config();
    config.worker_memory = 1_GiB;
    ResourcePool pool(context.get_executor(), config);
    EXPECT_EQ(run_in(context, call_nested(pool, 21)), 42);
  }
  EXPECT_TRUE(mark.gone_within(3s));
}

TEST(PoolAcquire, more_waiters_than_allowed) {
  asio::io_context context;
  ResourceConfig config = thread_config(1);
  config.waiter_count_max = 2;
  ResourcePool pool(context.get_executor(), config);
  run_in(context, pool.warm_up(1));
  auto held = pool.try_acquire("held");
  ASSERT_TRUE(held);
  End ends[3] = {};
  std::optional<WorkerLease> leases[3];
  for (int i = 0; i < 3; ++i) {
    spawn(context, acquire_and_note(pool, "waiter", ends[i], leases[i]));
  }
  ASSERT_TRUE(run_until(context, [&] { return ends[2] != End::none; }));
  EXPECT_EQ(ends[2], End::other);  // PoolSaturatedError
  EXPECT_THROW(run_in(context, call_double(pool, 1)), PoolSaturatedError);
  EXPECT_EQ(pool.status().waiting, 2u);
  held.reset();
  ASSERT_TRUE(run_until(context, [&] { return ends[0] == End::granted; }));
  leases[0].reset();
  ASSERT_TRUE(run_until(context, [&] { return ends[1] == End::granted; }));
}

TEST(PoolAcquire, by_device) {
  asio::io_context context;
  ResourceConfig config = thread_config(3);
  config.devices = {"cpu", "cuda:0", "cuda:1"};
  ResourcePool pool(context.get_executor(), config);
  run_in(context, pool.warm_up(3));
  AcquireOptions any_cuda;
  any_cuda.device = "cuda";
  AcquireOptions second;
  second.device = "cuda:1";
  auto a = pool.try_acquire("a", second);
  ASSERT_TRUE(a);
  EXPECT_EQ(a->device(), "cuda:1");
  auto b = pool.try_acquire("b", any_cuda);
  ASSERT_TRUE(b);
  EXPECT_EQ(b->device(), "cuda:0");
  EXPECT_FALSE(pool.try_acquire("c", any_cuda));
  EXPECT_TRUE(pool.try_acquire("d"));
  AcquireOptions unknown;
  unknown.device = "cuda:7";
  EXPECT_THROW((void)pool.try_acquire("e", unknown), ConfigError);
}

}  // namespace
}  // namespace reeve::test
