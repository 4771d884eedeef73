// A program that runs children of its own by Boost.Process beside its workers (scenario 51).
#include <atomic>
#include <boost/process.hpp>

#include "tests/pool/scenario_support.hpp"

namespace reeve::test {
namespace {

constexpr int rounds = 20;

void exit_with(int status) {
  _exit(status);
}

/// What the pool says of a worker that ends with `status`; -1 if it says nothing of an exit.
int status_of_worker(asio::io_context& context, ResourcePool& pool, int status) {
  try {
    run_in(context, call_once<&exit_with>(pool, "exits", status));
  } catch (const WorkerCrashedError& error) {
    return error.evidence().exit_status;
  }
  return -1;
}

std::vector<std::string> exit_command(int status) {
  return {"-c", "exit " + std::to_string(status)};
}

// 51: children that a thread waits for.
TEST(PoolHost, that_waits_for_children_by_boost_process) {
  asio::io_context context;
  ResourcePool pool(context.get_executor(), small_config());
  std::atomic<int> children{0};
  std::thread other([&] {
    for (int status = 0; status < rounds; ++status) {
      boost::process::child child("/bin/sh", boost::process::args = exit_command(status));
      child.wait();
      children += child.exit_code() == status;
    }
  });
  int workers = 0;
  for (int status = 0; status < rounds; ++status)
    workers += status_of_worker(context, pool, status) == status;
  other.join();
  EXPECT_EQ(children.load(), rounds);
  EXPECT_EQ(workers, rounds);
  expect_pool_works(context, pool);
}

// 51: children whose ends come by SIGCHLD to the context that the pool works on, too.
TEST(PoolHost, that_hears_of_children_by_boost_process) {
  asio::io_context context;
  ResourcePool pool(context.get_executor(), small_config());
  int children = 0, ends = 0, workers = 0;
  std::vector<boost::process::child> running;
  for (int status = 0; status < rounds; ++status) {
    const auto ended = [&children, &ends, status](int code, const std::error_code& error) {
      ++ends;
      children += !error && code == status;
    };
    running.emplace_back("/bin/sh", boost::process::args = exit_command(status), context,
                         boost::process::on_exit = ended);
    workers += status_of_worker(context, pool, status) == status;
  }
  EXPECT_TRUE(run_until(context, [&] { return ends == rounds; }));
  EXPECT_EQ(children, rounds);
  EXPECT_EQ(workers, rounds);
  expect_pool_works(context, pool);
}

}  // namespace
}  // namespace reeve::test
