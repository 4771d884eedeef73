// What ResourceConfig promises about workers: when they are replaced or ended, and what they find
// around them.
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <filesystem>
#include <memory_resource>

#include "tests/pool/scenario_support.hpp"

namespace reeve::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;

ResourceConfig one_worker() {
  ResourceConfig config = small_config();
  config.max_workers = 1;
  return config;
}

// ------------------------------------------------------------------------------------------------
// Recycling

TEST(PoolRecycle, after_so_many_leases) {
  asio::io_context context;
  ResourceConfig config = one_worker();
  config.recycle.tasks_max = 3;
  ResourcePool pool(context.get_executor(), config);
  std::vector<int> pids;
  for (int i = 0; i < 9; ++i) pids.push_back(run_in(context, call_once<&own_pid>(pool, "who")));
  for (int i = 0; i < 9; ++i)
    EXPECT_EQ(pids[static_cast<std::size_t>(i)], pids[static_cast<std::size_t>(i / 3 * 3)]);
  EXPECT_NE(pids[0], pids[3]);
  EXPECT_NE(pids[3], pids[6]);
  EXPECT_TRUE(run_until(context, [&] { return pool.status().deaths.recycled == 3; }));
  EXPECT_EQ(pool.status().deaths.lost, 0u);
}

TEST(PoolRecycle, after_some_time) {
  asio::io_context context;
  ResourceConfig config = one_worker();
  config.recycle.age_max = 50ms;
  const auto started = Clock::now();  // an age counts from the start, not from the first lease
  ResourcePool pool(context.get_executor(), config);
  run_in(context, pool.warm_up(1));
  const int first = run_in(context, call_once<&own_pid>(pool, "who"));
  int pid = first;
  while (pid == first && Clock::now() - started < 10s) {
    run_in(context, pause_for(5ms));
    pid = run_in(context, call_once<&own_pid>(pool, "who"));
  }
  EXPECT_NE(pid, first);
  EXPECT_GE(Clock::now() - started, 40ms);
}

TEST(PoolRecycle, when_its_lease_is_discarded) {
  asio::io_context context;
  ResourcePool pool(context.get_executor(), one_worker());
  auto lease = run_in(context, hold(pool, "discards"));
  const int pid = lease->pid();
  std::move(*lease).discard();
  EXPECT_NE(run_in(context, call_once<&own_pid>(pool, "who")), pid);
  EXPECT_TRUE(run_until(context, [&] { return !is_alive(pid); }));
}

// ------------------------------------------------------------------------------------------------
// Idle workers

TEST(PoolIdle, workers_above_the_minimum_end_after_their_time) {
  asio::io_context context;
  ResourceConfig config = small_config();
  config.max_workers = 4;
  config.min_workers = 1;
  config.idle_timeout = 40ms;
  ResourcePool pool(context.get_executor(), config);
  run_in(context, pool.warm_up(4));
  const auto idle_since = Clock::now();
  EXPECT_TRUE(run_until(context, [&] { return pool.status().live_workers == 1; }));
  EXPECT_GE(Clock::now() - idle_since, 20ms);
  run_in(context, pause_for(100ms));
  EXPECT_EQ(pool.status().live_workers, 1u) << "the minimum stays";
  EXPECT_EQ(pool.status().available_workers, 4u) << "others can be had all the same";
  expect_pool_works(context, pool);
}

TEST(PoolIdle, a_lease_is_not_idle) {
  asio::io_context context;
  ResourceConfig config = one_worker();
  config.idle_timeout = 20ms;
  ResourcePool pool(context.get_executor(), config);
  const auto lease = run_in(context, hold(pool, "thinks"));
  run_in(context, pause_for(100ms));
  EXPECT_EQ(run_in(context, lease->run<&own_pid>()), lease->pid());
  EXPECT_EQ(pool.status().spawns, 1u);
}

// ------------------------------------------------------------------------------------------------
// Surroundings

std::string variable(std::string name) {
  const char* value = std::getenv(name.c_str());
  return value != nullptr ? value : "(none)";
}
std::string directory() {
  return std::filesystem::current_path().string();
}
unsigned mode_of_a_new_file(std::string path) {
  close(open(path.c_str(), O_CREAT | O_WRONLY, 0777));
  struct stat file{};
  stat(path.c_str(), &file);
  unlink(path.c_str());
  return file.st_mode & 0777;
}
int own_priority() {
  return getpriority(PRIO_PROCESS, 0);
}
std::string capabilities_line() {
  const std::string status = read_text("/proc/self/status");
  const auto at = status.find("CapEff:");
  return status.substr(at, status.find('\n', at) - at);
}

