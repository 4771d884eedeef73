// What a look-up costs, by the number of configurations and of threads, and what an entry weighs.
#include <malloc.h>

#include <algorithm>
#include <memory>
#include <string>
#include <thread>

#include "benchmarks/manager/manager_bench.hpp"

namespace reeve::bench {
namespace {

constexpr int rounds = 100'000;

/// `count` configurations that differ in a limit, so that no number of workers is beyond the host.
ResourceConfig configuration(std::size_t number) {
  ResourceConfig config;
  config.max_workers = 1 + number % 64;
  config.worker_timeout = std::chrono::milliseconds(1000 + number / 64);
  config.worker_memory = ByteSize{std::uint64_t{1} << 30};
  return config;
}

GetOptions options_of(std::size_t number) {
  GetOptions options;
  options.worker_timeout = configuration(number).worker_timeout;
  options.worker_memory = configuration(number).worker_memory;
  return options;
}

// Nanoseconds of get_pool and of letting go of its handle; the look-ups go round all entries.
double look_up(PoolManager& manager, std::size_t count) {
  double best = 1e9;
  std::vector<GetOptions> options;
  for (std::size_t i = 0; i < count; ++i) options.push_back(options_of(i));
  for (int repeat = 0; repeat < 7; ++repeat) {
    const auto start = BenchClock::now();
    std::size_t at = 0;
    for (int i = 0; i < rounds; ++i) {
      const auto pool = manager.get_pool(1 + at % 64, ExecutorType::process, options[at]);
      at = at + 7919 < count ? at + 7919 : (at + 7919) % count;  // neither warm nor in order
    }
    best = std::min(best, nanoseconds_since(start) / rounds);
  }
  return best;
}

double look_up_started(PoolManager& manager) {
  const ManagedPool held = manager.get_pool(2);
  held.warm_up();
  double best = 1e9;
  for (int repeat = 0; repeat < 7; ++repeat) {
    const auto start = BenchClock::now();
    for (int i = 0; i < rounds; ++i) const auto pool = manager.get_pool(2);
    best = std::min(best, nanoseconds_since(start) / rounds);
  }
  return best;
}

double look_up_in_threads(PoolManager& manager, int count) {
  const ManagedPool held = manager.get_pool(2);
  const auto start = BenchClock::now();
  std::vector<std::thread> threads;
  for (int t = 0; t < count; ++t) {
    threads.emplace_back([&manager] {
      for (int i = 0; i < rounds; ++i) const auto pool = manager.get_pool(2);
    });
  }
  for (auto& each : threads) each.join();
  return nanoseconds_since(start) / rounds / count;
}

std::size_t bytes_in_use() {
  const auto info = mallinfo2();
  return info.uordblks + info.hblkhd;
}

// Heap of a manager with 1,000 entries whose pools were not used yet, per entry.
double entry_weight() {
  constexpr std::size_t count = 1000;
  PoolManager manager;
  manager.get_pool(configuration(5000));  // its thread is there
  const std::size_t before = bytes_in_use();
  for (std::size_t i = 0; i < count; ++i) manager.get_pool(configuration(i));
  return static_cast<double>(bytes_in_use() - before) / count;
}

void run_all() {
  for (const std::size_t count : {1u, 10u, 100u, 1000u}) {
    PoolManager manager;
    Figure("manager", "look-up, " + std::to_string(count) + " configurations",
           look_up(manager, count) / 1e3, "us")
        .at_most(1)
        .key("manager_look_up")
        .print();
  }
  PoolManager manager;
  Figure("manager", "look-up of a pool with live workers", look_up_started(manager) / 1e3, "us")
      .at_most(1)
      .key("manager_look_up")
      .print();
  Figure("manager", "look-up, 4 threads at a time, per look-up",
         look_up_in_threads(manager, 4) / 1e3, "us")
      .at_most(1)
      .print();
  Figure("manager", "memory per entry, pool not started", entry_weight(), "B")
      .at_most(1024)
      .print();
}

}  // namespace
}  // namespace reeve::bench

int main(int argc, char** argv) {
  reeve::init(argc, argv);
  reeve::bench::run_all();
}
