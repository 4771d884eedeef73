// What a policy costs: acquire + release through a scheduler beside the plain pool, same run.
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <reeve/bridge.hpp>

#include "benchmarks/pool/pool_bench.hpp"

namespace reeve::bench {
namespace {

using bridge::SchedulerConfig;
using bridge::SchedulingPolicy;
using bridge::WorkerQuota;
using bridge::WorkerScheduler;

constexpr int rounds = 50'000;

template <class Source>
asio::awaitable<void> uncontended(Source source, double& best) {
  best = 1e9;
  for (int repeat = 0; repeat < 5; ++repeat) {
    const auto start = BenchClock::now();
    for (int i = 0; i < rounds; ++i) {
      auto lease = co_await source.acquire_worker("a");
    }
    best = std::min(best, nanoseconds_since(start) / rounds);
  }
}

struct Queue {
  int waiting = 0;
  std::uint64_t served = 0;
};

template <class Source>
asio::awaitable<void> waiter(Source source, std::string name, Queue& queue, int times) {
  for (int i = 0; i < times; ++i) {
    auto lease = co_await source.acquire_worker(name);
    co_await asio::post(co_await asio::this_coro::executor, asio::use_awaitable);
    ++queue.served;
  }
  --queue.waiting;
}

// ns per lease while `waiters` coroutines of `names` requesters wait in turn for two workers.
template <class Source>
double contended(asio::io_context& context, Source source, int waiters, int names) {
  Queue queue;
  const int times = 100'000 / waiters;
  queue.waiting = waiters;
  for (int i = 0; i < waiters; ++i) {
    const std::string name(1, static_cast<char>('a' + i % names));
    asio::co_spawn(context, waiter(source, name, queue, times), asio::detached);
  }
  context.restart();
  const auto start = BenchClock::now();
  while (queue.waiting > 0) context.run_one();
  return nanoseconds_since(start) / static_cast<double>(queue.served);
}

SchedulerConfig sharing(SchedulingPolicy policy, int names, bool quotas) {
  SchedulerConfig config;
  config.policy = policy;
  for (int i = 0; i < names; ++i) {
    bridge::Requester requester{std::string(1, static_cast<char>('a' + i))};
    if (quotas && i == 0) requester.quota = WorkerQuota{1};
    config.requesters.push_back(requester);
  }
  return config;
}

void run_all() {
  asio::io_context context(1);
  ResourcePool pool(context.get_executor(), bench_config(2));
  run(context, pool.warm_up(2));
  double plain = 0;
  run(context, uncontended(pool, plain));
  double fast = 0;
  run(context,
      uncontended(WorkerScheduler(pool, sharing(SchedulingPolicy::fair_share, 4, false)), fast));
  Figure("bridge", "acquire + release, nobody waits", fast, "ns")
      .at_most(1350)
      .against("plain pool", plain)
      .print();
  run(context,
      uncontended(WorkerScheduler(pool, sharing(SchedulingPolicy::fair_share, 4, true)), fast));
  Figure("bridge", "acquire + release, nobody waits, quotas", fast, "ns")
      .at_most(1500)
      .against("plain pool", plain)
      .print();
  const double queue = contended(context, pool, 1000, 4);
  const std::pair<const char*, SchedulingPolicy> policies[] = {
      {"fifo", SchedulingPolicy::fifo},
      {"priority", SchedulingPolicy::priority},
      {"fair share", SchedulingPolicy::fair_share}};
  for (const auto& [name, policy] : policies) {
    WorkerScheduler scheduler(pool, sharing(policy, 4, false));
    Figure("bridge", std::string("acquire + release, 1,000 waiters of 4, ") + name,
           contended(context, scheduler, 1000, 4), "ns")
        .at_most(3200)
        .against("plain pool", queue)
        .print();
  }
  WorkerScheduler scheduler(pool, sharing(SchedulingPolicy::fair_share, 26, false));
  Figure("bridge", "acquire + release, 1,000 waiters of 26, fair share",
         contended(context, scheduler, 1000, 26), "ns")
      .at_most(6200)
      .against("plain pool", queue)
      .print();
}

}  // namespace
}  // namespace reeve::bench

int main(int argc, char** argv) {
  reeve::init(argc, argv);
  reeve::bench::run_all();
}