TEST(PoolSurroundings, are_those_of_the_configuration) {
  asio::io_context context;
  ResourceConfig config = one_worker();
  config.environment = {{"REEVE_TEST_A", "first = 1"}, {"REEVE_TEST_B", ""}, {"PATH", "/only"}};
  config.working_directory = "/tmp";
  config.file_mask = 027;
  config.nice = 5;
  ResourcePool pool(context.get_executor(), config);
  const auto ask = [&](const char* name) {
    return run_in(context, call_once<&variable>(pool, "asks", std::string(name)));
  };
  EXPECT_EQ(ask("REEVE_TEST_A"), "first = 1");
  EXPECT_EQ(ask("REEVE_TEST_B"), "");
  EXPECT_EQ(ask("PATH"), "/only");
  EXPECT_EQ(ask("HOME"), std::getenv("HOME") != nullptr ? std::getenv("HOME") : "(none)");
  EXPECT_EQ(run_in(context, call_once<&directory>(pool, "asks")), "/tmp");
  const std::string path = "/tmp/reeve-mode-" + std::to_string(getpid());
  EXPECT_EQ(run_in(context, call_once<&mode_of_a_new_file>(pool, "asks", path)), 0750u);
  EXPECT_GE(run_in(context, call_once<&own_priority>(pool, "asks")), 5);
}

// The kernel, out of memory, takes a worker rather than the warden or the program.
TEST(PoolSurroundings, workers_come_first_when_memory_runs_out) {
  asio::io_context context;
  ResourcePool pool(context.get_executor(), one_worker());
  run_in(context, pool.warm_up(1));
  const int worker = pool.status().workers.front().pid;
  const auto score_of = [](int pid) {
    return read_text("/proc/" + std::to_string(pid) + "/oom_score_adj");
  };
  EXPECT_EQ(score_of(worker), "500\n");
  EXPECT_TRUE(
      run_until(context, [&] { return score_of(parent_pid(worker)) == score_of(getpid()); }, 2s));
}

TEST(PoolSurroundings, are_those_of_the_program_otherwise) {
  asio::io_context context;
  ResourcePool pool(context.get_executor(), one_worker());
  EXPECT_EQ(run_in(context, call_once<&directory>(pool, "asks")), directory());
  EXPECT_EQ(run_in(context, call_once<&variable>(pool, "asks", std::string("LD_BIND_NOW"))),
            variable("LD_BIND_NOW"));
  EXPECT_EQ(run_in(context, call_once<&own_priority>(pool, "asks")), own_priority());
  EXPECT_EQ(run_in(context, call_once<&capabilities_line>(pool, "asks")),
            "CapEff:\t0000000000000000");
}

TEST(PoolSurroundings, capabilities_are_kept_on_request) {
  asio::io_context context;
  ResourceConfig config = one_worker();
  config.keep_capabilities = true;
  ResourcePool pool(context.get_executor(), config);
  EXPECT_EQ(run_in(context, call_once<&capabilities_line>(pool, "asks")), capabilities_line());
}

TEST(PoolSurroundings, a_worker_started_by_exec_finds_the_same) {
  asio::io_context context;
  ResourceConfig config = one_worker();
  config.exec_each_worker = true;
  config.environment = {{"REEVE_TEST_A", "executed"}};
  config.working_directory = "/tmp";
  ResourcePool pool(context.get_executor(), config);
  EXPECT_EQ(run_in(context, call_once<&variable>(pool, "asks", std::string("REEVE_TEST_A"))),
            "executed");
  EXPECT_EQ(run_in(context, call_once<&directory>(pool, "asks")), "/tmp");
}

// ------------------------------------------------------------------------------------------------
// Output

void speak_and_exit(std::string out, std::string err) {
  std::printf("%s", out.c_str());
  std::fflush(stdout);
  std::fprintf(stderr, "%s", err.c_str());
  _exit(1);
}

TEST(PoolOutput, captured_words_of_both_streams_travel_with_the_error) {
  asio::io_context context;
  ResourceConfig config = one_worker();
  config.output = Output::capture;
  ResourcePool pool(context.get_executor(), config);
  const auto error = error_of<WorkerCrashedError>(
      context, call_once<&speak_and_exit>(pool, "speaks", std::string("to stdout;"),
                                          std::string("to stderr")));
  ASSERT_TRUE(error);
  EXPECT_EQ(error->evidence().output_tail, "to stdout;to stderr");
  EXPECT_THAT(error->what(), AllOf(HasSubstr("to stdout;"), HasSubstr("last output")));
  const auto silent = error_of<WorkerCrashedError>(
      context, call_once<&speak_and_exit>(pool, "silent", std::string(), std::string()));
  ASSERT_TRUE(silent);
  EXPECT_EQ(silent->evidence().output_tail, "") << "nothing of the worker before";
}

// ------------------------------------------------------------------------------------------------
// Buffers built in place

