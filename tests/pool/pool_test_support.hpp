// What most pool tests need: a context, a small configuration, and a way to run a coroutine to its
// end.
#pragma once

#include <reeve/pool.hpp>

#include "tests/support/pch.hpp"
#include "tests/support/run.hpp"
#include "tests/support/sanitizers.hpp"

namespace reeve::test {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using namespace reeve::literals;

/// At the top of tests that need RLIMIT_DATA, which sanitizers cannot live with.
#define REEVE_SKIP_UNDER_SANITIZERS() \
  if (::reeve::test::sanitized) GTEST_SKIP() << "RLIMIT_DATA is off under this sanitizer"

/// At the top of tests that come near the memory limit on purpose.
#define REEVE_SKIP_WITH_SHADOW_MEMORY()                                                            \
  if (::reeve::test::thread_sanitizer)                                                             \
  GTEST_SKIP() << "the thread sanitizer's shadow, several bytes for each that is touched, counts " \
                  "as the worker's memory"

inline ResourceConfig small_config() {
  ResourceConfig config;
  config.max_workers = 2;
  config.worker_timeout = 20s;
  config.worker_memory = 256_MiB;
  return config;
}

template <auto Fn, class... Args>
using CallResult = asio::awaitable<std::remove_cv_t<std::invoke_result_t<decltype(Fn), Args...>>>;

/// One lease, one call of Fn, and the lease is given back.
template <auto Fn, class... Args>
CallResult<Fn, Args...> call_once(ResourcePool& pool, std::string task, Args... args) {
  auto worker = co_await pool.acquire_worker(task);
  constexpr bool gives_nothing = std::is_void_v<std::invoke_result_t<decltype(Fn), Args...>>;
  if constexpr (gives_nothing) {
    auto call = worker.template run<Fn>(args...);
    co_await std::move(call);
  } else {
    auto call = worker.template run<Fn>(args...);
    co_return co_await std::move(call);
  }
}

/// A lease to play with outside of a coroutine.
inline asio::awaitable<std::shared_ptr<WorkerLease>> hold(ResourcePool& pool, std::string task) {
  auto lease = co_await pool.acquire_worker(task);
  co_return std::make_shared<WorkerLease>(std::move(lease));
}

/// The E that `work` ends with; a test failure and nothing if it ends otherwise.
template <class E, class T>
std::optional<E> error_of(asio::io_context& context, asio::awaitable<T> work,
                          std::chrono::seconds patience = 30s) {
  try {
    run_in(context, std::move(work), patience);
    ADD_FAILURE() << "nothing was thrown";
  } catch (const E& error) {
    return error;
  } catch (const std::exception& error) {
    ADD_FAILURE() << "another exception came: " << error.what();
  }
  return std::nullopt;
}

/// Lets `context` work until `done()`; false when that takes longer than `patience`.
template <class Done>
bool run_until(asio::io_context& context, Done done, std::chrono::milliseconds patience = 10s) {
  const auto work = asio::make_work_guard(context);  // an idle pool alone is not waited for
  const auto until = std::chrono::steady_clock::now() + patience;
  while (!done()) {
    if (std::chrono::steady_clock::now() > until) return false;
    context.restart();
    context.run_for(2ms);
  }
  return true;
}

template <class T>
T median(std::vector<T> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2),
                   values.end());
  return values[values.size() / 2];
}

inline double seconds_since(std::chrono::steady_clock::time_point from) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - from).count();
}

inline int add(int a, int b) {
  return a + b;
}

/// The pool still works: a call on a fresh lease has its result.
inline void expect_pool_works(asio::io_context& context, ResourcePool& pool) {
  EXPECT_EQ((run_in(context, call_once<&add>(pool, "after", 20, 22))), 42);
}

}  // namespace reeve::test
