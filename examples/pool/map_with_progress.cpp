// A function over many items, on as many workers as the pool has, with its progress.
#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <cstdio>
#include <numeric>
#include <reeve/pool.hpp>
#include <vector>

namespace asio = boost::asio;
using namespace std::chrono_literals;
using namespace reeve::literals;

// [map]
int collatz_steps(std::uint64_t n) {
  int steps = 0;
  for (; n != 1; ++steps) n = n % 2 == 0 ? n / 2 : 3 * n + 1;
  return steps;
}

asio::awaitable<void> find_longest(reeve::ResourcePool pool) {
  std::vector<std::uint64_t> starts(100'000);
  std::iota(starts.begin(), starts.end(), 1);

  reeve::MapOptions options;
  options.progress = [next = 25.0](double percent, std::string_view) mutable {
    for (; percent >= next; next += 25) std::printf("%.0f %%\n", next);
  };
  const auto function = [](std::uint64_t n) { return collatz_steps(n); };
  const auto steps = co_await parallel_map(pool, "collatz", function, starts, options);

  const auto longest = std::max_element(steps.begin(), steps.end());
  std::printf("%ld takes %d steps\n", longest - steps.begin() + 1, *longest);
}
// [/map]

int main(int argc, char** argv) {
  reeve::init(argc, argv);
  asio::io_context context;
  reeve::ResourceConfig config;
  config.max_workers = 2;
  config.worker_timeout = 60s;
  config.worker_memory = 256_MiB;
  reeve::ResourcePool pool(context.get_executor(), config);
  asio::co_spawn(context, find_longest(pool), [](std::exception_ptr failure) {
    if (failure) std::rethrow_exception(failure);
  });
  context.run();
}
// [output]
// 25 %
// 50 %
// 75 %
// 100 %
// 77031 takes 350 steps
// [/output]
