// A pool for the length of a scope: blocking, private, and awaited in a coroutine.
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <cstdio>
#include <reeve/manager.hpp>
#include <vector>

namespace asio = boost::asio;

int cube(int x) {
  return x * x * x;
}

// [awaited]
asio::awaitable<void> study() {
  auto pool = co_await reeve::async_managed_pool(2);  // ready: its workers have started
  const std::vector<int> items{1, 2, 3, 4};
  const std::vector<int> cubes = co_await pool->async_map(&cube, items);
  std::printf("awaited: %d\n", cubes.back());
}
// [/awaited]

int main(int argc, char** argv) {
  reeve::init(argc, argv);
  // [blocking]
  {
    const auto pool = reeve::managed_pool(2);  // of the global manager, which keeps it
    std::printf("blocking: %d\n", pool->map<&cube>(std::vector{1, 2, 3}).back());
  }
  {
    const auto pool = reeve::managed_pool(2, reeve::ExecutorType::thread, reeve::PoolSource::own);
    std::printf("private threads: %d\n", pool->map<&cube>(std::vector{5}).back());
  }  // its threads have ended
  // [/blocking]
  asio::io_context context;
  asio::co_spawn(context, study(), [](std::exception_ptr failure) {
    if (failure) std::rethrow_exception(failure);
  });
  context.run();
  std::printf("pools that were made: %llu\n",
              static_cast<unsigned long long>(reeve::global_pool_manager().stats().creations));
}
// [output]
// blocking: 27
// private threads: 125
// awaited: 64
// pools that were made: 1
// [/output]
