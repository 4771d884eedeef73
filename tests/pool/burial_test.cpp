// A dead worker whose tree does not go away.
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "process/tree.hpp"
#include "tests/pool/scenario_support.hpp"

namespace reeve::test {
namespace {

using std::chrono::steady_clock;

Evidence evidence_in(std::exception_ptr failure) {
  try {
    if (failure) std::rethrow_exception(failure);
  } catch (const WorkerTimeoutError& error) {
    return error.evidence();
  }
  ADD_FAILURE() << "no timeout";
  return {};
}

void fork_and_wait() {
  if (fork() == 0) {
    for (;;) pause();
  }
  for (;;) pause();
}

// 22: who traces a dead process keeps it from being buried. The others' limits do not wait for
// that.
TEST(PoolBurial, of_one_tree_does_not_delay_the_limits_of_others) {
  asio::io_context context;
  ResourcePool pool(context.get_executor(), small_config());
  run_in(context, pool.warm_up(2));
  auto first = pool.try_acquire("first");
  auto second = pool.try_acquire("second");
  ASSERT_TRUE(first && second);
  int ends = 0;
  bool complete = true;
  steady_clock::duration elapsed{};
  asio::co_spawn(context, first->run<&fork_and_wait>(RunLimits(300ms)),
                 [&](std::exception_ptr failure) {
                   ++ends;
                   complete = evidence_in(failure).tree_complete;
                 });
  std::vector<pid_t> kids;
  const auto forked = [&] {
    kids.clear();
    process::list_children(first->pid(), kids);
    return !kids.empty();
  };
  ASSERT_TRUE(run_until(context, forked));
  if (ptrace(PTRACE_SEIZE, kids[0], nullptr, nullptr) != 0) GTEST_SKIP() << "tracing is forbidden";
  asio::co_spawn(context, second->run<&spin>(RunLimits(400ms)),
                 [&](std::exception_ptr failure, int) {
                   ++ends;
                   elapsed = evidence_in(failure).elapsed;
                 });
  EXPECT_TRUE(run_until(context, [&] { return ends == 2; }));
  EXPECT_GE(elapsed, 400ms);
  EXPECT_LT(elapsed, 1400ms) << "a burial takes 2 s";
  EXPECT_FALSE(complete) << "nothing kept the first from being buried";
  waitpid(kids[0], nullptr, __WALL);
}

asio::awaitable<void> lease_once(ResourcePool& pool) {
  auto worker = co_await pool.acquire_worker("third");
  EXPECT_GT(worker.pid(), 0);
}

steady_clock::duration time_to_end_a_spinner(asio::io_context& context, ResourcePool& pool) {
  const auto begun = steady_clock::now();
  auto worker = pool.try_acquire("spinner");
  EXPECT_TRUE(worker);
  if (!worker) return steady_clock::duration::max();
  EXPECT_TRUE(error_of<WorkerTimeoutError>(context, worker->run<&spin>(RunLimits(100ms))));
  return steady_clock::now() - begun;
}

// 22: what the program asks of the warden does not wait for a burial, and no later burial waits for
// what an earlier one has given up.
TEST(PoolBurial, that_cannot_end_delays_neither_commands_nor_later_burials) {
  asio::io_context context;
  ResourceConfig config = small_config();
  config.max_workers = 3;
  ResourcePool pool(context.get_executor(), config);
  run_in(context, pool.warm_up(2));
  auto first = pool.try_acquire("first");
  auto second = pool.try_acquire("second");
  ASSERT_TRUE(first && second);
  const pid_t pid = first->pid();
  bool ended = false;
  asio::co_spawn(context, first->run<&fork_and_wait>(RunLimits(300ms)),
                 [&](std::exception_ptr failure) {
                   ended = true;
                   EXPECT_FALSE(evidence_in(failure).tree_complete);
                 });
  std::vector<pid_t> kids;
  const auto forked = [&] {
    kids.clear();
    process::list_children(pid, kids);
    return !kids.empty();
  };
  ASSERT_TRUE(run_until(context, forked));
  if (ptrace(PTRACE_SEIZE, kids[0], nullptr, nullptr) != 0) GTEST_SKIP() << "tracing is forbidden";
  ASSERT_TRUE(run_until(context, [&] { return kill(pid, 0) != 0; })) << "not reaped";
  const auto begun = steady_clock::now();
  run_in(context, lease_once(pool));  // of a third worker, which must be started first
  EXPECT_LT(steady_clock::now() - begun, 1s) << "a burial takes 2 s";
  EXPECT_TRUE(run_until(context, [&] { return ended; }));
  EXPECT_LT(time_to_end_a_spinner(context, pool), 1s);
  EXPECT_LT(time_to_end_a_spinner(context, pool), 1s);
  waitpid(kids[0], nullptr, __WALL);
}

}  // namespace
}  // namespace reeve::test
