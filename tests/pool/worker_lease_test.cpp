// A lease from acquire to release: calls, results, exceptions.
#include <reeve/pool/worker_lease.hpp>

#include <unistd.h>

#include "tests/pool/pool_test_support.hpp"

namespace reeve::test {
namespace {

asio::awaitable<int> call_add(ResourcePool& pool) {
  auto worker = co_await pool.acquire_worker("add");
  co_return co_await worker.run<&add>(20, 22);
}

TEST(WorkerLease, runs_a_function_in_another_process_and_returns_its_result) {
  asio::io_context context;
  ResourcePool pool(context.get_executor(), small_config());
  EXPECT_EQ(run_in(context, call_add(pool)), 42);
}

int process_id() {
  return getpid();
}

asio::awaitable<std::vector<int>> call_twice(ResourcePool& pool) {
  std::vector<int> pids;
  for (int i = 0; i < 2; ++i) {
    auto worker = co_await pool.acquire_worker("pid");
    pids.push_back(co_await worker.run<&process_id>());
  }
  co_return pids;
}

TEST(WorkerLease, worker_is_reused_and_is_not_this_process) {
  asio::io_context context;
  ResourcePool pool(context.get_executor(), small_config());
  const auto pids = run_in(context, call_twice(pool));
  EXPECT_EQ(pids[0], pids[1]);
  EXPECT_NE(pids[0], getpid());
}

std::string fail(std::string text) {
  throw std::out_of_range(text);
}

asio::awaitable<void> call_fail(ResourcePool& pool) {
  auto worker = co_await pool.acquire_worker("fail");
  co_await worker.run<&fail>("no such item");
}

TEST(WorkerLease, standard_exception_comes_back_as_itself) {
  asio::io_context context;
  ResourcePool pool(context.get_executor(), small_config());
  try {
    run_in(context, call_fail(pool));
    FAIL() << "nothing was thrown";
  } catch (const std::out_of_range& e) {
    EXPECT_STREQ(e.what(), "no such item");
  }
}

}  // namespace
}  // namespace reeve::test
