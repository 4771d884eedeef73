// How workers are started, and that a pool's capabilities say so and nothing that is not true.
#include "pool/mechanisms.hpp"

#include <cstdlib>

#include "tests/pool/scenario_support.hpp"

namespace reeve::test {
namespace {

using testing::HasSubstr;

/// A static initialiser that starts a thread: in the warden too, which begins as this program does.
const bool early_thread = [] {
  if (std::getenv("REEVE_TEST_EARLY_THREAD") == nullptr) return false;
  std::thread([] {
    for (;;) pause();
  }).detach();
  return true;
}();

bool has_early_thread() {
  return early_thread;
}

struct EarlyThread {
  EarlyThread() { setenv("REEVE_TEST_EARLY_THREAD", "1", 1); }
  ~EarlyThread() { unsetenv("REEVE_TEST_EARLY_THREAD"); }
};

std::string detail_of(const ResourcePool& pool, std::string_view name) {
  for (const auto& mechanism : pool.capabilities().mechanisms) {
    if (mechanism.name == name) return (mechanism.active ? "on: " : "not: ") + mechanism.detail;
  }
  return "it is not listed";
}

asio::awaitable<void> spin_for(ResourcePool& pool, std::chrono::milliseconds time) {
  auto worker = co_await pool.acquire_worker("spins");
  co_await worker.run<&spin>(RunLimits(time));
}

/// Everything that a lease promises, of workers that are started another way.
void expect_whole_workers(asio::io_context& context, ResourcePool& pool) {
  EXPECT_EQ((run_in(context, call_once<&add>(pool, "adds", 20, 22))), 42);
  EXPECT_THROW(run_in(context, spin_for(pool, 100ms)), WorkerTimeoutError);
  EXPECT_THROW((run_in(context, call_once<&crash>(pool, "crashes"))), WorkerCrashedError);
  expect_pool_works(context, pool);
}

TEST(PoolMechanisms, workers_are_forked) {
  REEVE_SKIP_UNDER_SANITIZERS();  // a runtime with a thread of its own makes them be executed
  asio::io_context context;
  ResourcePool pool(context.get_executor(), small_config());
  EXPECT_FALSE((run_in(context, call_once<&has_early_thread>(pool, "asks"))));
  EXPECT_EQ(detail_of(pool, "spawn"), "on: by fork of the warden");
}

// A fork would copy locks that the other thread may hold.
TEST(PoolMechanisms, workers_of_a_program_with_early_threads_are_executed) {
  REEVE_SKIP_UNDER_SANITIZERS();
  const EarlyThread environment;
  asio::io_context context;
  ResourcePool pool(context.get_executor(), small_config());
  EXPECT_TRUE((run_in(context, call_once<&has_early_thread>(pool, "asks"))));
  EXPECT_THAT(detail_of(pool, "spawn"), HasSubstr("by exec: static initialisers"));
  expect_whole_workers(context, pool);
}

TEST(PoolMechanisms, workers_are_executed_on_demand) {
  asio::io_context context;
  ResourceConfig config = small_config();
  config.exec_each_worker = true;
  ResourcePool pool(context.get_executor(), config);
  expect_whole_workers(context, pool);
  EXPECT_EQ(detail_of(pool, "spawn"), "on: by exec: exec_each_worker is true");
}

TEST(PoolMechanisms, what_is_off_is_listed_with_its_reason) {
  asio::io_context context;
  ResourceConfig config = small_config();
  ResourcePool plain(context.get_executor(), config);
  EXPECT_THAT(detail_of(plain, "deadline"), HasSubstr("on: held by the warden"));
  EXPECT_THAT(detail_of(plain, "statm"), HasSubstr("on: "));
  EXPECT_THAT(detail_of(plain, "bind"), HasSubstr("not: bind is none"));
  EXPECT_THAT(detail_of(plain, "cgroup_kill"), HasSubstr("not: trees are walked, since"));
  config.hard_memory = config.watch_memory = false;
  config.bind = Bind::core;
  ResourcePool bare(context.get_executor(), config);
  EXPECT_THAT(detail_of(bare, "rlimit_data"),
              HasSubstr(sanitized ? "not: a sanitizer" : "not: hard_memory is false"));
  EXPECT_THAT(detail_of(bare, "statm"), HasSubstr("not: watch_memory is false"));
  EXPECT_THAT(detail_of(bare, "bind"), HasSubstr("on: worker i runs on core i"));
  const std::string text = to_string(bare.capabilities());
  for (const char* const name : {"deadline", "rlimit_data", "statm", "cgroup_kill", "cgroup_memory",
                                 "cgroup_pids", "orphans", "bind", "spawn"}) {
    EXPECT_THAT(text, HasSubstr(name));
  }
}

}  // namespace
}  // namespace reeve::test
