// Three tasks break the three promises of a worker; each ends as an exception with its evidence.
#include <signal.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <cstdio>
#include <reeve/pool.hpp>
#include <vector>

namespace asio = boost::asio;
using namespace std::chrono_literals;
using namespace reeve::literals;

void never_return() {
  for (volatile bool go = true; go;) continue;
}

std::size_t take_memory(std::size_t bytes) {
  std::vector<char> taken(bytes, 1);
  *static_cast<volatile char*>(taken.data()) = 2;  // or a compiler may leave the vector out
  return taken.size();
}

void crash() {
  raise(SIGSEGV);
}

int answer() {
  return 42;
}

// [catch]
asio::awaitable<void> break_limits(reeve::ResourcePool pool) {
  try {
    auto worker = co_await pool.acquire_worker("endless");
    const reeve::RunLimits limits(200ms);  // tighter than the lease, for this call
    co_await worker.run<&never_return>(limits);
  } catch (const reeve::WorkerTimeoutError& error) {
    std::printf("time: killed %.1f s after the grant\n", error.evidence().elapsed.count() / 1e9);
  }
  try {
    auto worker = co_await pool.acquire_worker("greedy");
    co_await worker.run<&take_memory>((1_GiB).bytes());
  } catch (const reeve::WorkerMemoryError& error) {
    std::printf("memory: %s allowed, refused by %s\n",
                to_string(error.evidence().memory_limit).c_str(),
                error.evidence().mechanism.c_str());
  }
  try {
    auto worker = co_await pool.acquire_worker("broken");
    co_await worker.run<&crash>();
  } catch (const reeve::WorkerCrashedError& error) {
    std::printf("crash: signal %d in task '%s'\n", error.evidence().signal,
                std::string(error.task()).c_str());
  }
  auto worker = co_await pool.acquire_worker("sound");
  const int result = co_await worker.run<&answer>();
  std::printf("the pool goes on: %d\n", result);
}
// [/catch]

int main(int argc, char** argv) {
  reeve::init(argc, argv);
  asio::io_context context;
  reeve::ResourceConfig config;
  config.max_workers = 1;
  config.worker_timeout = 30s;
  config.worker_memory = 256_MiB;
  reeve::ResourcePool pool(context.get_executor(), config);
  asio::co_spawn(context, break_limits(pool), [](std::exception_ptr failure) {
    if (failure) std::rethrow_exception(failure);
  });
  context.run();
}
// [output]
// time: killed 0.2 s after the grant
// memory: 256 MiB allowed, refused by rlimit_data
// crash: signal 11 in task 'broken'
// the pool goes on: 42
// [/output]
