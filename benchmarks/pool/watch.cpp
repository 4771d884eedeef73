// What the watch costs and reaches: a lease's deadline, a worker near its memory limit, huge pages,
// and the processes of a program that was killed.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cstring>

#include "benchmarks/pool/pool_bench.hpp"
#include "pool/board.hpp"
#include "process/layout.hpp"

namespace reeve::bench {
namespace {

// What acquire and release do for the deadline, without the pool around it: ns per lease.
double deadline_of_a_lease() {
  detail::Board board(process::WorkerSettings(), "");
  void* const header = mmap(nullptr, sizeof(process::BoardHeader), PROT_READ | PROT_WRITE,
                            MAP_SHARED, board.fd(), 0);
  static_cast<process::BoardHeader*>(header)->armed_until = 0;  // the warden looks soon anyhow
  process::BoardSlot& slot = board.slot(0);
  constexpr int leases = 2'000'000;
  const auto begin = BenchClock::now();
  for (std::uint64_t serial = 1; serial <= leases; ++serial) {
    const auto due = static_cast<std::int64_t>(serial + 1'000'000'000);
    slot.deadline.store(due, std::memory_order_relaxed);
    std::uint64_t word = process::LeaseWord(serial, process::Cause::active).bits();
    slot.word.store(word, std::memory_order_seq_cst);
    board.arm(due);
    slot.word.compare_exchange_strong(word,
                                      process::LeaseWord(word).with(process::Cause::none).bits());
  }
  const double time = nanoseconds_since(begin) / leases;
  munmap(header, sizeof(process::BoardHeader));
  return time;
}

asio::awaitable<void> turn() {
  co_await asio::post(co_await asio::this_coro::executor, asio::use_awaitable);
}

// Asio's way to give an operation a deadline, less the operation: ns each.
asio::awaitable<void> operation_or_timer(double& result) {
  using namespace asio::experimental::awaitable_operators;
  const auto executor = co_await asio::this_coro::executor;
  constexpr int times = 20'000;
  auto begin = BenchClock::now();
  for (int i = 0; i < times; ++i) co_await turn();
  const double alone = nanoseconds_since(begin);
  asio::steady_timer timer(executor);
  begin = BenchClock::now();
  for (int i = 0; i < times; ++i) {
    timer.expires_after(1h);
    auto both = turn() || timer.async_wait(asio::use_awaitable);
    co_await std::move(both);
  }
  result = (nanoseconds_since(begin) - alone) / times;
}

// ------------------------------------------------------------------------------------------------

void* map_memory(std::size_t bytes, int flags, int advice) {
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) _exit(1);
  madvise(memory, bytes, advice);
  return memory;
}

int keep_near_the_limit(std::size_t mebibytes, int seconds) {
  void* memory = map_memory(mebibytes << 20, MAP_SHARED, MADV_NOHUGEPAGE);
  std::memset(memory, 1, mebibytes << 20);
  sleep(static_cast<unsigned>(seconds));
  return getppid();
}

double cpu_seconds(int pid) {
  clockid_t clock;
  timespec time{};
  if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &time) != 0) return 0;
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

int warden_pid() {
  return getppid();
}

// The warden's share of a core beside a worker that stays 53 MB below its 268 MB.
asio::awaitable<void> cost_near_the_limit(ResourcePool& pool, double& share) {
  auto worker = co_await pool.acquire_worker("near");
  const int warden = co_await worker.run<&warden_pid>();
  constexpr int seconds = 3;
  const double before = cpu_seconds(warden);
  co_await worker.run<&keep_near_the_limit>(std::size_t{205}, seconds);
  share = (cpu_seconds(warden) - before) / seconds * 100;
}

void grow_by_huge_pages() {
  constexpr std::size_t size = std::size_t{2} << 30;
  prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0);
  char* memory = static_cast<char*>(map_memory(size, MAP_PRIVATE, MADV_HUGEPAGE));
  for (std::size_t at = 0; at < size; at += 4096) memory[at] = 1;
  for (;;) pause();
}

