// What the system refuses at a worker's start: processes, the executable, memory (scenario 60).
#include <sys/resource.h>
#include <sys/stat.h>

#include <filesystem>

#include "tests/pool/scenario_support.hpp"

namespace reeve::test {
namespace {

constexpr int victim_is_fine = 42;

int parent() {
  return getppid();
}

bool works(asio::io_context& context, ResourcePool& pool) {
  try {
    return run_in(context, call_once<&add>(pool, "again", 20, 22)) == 42;
  } catch (const Error&) {
    run_in(context, pause_for(20ms));
    return false;
  }
}

/// Whether an acquire is told why no worker starts, and whether the text says it.
bool is_told(asio::io_context& context, ResourcePool& pool, std::string_view why) {
  try {
    run_in(context, call_once<&add>(pool, "none", 1, 2));
  } catch (const PoolDegradedError& error) {
    return std::string_view(error.what()).find(why) != std::string_view::npos;
  }
  return false;
}

bool recovers(asio::io_context& context, ResourcePool& pool) {
  return run_until(context, [&] { return works(context, pool); }, 20s);
}

void end_worker(asio::io_context& context, ResourcePool& pool) {
  kill(pool.status().workers.at(0).pid, SIGKILL);
  run_until(context, [&] { return pool.status().live_workers == 0; });
}

ResourceConfig one_worker() {
  ResourceConfig config = small_config();
  config.max_workers = 1;
  config.output = Output::capture;
  return config;
}

/// The soft limit `what` of a process; the hard one stays.
void limit(pid_t pid, __rlimit_resource what, rlim_t soft) {
  rlimit limits{};
  prlimit(pid, what, nullptr, &limits);
  limits.rlim_cur = std::min(soft, limits.rlim_max);
  prlimit(pid, what, &limits, nullptr);
}

/// Runs `test` of a copy of this program that may be made unusable.
std::optional<int> status_of_copy(const std::string& test) {
  const std::string copy = testing::TempDir() + "reeve-copy-" + std::to_string(getpid());
  std::filesystem::copy_file("/proc/self/exe", copy,
                             std::filesystem::copy_options::overwrite_existing);
  std::filesystem::permissions(copy, std::filesystem::perms(0755));
  Victim victim(test, copy, copy.c_str());
  const auto status = victim.wait_status(60s);
  std::filesystem::remove(copy);
  return status;
}

// A program of a user without privileges: for root there is no RLIMIT_NPROC.
TEST(PoolVictim, DISABLED_has_no_processes_left) {
  if (geteuid() == 0 && (setgid(54321) != 0 || setuid(54321) != 0)) _exit(1);
  prctl(PR_SET_DUMPABLE, 1);
  asio::io_context context;
  ResourcePool pool(context.get_executor(), one_worker());
  limit(0, RLIMIT_NPROC, 1);
  if (!is_told(context, pool, "starting the warden") &&
      !is_told(context, pool, "clone of the warden")) {
    _exit(2);
  }
  limit(0, RLIMIT_NPROC, RLIM_INFINITY);
  if (!recovers(context, pool)) _exit(3);
  const int warden = run_in(context, call_once<&parent>(pool, "who"));
  limit(warden, RLIMIT_NPROC, 1);
  end_worker(context, pool);
  if (!is_told(context, pool, "Resource temporarily unavailable")) _exit(4);
  limit(warden, RLIMIT_NPROC, RLIM_INFINITY);
  if (!recovers(context, pool)) _exit(5);
  if (run_in(context, call_once<&parent>(pool, "who")) != warden) _exit(6);
  _exit(victim_is_fine);
}

// 60: RLIMIT_NPROC, for the warden and then for its workers.
TEST(PoolStartLimits, without_processes_waiters_are_told_and_the_pool_recovers) {
  Mark mark;
  Victim victim("PoolVictim.DISABLED_has_no_processes_left");
  const auto status = victim.wait_status(60s);
  ASSERT_TRUE(status);
  ASSERT_TRUE(WIFEXITED(*status));
  EXPECT_EQ(WEXITSTATUS(*status), victim_is_fine);
  EXPECT_TRUE(mark.gone_within(5s));
}

TEST(PoolVictim, DISABLED_loses_its_executable) {
  const std::string file = Victim::argument();
  asio::io_context context;
  ResourceConfig config = one_worker();
  config.exec_each_worker = true;
  ResourcePool pool(context.get_executor(), config);
  chmod(file.c_str(), 0);
  if (!is_told(context, pool, "starting the warden from /proc/self/exe: Permission denied"))
    _exit(2);
  chmod(file.c_str(), 0755);
  if (!recovers(context, pool)) _exit(3);
  chmod(file.c_str(), 0);
  end_worker(context, pool);
  if (!is_told(context, pool, "cannot execute the program again: Permission denied")) _exit(4);
  chmod(file.c_str(), 0755);
  if (!recovers(context, pool)) _exit(5);
  _exit(victim_is_fine);
}

// 60: an executable that may not be executed, by the warden and then by its workers.
TEST(PoolStartLimits, without_its_executable_waiters_are_told_and_the_pool_recovers) {
  Mark mark;
  const auto status = status_of_copy("PoolVictim.DISABLED_loses_its_executable");
  ASSERT_TRUE(status);
  ASSERT_TRUE(WIFEXITED(*status));
  EXPECT_EQ(WEXITSTATUS(*status), victim_is_fine);
  EXPECT_TRUE(mark.gone_within(5s));
}

// 60: ENOMEM: what a new worker must map is more than it may.
TEST(PoolStartLimits, without_memory_waiters_are_told_and_the_pool_recovers) {
  REEVE_SKIP_UNDER_SANITIZERS();
  asio::io_context context;
  ResourcePool pool(context.get_executor(), one_worker());
  const int warden = run_in(context, call_once<&parent>(pool, "who"));
  limit(warden, RLIMIT_AS, 64 << 20);  // a window is message_max large
  end_worker(context, pool);
  EXPECT_TRUE(is_told(context, pool, "cannot map its channel"));
  limit(warden, RLIMIT_AS, RLIM_INFINITY);
  EXPECT_TRUE(recovers(context, pool));
  EXPECT_EQ(run_in(context, call_once<&parent>(pool, "who")), warden);
}

}  // namespace
}  // namespace reeve::test
