// Workers as threads, for code you trust: it is asked to stop, and its memory is counted where it
// takes part.
#include <atomic>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <cstdio>
#include <memory_resource>
#include <reeve/pool.hpp>
#include <vector>

namespace asio = boost::asio;
using namespace std::chrono_literals;
using namespace reeve::literals;

// [thread]
std::atomic<int> calls{0};  // the program's own: a thread worker sees it

int count_calls() {
  return ++calls;
}

void compute_until_asked() {
  while (!reeve::this_worker::stop_requested()) continue;  // without this it would be quarantined
}

std::size_t take_counted(std::size_t bytes) {
  std::pmr::vector<char> taken(bytes, 1,
                               reeve::this_worker::memory());  // what it offers is counted
  return taken.size();
}
// [/thread]

asio::awaitable<void> work(reeve::ResourcePool pool) {
  {
    auto worker = co_await pool.acquire_worker("count");
    co_await worker.run<&count_calls>();
    std::printf("the program's counter: %d\n", calls.load());
    try {
      co_await worker.run<&take_counted>((64_MiB).bytes());
    } catch (const reeve::WorkerMemoryError&) {
      std::printf("more than its memory: refused\n");
    }
  }
  try {
    auto worker = co_await pool.acquire_worker("endless");
    co_await worker.run<&compute_until_asked>();
  } catch (const reeve::WorkerTimeoutError&) {
    std::printf("out of time: its lease is over, its thread was asked to stop\n");
  }
}

int main() {  // no reeve::init: there are no worker processes
  asio::io_context context;
  reeve::ResourceConfig config;
  config.isolation = reeve::Isolation::thread;
  config.max_workers = 2;
  config.worker_timeout = 300ms;
  config.worker_memory = 32_MiB;
  reeve::ResourcePool pool(context.get_executor(), config);
  asio::co_spawn(context, work(pool), [](std::exception_ptr failure) {
    if (failure) std::rethrow_exception(failure);
  });
  context.run();
}
// [output]
// the program's counter: 1
// more than its memory: refused
// out of time: its lease is over, its thread was asked to stop
// [/output]
