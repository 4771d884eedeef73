// The model cache: a hit called directly and through co_await, and 100,000 callers at one load.
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/strand.hpp>
#include <chrono>
#include <reeve/async/gate.hpp>
#include <reeve/cache.hpp>
#include <thread>

#include "benchmarks/support/report.hpp"

namespace {

namespace asio = boost::asio;
using asio::awaitable;
using Cache = reeve::cache::ModelCache<int>;
using BenchClock = std::chrono::steady_clock;
using reeve::bench::Figure;

constexpr int rounds = 500'000;
constexpr int callers = 100'000;

double seconds_since(BenchClock::time_point begin) {
  return std::chrono::duration<double>(BenchClock::now() - begin).count();
}

awaitable<int> load() {
  co_return 7;
}

double hit_ns(Cache& cache) {
  double best = 1e9;
  for (int repeat = 0; repeat < 7; ++repeat) {
    const auto begin = BenchClock::now();
    for (int i = 0; i < rounds; ++i) {
      const auto model = cache.get("model-3");
      if (!model) return 0;
    }
    best = std::min(best, seconds_since(begin) * 1e9 / rounds);
  }
  return best;
}

awaitable<void> hit_in_coroutine(Cache& cache, double& best) {
  const Cache::Factory factory = load;
  best = 1e9;
  for (int repeat = 0; repeat < 7; ++repeat) {
    const auto begin = BenchClock::now();
    for (int i = 0; i < rounds; ++i) {
      const auto model = co_await cache.get_or_create("model-3", factory);
      if (!model) co_return;
    }
    best = std::min(best, seconds_since(begin) * 1e9 / rounds);
  }
}

/// Seconds from the first call to the last answer; `calls` counts the factory's.
double crowd(int threads, bool fail, int& calls) {
  asio::io_context context(threads);
  Cache cache(context.get_executor());
  reeve::async::Gate gate;
  std::atomic<int> count{0};
  const Cache::Factory factory = [&]() -> awaitable<int> {
    ++count;
    co_await gate.wait();
    if (fail) throw std::runtime_error("no such model");
    co_return 7;
  };
  const auto begin = BenchClock::now();
  for (int i = 0; i < callers; ++i)
    asio::co_spawn(asio::make_strand(context), cache.get_or_create("m", factory), asio::detached);
  const auto opener = [&]() -> awaitable<void> {
    while (cache.stats().waiting != callers) co_await asio::post(asio::use_awaitable);
    gate.open();
  };
  asio::co_spawn(context, opener(), asio::detached);
  std::vector<std::thread> others;
  for (int i = 1; i < threads; ++i) others.emplace_back([&] { context.run(); });
  context.run();
  for (auto& other : others) other.join();
  calls = count;
  return seconds_since(begin);
}

}  // namespace

int main() {
  asio::io_context context(1);
  Cache cache(context.get_executor());
  for (int i = 0; i < 5; ++i) cache.put("model-" + std::to_string(i), i);
  Figure("cache", "G8 hit, get", hit_ns(cache), "ns").at_most(100).print();
  double best = 0;
  asio::co_spawn(context, hit_in_coroutine(cache, best), asio::detached);
  context.run();
  Figure("cache", "G8 hit, co_await get_or_create", best, "ns").at_most(150).print();
  for (const int threads : {1, 2})
    for (const bool fail : {false, true}) {
      int calls = 0;
      const double seconds = crowd(threads, fail, calls);
      const std::string what = std::string("G8 100,000 callers, ") +
                               (threads == 1 ? "1 thread" : "2 threads") +
                               (fail ? ", failing load" : "");
      Figure("cache", what + ": loads", calls, "").at_most(1).print();
      Figure("cache", what + ": time", seconds, "s").print();
    }
}
