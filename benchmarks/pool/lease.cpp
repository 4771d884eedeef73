// Acquire and release without a call: the fast path, and 1,000 waiters in the queue.
#include <boost/asio/experimental/concurrent_channel.hpp>
#include <boost/asio/this_coro.hpp>
#include <cstdlib>
#include <new>

#include "benchmarks/pool/pool_bench.hpp"

namespace {
std::uint64_t allocations = 0;
}
void* operator new(std::size_t size) {
  ++allocations;
  if (void* block = std::malloc(size)) return block;
  throw std::bad_alloc();
}
void operator delete(void* block) noexcept {
  std::free(block);
}
void operator delete(void* block, std::size_t) noexcept {
  std::free(block);
}

namespace reeve::bench {
namespace {

constexpr int rounds = 200'000;

asio::awaitable<void> uncontended(ResourcePool& pool, double& best, std::uint64_t& allocated) {
  best = 1e9;
  for (int repeat = 0; repeat < 7; ++repeat) {
    const std::uint64_t before = allocations;
    const auto start = BenchClock::now();
    for (int i = 0; i < rounds; ++i) {
      auto lease = co_await pool.acquire_worker("bench");
    }
    best = std::min(best, nanoseconds_since(start) / rounds);
    allocated = allocations - before;
  }
}

// Per-lease median of a batch of runs; the work loop around it is part of the figure.
struct Queue {
  int waiting = 0;
  std::uint64_t served = 0;
};

asio::awaitable<void> waiter(ResourcePool& pool, Queue& queue, int times) {
  for (int i = 0; i < times; ++i) {
    auto lease = co_await pool.acquire_worker("bench");
    co_await asio::post(co_await asio::this_coro::executor, asio::use_awaitable);
    ++queue.served;
  }
  --queue.waiting;
}

double contended(asio::io_context& context, ResourcePool& pool, std::uint64_t& allocated) {
  Queue queue;
  constexpr int waiters = 1000;
  constexpr int times = 300;
  queue.waiting = waiters;
  for (int i = 0; i < waiters; ++i)
    asio::co_spawn(context, waiter(pool, queue, times), asio::detached);
  context.restart();
  while (queue.served < waiters * 20) context.run_one();
  const std::uint64_t from = queue.served;
  const std::uint64_t before = allocations;
  const auto start = BenchClock::now();
  while (queue.served < waiters * (times - 20)) context.run_one();
  const double time = nanoseconds_since(start) / static_cast<double>(queue.served - from);
  allocated = allocations - before;
  while (queue.waiting > 0) context.run_one();
  return time;
}

using Channel = asio::experimental::concurrent_channel<void(boost::system::error_code, int)>;

asio::awaitable<void> channel_uncontended(Channel& channel, double& best) {
  best = 1e9;
  for (int repeat = 0; repeat < 7; ++repeat) {
    const auto start = BenchClock::now();
    for (int i = 0; i < rounds; ++i) {
      int token = 0;
      channel.try_receive([&](boost::system::error_code, int value) { token = value; });
      channel.try_send(boost::system::error_code(), token);
    }
    best = std::min(best, nanoseconds_since(start) / rounds);
  }
  co_return;
}

asio::awaitable<void> channel_waiter(Channel& channel, Queue& queue, int times) {
  for (int i = 0; i < times; ++i) {
    const int token = co_await channel.async_receive(asio::use_awaitable);
    co_await asio::post(co_await asio::this_coro::executor, asio::use_awaitable);
    ++queue.served;
    channel.try_send(boost::system::error_code(), token);
  }
  --queue.waiting;
}

double channel_contended(asio::io_context& context, Channel& channel) {
  Queue queue;
  queue.waiting = 1000;
  for (int i = 0; i < 1000; ++i)
    asio::co_spawn(context, channel_waiter(channel, queue, 300), asio::detached);
  context.restart();
  const auto start = BenchClock::now();
  while (queue.waiting > 0) context.run_one();
  return nanoseconds_since(start) / static_cast<double>(queue.served);
}

void run_all() {
  asio::io_context context(1);
  Channel channel(context.get_executor(), 2);
  channel.try_send(boost::system::error_code(), 1);
  channel.try_send(boost::system::error_code(), 2);
  double channel_fast = 0;
  run(context, channel_uncontended(channel, channel_fast));
  const double channel_queue = channel_contended(context, channel);
  for (const std::size_t ring : {std::size_t{0}, std::size_t{4096}}) {
    ResourceConfig config = bench_config(2);
    config.audit_ring = ring;
    ResourcePool pool(context.get_executor(), config);
    run(context, pool.warm_up(2));
    double fast = 0;
    std::uint64_t allocated = 0;
    run(context, uncontended(pool, fast, allocated));
    const std::string suffix = ring == 0 ? ", audit off" : ", audit ring";
    Figure("pool", "acquire + release, uncontended" + suffix, fast, "ns")
        .at_most(ring == 0 ? 60 : 200)
        .against("asio concurrent_channel", channel_fast)
        .print();
    Figure("pool", "allocations per 200,000 uncontended leases" + suffix,
           static_cast<double>(allocated), "")
        .at_most(0)
        .print();
    std::uint64_t queue_allocated = 0;
    const double queued = contended(context, pool, queue_allocated);
    Figure("pool", "acquire + release, 1,000 waiters" + suffix, queued, "ns")
        .at_most(600)
        .against("asio concurrent_channel", channel_queue)
        .print();
    Figure("pool", "allocations per 260,000 queued leases" + suffix,
           static_cast<double>(queue_allocated), "")
        .at_most(0)
        .print();
  }
}

}  // namespace
}  // namespace reeve::bench

int main(int argc, char** argv) {
  reeve::init(argc, argv);
  reeve::bench::run_all();
}
