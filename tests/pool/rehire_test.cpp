// Workers that die before the lease's first call has begun: the lease goes on with another.
#include <reeve/pool/worker_lease.hpp>

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>

#include <fstream>

#include "tests/pool/audit_support.hpp"

namespace reeve::test {
namespace {

int own_pid() {
  return getpid();
}

void prepare() {
  setenv("REEVE_TEST_REHIRED", "yes", 1);
}

asio::awaitable<int> ask_pid(WorkerLease& lease) {
  auto call = lease.run<&own_pid>();
  co_return co_await std::move(call);
}

// Its worker is killed and the next one has come up.
void kill_worker_of(asio::io_context& context, const WorkerLease& lease) {
  const int pid = lease.pid();
  kill(pid, SIGKILL);
  const auto replaced = [&] { return lease.revoked() || (lease.pid() > 0 && lease.pid() != pid); };
  ASSERT_TRUE(run_until(context, replaced));
}

TEST(PoolRehire, a_worker_that_dies_idle_is_replaced_under_its_lease) {
  asio::io_context context;
  ResourcePool pool(context.get_executor(), small_config());
  auto lease = run_in(context, hold(pool, "innocent"));
  const int first = lease->pid();
  kill_worker_of(context, *lease);
  const int second = run_in(context, ask_pid(*lease));
  EXPECT_NE(second, first);
  EXPECT_EQ(second, lease->pid());
  EXPECT_EQ(pool.status().deaths.lost, 1U);
  EXPECT_EQ(pool.status().active_tasks, 1U);
  lease.reset();
  expect_pool_works(context, pool);
  expect_audit_holds(pool);
}

bool is_stopped(int pid) {
  std::ifstream stat("/proc/" + std::to_string(pid) + "/stat");
  std::string text;
  std::getline(stat, text);
  return text.find(") T ") != std::string::npos;
}

// The request lies in the channel of a worker that is stopped before it can read it.
TEST(PoolRehire, a_call_that_never_began_is_sent_to_the_next_worker) {
  asio::io_context context;
  ResourcePool pool(context.get_executor(), small_config());
  auto lease = run_in(context, hold(pool, "unread"));
  const int first = lease->pid();
  kill(first, SIGSTOP);
  ASSERT_TRUE(run_until(context, [&] { return is_stopped(first); }));
  std::optional<int> sum;
  asio::co_spawn(
      context,
      [](WorkerLease& worker, std::optional<int>& result) -> asio::awaitable<void> {
        auto call = worker.run<&add>(20, 22);
        result = co_await std::move(call);
      }(*lease, sum),
      [](std::exception_ptr failure) { EXPECT_FALSE(failure); });
  context.restart();
  context.poll();
  EXPECT_FALSE(sum);
  kill(first, SIGKILL);
  EXPECT_TRUE(run_until(context, [&] { return sum.has_value(); }));
  EXPECT_EQ(sum, 42);
  lease.reset();
  expect_audit_holds(pool);
}

TEST(PoolRehire, the_initializer_runs_again_before_the_call) {
  asio::io_context context;
  ResourceConfig config = small_config();
  config.initializer = Initializer::make<&prepare>();
  ResourcePool pool(context.get_executor(), config);
  auto lease = run_in(context, hold(pool, "initialised"));
  kill_worker_of(context, *lease);
  const bool prepared = run_in(context, [](WorkerLease& worker) -> asio::awaitable<bool> {
    auto call = worker.run([] { return getenv("REEVE_TEST_REHIRED") != nullptr; });
    co_return co_await std::move(call);
  }(*lease));
  EXPECT_TRUE(prepared);
}

TEST(PoolRehire, the_third_death_ends_the_lease) {
  asio::io_context context;
  ResourcePool pool(context.get_executor(), small_config());
  auto lease = run_in(context, hold(pool, "unlucky"));
  kill_worker_of(context, *lease);
  EXPECT_FALSE(lease->revoked());
  kill_worker_of(context, *lease);
  EXPECT_FALSE(lease->revoked());
  kill_worker_of(context, *lease);
  EXPECT_TRUE(lease->revoked());
  EXPECT_THROW(lease->rethrow_cause(), WorkerLostError);
  lease.reset();
  expect_pool_works(context, pool);
  expect_audit_holds(pool);
}

TEST(PoolRehire, not_once_a_call_was_answered_or_a_buffer_made) {
  asio::io_context context;
  ResourcePool pool(context.get_executor(), small_config());
  auto used = run_in(context, hold(pool, "used"));
  run_in(context, ask_pid(*used));
  auto filled = run_in(context, hold(pool, "filled"));
  ASSERT_EQ(filled->make_buffer<int>(10).size(), 10U);
  kill_worker_of(context, *used);
  kill_worker_of(context, *filled);
  EXPECT_THROW(used->rethrow_cause(), WorkerLostError);
  EXPECT_THROW(filled->rethrow_cause(), WorkerLostError);
}

// Given back, or given up in mid-call, while the next worker is still starting.
TEST(PoolRehire, a_lease_may_end_while_its_worker_starts) {
  for (const bool calls : {false, true}) {
    asio::io_context context;
    ResourcePool pool(context.get_executor(), small_config());
    auto lease = run_in(context, hold(pool, "short"));
    const int first = lease->pid();
    kill(first, SIGKILL);
    ASSERT_TRUE(run_until(context, [&] { return lease->pid() != first; }));
    asio::cancellation_signal cancel;
    std::optional<bool> failed;
    if (calls) {
      asio::co_spawn(
          context, ask_pid(*lease),
          asio::bind_cancellation_slot(cancel.slot(), [&](std::exception_ptr failure, int) {
            failed = failure != nullptr;
          }));
      context.restart();
      for (int i = 0; i <= 20 * first_cancellable_step; ++i) context.poll_one();
      cancel.emit(asio::cancellation_type::terminal);
      EXPECT_TRUE(run_until(context, [&] { return failed.has_value(); }));
    }
    lease.reset();
    expect_pool_works(context, pool);
    EXPECT_EQ(pool.status().active_tasks, 0U);
    expect_audit_holds(pool);
  }
}

void touch(const std::string& path) {
  close(open(path.c_str(), O_CREAT | O_CLOEXEC, 0600));
}
void hang_if_told(std::string path) {
  if (access(path.c_str(), F_OK) != 0) return;
  touch(path + ".obeyed");
  pause();
}
void throw_if_told(std::string path) {
  if (access(path.c_str(), F_OK) == 0) throw std::runtime_error("told to throw");
}

/// While the file is there the initializers above fail.
class Order {
 public:
  ~Order() {
    unlink(path.c_str());
    unlink((path + ".obeyed").c_str());
  }
  void give() const { touch(path); }
  bool is_obeyed() const { return access((path + ".obeyed").c_str(), F_OK) == 0; }
  const std::string path = "/tmp/reeve-rehire-" + std::to_string(getpid());
};

// Nobody but the lease's own deadline ends an initializer that hangs between two workers.
TEST(PoolRehire, the_deadline_holds_while_the_next_worker_sets_itself_up) {
  asio::io_context context;
  const Order order;
  ResourceConfig config = small_config();
  config.max_workers = 1;
  config.worker_timeout = 300ms;
  config.initializer = Initializer::make<&hang_if_told>(order.path);
  ResourcePool pool(context.get_executor(), config);
  auto lease = run_in(context, hold(pool, "late"));
  order.give();
  kill(lease->pid(), SIGKILL);
  EXPECT_TRUE(run_until(context, [&] { return lease->revoked(); }));
  EXPECT_THROW(lease->rethrow_cause(), WorkerTimeoutError);
  unlink(order.path.c_str());
  expect_pool_works(context, pool);
}

TEST(PoolRehire, a_next_worker_that_cannot_start_is_told_as_lost) {
  asio::io_context context;
  const Order order;
  ResourceConfig config = small_config();
  config.max_workers = 1;
  config.initializer = Initializer::make<&throw_if_told>(order.path);
  ResourcePool pool(context.get_executor(), config);
  auto lease = run_in(context, hold(pool, "unlucky"));
  order.give();
  kill(lease->pid(), SIGKILL);
  EXPECT_TRUE(run_until(context, [&] { return lease->revoked(); }));
  try {
    lease->rethrow_cause();
    FAIL() << "it goes on";
  } catch (const WorkerLostError& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("told to throw"));
  }
  lease.reset();
  unlink(order.path.c_str());
  EXPECT_TRUE(run_until(context, [&] {
    try {
      return run_in(context, call_once<&add>(pool, "again", 20, 22)) == 42;
    } catch (const Error&) {
      return false;
    }
  }));
  expect_audit_holds(pool);
}

// Arguments that are written while the next worker's initializer runs are not its own.
TEST(PoolRehire, arguments_written_meanwhile_arrive) {
  asio::io_context context;
  ResourceConfig config = small_config();
  config.initializer = Initializer::make<&hang_if_told>(std::string(200, 'x'));
  ResourcePool pool(context.get_executor(), config);
  auto lease = run_in(context, hold(pool, "quick"));
  const int first = lease->pid();
  kill(first, SIGKILL);
  ASSERT_TRUE(run_until(context, [&] { return lease->pid() != first; }));
  EXPECT_EQ(run_in(context, lease->run<&add>(20, 22)), 42);
}

// A waiter gets a worker of its own beside a lease whose worker is being replaced.
TEST(PoolRehire, others_do_not_wait_for_it) {
  asio::io_context context;
  const Order order;
  ResourceConfig config = small_config();
  config.worker_timeout = 2s;
  config.initializer = Initializer::make<&hang_if_told>(order.path);
  ResourcePool pool(context.get_executor(), config);
  auto lease = run_in(context, hold(pool, "slow"));
  order.give();
  const int first = lease->pid();
  kill(first, SIGKILL);
  ASSERT_TRUE(run_until(context, [&] { return lease->pid() != first; }));
  ASSERT_TRUE(run_until(context, [&] { return order.is_obeyed(); }));
  unlink(order.path.c_str());
  expect_pool_works(context, pool);
  EXPECT_FALSE(lease->revoked());
}

TEST(PoolRehire, a_call_that_outlives_its_lease_is_refused) {
  asio::io_context context;
  ResourcePool pool(context.get_executor(), small_config());
  auto lease = run_in(context, hold(pool, "gone"));
  auto call = lease->run<&add>(1, 2);
  lease.reset();
  EXPECT_THROW(run_in(context, std::move(call)), std::logic_error);
  expect_pool_works(context, pool);
}

// The lease's deadline goes on while its worker is replaced.
TEST(PoolRehire, the_deadline_stays_that_of_the_grant) {
  asio::io_context context;
  ResourceConfig config = small_config();
  config.worker_timeout = 400ms;
  ResourcePool pool(context.get_executor(), config);
  auto lease = run_in(context, hold(pool, "late"));
  kill_worker_of(context, *lease);
  EXPECT_TRUE(run_until(context, [&] { return lease->revoked(); }));
  try {
    lease->rethrow_cause();
    FAIL() << "it was not revoked";
  } catch (const WorkerTimeoutError& error) {
    EXPECT_EQ(error.evidence().time_limit, 400ms) << "counted from the grant";
  }
}

}  // namespace
}  // namespace reeve::test