// MB over the limit where a page fault brings 2 MiB and RLIMIT_DATA is off.
asio::awaitable<void> huge_pages(ResourcePool& pool, std::vector<double>& samples) {
  for (int i = 0; i < 10; ++i) {
    auto worker = co_await pool.acquire_worker("huge");
    try {
      co_await worker.run<&grow_by_huge_pages>();
    } catch (const WorkerMemoryError& e) {
      const double over =
          e.evidence().memory_observed.mebibytes() - e.evidence().memory_limit.mebibytes();
      samples.push_back(over * 1.048576);
    }
  }
}

// ------------------------------------------------------------------------------------------------

void leave_a_child_and_spin() {
  if (fork() == 0) {
    for (;;) pause();
  }
  for (;;) asm volatile("");
}

asio::awaitable<void> occupy(ResourcePool& pool, std::vector<pid_t>& pids) {
  auto worker = co_await pool.acquire_worker("busy");
  pids.push_back(worker.pid());
  co_await worker.run<&leave_a_child_and_spin>();
}

// The program that will be killed: two busy workers with a child each; it tells their numbers.
[[noreturn]] void victim(int tell) {
  asio::io_context context;
  ResourcePool pool(context.get_executor(), bench_config(2));
  std::vector<pid_t> pids;
  for (int i = 0; i < 2; ++i) asio::co_spawn(context, occupy(pool, pids), asio::detached);
  while (pids.size() < 2) context.run_one();
  context.run_for(5ms);
  [[maybe_unused]] const auto n = write(tell, pids.data(), 2 * sizeof(pid_t));
  for (;;) context.run_for(1h);
}

// Milliseconds from a program's SIGKILL until its workers are dead.
std::vector<double> orphans(int times) {
  std::vector<double> samples;
  for (int i = 0; i < times; ++i) {
    int tell[2];
    if (pipe(tell) != 0) break;
    const pid_t program = fork();
    if (program == 0) {
      const std::string fd = std::to_string(tell[1]);
      execl("/proc/self/exe", "watch", "victim", fd.c_str(), nullptr);
      _exit(127);
    }
    close(tell[1]);
    pid_t pids[2];
    const bool told = read(tell[0], pids, sizeof pids) == sizeof pids;
    close(tell[0]);
    pollfd deaths[2];
    for (int k = 0; told && k < 2; ++k) {
      deaths[k] = {static_cast<int>(syscall(SYS_pidfd_open, pids[k], 0)), POLLIN, 0};
    }
    const auto begin = BenchClock::now();
    kill(program, SIGKILL);
    for (int k = 0; told && k < 2; ++k) {
      poll(&deaths[k], 1, 10'000);
      close(deaths[k].fd);
    }
    if (told) samples.push_back(nanoseconds_since(begin) / 1e6);
    waitpid(program, nullptr, 0);
  }
  return samples;
}

void run_all() {
  asio::io_context context(1);
  double asio_way = 0;
  run(context, operation_or_timer(asio_way));
  Figure("pool", "a lease's deadline: armed, checked and lifted", deadline_of_a_lease(), "ns")
      .at_most(50)
      .against("Asio: operation || timer", asio_way)
      .print();
  ResourceConfig config = bench_config(1);
  config.worker_memory = 256_MiB;
  {
    ResourcePool pool(context.get_executor(), config);
    double share = 0;
    run(context, cost_near_the_limit(pool, share));
    Figure("pool", "warden beside a worker 53 MB below its limit", share, "% of a core")
        .at_most(1)
        .print();
  }
  config.hard_memory = false;
  {
    ResourcePool pool(context.get_executor(), config);
    std::vector<double> samples;
    run(context, huge_pages(pool, samples));
    if (!samples.empty()) {
      Figure("pool", "memory over the limit, huge pages, p50", percentile(samples, 0.5), "MB")
          .print();
    }
  }
  const std::vector<double> samples = orphans(100);
  if (samples.empty()) return;
  Figure("pool", "program killed to workers dead, p50", percentile(samples, 0.5), "ms")
      .at_most(100)
      .print();
  Figure("pool", "program killed to workers dead, p99", percentile(samples, 0.99), "ms")
      .at_most(2000)
      .print();
}

}  // namespace
}  // namespace reeve::bench

int main(int argc, char** argv) {
  reeve::init(argc, argv);
  if (argc == 3 && std::strcmp(argv[1], "victim") == 0) reeve::bench::victim(std::atoi(argv[2]));
  reeve::bench::run_all();
}
