// Workers that cannot start: those who wait are told why, and the pool comes back by itself.
#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>

#include "tests/pool/scenario_support.hpp"

namespace reeve::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;

/// What an executed worker does before main: dies as often as the file says, one byte a death.
const bool alive = [] {
  const char* path = std::getenv("REEVE_TEST_DIE_AT_START");
  struct stat file{};
  if (path == nullptr || stat(path, &file) != 0 || file.st_size == 0) return true;
  if (read_text("/proc/self/cmdline").find("reeve-worker") == std::string::npos) return true;
  if (truncate(path, file.st_size - 1) == 0) raise(SIGKILL);
  return true;
}();

/// What every copy of the program does before main, as one whose main returns before reeve::init.
const bool stays = [] {
  if (std::getenv("REEVE_TEST_LEAVE_BEFORE_INIT") != nullptr) _exit(1);
  return true;
}();

/// How many more workers shall die at their start; all, if there is no end of them.
class Deaths {
 public:
  explicit Deaths(std::size_t count) { std::ofstream(path_) << std::string(count, 'x'); }
  ~Deaths() { unlink(path_.c_str()); }
  std::size_t left() const { return read_text(path_).size(); }
  const std::string& path() const { return path_; }

 private:
  std::string path_ = "/tmp/reeve-deaths-" + std::to_string(getpid());
};

ResourceConfig executed_config(const Deaths& deaths) {
  ResourceConfig config = small_config();
  config.exec_each_worker = true;
  config.environment = {{"REEVE_TEST_DIE_AT_START", deaths.path()}};
  return config;
}

bool works(asio::io_context& context, ResourcePool& pool) {
  try {
    return run_in(context, call_once<&add>(pool, "again", 20, 22)) == 42;
  } catch (const Error&) {
    run_in(context, pause_for(20ms));
    return false;
  }
}

// 11, 60: a worker dies between its fork and its first call; each death costs a retry and no more.
TEST(PoolStartFailure, deaths_at_the_start_are_survived) {
  asio::io_context context;
  Deaths deaths(4);
  ResourcePool pool(context.get_executor(), executed_config(deaths));
  EXPECT_TRUE(run_until(context, [&] { return works(context, pool); }, 20s));
  EXPECT_EQ(deaths.left(), 0u);
  EXPECT_EQ((run_in(context, call_once<&add>(pool, "more", 1, 2))), 3);
  EXPECT_EQ(pool.status().active_tasks, 0u);
}

// UBSan takes descriptors to look at an object's type, and believes it broken without one.
#define REEVE_SKIP_WITHOUT_DESCRIPTORS() \
  if (sanitized) GTEST_SKIP() << "the sanitizer itself needs the descriptors that are taken away"

/// With few descriptors left nothing that needs one can be made.
class FewFiles {
 public:
  FewFiles() {
    getrlimit(RLIMIT_NOFILE, &before_);
    rlimit few = before_;
    few.rlim_cur = 3;  // those that are open stay open
    setrlimit(RLIMIT_NOFILE, &few);
  }
  ~FewFiles() { setrlimit(RLIMIT_NOFILE, &before_); }

 private:
  rlimit before_{};
};

// 60: EMFILE, from the warden's start on.
TEST(PoolStartFailure, without_descriptors_waiters_are_told_and_the_pool_recovers) {
  REEVE_SKIP_WITHOUT_DESCRIPTORS();
  asio::io_context context;
  ResourcePool pool(context.get_executor(), small_config());
  run_in(context, pause_for(1ms));
  {
    const FewFiles few;
    const auto error = error_of<PoolDegradedError>(context, call_once<&add>(pool, "none", 1, 2));
    ASSERT_TRUE(error);
    EXPECT_THAT(error->what(), AllOf(HasSubstr("could not be started"), HasSubstr("open files")));
    EXPECT_THROW(pool.try_acquire("while degraded"), PoolDegradedError);
  }
  EXPECT_TRUE(run_until(context, [&] { return works(context, pool); }, 20s));
  EXPECT_EQ(pool.status().spawns, 1u);
}

// 60: EMFILE in a pool that works: what lives goes on.
TEST(PoolStartFailure, without_descriptors_living_workers_go_on) {
  REEVE_SKIP_WITHOUT_DESCRIPTORS();
  asio::io_context context;
  ResourcePool pool(context.get_executor(), small_config());
  const auto lease = run_in(context, hold(pool, "lives"));
  {
    const FewFiles few;
    EXPECT_TRUE(error_of<PoolDegradedError>(context, call_once<&add>(pool, "second", 1, 2)));
    EXPECT_EQ(run_in(context, lease->run<&add>(1, 2)), 3);
  }
  EXPECT_TRUE(run_until(context, [&] { return works(context, pool); }, 20s));
  EXPECT_FALSE(lease->revoked());
}

