// A call on a warm process worker: round trip, throughput, map, payloads.
#include <array>
#include <numeric>
#include <thread>

#include "benchmarks/pool/pool_bench.hpp"

namespace reeve::bench {
namespace {

struct Message {
  std::array<std::uint64_t, 8> words{};
};

Message echo(Message message) {
  return message;
}
std::uint64_t touch(std::span<const std::byte> bytes) {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < bytes.size(); i += 64) sum += static_cast<std::uint64_t>(bytes[i]);
  return sum;
}
int increment(int x) {
  return x + 1;
}

asio::awaitable<void> round_trips(ResourcePool& pool, std::vector<double>& samples) {
  Message message;
  for (int i = 0; i < 42'000; ++i) {
    const auto start = BenchClock::now();
    {
      auto worker = co_await pool.acquire_worker("echo");
      message = co_await worker.run<&echo>(message);
    }
    if (i >= 2000) samples.push_back(nanoseconds_since(start) / 1000);
  }
}

asio::awaitable<void> caller(ResourcePool& pool, int times, int& running) {
  Message message;
  for (int i = 0; i < times; ++i) {
    auto worker = co_await pool.acquire_worker("echo");
    message = co_await worker.run<&echo>(message);
  }
  --running;
}

double throughput(asio::io_context& context, ResourcePool& pool) {
  double best = 0;
  for (int repeat = 0; repeat < 5; ++repeat) {
    int running = 32;
    for (int i = 0; i < 32; ++i)
      asio::co_spawn(context, caller(pool, 2000, running), asio::detached);
    context.restart();
    const auto start = BenchClock::now();
    while (running > 0) context.run_one();
    best = std::max(best, 64'000 / (nanoseconds_since(start) / 1e9));
  }
  return best;
}

asio::awaitable<void> map_trivial(ResourcePool& pool, double& rate) {
  std::vector<int> items(1'000'000);
  std::iota(items.begin(), items.end(), 0);
  for (int repeat = 0; repeat < 5; ++repeat) {
    const auto start = BenchClock::now();
    const auto results =
        co_await parallel_map(pool, "map", [](int x) { return increment(x); }, items);
    if (results.back() != 1'000'000) throw std::runtime_error("map is wrong");
    rate = std::max(rate, 1e6 / (nanoseconds_since(start) / 1e9));
  }
}

asio::awaitable<void> payload(ResourcePool& pool, std::size_t size, int times, double& copied,
                              double& in_place) {
  auto worker = co_await pool.acquire_worker("payload");
  const std::vector<std::byte> data(size, std::byte{1});
  std::vector<double> samples;
  for (int i = 0; i < times; ++i) {
    const auto start = BenchClock::now();
    const std::span<const std::byte> view(data);
    co_await worker.run<&touch>(view);
    samples.push_back(nanoseconds_since(start) / 1000);
  }
  copied = percentile(samples, 0.5);
  samples.clear();
  const std::span<std::byte> buffer = worker.make_buffer<std::byte>(size);
  std::ranges::fill(buffer, std::byte{1});
  for (int i = 0; i < times; ++i) {
    const auto start = BenchClock::now();
    const std::span<const std::byte> view(buffer);
    co_await worker.run<&touch>(view);
    samples.push_back(nanoseconds_since(start) / 1000);
  }
  in_place = percentile(samples, 0.5);
}

void run_all() {
  asio::io_context context(1);
  ResourcePool pool(context.get_executor(), bench_config(2));
  run(context, pool.warm_up(2));
  std::vector<double> samples;
  run(context, round_trips(pool, samples));
  Figure("pool", "acquire + call + release, 64 B, p50", percentile(samples, 0.5), "us")
      .at_most(7)
      .key("call_64b_p50")
      .times_better_than("multiprocessing.Pool", 7)
      .times_better_than("ProcessPoolExecutor", 9)
      .times_better_than("loky", 17)
      .print();
  Figure("pool", "acquire + call + release, 64 B, p99", percentile(samples, 0.99), "us")
      .at_most(15)
      .key("call_64b_p99")
      .print();
  Figure("pool", "leased calls/s, 32 coroutines over 2 workers", throughput(context, pool), "1/s")
      .at_least(300'000)
      .key("in_flight_32")
      .times_better_than("multiprocessing.Pool", 5)
      .times_better_than("ProcessPoolExecutor", 5)
      .times_better_than("loky", 5)
      .print();
  double rate = 0;
  run(context, map_trivial(pool, rate));
  Figure("pool", "map of trivial tasks, 2 workers", rate, "1/s")
      .at_least(1e6)
      .key("map_trivial")
      .print();
  double copied = 0, in_place = 0;
  run(context, payload(pool, 1 << 20, 400, copied, in_place));
  Figure("pool", "payload 1 MB, p50", copied, "us").at_most(50).key("argument_1mb_p50").print();
  Figure("pool", "payload 1 MB built in place, p50", in_place, "us").print();
  run(context, payload(pool, 64 << 20, 15, copied, in_place));
  Figure("pool", "payload 64 MB", 67.108864 / copied * 1000, "GB/s").at_least(8).print();
  Figure("pool", "payload 64 MB, p50", copied, "us").key("argument_64mb_p50").print();
  Figure("pool", "payload 64 MB built in place", 67.108864 / in_place * 1000, "GB/s").print();
}

}  // namespace
}  // namespace reeve::bench

int main(int argc, char** argv) {
  reeve::init(argc, argv);
  reeve::bench::run_all();
}
