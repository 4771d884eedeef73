// What most pool tests need: a context, a small configuration, and a way to run a coroutine to its
// end.
#pragma once

#include <reeve/pool.hpp>

#include "tests/support/pch.hpp"

namespace reeve::test {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using namespace reeve::literals;

inline ResourceConfig small_config() {
  ResourceConfig config;
  config.max_workers = 2;
  config.worker_timeout = 20s;
  config.worker_memory = 256_MiB;
  return config;
}

/// Runs `work` until it ends (at most `patience`) and returns its result or throws its exception.
template <class T>
T run_in(asio::io_context& context, asio::awaitable<T> work, std::chrono::seconds patience = 30s) {
  std::exception_ptr failure;
  bool ended = false;
  std::conditional_t<std::is_void_v<T>, std::monostate, std::optional<T>> result{};
  if constexpr (std::is_void_v<T>) {
    asio::co_spawn(context, std::move(work), [&](std::exception_ptr e) {
      failure = e;
      ended = true;
    });
  } else {
    asio::co_spawn(context, std::move(work), [&](std::exception_ptr e, T value) {
      failure = e;
      ended = true;
      if (!e) result.emplace(std::move(value));
    });
  }
  context.restart();
  const auto until = std::chrono::steady_clock::now() + patience;
  while (!ended && std::chrono::steady_clock::now() < until)
    context.run_for(20ms), context.restart();
  if (!ended) throw std::runtime_error("the coroutine did not end in time");
  if (failure) std::rethrow_exception(failure);
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

}  // namespace reeve::test
