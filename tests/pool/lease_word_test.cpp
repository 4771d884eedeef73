// What a lease says of its worker, and what a task says to its lease, in unusual moments.
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>

#include "tests/pool/scenario_support.hpp"

namespace reeve::test {
namespace {

constexpr std::size_t mebibyte = 1 << 20;

ResourceConfig one_worker() {
  ResourceConfig config = small_config();
  config.max_workers = 1;
  return config;
}

// The view of its device that a lease gave stays where it is while the pool grows.
TEST(LeaseSays, its_device_as_long_as_it_lives) {
  asio::io_context context;
  ResourceConfig config = small_config();
  config.isolation = Isolation::thread;
  config.max_workers = 16;
  config.devices = {"cuda:0"};
  ResourcePool pool(context.get_executor(), config);
  std::vector<std::shared_ptr<WorkerLease>> leases{run_in(context, hold(pool, "first"))};
  const std::string_view device = leases[0]->device();
  for (int i = 1; i < 16; ++i) leases.push_back(run_in(context, hold(pool, "more")));
  ASSERT_EQ(leases[0]->device().data(), device.data());
  EXPECT_EQ(device, "cuda:0");
}

// Sizes whose sum is small again give no buffer that lies in another.
TEST(LeaseSays, no_to_buffers_beyond_its_window) {
  asio::io_context context;
  ResourcePool pool(context.get_executor(), one_worker());
  const auto lease = run_in(context, hold(pool, "buffers"));
  const std::span<char> first = lease->make_buffer<char>(128);
  EXPECT_THROW((void)lease->make_buffer<char>(std::size_t{0} - 1), std::bad_alloc);
  for (const std::size_t back : {64u, 100u, 128u, 192u, 200u}) {
    EXPECT_THROW((void)lease->make_buffer<char>(std::size_t{0} - back), codec::EncodeError) << back;
  }
  const std::span<char> second = lease->make_buffer<char>(64);
  EXPECT_GE(second.data(), first.data() + first.size());
}

int live_with_a_fat_child(std::size_t mebibytes) {
  if (fork() != 0) {
    for (;;) pause();
  }
  void* const memory = mmap(nullptr, mebibytes * mebibyte, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory != MAP_FAILED) std::memset(memory, 1, mebibytes * mebibyte);
  for (;;) pause();
}

int keep_of_own_memory(std::size_t mebibytes) {
  void* const block = this_worker::memory()->allocate(mebibytes * mebibyte);
  while (!this_worker::stop_requested()) usleep(1000);
  this_worker::memory()->deallocate(block, mebibytes * mebibyte);
  return 0;
}

TEST(LeaseSays, what_its_whole_tree_uses) {
  asio::io_context context;
  ResourcePool pool(context.get_executor(), one_worker());
  const auto lease = run_in(context, hold(pool, "tree"));
  const ByteSize alone = lease->memory_usage();
  EXPECT_GT(alone, 0_B);
  asio::co_spawn(context, lease->run<&live_with_a_fat_child>(std::size_t{100}),
                 [](std::exception_ptr, int) {});
  EXPECT_TRUE(run_until(context, [&] { return lease->memory_usage() >= alone + 100_MiB; }));
}

TEST(LeaseSays, what_a_thread_took_of_its_memory) {
  asio::io_context context;
  ResourceConfig config = one_worker();
  config.isolation = Isolation::thread;
  ResourcePool pool(context.get_executor(), config);
  const auto lease = run_in(context, hold(pool, "thread"));
  EXPECT_EQ(lease->memory_usage(), 0_B);
  bool ended = false;
  asio::co_spawn(context, lease->run<&keep_of_own_memory>(std::size_t{10}),
                 [&](std::exception_ptr, int) { ended = true; });
  EXPECT_TRUE(run_until(context, [&] { return lease->memory_usage() == 10_MiB; }));
  EXPECT_TRUE(pool.request_stop(lease->key()));
  EXPECT_TRUE(run_until(context, [&] { return ended; }));
}

// ------------------------------------------------------------------------------------------------

void report_for_ever() {
  const std::string note(120, 'n');  // takes its time
  for (;;) this_worker::report_progress(50, note);
}

int report_from_threads(int count) {
  const std::string note(120, 'n');
  std::vector<std::jthread> threads;
  for (int i = 0; i < count; ++i) {
    threads.emplace_back([&note] {
      for (int report = 0; report < 100'000; ++report) this_worker::report_progress(50, note);
    });
  }
  return count;
}

// It is killed in the middle of a report, most likely.
int report_from_a_child(int) {
  const pid_t child = fork();
  if (child == 0) report_for_ever();
  usleep(3000);
  kill(child, SIGKILL);
  return waitpid(child, nullptr, 0) == child ? 1 : 0;
}

int report_slowly(int count) {
  for (int i = 1; i <= count; ++i) {
    this_worker::report_progress(100.0 * i / count);
    usleep(20'000);
  }
  return count;
}

// Disturbs the reports of a lease ten times, and listens to its next call.
template <auto Disturb>
void expect_reports_after() {
  asio::io_context context;
  ResourcePool pool(context.get_executor(), one_worker());
  const auto lease = run_in(context, hold(pool, "noisy"));
  for (int round = 0; round < 10; ++round) {
    EXPECT_GT(run_in(context, lease->run<Disturb>(4)), 0);
    int reports = 0;
    RunLimits limits;
    limits.progress = [&](double, std::string_view) { ++reports; };
    EXPECT_EQ(run_in(context, lease->run<&report_slowly>(limits, 5)), 5);
    EXPECT_GT(reports, 0) << "in round " << round;
  }
}

// Reports of several threads at once neither mix nor silence those that follow.
TEST(LeaseHears, reports_after_many_threads_reported_at_once) {
  expect_reports_after<&report_from_threads>();
}
TEST(LeaseHears, reports_after_a_child_was_killed_in_one) {
  expect_reports_after<&report_from_a_child>();
}

// ------------------------------------------------------------------------------------------------

void take_400_ms() {
  usleep(400'000);
}

// The soft limit passes while the next worker's initializer runs: the call hears of it, though it
// begins later.
TEST(LeaseHears, of_a_soft_limit_that_passed_between_two_workers) {
  asio::io_context context;
  ResourceConfig config = one_worker();
  config.worker_timeout = 15s;
  config.initializer = Initializer::make<&take_400_ms>();
  ResourcePool pool(context.get_executor(), config);
  const auto lease = run_in(context, hold(pool, "soft"));
  kill(lease->pid(), SIGKILL);
  ASSERT_TRUE(run_until(context, [&] { return lease->pid() == 0; }));
  RunLimits limits;
  limits.soft_timeout = 50ms;
  EXPECT_GE(run_in(context, lease->run<&work_until_stopped>(limits)), 0);
  EXPECT_FALSE(lease->revoked());
}

}  // namespace
}  // namespace reeve::test
