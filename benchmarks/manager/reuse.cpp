// From nothing to a ready pool; ten data sets with a pool each, and with one that is kept.
#include <algorithm>
#include <memory>
#include <string>

#include "benchmarks/manager/manager_bench.hpp"

namespace reeve::bench {
namespace {

constexpr std::size_t workers = 4;
constexpr int data_sets = 10;
constexpr int repeats = 15;

int nothing() {
  return 1;
}

// Milliseconds until a new manager's first pool has all workers ready.
double first_pool() {
  const auto start = BenchClock::now();
  PoolManager manager;
  const ManagedPool pool = manager.get_pool(workers);
  pool.warm_up();
  return nanoseconds_since(start) / 1e6;
}

void work(const ManagedPool& pool, const std::vector<double>& items) {
  if (pool.map<&evaluate>(items, 20).size() != items.size()) std::abort();
}

// Milliseconds per data set for what is not work: until the pool is ready, and after the results.
struct Overhead {
  double pool = 0;   // per data set
  double total = 0;  // of all data sets, work included
};

Overhead fresh_each_time(const std::vector<double>& items) {
  Overhead result;
  const auto begin = BenchClock::now();
  for (int i = 0; i < data_sets; ++i) {
    auto start = BenchClock::now();
    auto manager = std::make_unique<PoolManager>();
    ManagedPool pool = manager->get_pool(workers);
    pool.warm_up();
    result.pool += nanoseconds_since(start);
    work(pool, items);
    start = BenchClock::now();
    pool = ManagedPool();
    manager->shutdown();
    manager.reset();
    result.pool += nanoseconds_since(start);
  }
  result.total = nanoseconds_since(begin) / 1e6;
  result.pool /= 1e6 * data_sets;
  return result;
}

Overhead reused(PoolManager& manager, const std::vector<double>& items) {
  Overhead result;
  const auto begin = BenchClock::now();
  for (int i = 0; i < data_sets; ++i) {
    auto start = BenchClock::now();
    ManagedPool pool = manager.get_pool(workers);
    pool.warm_up();
    result.pool += nanoseconds_since(start);
    work(pool, items);
    start = BenchClock::now();
    pool = ManagedPool();
    result.pool += nanoseconds_since(start);
  }
  result.total = nanoseconds_since(begin) / 1e6;
  result.pool /= 1e6 * data_sets;
  return result;
}

// The same without asking for readiness, which a caller of `map` need not do.
double looked_up_only(PoolManager& manager) {
  const auto start = BenchClock::now();
  for (int i = 0; i < data_sets; ++i) ManagedPool pool = manager.get_pool(workers);
  return nanoseconds_since(start) / 1e6 / data_sets;
}

template <class Run>
Overhead median_of(Run run) {
  std::vector<double> pools, totals;
  for (int i = 0; i < repeats; ++i) {
    const Overhead one = run();
    pools.push_back(one.pool);
    totals.push_back(one.total);
  }
  return {percentile(pools, 0.5), percentile(totals, 0.5)};
}

double submit_time(const ManagedPool& pool) {
  std::vector<double> samples;
  for (int i = 0; i < 3000; ++i) {
    const auto start = BenchClock::now();
    pool.submit<&nothing>().get();
    samples.push_back(nanoseconds_since(start) / 1e3);
  }
  return percentile(samples, 0.5);
}

void run_all() {
  std::vector<double> samples;
  for (int i = 0; i < repeats; ++i) samples.push_back(first_pool());
  Figure("manager", "first process pool of 4 workers ready, p50", percentile(samples, 0.5), "ms")
      .at_most(10)
      .key("manager_first_pool")
      .print();
  const std::vector<double> items = data_set();
  const Overhead fresh = median_of([&] { return fresh_each_time(items); });
  PoolManager manager;
  manager.get_pool(workers).warm_up();
  const Overhead kept = median_of([&] { return reused(manager, items); });
  const double looked_up = looked_up_only(manager);
  Figure("manager", "a pool per data set: making and ending it", fresh.pool, "ms")
      .key("manager_fresh_overhead")
      .print();
  Figure("manager", "a kept pool: look-up, readiness awaited", kept.pool, "ms").print();
  Figure("manager", "a kept pool: look-up", looked_up, "ms").print();
  Figure("manager", "overhead of reuse (look-up) in that of a fresh pool",
         100 * looked_up / fresh.pool, "%")
      .at_most(1)
      .print();
  Figure("manager", "overhead of reuse (readiness awaited) in that of a fresh pool",
         100 * kept.pool / fresh.pool, "%")
      .print();
  Figure("manager", "ten data sets, a pool each", fresh.total, "ms")
      .key("manager_ten_fresh")
      .print();
  Figure("manager", "ten data sets, a kept pool", kept.total, "ms")
      .key("manager_ten_reused")
      .print();
  Figure("manager", "blocking submit and its result, p50", submit_time(manager.get_pool(workers)),
         "us")
      .key("manager_submit")
      .print();
}

}  // namespace
}  // namespace reeve::bench

int main(int argc, char** argv) {
  reeve::init(argc, argv);
  reeve::bench::run_all();
}
