// Several coroutines at a time.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <vector>

namespace reeve::detail {

/// Runs all of `works` on this coroutine's executor and waits for all; then throws what the first
/// one that failed threw.
boost::asio::awaitable<void> together(std::vector<boost::asio::awaitable<void>> works);

}  // namespace reeve::detail
