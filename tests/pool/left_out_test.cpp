// Who waits for a worker is not left out: not while workers are just ending, nor for a device.
#include <reeve/pool/resource_pool.hpp>

#include <signal.h>
#include <unistd.h>

#include "process/tree.hpp"
#include "tests/pool/pool_test_support.hpp"

namespace reeve::test {
namespace {

int parent() {
  return getppid();
}

asio::awaitable<void> take_and_keep(ResourcePool& pool, AcquireOptions options,
                                    std::vector<WorkerLease>& leases) {
  leases.push_back(co_await pool.acquire_worker("waits", options));
}

std::size_t in_state(const ResourcePool& pool, WorkerState state) {
  std::size_t count = 0;
  for (const WorkerStatus& worker : pool.status().workers) count += worker.state == state;
  return count;
}

// All idle workers are ending, told by a warden that is stopped, when `count` acquires come.
void acquire_while_all_end(ResourceConfig config, std::size_t count) {
  asio::io_context context;
  config.idle_timeout = 50ms;
  ResourcePool pool(context.get_executor(), config);
  run_in(context, pool.warm_up(config.max_workers));
  const int warden = run_in(context, call_once<&parent>(pool, "who"));
  ASSERT_EQ(kill(warden, SIGSTOP), 0);
  const bool ending =
      run_until(context, [&] { return in_state(pool, WorkerState::ending) == config.max_workers; });
  std::vector<WorkerLease> leases;
  AcquireOptions options;
  options.timeout = 5s;
  for (std::size_t i = 0; i < count; ++i) spawn(context, take_and_keep(pool, options, leases));
  context.restart();
  context.run_for(20ms);
  kill(warden, SIGCONT);
  ASSERT_TRUE(ending);
  EXPECT_TRUE(run_until(context, [&] { return leases.size() == count; }))
      << leases.size() << " of " << count << " acquires were granted";
  leases.clear();
  EXPECT_LE(pool.status().live_workers, config.max_workers);
}

TEST(PoolLeftOut, nobody_while_the_only_worker_ends) {
  ResourceConfig config = small_config();
  config.max_workers = 1;
  config.quarantine_max = 0;
  acquire_while_all_end(config, 1);
}

TEST(PoolLeftOut, nobody_while_all_workers_end) {
  ResourceConfig config = small_config();
  config.max_workers = 4;
  acquire_while_all_end(config, 4);
}

class LeftOutDevice : public testing::TestWithParam<Isolation> {
 protected:
  void SetUp() override {
    config.isolation = GetParam();
    config.max_workers = 4;
    config.devices = {"cuda:0", "cuda:1", "cuda:2", "cuda:3"};
    pool.emplace(context.get_executor(), config);
    run_in(context, pool->warm_up(4));
    for (const char* device : {"cuda:0", "cuda:1", "cuda:2", "cuda:3"}) {
      AcquireOptions options;
      options.device = device;
      leases.push_back(std::move(pool->try_acquire("holds", options).value()));
    }
  }
  // The leases of the first two slots end first; those of the last two stay.
  void shrink_to_two_under_the_last_two() {
    run_in(context, pool->resize(2));
    leases.erase(leases.begin(), leases.begin() + 2);
    EXPECT_TRUE(run_until(context, [&] { return pool->status().live_workers == 2; }));
  }
  asio::awaitable<void> take_cuda_0() {
    AcquireOptions options;
    options.device = "cuda:0";
    options.timeout = 5s;
    auto worker = co_await pool->acquire_worker("wants it", options);
    EXPECT_EQ(worker.device(), "cuda:0");
  }
  asio::io_context context;
  ResourceConfig config = small_config();
  std::optional<ResourcePool> pool;
  std::vector<WorkerLease> leases;
};

TEST_P(LeftOutDevice, is_had_when_only_workers_of_others_are_idle) {
  shrink_to_two_under_the_last_two();
  leases.clear();
  EXPECT_NO_THROW(run_in(context, take_cuda_0()));
  EXPECT_LE(pool->status().live_workers, 2u);
}

TEST_P(LeftOutDevice, is_had_when_workers_of_others_become_idle) {
  shrink_to_two_under_the_last_two();
  bool granted = false;
  asio::co_spawn(context, take_cuda_0(),
                 [&](std::exception_ptr failure) { granted = failure == nullptr; });
  ASSERT_TRUE(run_until(context, [&] { return pool->status().waiting == 1; }));
  leases.pop_back();
  EXPECT_TRUE(run_until(context, [&] { return granted; }));
  EXPECT_LE(pool->status().live_workers, 2u);
}

TEST_P(LeftOutDevice, the_first_slots_stay_when_all_are_idle) {
  for (const int order : {2, 2, 0, 0}) leases.erase(leases.begin() + order);  // the first: warmest
  run_in(context, pool->resize(2));
  EXPECT_TRUE(run_until(context, [&] { return pool->status().live_workers == 2; }));
  AcquireOptions options;
  options.device = "cuda:0";
  EXPECT_TRUE(pool->try_acquire("at once", options));
}

INSTANTIATE_TEST_SUITE_P(Isolation, LeftOutDevice,
                         testing::Values(Isolation::process, Isolation::thread),
                         [](const auto& test) {
                           return test.param == Isolation::thread ? "thread" : "process";
                         });

}  // namespace
}  // namespace reeve::test
