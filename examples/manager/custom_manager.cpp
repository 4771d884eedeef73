// A manager of one's own: the same pool for every data set, closed when it is idle for long.
#include <cstdio>
#include <numeric>
#include <reeve/manager.hpp>
#include <vector>

using namespace std::chrono_literals;
using namespace reeve::literals;

double evaluate(double x) {
  for (int i = 0; i < 1000; ++i) x = 3.7 * x * (1 - x);
  return x;
}

int main(int argc, char** argv) {
  reeve::init(argc, argv);  // one line: in a worker it does not return
  // [manager]
  reeve::ManagerConfig config;
  config.idle_timeout = 60s;  // a pool that nobody used for this long is closed
  config.max_pools = 8;       // the least recently used goes when a ninth is wanted
  config.defaults.worker_timeout = 10s;
  config.defaults.worker_memory = 256_MiB;
  reeve::PoolManager manager(config);

  for (int set = 1; set <= 10; ++set) {
    const std::vector<double> data(100, 0.05 * set);
    const reeve::ManagedPool pool = manager.get_pool(2);  // made once, then looked up
    const std::vector<double> values = pool.map<&evaluate>(data);
    if (set % 5 == 0) std::printf("data set %d: %zu values\n", set, values.size());
  }

  const reeve::ManagerStats stats = manager.stats();
  std::printf("pools made: %llu, look-ups that found one: %llu\n",
              static_cast<unsigned long long>(stats.creations),
              static_cast<unsigned long long>(stats.hits));
  manager.shutdown();  // waits for what runs; the destructor would not
  // [/manager]
  try {
    manager.get_pool(2);
  } catch (const reeve::PoolClosedError& error) {
    std::printf("%s\n", error.what());
  }
}
// [output]
// data set 5: 100 values
// data set 10: 100 values
// pools made: 1, look-ups that found one: 9
// PoolManager has been shut down; make another, or take the global one
// [/output]
