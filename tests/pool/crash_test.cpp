// Tasks that end their worker: integration tests with real processes and signals, bounds generous.
#include <reeve/pool/errors.hpp>

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <set>

#include "tests/pool/pool_test_support.hpp"

namespace reeve::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;

// The compiler must not know that a null pointer is written to.
int* volatile nowhere = nullptr;

#if defined(__clang__)
[[clang::no_sanitize("undefined")]]
#endif
void write_to_null() {
  *nowhere = 1;
}
void write_to_address(std::uint64_t address) {
  *reinterpret_cast<volatile int*>(address) = 1;
}
void read_behind_the_end_of_a_file() {
  const int file = memfd_create("short", 0);
  auto* page =
      static_cast<volatile char*>(mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0));
  *page = 1;
}
void leave_with(int status) {
  _exit(status);
}
void call_abort() {
  std::abort();
}
void signal_myself(int number) {
  kill(getpid(), number);
}
int recurse(int depth) {
  // All of it is needed: with small frames a sanitizer's record of the calls is full first.
  volatile char frame[4096];
  volatile char& used = frame[depth & 4095];
  used = static_cast<char>(depth);
  return depth < 0 ? 0 : recurse(depth + 1) + used;
}
[[gnu::noinline]] void throw_something() {
  throw std::runtime_error("out of a noexcept function");
}
void throw_from_noexcept() {
  []() noexcept { throw_something(); }();
}

class Crash : public testing::Test {
 protected:
  asio::io_context context;
  ResourcePool pool{context.get_executor(), small_config()};

  template <auto Fn, class... Args>
  WorkerCrashedError crash(Args... args) {
    auto error = error_of<WorkerCrashedError>(context, call_once<Fn>(pool, "culprit", args...));
    if (!error) return {"none", "none", {}, nullptr};
    EXPECT_THAT(error->what(), HasSubstr("'culprit'"));
    return *error;
  }
};

asio::awaitable<int> slow_sum(ResourcePool& pool, int first) {
  auto worker = co_await pool.acquire_worker("innocent");
  int sum = 0;
  for (int i = 0; i < 200; ++i) sum += co_await worker.run<&add>(first, i);
  co_return sum;
}

// 1: only the lease of the culprit fails, and the text names the signal and the address.
TEST_F(Crash, segmentation_fault_fails_its_own_lease_only) {
  run_in(context, pool.warm_up(2));
  std::optional<int> innocent;
  asio::co_spawn(context, slow_sum(pool, 1), [&](std::exception_ptr failure, int sum) {
    if (!failure) innocent = sum;
  });
  const WorkerCrashedError error = crash<&write_to_address>(std::uint64_t{0x1230});
  EXPECT_THAT(error.what(), AllOf(HasSubstr("SIGSEGV"), HasSubstr("0x1230"),
                                  HasSubstr("only this lease is lost")));
  EXPECT_EQ(error.evidence().signal, SIGSEGV);
  EXPECT_EQ(error.evidence().fault_address, 0x1230u);
  EXPECT_GT(error.evidence().pid, 0);
  EXPECT_EQ(error.task(), "culprit");
  EXPECT_TRUE(run_until(context, [&] { return innocent.has_value(); }));
  EXPECT_EQ(innocent, 200 + 199 * 200 / 2);
  expect_pool_works(context, pool);
  EXPECT_EQ(pool.status().deaths.crashed, 1u);
}

// 2: an exit with status 0 is an end without a result, and is reported at once.
TEST_F(Crash, exit_with_status_0_fails_promptly) {
  const auto started = std::chrono::steady_clock::now();
  const WorkerCrashedError error = crash<&leave_with>(0);
  EXPECT_LT(seconds_since(started), 2.0);
  EXPECT_EQ(error.evidence().exit_status, 0);
  EXPECT_EQ(error.evidence().signal, 0);
  EXPECT_THAT(error.what(), HasSubstr("exited with status 0"));
  expect_pool_works(context, pool);
}

