// Bounds a coroutine's time without ever losing its result or its exception.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/experimental/parallel_group.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <exception>
#include <optional>
#include <reeve/base/error.hpp>
#include <type_traits>
#include <variant>

namespace reeve::async {

/// The work did not finish in time; it was cancelled and has ended.
class TimeoutError : public Error {
 public:
  using Error::Error;
};

/// Runs `work` for `limit` at most.
///
/// Effect:       the result of `work`, or its exception, whichever way the race goes: a result that was
///               ready when the time ran out is returned, not thrown away.
/// Cancellation: passes on to `work`. When time runs out `work` gets a terminal cancellation and this
///               waits until it has ended, so nothing runs on behind the caller's back.
/// Errors:       TimeoutError; whatever `work` throws.
/// Cost:         about 3 us. Use a component's own limit (acquire_timeout, RunLimits) where it has one.
template <class T>
boost::asio::awaitable<T> with_timeout(boost::asio::awaitable<T> work,
                                       std::chrono::nanoseconds limit);

// ------------------------------------------------------------------------------------------------

[[noreturn]] void throw_timeout(std::chrono::nanoseconds limit);

template <class T>
boost::asio::awaitable<T> with_timeout(boost::asio::awaitable<T> work,
                                       std::chrono::nanoseconds limit) {
  namespace asio = boost::asio;
  using Slot = std::conditional_t<std::is_void_v<T>, std::monostate, std::optional<T>>;
  const auto executor = co_await asio::this_coro::executor;
  asio::steady_timer timer(executor, limit);
  auto group = asio::experimental::make_parallel_group(
      asio::co_spawn(executor, std::move(work), asio::deferred),
      timer.async_wait(asio::deferred));
  Slot value{};
  std::exception_ptr failure;
  std::size_t first = 0;
  if constexpr (std::is_void_v<T>) {
    auto [order, error, timer_error] =
        co_await group.async_wait(asio::experimental::wait_for_one(), asio::use_awaitable);
    failure = error;
    first = order[0];
  } else {
    auto [order, error, result, timer_error] =
        co_await group.async_wait(asio::experimental::wait_for_one(), asio::use_awaitable);
    failure = error;
    first = order[0];
    if (!error) value.emplace(std::move(result));
  }
  if (failure && first == 1) {
    // The timer won. An exception other than our own cancellation is the work's and is not eaten.
    try {
      std::rethrow_exception(failure);
    } catch (const boost::system::system_error& e) {
      if (e.code() == asio::error::operation_aborted) throw_timeout(limit);
      throw;
    }
  }
  if (failure) std::rethrow_exception(failure);
  if constexpr (!std::is_void_v<T>) co_return std::move(*value);
}

}  // namespace reeve::async