double sum_of(std::span<const double> values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return sum;
}
std::uint64_t address_of(std::span<const double> values) {
  return reinterpret_cast<std::uint64_t>(values.data());
}

asio::awaitable<void> use_buffers(ResourcePool& pool) {
  auto worker = co_await pool.acquire_worker("buffers");
  const std::span<double> first = worker.make_buffer<double>(1000);
  const std::span<double> second = worker.make_buffer<double>(100'000);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(second.data()) % alignof(std::max_align_t), 0u);
  for (double& value : first) value = 1;
  for (double& value : second) value = 2;
  const std::span<const double> one = first, two = second;
  EXPECT_EQ(co_await worker.run<&sum_of>(one), 1000);
  EXPECT_EQ(co_await worker.run<&sum_of>(two), 200'000);
  EXPECT_EQ(co_await worker.run<&sum_of>(two.subspan(99'990)), 20) << "a part of it";
  const std::uint64_t whole = co_await worker.run<&address_of>(two);
  const std::uint64_t part = co_await worker.run<&address_of>(two.subspan(10));
  EXPECT_EQ(part, whole + 10 * sizeof(double)) << "the same memory, not a copy of it";
  second[0] = 1002;
  EXPECT_EQ(co_await worker.run<&sum_of>(two), 201'000) << "what is there at the call";
  EXPECT_EQ(first[999], 1) << "no call writes over what was built";
  EXPECT_THROW(worker.make_buffer<double>(std::size_t{1} << 62), std::bad_array_new_length);
  EXPECT_THROW(worker.make_buffer<double>(std::size_t{1} << 40), codec::EncodeError);
}

TEST(PoolBuffer, travels_without_a_copy) {
  asio::io_context context;
  ResourcePool pool(context.get_executor(), one_worker());
  for (int i = 0; i < 3; ++i) run_in(context, use_buffers(pool));
  EXPECT_EQ(pool.status().spawns, 1u);
}

// ------------------------------------------------------------------------------------------------
// Thread workers

ResourceConfig one_thread() {
  ResourceConfig config = one_worker();
  config.isolation = Isolation::thread;
  config.worker_memory = 1_MiB;
  return config;
}

std::size_t take_memory(std::size_t bytes) {
  std::pmr::vector<char> taken(bytes, this_worker::memory());
  return taken.size();
}

TEST(PoolThreads, need_some_memory_but_not_that_of_a_process) {
  ResourceConfig config = one_thread();
  EXPECT_EQ(find_fault(config), std::nullopt);
  config.worker_memory = 0_B;
  EXPECT_THAT(find_fault(config).value_or(""), HasSubstr("worker_memory is 0 B"));
}

TEST(PoolThreads, memory_of_the_resource_is_limited_and_comes_back) {
  asio::io_context context;
  ResourcePool pool(context.get_executor(), one_thread());
  constexpr std::size_t allowed = 900'000, too_much = 2u << 20;
  EXPECT_EQ(run_in(context, call_once<&take_memory>(pool, "some", allowed)), allowed);
  EXPECT_TRUE(error_of<WorkerMemoryError>(context, call_once<&take_memory>(pool, "all", too_much)));
  EXPECT_EQ(run_in(context, call_once<&take_memory>(pool, "again", allowed)), allowed);
}

std::string whose_thread() {
  return std::string(this_worker::device()) + " of " + std::to_string(getpid());
}

TEST(PoolThreads, run_in_this_process_and_know_their_device) {
  asio::io_context context;
  ResourcePool pool(context.get_executor(), one_thread());
  EXPECT_EQ(run_in(context, call_once<&whose_thread>(pool, "asks")),
            "cpu of " + std::to_string(getpid()));
  const auto lease = run_in(context, hold(pool, "held"));
  EXPECT_EQ(lease->pid(), 0);
  EXPECT_THROW(lease->make_buffer<int>(1), std::logic_error);
  EXPECT_FALSE(pool.capabilities().has("kill")) << "and never claims what it cannot do";
}

asio::awaitable<void> time_out_a_thread(ResourcePool& pool) {
  auto worker = co_await pool.acquire_worker("late");
  co_await worker.run<&work_until_stopped>(RunLimits(20ms));
}

TEST(PoolThreads, a_timeout_asks_the_thread_to_stop_and_replaces_it) {
  asio::io_context context;
  ResourcePool pool(context.get_executor(), one_thread());
  for (int i = 0; i < 5; ++i) {
    EXPECT_TRUE(error_of<WorkerTimeoutError>(context, time_out_a_thread(pool)));
    expect_pool_works(context, pool);
  }
  EXPECT_TRUE(run_until(context, [&] { return pool.status().quarantined == 0; }))
      << "a thread that heeds the request is not counted for ever";
}

}  // namespace
}  // namespace reeve::test
