// From nothing to N workers that have answered a call; a dead worker and its replacement.
#include <signal.h>
#include <unistd.h>

#include "benchmarks/pool/pool_bench.hpp"

namespace reeve::bench {
namespace {

int nothing() {
  return 1;
}

asio::awaitable<void> touch_one(ResourcePool& pool, std::vector<WorkerLease>& held,
                                std::size_t& answered) {
  auto worker = co_await pool.acquire_worker("start");
  co_await worker.run<&nothing>();
  ++answered;
  held.push_back(std::move(worker));  // so that every call needs a worker of its own
}

// Milliseconds until each of `count` workers of a new pool has answered.
double start(asio::io_context& context, std::size_t count) {
  const auto begin = BenchClock::now();
  ResourcePool pool(context.get_executor(), bench_config(count));
  std::vector<WorkerLease> held;
  std::size_t answered = 0;
  for (std::size_t i = 0; i < count; ++i)
    asio::co_spawn(context, touch_one(pool, held, answered), asio::detached);
  context.restart();
  while (answered < count) context.run_one();
  const double time = nanoseconds_since(begin) / 1e6;
  held.clear();
  run(context, [](ResourcePool& p) -> asio::awaitable<void> {
    co_await p.shutdown(ShutdownMode::kill);
  }(pool));
  return time;
}

void die() {
  raise(SIGKILL);
}

asio::awaitable<void> replace(ResourcePool& pool, std::vector<double>& samples) {
  for (int i = 0; i < 100; ++i) {
    {
      auto worker = co_await pool.acquire_worker("die");
      try {
        co_await worker.run<&die>();
      } catch (const WorkerError&) {
      }
    }
    const auto begin = BenchClock::now();
    auto worker = co_await pool.acquire_worker("next");
    co_await worker.run<&nothing>();
    samples.push_back(nanoseconds_since(begin) / 1e6);
  }
}

void run_all() {
  asio::io_context context(1);
  const std::pair<std::size_t, double> goals[] = {{4, 2}, {16, 4}, {64, 10}};
  for (const auto& [count, goal] : goals) {
    std::vector<double> samples;
    for (int i = 0; i < 15; ++i) samples.push_back(start(context, count));
    Figure("pool", std::to_string(count) + " workers ready from nothing, p50",
           percentile(samples, 0.5), "ms")
        .at_most(goal)
        .key("create_" + std::to_string(count))
        .print();
  }
  ResourcePool pool(context.get_executor(), bench_config(1));
  run(context, pool.warm_up(1));
  std::vector<double> samples;
  run(context, replace(pool, samples));
  Figure("pool", "dead worker replaced and answering, p50", percentile(samples, 0.5), "ms")
      .at_most(0.3)
      .key("worker_replaced")
      .print();
}

}  // namespace
}  // namespace reeve::bench

int main(int argc, char** argv) {
  reeve::init(argc, argv);
  reeve::bench::run_all();
}
