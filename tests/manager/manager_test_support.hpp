// What the manager's tests share: tasks, and a manager whose time stands still.
#pragma once

#include <reeve/manager.hpp>

#include "tests/pool/pool_test_support.hpp"

namespace reeve::test {

inline constexpr ExecutorType process = ExecutorType::process;
inline constexpr ExecutorType thread = ExecutorType::thread;

inline int square(int x) {
  return x * x;
}

/// A manager with a clock that tests move.
struct Timed {
  explicit Timed(std::optional<std::chrono::milliseconds> idle_timeout = 300s)
      : manager(config_with(clock, idle_timeout)) {}

  static ManagerConfig config_with(const ManualClock& clock,
                                   std::optional<std::chrono::milliseconds> idle_timeout) {
    ManagerConfig config;
    config.clock = &clock;
    config.idle_timeout = idle_timeout;
    return config;
  }
  /// Time passes, and the reaper has looked.
  void pass(std::chrono::milliseconds time) {
    clock.advance(time);
    manager.reap_now();
  }

  ManualClock clock;
  PoolManager manager;
};

/// The text of the E that `call` throws; a test failure if it throws something else, or nothing.
template <class E, class Call>
std::string text_of(Call call) {
  try {
    call();
    ADD_FAILURE() << "nothing was thrown";
  } catch (const E& error) {
    return error.what();
  } catch (const std::exception& error) {
    ADD_FAILURE() << "another exception came: " << error.what();
  }
  return {};
}

inline asio::awaitable<void> shut_down(ResourcePool pool) {
  co_await pool.shutdown();
}

/// Ends the pool behind the manager's back.
inline void close_now(const ManagedPool& pool) {
  asio::io_context context;
  run_in(context, shut_down(pool.resource_pool()));
}

/// Waits for another thread's doing, at most `patience`.
template <class Done>
bool eventually(Done done, std::chrono::milliseconds patience = 10s) {
  const auto until = std::chrono::steady_clock::now() + patience;
  while (!done()) {
    if (std::chrono::steady_clock::now() > until) return false;
    std::this_thread::yield();
  }
  return true;
}

}  // namespace reeve::test
