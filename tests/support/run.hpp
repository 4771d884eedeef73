// Runs coroutines on a context. The expensive instantiations of co_spawn are compiled once.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/version.hpp>
#include <chrono>
#include <optional>
#include <type_traits>
#include <utility>

namespace reeve::test {

/// How many steps a coroutine must have made before it may be cancelled: with Asio of Boost 1.82
/// and newer a cancellation before its first step comes out of the context's run.
inline constexpr int first_cancellable_step = BOOST_VERSION >= 108200 ? 1 : 0;

/// Starts `work` and forgets it; an exception that leaves it comes out of the context's run.
void spawn(boost::asio::io_context& context, boost::asio::awaitable<void> work);

/// Runs `work` until it ends, at most `patience`, and throws its exception.
void run_to_end(boost::asio::io_context& context, boost::asio::awaitable<void> work,
                std::chrono::seconds patience);

template <class T>
boost::asio::awaitable<void> keep_result(boost::asio::awaitable<T> work, std::optional<T>& result) {
  result.emplace(co_await std::move(work));
}

/// Runs `work` until it ends (at most `patience`) and returns its result or throws its exception.
template <class T>
T run_in(boost::asio::io_context& context, boost::asio::awaitable<T> work,
         std::chrono::seconds patience = std::chrono::seconds{30}) {
  if constexpr (std::is_void_v<T>) {
    run_to_end(context, std::move(work), patience);
  } else {
    std::optional<T> result;
    run_to_end(context, keep_result(std::move(work), result), patience);
    return std::move(*result);
  }
}

}  // namespace reeve::test
