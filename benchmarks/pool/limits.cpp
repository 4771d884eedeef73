// How late and how far over: deadlines, memory, trees, and what watching costs.
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <boost/asio/steady_timer.hpp>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <thread>

#include "benchmarks/pool/pool_bench.hpp"

namespace reeve::bench {
namespace {

void loop_for_ever() {
  sigset_t all;
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, nullptr);
  for (;;) asm volatile("");
}

using Milliseconds = std::chrono::duration<double, std::milli>;

// Milliseconds from the deadline to the death of the whole tree, as the warden's clock has it.
asio::awaitable<void> deadlines(ResourcePool& pool, std::vector<double>& samples, int times) {
  for (int i = 0; i < times; ++i) {
    auto worker = co_await pool.acquire_worker("loop");
    RunLimits limits(20ms);
    try {
      co_await worker.run<&loop_for_ever>(limits);
    } catch (const WorkerTimeoutError& e) {
      const auto late = e.evidence().elapsed - e.evidence().time_limit + e.evidence().kill_latency;
      samples.push_back(Milliseconds(late).count());
    }
  }
}

asio::awaitable<void> one_deadline(ResourcePool& pool, std::vector<double>& samples, bool& done) {
  co_await deadlines(pool, samples, 1);
  done = true;
}

void blocked_loop(asio::io_context& context, ResourcePool& pool, std::vector<double>& samples) {
  for (int i = 0; i < 20; ++i) {
    bool done = false;
    asio::co_spawn(context, one_deadline(pool, samples, done), asio::detached);
    context.restart();
    const auto until = BenchClock::now() + 8ms;
    while (BenchClock::now() < until) context.poll_one();
    std::this_thread::sleep_for(
        40ms);  // the program's own loop does nothing while the deadline passes
    context.restart();
    while (!done) context.run_one();
  }
}

void allocate_for_ever() {
  for (;;) std::memset(new char[1 << 20], 1, 1 << 20);
}

void map_for_ever() {
  for (;;) {
    void* block =
        mmap(nullptr, 64 << 20, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    for (std::size_t i = 0; i < (64u << 20); i += 4096) static_cast<char*>(block)[i] = 1;
  }
}

asio::awaitable<void> overshoot(ResourcePool& pool, void (*grow)(), std::vector<double>& samples,
                                int times) {
  for (int i = 0; i < times; ++i) {
    auto worker = co_await pool.acquire_worker("memory");
    try {
      co_await worker.run(grow);
    } catch (const WorkerMemoryError& e) {
      const double over =
          e.evidence().memory_observed.mebibytes() - e.evidence().memory_limit.mebibytes();
      samples.push_back(over * 1.048576);
    }
  }
}

constexpr char grandchild_name[] = "reeve-bench-kid";

void leave_grandchildren() {
  for (int i = 0; i < 8; ++i) {
    if (fork() == 0) {
      setsid();
      if (fork() == 0) {
        prctl(PR_SET_NAME, grandchild_name);
        for (;;) pause();
      }
      _exit(0);
    }
  }
  for (;;) pause();
}

asio::awaitable<void> tree_kills(ResourcePool& pool, std::vector<double>& samples) {
  for (int i = 0; i < 30; ++i) {
    auto worker = co_await pool.acquire_worker("tree");
    RunLimits limits(30ms);
    try {
      co_await worker.run<&leave_grandchildren>(limits);
    } catch (const WorkerTimeoutError& e) {
      if (e.evidence().descendants_killed >= 8 && e.evidence().tree_complete) {
        samples.push_back(Milliseconds(e.evidence().kill_latency).count());
      }
    }
  }
}

int living_grandchildren() {
  int count = 0;
  std::error_code gone;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", gone)) {
    std::ifstream comm(entry.path() / "comm");
    std::string name;
    count += std::getline(comm, name) && name == grandchild_name;
  }
  return count;
}

int warden_pid() {
  return getppid();
}

double cpu_seconds(int pid) {
  clockid_t clock;
  timespec time{};
  if (clock_getcpuclockid(pid, &clock) != 0) return 0;
  clock_gettime(clock, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

asio::awaitable<void> watch_cost(ResourcePool& pool, std::size_t count, double& share) {
  std::vector<WorkerLease> held;
  for (std::size_t i = 0; i < count; ++i) held.push_back(co_await pool.acquire_worker("watched"));
  const int warden = co_await held.front().run<&warden_pid>();
  asio::steady_timer timer(co_await asio::this_coro::executor, 1s);
  co_await timer.async_wait(asio::use_awaitable);
  const double before = cpu_seconds(warden);
  timer.expires_after(5s);
  co_await timer.async_wait(asio::use_awaitable);
  share = (cpu_seconds(warden) - before) / 5 * 100;
}

long voluntary_switches(int pid) {
  std::ifstream status("/proc/" + std::to_string(pid) + "/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("voluntary_ctxt_switches:")) return std::stol(line.substr(24));
  }
  return -1;
}

asio::awaitable<void> idle_wakeups(ResourcePool& pool, double& per_second) {
  int worker_pid = 0, warden = 0;
  {
    auto worker = co_await pool.acquire_worker("idle");
    warden = co_await worker.run<&warden_pid>();
    worker_pid = worker.pid();
  }
  asio::steady_timer timer(co_await asio::this_coro::executor, 500ms);
  co_await timer.async_wait(asio::use_awaitable);
  const long before = voluntary_switches(worker_pid) + voluntary_switches(warden);
  timer.expires_after(3s);
  co_await timer.async_wait(asio::use_awaitable);
  per_second =
      static_cast<double>(voluntary_switches(worker_pid) + voluntary_switches(warden) - before) / 3;
}

void run_all() {
  asio::io_context context(1);
  ResourceConfig config = bench_config(1);
  config.worker_memory = 256_MiB;
  {
    ResourcePool pool(context.get_executor(), config);
    double wakeups = 0;
    run(context, idle_wakeups(pool, wakeups));
    Figure("pool", "wake-ups of an idle pool", wakeups, "1/s").at_most(0).print();
    std::vector<double> samples;
    run(context, deadlines(pool, samples, 100));
    Figure("pool", "deadline to tree dead, small RSS, p50", percentile(samples, 0.5), "ms")
        .at_most(0.1)
        .key("deadline_to_dead")
        .print();
    Figure("pool", "deadline to tree dead, small RSS, p99", percentile(samples, 0.99), "ms")
        .at_most(2)
        .print();
    samples.clear();
    blocked_loop(context, pool, samples);
    Figure("pool", "deadline to tree dead, own loop blocked, p50", percentile(samples, 0.5), "ms")
        .at_most(2)
        .print();
    Figure("pool", "deadline to tree dead, own loop blocked, p99", percentile(samples, 0.99), "ms")
        .at_most(15)
        .print();
    samples.clear();
    run(context, overshoot(pool, &allocate_for_ever, samples, 10));
    Figure("pool", "memory over the limit, new, max", percentile(samples, 1), "MB")
        .at_most(0)
        .print();
    samples.clear();
    run(context, overshoot(pool, &map_for_ever, samples, 30));
    Figure("pool", "memory over the limit, mapped shared, p50", percentile(samples, 0.5), "MB")
        .at_most(3)
        .print();
    samples.clear();
    run(context, tree_kills(pool, samples));
    Figure("pool", "tree kill, 8 double-forked grandchildren, p50", percentile(samples, 0.5), "ms")
        .at_most(25)
        .print();
    Figure("pool", "grandchildren left, of 8 double-forked", living_grandchildren(), "processes")
        .at_most(0)
        .key("grandchildren_left")
        .print();
  }
  config = bench_config(1000);
  config.worker_memory = 8_GiB;
  config.message_max = 1_MiB;
  ResourcePool pool(context.get_executor(), config);
  double share = 0;
  run(context, watch_cost(pool, 1000, share));
  Figure("pool", "watching 1,000 leased workers at 10 Hz", share, "% of a core")
      .at_most(1)
      .key("watch_1000")
      .print();
}

}  // namespace
}  // namespace reeve::bench

int main(int argc, char** argv) {
  reeve::init(argc, argv);
  reeve::bench::run_all();
}