// A main that looks at its arguments before reeve::init.
TEST(PoolStartFailure, copies_that_end_before_init_are_told_as_such) {
  asio::io_context context;
  ResourcePool pool(context.get_executor(), small_config());
  setenv("REEVE_TEST_LEAVE_BEFORE_INIT", "1", 1);
  const auto error = error_of<PoolDegradedError>(context, call_once<&add>(pool, "never", 1, 2));
  unsetenv("REEVE_TEST_LEAVE_BEFORE_INIT");
  ASSERT_TRUE(error);
  EXPECT_THAT(error->what(),
              AllOf(HasSubstr("before it came to reeve::init"), HasSubstr("first line of main")));
  EXPECT_TRUE(run_until(context, [&] { return works(context, pool); }, 20s));
}

asio::awaitable<void> warm_up_and_note(ResourcePool& pool, std::string& end) {
  try {
    co_await pool.warm_up(2);
    end = "ready";
  } catch (const PoolDegradedError&) {
    end = "degraded";
  }
}

// 60: whoever warms a pool up that cannot start workers is told, too.
TEST(PoolStartFailure, warm_up_does_not_wait_for_ever) {
  REEVE_SKIP_WITHOUT_DESCRIPTORS();
  asio::io_context context;
  ResourcePool pool(context.get_executor(), small_config());
  run_in(context, pause_for(1ms));
  std::string end;
  {
    const FewFiles few;
    spawn(context, warm_up_and_note(pool, end));
    EXPECT_TRUE(run_until(context, [&] { return !end.empty(); }));
    EXPECT_EQ(end, "degraded");
  }
  EXPECT_TRUE(run_until(context, [&] { return works(context, pool); }, 20s));
}

int never_return() {
  for (;;) pause();
}

// 61: an initializer has the time of a lease, not for ever.
TEST(PoolStartFailure, an_initializer_that_does_not_return_is_ended) {
  asio::io_context context;
  ResourceConfig config = small_config();
  config.worker_timeout = 50ms;
  config.initializer = Initializer::make<&never_return>();
  ResourcePool pool(context.get_executor(), config);
  const auto error = error_of<PoolDegradedError>(context, call_once<&add>(pool, "never", 1, 2));
  ASSERT_TRUE(error);
  EXPECT_THAT(error->what(), HasSubstr("initializer"));
}

// 61: a pool that nobody can start does not start again and again at full speed.
TEST(PoolStartFailure, a_broken_initializer_is_not_hammered) {
  asio::io_context context;
  ResourceConfig config = small_config();
  config.min_workers = 2;
  config.initializer = Initializer::make<&crash>();
  ResourcePool pool(context.get_executor(), config);
  EXPECT_TRUE(error_of<PoolDegradedError>(context, call_once<&add>(pool, "first", 1, 2)));
  const std::uint64_t spawns = pool.status().spawns;
  run_in(context, pause_for(200ms));
  EXPECT_LE(pool.status().spawns, spawns + 6) << "10, 50, 250 ms lie between two starts of a slot";
}

/// Files, channels too, cannot grow beyond 100 kB.
class SmallFiles {
 public:
  SmallFiles() : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    getrlimit(RLIMIT_FSIZE, &before_);
    rlimit small = before_;
    small.rlim_cur = 100'000;
    setrlimit(RLIMIT_FSIZE, &small);
  }
  ~SmallFiles() {
    setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }

 private:
  void (*handler_)(int);
  rlimit before_{};
};

void take_bytes(const std::vector<char>&) {}

// The executor sends an initializer: what goes wrong then is a failed start, and ends no program.
TEST(PoolStartFailure, an_initializer_that_cannot_be_sent_is_a_failed_start) {
  asio::io_context context;
  ResourceConfig config = small_config();
  config.max_workers = 1;
  config.initializer = Initializer::make<&take_bytes>(std::vector<char>(200'000));
  ResourcePool pool(context.get_executor(), config);
  expect_pool_works(context, pool);  // the warden and its board are there
  {
    const SmallFiles small;
    kill(pool.status().workers.at(0).pid, SIGKILL);
    ASSERT_TRUE(run_until(context, [&] { return pool.status().deaths.lost == 1; }));
    const auto error = error_of<PoolDegradedError>(context, hold(pool, "waits"));
    ASSERT_TRUE(error);
    EXPECT_THAT(error->what(), AllOf(HasSubstr("its initializer could not be sent"),
                                     HasSubstr("growing a channel")));
  }
  EXPECT_TRUE(run_until(context, [&] { return works(context, pool); }, 20s));
}

}  // namespace
}  // namespace reeve::test
