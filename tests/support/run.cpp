// The part of run.hpp that is compiled once.
#include "tests/support/run.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <exception>
#include <memory>
#include <stdexcept>

namespace reeve::test {

namespace asio = boost::asio;

void spawn(asio::io_context& context, asio::awaitable<void> work) {
  asio::co_spawn(context, std::move(work), asio::detached);
}

void run_to_end(asio::io_context& context, asio::awaitable<void> work,
                std::chrono::seconds patience) {
  std::exception_ptr failure;
  bool ended = false;
  asio::co_spawn(context, std::move(work), [&](std::exception_ptr e) {
    failure = e;
    ended = true;
  });
  context.restart();
  const auto until = std::chrono::steady_clock::now() + patience;
  while (!ended && std::chrono::steady_clock::now() < until)
    context.run_for(std::chrono::milliseconds{20}), context.restart();
  if (!ended) throw std::runtime_error("the coroutine did not end in time");
  if (failure) std::rethrow_exception(failure);
}

}  // namespace reeve::test
