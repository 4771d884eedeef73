// Scopes: global, of a given manager, and private.
#include "tests/manager/manager_test_support.hpp"

namespace reeve::test {
namespace {

TEST(ManagedScope, maps) {
  PoolManager manager;
  const auto scope = managed_pool(2, process, manager);
  EXPECT_EQ(scope->map<&square>(std::vector{1, 2, 3}), (std::vector{1, 4, 9}));
}

// 67
TEST(ManagedScope, a_custom_manager_owns_the_pool_afterwards) {
  PoolManager manager;
  ManagedPool before;
  {
    const auto scope = managed_pool(2, thread, manager);
    before = *scope;
    EXPECT_EQ(manager.stats().configs.front().handles, 2u);
  }
  EXPECT_EQ(manager.stats().active_pools, 1u);
  EXPECT_EQ(manager.get_pool(2, thread), before);
}

TEST(ManagedScope, thread_type) {
  PoolManager manager;
  const auto scope = managed_pool(2, thread, manager);
  EXPECT_EQ(scope->type(), thread);
  EXPECT_EQ(scope->map<&square>(std::vector{4}), std::vector{16});
}

TEST(ManagedScope, a_private_manager_cleans_up_after_itself) {
  std::optional<ResourcePool> seen;
  {
    const auto scope = managed_pool(2, thread, PoolSource::own);
    EXPECT_EQ(scope->map<&square>(std::vector{4}), std::vector{16});
    seen.emplace(scope->resource_pool());
  }
  EXPECT_TRUE(eventually([&] { return seen->health() == PoolHealth::closed; }));
}

// 67
TEST(ManagedScope, ends_by_an_exception) {
  std::optional<ResourcePool> seen;
  const auto work = [&] {
    const auto scope = managed_pool(2, thread, PoolSource::own);
    seen.emplace(scope->resource_pool());
    throw std::runtime_error("inside");
  };
  EXPECT_THROW(work(), std::runtime_error);
  EXPECT_TRUE(eventually([&] { return seen->health() == PoolHealth::closed; }));
}

TEST(ManagedScope, the_global_one_keeps_its_pool) {
  ManagedPool before;
  {
    const auto scope = managed_pool(2, thread);
    before = *scope;
  }
  EXPECT_EQ(global_pool_manager().get_pool(2, thread), before);
  shutdown_global_pool_manager();
}

boost::asio::awaitable<std::size_t> count_ready(PoolManager& manager) {
  auto scope = co_await async_managed_pool(3, thread, manager);
  const PoolStatus status = scope->resource_pool().status();
  std::size_t idle = 0;
  for (const auto& worker : status.workers) idle += worker.state == WorkerState::idle;
  co_return idle;
}

TEST(ManagedScope, awaited_it_is_ready) {
  PoolManager manager;
  boost::asio::io_context context;
  std::size_t ready = 0;
  boost::asio::co_spawn(context, count_ready(manager),
                        [&](std::exception_ptr, std::size_t count) { ready = count; });
  context.run();
  EXPECT_EQ(ready, 3u);
}

}  // namespace
}  // namespace reeve::test