// 3: every way to end has its text.
TEST_F(Crash, the_text_tells_how_the_worker_ended) {
  EXPECT_THAT(crash<&leave_with>(3).what(), HasSubstr("exited with status 3"));
  EXPECT_THAT(crash<&call_abort>().what(), HasSubstr("died by SIGABRT"));
  EXPECT_THAT(crash<&signal_myself>(SIGTERM).what(), HasSubstr("died by SIGTERM"));
  EXPECT_THAT(crash<&signal_myself>(SIGFPE).what(), HasSubstr("died by SIGFPE"));
  EXPECT_THAT(crash<&signal_myself>(SIGILL).what(), HasSubstr("died by SIGILL"));
  EXPECT_THAT(crash<&read_behind_the_end_of_a_file>().what(), HasSubstr("died by SIGBUS"));
  EXPECT_THAT(crash<&write_to_null>().what(), HasSubstr("died by SIGSEGV"));
  const WorkerCrashedError overflow = crash<&recurse>(0);
  EXPECT_THAT(overflow.what(), AllOf(HasSubstr("died by SIGSEGV"), HasSubstr("stack overflow")));
  expect_pool_works(context, pool);
}

// 3: SIGKILL is nothing that the task did.
TEST_F(Crash, sigkill_from_outside_is_a_lost_worker) {
  const auto error =
      error_of<WorkerLostError>(context, call_once<&signal_myself>(pool, "victim", 9));
  ASSERT_TRUE(error);
  EXPECT_THAT(error->what(), AllOf(HasSubstr("'victim'"), HasSubstr("SIGKILL")));
  EXPECT_EQ(error->evidence().signal, SIGKILL);
  EXPECT_EQ(pool.status().deaths.lost, 1u);
  expect_pool_works(context, pool);
}

// 15: std::terminate in the worker is a crash.
TEST_F(Crash, a_throw_from_a_noexcept_function_is_a_crash) {
  EXPECT_THAT(crash<&throw_from_noexcept>().what(), HasSubstr("SIGABRT"));
  expect_pool_works(context, pool);
}

// 6: arguments live until the result is encoded; one whose destructor crashes fails its own lease.
struct CrashesWhenDestroyed {
  int value = 0;
  bool armed = false;
  CrashesWhenDestroyed() = default;
  CrashesWhenDestroyed(CrashesWhenDestroyed&& other) noexcept
      : value(other.value), armed(std::exchange(other.armed, false)) {}
  ~CrashesWhenDestroyed() {
    if (armed) std::abort();
  }
};

}  // namespace
}  // namespace reeve::test

template <>
struct reeve::codec::Codec<reeve::test::CrashesWhenDestroyed> {
  static void encode(Writer& writer, const reeve::test::CrashesWhenDestroyed& object) {
    writer.write_size(static_cast<std::uint64_t>(object.value));
  }
  static reeve::test::CrashesWhenDestroyed decode(Reader& reader) {
    reeve::test::CrashesWhenDestroyed object;
    object.value = static_cast<int>(reader.read_size());
    object.armed = true;
    return object;
  }
};

