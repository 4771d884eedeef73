// Gate: everyone passes once it is open.
#include <reeve/async/gate.hpp>

#include "tests/support/pch.hpp"

namespace reeve::async {
namespace {

namespace asio = boost::asio;

asio::awaitable<void> pass(Gate& gate, int& passed) {
  co_await gate.wait();
  ++passed;
}

TEST(Gate, lets_all_waiters_through_when_it_opens_and_everyone_after) {
  asio::io_context context;
  Gate gate;
  int passed = 0;
  for (int i = 0; i < 3; ++i) asio::co_spawn(context, pass(gate, passed), asio::detached);
  context.poll();
  EXPECT_EQ(passed, 0);
  gate.open();
  asio::co_spawn(context, pass(gate, passed), asio::detached);
  context.run();
  EXPECT_EQ(passed, 4);
}

TEST(Gate, context_destroyed_while_a_coroutine_waits) {
  Gate gate;
  int passed = 0;
  {
    asio::io_context context;
    asio::co_spawn(context, pass(gate, passed), asio::detached);
    context.poll();
  }
  gate.open();
  EXPECT_EQ(passed, 0);
}

}  // namespace
}  // namespace reeve::async
