// What the pool's benchmarks share: a warm pool, a way to run a coroutine, allocation counting.
#pragma once

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstdint>
#include <exception>
#include <reeve/pool.hpp>

#include "benchmarks/support/report.hpp"

namespace reeve::bench {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using namespace reeve::literals;
using BenchClock = std::chrono::steady_clock;

inline double nanoseconds_since(BenchClock::time_point start) {
  return std::chrono::duration<double, std::nano>(BenchClock::now() - start).count();
}

inline ResourceConfig bench_config(std::size_t workers) {
  ResourceConfig config;
  config.max_workers = workers;
  config.worker_timeout = 60s;
  config.worker_memory = 1_GiB;
  return config;
}

inline void run(asio::io_context& context, asio::awaitable<void> work) {
  std::exception_ptr failure;
  asio::co_spawn(context, std::move(work), [&](std::exception_ptr e) {
    failure = e;
    context.stop();
  });
  context.restart();
  context.run();
  if (failure) std::rethrow_exception(failure);
}

}  // namespace reeve::bench