namespace reeve::test {
namespace {

int value_of(const CrashesWhenDestroyed& object) {
  return object.value;
}

asio::awaitable<int> call_value_of(ResourcePool& pool) {
  auto worker = co_await pool.acquire_worker("culprit");
  CrashesWhenDestroyed object;
  object.value = 7;
  co_return co_await worker.run<&value_of>(object);
}

TEST_F(Crash, destructor_of_an_argument_fails_its_lease_and_no_other) {
  const auto error = error_of<WorkerCrashedError>(context, call_value_of(pool));
  ASSERT_TRUE(error);
  EXPECT_THAT(error->what(), HasSubstr("SIGABRT"));
  expect_pool_works(context, pool);
}

// 6: what dies after its reply keeps the result.
int die_soon_after(int value) {
  std::thread([] {
    usleep(20'000);
    _exit(9);
  }).detach();
  return value;
}

asio::awaitable<int> call_and_hold(ResourcePool& pool, bool& lost_later) {
  auto worker = co_await pool.acquire_worker("culprit");
  const int value = co_await worker.run<&die_soon_after>(5);
  co_await worker.wait_revoked();
  try {
    worker.rethrow_cause();
  } catch (const WorkerCrashedError& error) {
    lost_later = error.evidence().exit_status == 9;
  }
  co_return value;
}

TEST_F(Crash, a_crash_after_the_result_keeps_the_result) {
  bool lost_later = false;
  EXPECT_EQ(run_in(context, call_and_hold(pool, lost_later)), 5);
  EXPECT_TRUE(lost_later);
  expect_pool_works(context, pool);
}

// 14: each throw has its own exception object.
asio::awaitable<void> collect_causes(ResourcePool& pool, std::vector<std::exception_ptr>& causes) {
  auto worker = co_await pool.acquire_worker("culprit");
  for (int i = 0; i < 3; ++i) {
    try {
      co_await worker.run<&call_abort>();
    } catch (...) {
      causes.push_back(std::current_exception());
    }
  }
}

TEST_F(Crash, every_throw_builds_its_own_exception) {
  std::vector<std::exception_ptr> causes;
  run_in(context, collect_causes(pool, causes));
  ASSERT_EQ(causes.size(), 3u);
  std::set<const void*> objects;
  std::set<std::string> texts;
  for (const auto& cause : causes) {
    try {
      std::rethrow_exception(cause);
    } catch (const WorkerCrashedError& error) {
      objects.insert(&error);
      texts.insert(error.what());
    }
  }
  EXPECT_EQ(objects.size(), 3u) << "two waiters share one exception";
  EXPECT_EQ(texts.size(), 1u) << "a revoked lease tells the same cause each time";
}

// 18: after exec() the worker is another program; its end is the end of the worker.
void become_another_program() {
  execl("/bin/sh", "sh", "-c", "exit 7", nullptr);
}
void become_a_sleeping_program() {
  execl("/bin/sleep", "sleep", "100", nullptr);
}

TEST_F(Crash, exec_in_a_task_ends_its_lease) {
  EXPECT_THAT(crash<&become_another_program>().what(), HasSubstr("exited with status 7"));
  expect_pool_works(context, pool);
}

asio::awaitable<void> exec_with_limit(ResourcePool& pool) {
  auto worker = co_await pool.acquire_worker("sleeper");
  co_await worker.run<&become_a_sleeping_program>(RunLimits(100ms));
}

TEST_F(Crash, exec_of_a_program_that_stays_meets_the_time_limit) {
  EXPECT_TRUE(error_of<WorkerTimeoutError>(context, exec_with_limit(pool)));
  expect_pool_works(context, pool);
}

// 13: workers that kill each other. Each lease has one end, and the pool goes on.
std::string kill_all_of(std::vector<int> pids) {
  for (const int pid : pids) {
    if (pid != getpid()) kill(pid, SIGKILL);
  }
  return "done";
}

asio::awaitable<void> join_the_fight(std::shared_ptr<WorkerLease> worker, std::vector<int> pids,
                                     int& ends) {
  try {
    co_await worker->run<&kill_all_of>(pids);
  } catch (const WorkerLostError&) {
  }
  ++ends;
}

TEST(CrashRaces, workers_kill_each_other) {
  for (const std::size_t count : {1u, 2u, 5u, 13u}) {
    asio::io_context context;
    ResourceConfig config = small_config();
    config.max_workers = count;
    ResourcePool pool(context.get_executor(), config);
    std::vector<std::shared_ptr<WorkerLease>> leases;
    std::vector<int> pids;
    for (std::size_t i = 0; i < count; ++i) {
      leases.push_back(run_in(context, hold(pool, "fighter")));
      pids.push_back(leases.back()->pid());
    }
    int ends = 0;
    for (const auto& lease : leases) {
      spawn(context, join_the_fight(lease, pids, ends));
    }
    leases.clear();
    EXPECT_TRUE(run_until(context, [&] { return ends == static_cast<int>(count); }));
    // Who lost its worker after its reply finds out at the next acquire, at the latest.
    EXPECT_TRUE(run_until(context, [&] { return pool.status().active_tasks == 0; }));
    EXPECT_TRUE(run_until(context, [&] { return pool.status().available_workers == count; }));
    expect_pool_works(context, pool);
  }
}

}  // namespace
}  // namespace reeve::test
