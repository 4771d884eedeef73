// A smallest user program: a reeve value and one coroutine, which needs the compiled half of Asio.
#include <reeve/base/byte_size.hpp>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <cstdio>
#ifdef CONSUMER_OF_ALL
#include <reeve/reeve.hpp>
#endif

boost::asio::awaitable<void> print_budget(reeve::ByteSize budget) {
  const auto text = reeve::to_string(budget);
  std::puts(text.c_str());
  co_return;
}

int main() {
  using namespace reeve::literals;
  boost::asio::io_context context;
  boost::asio::co_spawn(context, print_budget(2_GiB), boost::asio::detached);
  context.run();
}
