// What a worker died of, and which limit it met: no error names another cause than its own.
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "tests/pool/scenario_support.hpp"

namespace reeve::test {
namespace {

using testing::HasSubstr;

constexpr std::size_t mebibyte = 1 << 20;
char* volatile kept = nullptr;

ResourceConfig one_worker(bool hard_memory) {
  ResourceConfig config = small_config();
  config.max_workers = 1;
  config.hard_memory = hard_memory;
  return config;
}

void survive_a_refusal() {
  try {
    kept = new char[std::size_t{1} << 40];
  } catch (const std::bad_alloc&) {
  }
}
void survive_and_exit() {
  survive_a_refusal();
  _exit(3);
}
void survive_and_be_killed() {
  survive_a_refusal();
  kill(getpid(), SIGKILL);
  pause();
}
void survive_and_crash() {
  survive_a_refusal();
  raise(SIGSEGV);
}
void be_refused() {
  kept = new char[std::size_t{1} << 60];
}
void fail_in_a_thread() {
  std::thread([] {
    std::vector<std::vector<char>> blocks;
    for (;;) blocks.emplace_back(mebibyte, 'x');
  }).join();
}

class Blame : public testing::Test {
 protected:
  asio::io_context context;
};

TEST_F(Blame, a_refusal_that_was_survived_is_not_blamed_for_what_follows) {
  REEVE_SKIP_UNDER_SANITIZERS();
  ResourcePool pool(context.get_executor(), one_worker(true));
  const auto exited =
      error_of<WorkerCrashedError>(context, call_once<&survive_and_exit>(pool, "exits"));
  ASSERT_TRUE(exited);
  EXPECT_EQ(exited->evidence().exit_status, 3);
  EXPECT_TRUE(
      error_of<WorkerLostError>(context, call_once<&survive_and_be_killed>(pool, "killed")));
  const auto crashed =
      error_of<WorkerCrashedError>(context, call_once<&survive_and_crash>(pool, "crashes"));
  ASSERT_TRUE(crashed);
  EXPECT_EQ(crashed->evidence().signal, SIGSEGV);
  EXPECT_EQ(pool.status().deaths.memory, 0u);
}

TEST_F(Blame, an_abort_after_a_refusal_that_nobody_caught_is_one_of_memory) {
  REEVE_SKIP_UNDER_SANITIZERS();
  ResourcePool pool(context.get_executor(), one_worker(true));
  const auto error =
      error_of<WorkerMemoryError>(context, call_once<&fail_in_a_thread>(pool, "fat"));
  ASSERT_TRUE(error);
  EXPECT_EQ(error->evidence().mechanism, "rlimit_data");
  EXPECT_EQ(error->evidence().memory_limit, 256_MiB);
  EXPECT_GT(error->evidence().memory_observed, 200_MiB) << "when it was refused";
}

// The same lease: what its first call was refused explains no crash of its second.
TEST_F(Blame, without_a_hard_limit_nothing_is_refused_by_it) {
  REEVE_SKIP_UNDER_SANITIZERS();
  ResourcePool pool(context.get_executor(), one_worker(false));
  const auto lease = run_in(context, hold(pool, "greedy"));
  EXPECT_THROW(run_in(context, lease->run<&be_refused>()), std::bad_alloc);
  EXPECT_TRUE(error_of<WorkerCrashedError>(context, lease->run<&crash>()));
  EXPECT_EQ(pool.status().deaths.memory, 0u);
}

// ------------------------------------------------------------------------------------------------
// The limit of one call.

void* touch_new(std::size_t mebibytes, int flags) {
  void* const memory =
      mmap(nullptr, mebibytes * mebibyte, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) _exit(77);
  std::memset(memory, 1, mebibytes * mebibyte);
  return memory;
}
void hold_memory(std::size_t mebibytes, int flags) {
  touch_new(mebibytes, flags);
  for (;;) pause();
}
std::size_t take_memory(std::size_t mebibytes) {
  munmap(touch_new(mebibytes, MAP_PRIVATE), mebibytes * mebibyte);
  return mebibytes;
}
void use_a_refused_malloc() {
  for (int i = 0; i < 1000; ++i) {
    auto* const block = static_cast<char*>(std::malloc(mebibyte));
    *static_cast<volatile char*>(block) = 1;
    kept = block;
  }
}

RunLimits memory_of_call(ByteSize memory) {
  RunLimits limits;
  limits.memory = memory;
  return limits;
}

TEST_F(Blame, the_watch_holds_the_memory_of_one_call) {
  REEVE_SKIP_WITH_SHADOW_MEMORY();
  for (const bool hard : {false, true}) {
    SCOPED_TRACE(hard ? "hard" : "watched only");
    ResourceConfig config = one_worker(hard);
    config.worker_memory = 1_GiB;
    ResourcePool pool(context.get_executor(), config);
    // What RLIMIT_DATA does not count when it is there.
    const int flags = hard ? MAP_SHARED : MAP_PRIVATE;
    auto lease = run_in(context, hold(pool, "two calls"));
    const auto error = error_of<WorkerMemoryError>(
        context, lease->run<&hold_memory>(memory_of_call(160_MiB), std::size_t{300}, int{flags}));
    ASSERT_TRUE(error);
    EXPECT_EQ(error->evidence().memory_limit, 160_MiB);
    EXPECT_GT(error->evidence().memory_observed, 160_MiB);
    EXPECT_EQ(error->evidence().mechanism, "resident memory");
    lease.reset();
    lease = run_in(context, hold(pool, "two calls"));
    EXPECT_EQ(run_in(context, lease->run<&take_memory>(memory_of_call(160_MiB), std::size_t{8})),
              8u);
    EXPECT_EQ(run_in(context, lease->run<&take_memory>(std::size_t{300})), 300u)
        << "the next call has the lease's limit again";
  }
}

TEST_F(Blame, a_crash_names_the_limit_of_its_call) {
  REEVE_SKIP_UNDER_SANITIZERS();
  ResourcePool pool(context.get_executor(), one_worker(true));
  const auto lease = run_in(context, hold(pool, "fat"));
  const auto error = error_of<WorkerMemoryError>(
      context, lease->run<&use_a_refused_malloc>(memory_of_call(64_MiB)));
  ASSERT_TRUE(error);
  EXPECT_EQ(error->evidence().memory_limit, 64_MiB);
}

TEST_F(Blame, time_of_a_call_counts_from_the_call) {
  for (const Isolation isolation : {Isolation::process, Isolation::thread}) {
    ResourceConfig config = one_worker(true);
    config.isolation = isolation;
    ResourcePool pool(context.get_executor(), config);
    const auto lease = run_in(context, hold(pool, "late"));
    run_in(context, pause_for(500ms));
    const auto error =
        error_of<WorkerTimeoutError>(context, lease->run<&nap>(RunLimits(100ms), 700));
    ASSERT_TRUE(error);
    EXPECT_EQ(error->evidence().time_limit, 100ms);
    EXPECT_GE(error->evidence().elapsed, 100ms);
    EXPECT_THAT(error->what(), HasSubstr("used its 0.100 s"));
  }
}

// An idle thread ends at once when the time of its lease is up: there is no watch to tell the
// limit.
TEST_F(Blame, time_of_an_idle_thread_is_that_of_its_lease) {
  ResourceConfig config = one_worker(true);
  config.isolation = Isolation::thread;
  config.worker_timeout = 100ms;
  ResourcePool pool(context.get_executor(), config);
  const auto lease = run_in(context, hold(pool, "idle"));
  EXPECT_TRUE(run_until(context, [&] { return lease->revoked(); }));
  try {
    lease->rethrow_cause();
    FAIL() << "it was not revoked";
  } catch (const WorkerTimeoutError& error) {
    EXPECT_EQ(error.evidence().time_limit, 100ms);
    EXPECT_GE(error.evidence().elapsed, 100ms);
  }
}

// ------------------------------------------------------------------------------------------------
// Children that may not be looked at closely.

void eat_in_hidden_children(int count, std::size_t mebibytes) {
  for (int i = 0; i < count; ++i) {
    if (fork() != 0) continue;
    prctl(PR_SET_DUMPABLE, 0);
    hold_memory(mebibytes, MAP_PRIVATE);
  }
  for (;;) pause();
}

TEST(BlameVictim, DISABLED_children_that_are_not_dumpable_count) {
  asio::io_context context;
  ResourceConfig config = one_worker(true);
  config.worker_timeout = 5s;
  ResourcePool pool(context.get_executor(), config);
  const auto error = error_of<WorkerMemoryError>(
      context, call_once<&eat_in_hidden_children>(pool, "hides", 2, std::size_t{160}));
  ASSERT_TRUE(error);
  EXPECT_GT(error->evidence().memory_observed, 256_MiB);
}

// 35: root may read everybody's maps, so this is for another user.
TEST(BlameOfChildren, that_hide_their_maps_is_for_all_they_have) {
  REEVE_SKIP_WITH_SHADOW_MEMORY();
  const pid_t victim = fork();
  if (victim == 0) {
    constexpr uid_t nobody = 65534;
    if (geteuid() == 0 &&
        (setresgid(nobody, nobody, nobody) != 0 || setresuid(nobody, nobody, nobody) != 0)) {
      _exit(77);
    }
    char program[] = "/proc/self/exe";
    char filter[] = "--gtest_filter=BlameVictim.*";
    char also[] = "--gtest_also_run_disabled_tests";
    char* arguments[] = {program, filter, also, nullptr};
    execv(program, arguments);
    _exit(77);
  }
  ASSERT_GT(victim, 0);
  int status = 0;
  ASSERT_EQ(waitpid(victim, &status, 0), victim);
  ASSERT_TRUE(WIFEXITED(status));
  if (WEXITSTATUS(status) == 77) GTEST_SKIP() << "no other user can be had";
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

}  // namespace
}  // namespace reeve::test
