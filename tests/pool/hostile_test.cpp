// Tasks and callbacks without manners (scenarios 16, 17, 19).
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "process/layout.hpp"
#include "process/protocol.hpp"
#include "tests/pool/scenario_support.hpp"

namespace reeve::test {
namespace {

using testing::HasSubstr;

ResourceConfig one_worker() {
  ResourceConfig config = small_config();
  config.max_workers = 1;
  return config;
}

/// Runs the context until `done()`; exceptions that come out of it are counted.
template <class Done>
int count_throws_until(asio::io_context& context, Done done) {
  int thrown = 0;
  const auto until = Clock::now() + 10s;
  while (!done() && Clock::now() < until) {
    try {
      context.restart();
      context.run_for(2ms);
    } catch (const std::runtime_error&) {
      ++thrown;
    }
  }
  EXPECT_TRUE(done());
  return thrown;
}

// ------------------------------------------------------------------------------------------------
// Completion callbacks that throw, ask for more, or end the pool.

// 16
TEST(PoolCallback, that_throws_reaches_whoever_runs_the_context_and_nothing_else) {
  asio::io_context context;
  ResourcePool pool(context.get_executor(), small_config());
  int ends = 0;
  for (int i = 0; i < 10; ++i) {
    asio::co_spawn(context, call_once<&add>(pool, "task", i, 1), [&](std::exception_ptr, int) {
      ++ends;
      throw std::runtime_error("from a callback");
    });
  }
  EXPECT_EQ(count_throws_until(context, [&] { return ends == 10; }), 10);
  EXPECT_TRUE(run_until(context, [&] { return pool.status().active_tasks == 0; }));
  EXPECT_EQ(pool.status().deaths.lost, 0u);
  expect_pool_works(context, pool);
}

int report_and_return(int value) {
  this_worker::report_progress(50, "half");
  return value;
}

asio::awaitable<void> run_with_sink(ResourcePool& pool, RunLimits::ProgressSink sink, int& result) {
  auto worker = co_await pool.acquire_worker("reports");
  RunLimits limits;
  limits.progress = std::move(sink);
  result = co_await worker.run<&report_and_return>(limits, 8);
}

void submit_again(asio::io_context& context, ResourcePool& pool, int left, int& sum) {
  asio::co_spawn(context, call_once<&add>(pool, "again", left, 0),
                 [&, left](std::exception_ptr failure, int value) {
                   if (failure) return;
                   sum += value;
                   if (left > 1) submit_again(context, pool, left - 1, sum);
                 });
}

// 16
TEST(PoolCallback, that_submits_again) {
  asio::io_context context;
  ResourcePool pool(context.get_executor(), one_worker());
  int sum = 0;
  submit_again(context, pool, 200, sum);
  EXPECT_TRUE(run_until(context, [&] { return sum == 200 * 201 / 2; }));
}

// 16, 64
TEST(PoolCallback, that_shuts_the_pool_down) {
  asio::io_context context;
  ResourcePool pool(context.get_executor(), one_worker());
  std::optional<ShutdownReport> report;
  int ended = 0;
  std::size_t refused = 0;
  for (int i = 0; i < 5; ++i) {
    asio::co_spawn(context, call_once<&add>(pool, "task", i, 1),
                   [&, i](std::exception_ptr failure, int) {
                     ++ended;
                     refused += failure != nullptr;
                     if (i != 0) return;
                     asio::co_spawn(context, pool.shutdown(ShutdownMode::cancel_pending, 5s),
                                    [&](std::exception_ptr, ShutdownReport r) { report = r; });
                   });
  }
  EXPECT_TRUE(run_until(context, [&] { return report.has_value() && ended == 5; }));
  EXPECT_FALSE(report->deadline_reached);
  EXPECT_GE(refused, 3u) << "one may have had its worker before the callback ran";
  EXPECT_EQ(report->cancelled, refused);
}

// 16, 64
TEST(PoolCallback, of_progress_that_shuts_the_pool_down) {
  asio::io_context context;
  ResourcePool pool(context.get_executor(), one_worker());
  std::optional<ShutdownReport> report;
  int result = 0;
  RunLimits::ProgressSink sink = [&](double, std::string_view) {
    asio::co_spawn(context, pool.shutdown(ShutdownMode::drain, 5s),
                   [&](std::exception_ptr, ShutdownReport r) { report = r; });
  };
  spawn(context, run_with_sink(pool, sink, result));
  EXPECT_TRUE(run_until(context, [&] { return report.has_value(); }));
  EXPECT_EQ(result, 8) << "what ran was allowed to end";
}

// ------------------------------------------------------------------------------------------------
// Tasks that use descriptors that are not theirs.

std::size_t print_much(int fd, std::size_t bytes) {
  const std::string line(4096, '#');
  std::size_t sent = 0;
  while (sent < bytes) {
    const ssize_t n = write(fd, line.data(), line.size());
    if (n <= 0) break;
    sent += static_cast<std::size_t>(n);
  }
  const std::string last = "last words\n";
  [[maybe_unused]] const auto n = write(fd, last.data(), last.size());
  return sent;
}
std::size_t print_much_and_crash(int fd, std::size_t bytes) {
  print_much(fd, bytes);
  raise(SIGSEGV);
  return 0;
}

// 17
TEST(PoolHostile, ten_megabytes_of_output_are_taken_and_the_tail_is_kept) {
  asio::io_context context;
  ResourceConfig config = small_config();
  config.output = Output::capture;
  ResourcePool pool(context.get_executor(), config);
  constexpr std::size_t much = 10u << 20;
  for (const int fd : {1, 2}) {
    EXPECT_GE((run_in(context, call_once<&print_much>(pool, "prints", fd, much))), much);
    const auto error = error_of<WorkerCrashedError>(
        context, call_once<&print_much_and_crash>(pool, "prints", fd, much));
    ASSERT_TRUE(error);
    EXPECT_LE(error->evidence().output_tail.size(), 2048u);
    EXPECT_THAT(error->evidence().output_tail, HasSubstr("###last words"))
        << "the end of the output, not its beginning";
    EXPECT_THAT(error->what(), HasSubstr("last words"));
  }
  expect_pool_works(context, pool);
}

int close_everything() {
  syscall(SYS_close_range, 3u, ~0u, 0u);
  std::this_thread::sleep_for(20ms);  // the program sleeps by now and needs a bell
  return 1;
}

int write_to_low_descriptors() {
  const std::string garbage(512, '\xee');
  for (int fd = 3; fd <= 100; ++fd) {
    [[maybe_unused]] const auto n = write(fd, garbage.data(), garbage.size());
    [[maybe_unused]] const auto m = send(fd, garbage.data(), garbage.size(), MSG_NOSIGNAL);
  }
  return 2;
}

// 17
TEST(PoolHostile, a_task_that_closes_every_descriptor_costs_one_worker_at_most) {
  asio::io_context context;
  ResourcePool pool(context.get_executor(), one_worker());
  for (int i = 0; i < 3; ++i) {
    try {
      EXPECT_EQ(run_in(context, call_once<&close_everything>(pool, "closes")), 1);
    } catch (const WorkerCrashedError&) {
    }
    EXPECT_TRUE(run_until(context, [&] { return pool.status().active_tasks == 0; }));
    expect_pool_works(context, pool);
  }
}

// 17
TEST(PoolHostile, garbage_on_low_descriptors_hits_nothing) {
  asio::io_context context;
  ResourcePool pool(context.get_executor(), one_worker());
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(run_in(context, call_once<&write_to_low_descriptors>(pool, "writes")), 2);
  }
  EXPECT_EQ(pool.status().spawns, 1u);
}

int cut_and_overwrite_every_descriptor() {
  const std::string garbage(512, '\0');
  for (int fd = 3; fd <= 1023; ++fd) {
    if (fd == process::worker_bell_fd) continue;  // its own: a worker that rings is heard
    [[maybe_unused]] const auto n = pwrite(fd, garbage.data(), garbage.size(), 0);
    [[maybe_unused]] const auto cut = ftruncate(fd, 0);
  }
  return 3;
}
int answer_when_the_program_sleeps() {
  std::this_thread::sleep_for(20ms);
  return 4;
}

asio::awaitable<void> cut_within_a_second(ResourcePool& pool) {
  auto worker = co_await pool.acquire_worker("cuts");
  const RunLimits limits(1000ms);
  try {
    co_await worker.run<&cut_and_overwrite_every_descriptor>(limits);
  } catch (const Error&) {  // it may have overwritten its own request
  }
}

// 17: what all workers of a pool see is not theirs to cut or to write.
TEST(PoolHostile, cutting_and_overwriting_every_descriptor_harms_nobody_else) {
  asio::io_context context;
  ResourcePool pool(context.get_executor(), small_config());
  const auto innocent = run_in(context, hold(pool, "innocent"));
  for (int i = 0; i < 3; ++i) {
    run_in(context, cut_within_a_second(pool));
    EXPECT_EQ(run_in(context, innocent->run<&answer_when_the_program_sleeps>()), 4);
  }
  EXPECT_FALSE(innocent->revoked());
}

/// What a wild pointer in a task could do to the page that it shares with the program: from a
/// thread of its own, while replies are written and after them.
enum class Lie : int { kind, offset, size, request, everything };

process::ChannelHeader& channel_of_this_worker() {
  void* page = mmap(nullptr, process::channel_header_bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
                    process::worker_channel_fd, 0);
  return *static_cast<process::ChannelHeader*>(page);
}

int lie_for_ever(int lie) {
  std::thread([lie] {
    process::ChannelHeader& channel = channel_of_this_worker();
    volatile process::ChannelHeader& page = channel;
    for (std::uint64_t bits = 0x9e3779b97f4a7c15u;; bits = bits * 6364136223846793005u + 1) {
      const auto what = static_cast<Lie>(lie);
      if (what == Lie::kind) page.reply_kind = static_cast<std::uint32_t>(bits >> 40);
      if (what == Lie::offset) page.reply_offset = bits;
      if (what == Lie::size) page.reply_bytes = bits >> (bits % 40);
      if (what == Lie::request) channel.request.store(static_cast<std::uint32_t>(bits >> 20));
      if (what == Lie::everything) {
        auto* bytes = reinterpret_cast<volatile unsigned char*>(&channel);
        bytes[(bits >> 16) % process::channel_header_bytes] =
            static_cast<unsigned char>(bits >> 50);
      }
    }
  }).detach();
  std::this_thread::sleep_for(2ms);
  return 5;
}

asio::awaitable<void> call_a_liar(ResourcePool& pool, int lie, int& ended) {
  try {
    auto worker = co_await pool.acquire_worker("liar");
    for (int i = 0; i < 20; ++i) {
      const RunLimits limits(200ms);
      if (i == 0) {
        co_await worker.run<&lie_for_ever>(limits, lie);
      } else {
        co_await worker.run<&add>(limits, i, i);
      }
    }
  } catch (const Error&) {  // timeout, crash, or an answer that makes no sense
  } catch (const std::exception&) {
  }
  ++ended;
}

// 17
TEST(PoolHostile, a_worker_that_lies_about_its_replies_harms_nobody_else) {
  asio::io_context context;
  ResourcePool pool(context.get_executor(), small_config());
  const auto innocent = run_in(context, hold(pool, "innocent"));
  for (int lie = 0; lie <= static_cast<int>(Lie::everything); ++lie) {
    int ended = 0;
    spawn(context, call_a_liar(pool, lie, ended));
    EXPECT_TRUE(run_until(context, [&] { return ended == 1; }, 20s)) << "lie " << lie;
    EXPECT_EQ(run_in(context, innocent->run<&add>(20, 22)), 42);
    // A liar is not reused: it is dead, or known as dirty.
    const auto settled = [&] { return pool.status().active_tasks == 1; };
    EXPECT_TRUE(run_until(context, settled)) << "lie " << lie;
  }
  EXPECT_FALSE(innocent->revoked());
}

// ------------------------------------------------------------------------------------------------
// What a task changes about its process does not reach the next lease.

struct Surroundings {
  std::string directory;
  std::string variable;
  unsigned mask = 0;
  int blocked = 0;
  unsigned long files = 0;
  bool operator==(const Surroundings&) const = default;
};

Surroundings look_around() {
  Surroundings seen;
  char path[4096];
  if (getcwd(path, sizeof path) != nullptr) seen.directory = path;
  if (const char* value = std::getenv("REEVE_TEST_LEFT_BEHIND")) seen.variable = value;
  seen.mask = umask(0);
  umask(static_cast<mode_t>(seen.mask));
  sigset_t blocked;
  pthread_sigmask(SIG_SETMASK, nullptr, &blocked);
  for (int number = 1; number < 32; ++number) seen.blocked += sigismember(&blocked, number);
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  seen.files = files.rlim_cur;
  return seen;
}

enum class Change : int { directory, variable, mask, signals, files };

int change_surroundings(int change) {
  switch (static_cast<Change>(change)) {
    case Change::directory:
      return chdir("/");
    case Change::variable:
      return setenv("REEVE_TEST_LEFT_BEHIND", "rubbish", 1);
    case Change::mask:
      return umask(0) == 0777;
    case Change::signals: {
      sigset_t all;
      sigfillset(&all);
      return pthread_sigmask(SIG_SETMASK, &all, nullptr);
    }
    case Change::files: {
      rlimit files{};
      getrlimit(RLIMIT_NOFILE, &files);
      files.rlim_cur = 600;
      const int changed = setrlimit(RLIMIT_NOFILE, &files);
      std::this_thread::sleep_for(1ms);  // tasks of microseconds are checked now and then only
      return changed;
    }
  }
  return -1;
}

// 19
TEST(PoolHostile, the_next_lease_finds_the_surroundings_as_they_were) {
  asio::io_context context;
  ResourcePool pool(context.get_executor(), one_worker());
  const Surroundings before = run_in(context, call_once<&look_around>(pool, "before"));
  for (int change = 0; change <= static_cast<int>(Change::files); ++change) {
    ASSERT_EQ((run_in(context, call_once<&change_surroundings>(pool, "changes", change))), 0);
    const Surroundings after = run_in(context, call_once<&look_around>(pool, "after"));
    EXPECT_EQ(after.directory, before.directory) << "change " << change;
    EXPECT_EQ(after.variable, before.variable) << "change " << change;
    EXPECT_EQ(after.mask, before.mask) << "change " << change;
    EXPECT_EQ(after.blocked, before.blocked) << "change " << change;
    EXPECT_EQ(after.files, before.files) << "change " << change;
  }
}

}  // namespace
}  // namespace reeve::test
