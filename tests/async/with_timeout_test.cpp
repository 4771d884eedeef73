// with_timeout returns the work's result or exception, whichever way the race goes.
#include <reeve/async/with_timeout.hpp>

#include <reeve/async/gate.hpp>

#include "tests/support/pch.hpp"

namespace reeve::async {
namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;

template <class T>
T run(asio::awaitable<T> work) {
  asio::io_context context;
  std::exception_ptr failure;
  std::optional<T> result;
  asio::co_spawn(context, std::move(work), [&](std::exception_ptr e, T value) {
    failure = e;
    result = value;
  });
  context.run();
  if (failure) std::rethrow_exception(failure);
  return *result;
}

asio::awaitable<int> answer() {
  co_return 42;
}
asio::awaitable<int> fail() {
  throw std::out_of_range("work failed");
  co_return 0;
}
asio::awaitable<int> wait_for(Gate& gate) {
  co_await gate.wait();
  co_return 1;
}

TEST(WithTimeout, returns_the_result) {
  EXPECT_EQ(run(with_timeout(answer(), 10s)), 42);
}

TEST(WithTimeout, rethrows_the_exception_at_once) {
  EXPECT_THROW(run(with_timeout(fail(), 10s)), std::out_of_range);
}

TEST(WithTimeout, cancels_work_that_does_not_end) {
  Gate never;
  EXPECT_THROW(run(with_timeout(wait_for(never), 1ms)), TimeoutError);
}

asio::awaitable<int> fail_when_cancelled(Gate& gate) {
  try {
    co_await gate.wait();
  } catch (const boost::system::system_error&) {
    throw std::logic_error("clean-up failed");
  }
  co_return 0;
}

TEST(WithTimeout, keeps_an_exception_that_the_cancelled_work_throws) {
  Gate never;
  EXPECT_THROW(run(with_timeout(fail_when_cancelled(never), 1ms)), std::logic_error);
}

asio::awaitable<int> finish_when_cancelled(Gate& gate) {
  try {
    co_await gate.wait();
  } catch (const boost::system::system_error&) {
  }
  co_return 7;
}

TEST(WithTimeout, keeps_a_result_that_was_ready_when_time_ran_out) {
  Gate never;
  EXPECT_EQ(run(with_timeout(finish_when_cancelled(never), 1ms)), 7);
}

// The strand that the work runs on is its own; its executor is asked for what it needs only.
asio::awaitable<int> hop(int times) {
  for (int i = 0; i < times; ++i) co_await asio::post(asio::use_awaitable);
  co_return times;
}

asio::awaitable<void> race_on_threads(int times, std::atomic<int>& ends) {
  try {
    auto work = hop(times);
    co_await with_timeout(std::move(work), std::chrono::microseconds(2 * times));
  } catch (const TimeoutError&) {
  } catch (const boost::system::system_error&) {  // cancelled by the outer limit
  }
  ++ends;
}

// Threads: one context may have several. The timer rings on one while the work runs on another.
TEST(WithTimeout, races_on_several_threads) {
  asio::io_context context;
  std::atomic<int> ends{0};
  for (int i = 0; i < 300; ++i) {
    asio::co_spawn(context, race_on_threads(10 + i, ends), asio::detached);
    auto inner = race_on_threads(10 + i, ends);
    auto outer = with_timeout(std::move(inner), std::chrono::microseconds(i));
    asio::co_spawn(context, std::move(outer), asio::detached);
  }
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) threads.emplace_back([&] { context.run(); });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(ends.load(), 600);
}

}  // namespace
}  // namespace reeve::async
