// status() and capabilities(): one consistent look, and the truth about mechanisms.
#include <reeve/pool/status.hpp>

#include <signal.h>

#include <cstdlib>
#include <reeve/audit.hpp>

#include "tests/pool/pool_test_support.hpp"

namespace reeve::test {
namespace {

asio::awaitable<PoolStatus> status_while_leased(ResourcePool& pool) {
  auto worker = co_await pool.acquire_worker("study-1");
  co_return pool.status();
}

TEST(PoolStatus, shows_the_lease_its_worker_and_what_is_free) {
  asio::io_context context;
  ResourcePool pool(context.get_executor(), small_config());
  const PoolStatus status = run_in(context, status_while_leased(pool));
  EXPECT_EQ(status.total_workers, 2u);
  EXPECT_EQ(status.active_tasks, 1u);
  EXPECT_EQ(status.available_workers, 1u);
  EXPECT_THAT(status.active_task_ids, ::testing::ElementsAre("study-1"));
  ASSERT_FALSE(status.workers.empty());
  EXPECT_EQ(status.workers[0].state, WorkerState::leased);
  EXPECT_GT(status.workers[0].pid, 0);
  EXPECT_GT(status.workers[0].rss, 0_B);
  EXPECT_EQ(status.workers[0].device, "cpu");
  EXPECT_EQ(pool.status().active_tasks, 0u);
}

TEST(PoolStatus, health_and_load_without_a_snapshot) {
  asio::io_context context;
  ResourcePool pool(context.get_executor(), small_config());
  EXPECT_EQ(pool.health(), PoolHealth::ready);
  EXPECT_EQ(to_string(pool.health()), "ready");
  EXPECT_EQ(pool.load(), 0u);
  const auto first = run_in(context, hold(pool, "first"));
  const auto second = run_in(context, hold(pool, "second"));
  EXPECT_EQ(pool.load(), 2u);
  asio::co_spawn(context, hold(pool, "waits"), [](std::exception_ptr, auto) {});
  EXPECT_TRUE(run_until(context, [&] { return pool.load() == 3; }));
  run_in(context, [](ResourcePool& p) -> asio::awaitable<void> {
    co_await p.shutdown(ShutdownMode::kill);
  }(pool));
  EXPECT_EQ(pool.health(), PoolHealth::closed);
}

void call_abort() {
  std::abort();
}

asio::awaitable<std::uint32_t> end_by_abort(ResourcePool& pool) {
  auto worker = co_await pool.acquire_worker("crashes");
  const std::uint32_t slot = worker.id().slot;
  try {
    co_await worker.run<&call_abort>();
  } catch (const WorkerCrashedError&) {
  }
  co_return slot;
}

DeathCounts deaths_of(const ResourcePool& pool, std::uint32_t slot) {
  for (const WorkerStatus& worker : pool.status().workers) {
    if (worker.id.slot == slot) return worker.deaths;
  }
  return {};
}

TEST(PoolStatus, tells_the_deaths_of_every_slot) {
  asio::io_context context;
  ResourceConfig config = small_config();
  config.min_workers = 2;  // so that both slots stay listed
  ResourcePool pool(context.get_executor(), config);
  run_in(context, pool.warm_up(2));
  const std::uint32_t slot = run_in(context, end_by_abort(pool));
  EXPECT_TRUE(run_until(context, [&] { return pool.status().live_workers == 2; }));
  EXPECT_EQ(deaths_of(pool, slot).crashed, 1u);
  EXPECT_EQ(deaths_of(pool, 1 - slot).crashed, 0u);
  const int other = pool.status().workers.at(1 - slot).pid;
  kill(other, SIGKILL);
  EXPECT_TRUE(run_until(context, [&] { return deaths_of(pool, 1 - slot).lost == 1; }));
  EXPECT_EQ(deaths_of(pool, slot).lost, 0u);
  EXPECT_EQ(pool.status().deaths.crashed, 1u);
  EXPECT_EQ(pool.status().deaths.lost, 1u);
}

TEST(PoolStatus, capabilities_name_what_is_on_and_why_not) {
  asio::io_context context;
  const ResourcePool pool(context.get_executor(), small_config());
  const Capabilities capabilities = pool.capabilities();
  EXPECT_TRUE(capabilities.has("deadline"));
  EXPECT_FALSE(capabilities.has("no such mechanism"));
  for (const Capability& mechanism : capabilities.mechanisms)
    EXPECT_FALSE(mechanism.detail.empty());
}

asio::awaitable<void> lease_and_shut_down(ResourcePool& pool) {
  for (int i = 0; i < 3; ++i) auto worker = co_await pool.acquire_worker("audited");
  co_await pool.shutdown();
}

TEST(PoolAudit, trail_of_a_whole_life_verifies) {
  asio::io_context context;
  ResourcePool pool(context.get_executor(), small_config());
  run_in(context, lease_and_shut_down(pool));
  const auto events = pool.audit_events();
  audit::VerifyOptions options;
  options.complete = true;
  const audit::Report report = audit::verify(events, options);
  EXPECT_TRUE(report.ok()) << report.text();
  EXPECT_EQ(report.count(audit::EventKind::grant), 3u);
}

}  // namespace
}  // namespace reeve::test
