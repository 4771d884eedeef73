// A coroutine on its own strand: results, exceptions, and cancellations at every moment.
#include <reeve/async/own_strand.hpp>

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_future.hpp>

#include "tests/support/pch.hpp"
#include "tests/support/run.hpp"

namespace reeve::async {
namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;

struct End {
  std::exception_ptr failure;
  std::optional<int> result;
  bool ended = false;

  void operator()(std::exception_ptr e, int value) {
    failure = e;
    if (!e) result = value;
    ended = true;
  }
  auto handler() {
    return [this](std::exception_ptr e, int value) { (*this)(e, value); };
  }
  bool aborted() const {
    try {
      if (failure) std::rethrow_exception(failure);
    } catch (const boost::system::system_error& e) {
      return e.code() == asio::error::operation_aborted;
    }
    return false;
  }
};

End run(asio::awaitable<int> work) {
  asio::io_context context;
  End end;
  asio::co_spawn(context, on_own_strand(std::move(work)), end.handler());
  context.run();
  return end;
}

asio::awaitable<int> answer() {
  co_return 42;
}
asio::awaitable<int> fail() {
  throw std::out_of_range("work failed");
  co_return 0;
}

TEST(OwnStrand, returns_the_result) {
  EXPECT_EQ(run(answer()).result, 42);
}

TEST(OwnStrand, rethrows_the_exception) {
  EXPECT_THROW(std::rethrow_exception(run(fail()).failure), std::out_of_range);
}

// Two at once, which add without a lock: only a strand keeps the sum.
asio::awaitable<void> add_slowly(int& sum) {
  for (int i = 0; i < 1000; ++i) {
    ++sum;
    co_await asio::post(asio::use_awaitable);
  }
}
asio::awaitable<int> add_together() {
  const auto executor = co_await asio::this_coro::executor;
  int sum = 0;
  asio::steady_timer both(executor, asio::steady_timer::time_point::max());
  int left = 3;
  for (int i = 0; i < 3; ++i) {
    asio::co_spawn(executor, add_slowly(sum), [&](std::exception_ptr) {
      if (--left == 0) both.cancel();
    });
  }
  boost::system::error_code error;
  co_await both.async_wait(asio::redirect_error(asio::use_awaitable, error));
  co_return sum;
}

TEST(OwnStrand, keeps_what_it_starts_apart) {
  asio::thread_pool threads(4);
  auto sum = asio::co_spawn(threads, on_own_strand(add_together()), asio::use_future);
  EXPECT_EQ(sum.get(), 3000);
}

asio::awaitable<int> sleep_long() {
  asio::steady_timer timer(co_await asio::this_coro::executor, 1h);
  co_await timer.async_wait(asio::use_awaitable);
  co_return 0;
}

asio::awaitable<int> sleep_with_filter() {
  co_await asio::this_coro::reset_cancellation_state(asio::enable_total_cancellation());
  auto work = on_own_strand(sleep_long());
  co_return co_await std::move(work);
}

/// Steps the context `steps` times, cancels, and lets it end.
End cancel_after(std::size_t steps, asio::awaitable<int> work, asio::cancellation_type type) {
  asio::io_context context;
  asio::cancellation_signal signal;
  End end;
  asio::co_spawn(context, std::move(work),
                 asio::bind_cancellation_slot(signal.slot(), end.handler()));
  for (std::size_t i = 0; i < steps && !end.ended; ++i) context.poll_one();
  signal.emit(type);
  context.run_for(5s);
  EXPECT_TRUE(end.ended) << "cancelled after " << steps << " steps";
  return end;
}

TEST(OwnStrand, is_cancelled_at_every_step) {
  for (std::size_t steps = test::first_cancellable_step; steps < 8; ++steps) {
    const End end =
        cancel_after(steps, on_own_strand(sleep_long()), asio::cancellation_type::terminal);
    EXPECT_TRUE(end.aborted()) << "after " << steps << " steps";
  }
}

TEST(OwnStrand, the_callers_filter_decides) {
  EXPECT_TRUE(cancel_after(4, sleep_with_filter(), asio::cancellation_type::total).aborted());
}

// The cancellation is under way to the strand when the work ends, or when it has not begun.
TEST(OwnStrand, is_cancelled_while_it_begins_or_ends) {
  asio::thread_pool threads(4);
  std::atomic<int> ends{0};
  constexpr int runs = 2000;
  for (int i = 0; i < runs; ++i) {
    const auto outer = asio::make_strand(threads);
    auto signal = std::make_shared<asio::cancellation_signal>();
    auto work = i % 2 == 0 ? on_own_strand(answer()) : on_own_strand(sleep_long());
    asio::co_spawn(outer, std::move(work),
                   asio::bind_cancellation_slot(signal->slot(),
                                                [&, signal](std::exception_ptr, int) { ++ends; }));
    asio::post(outer, [signal] { signal->emit(asio::cancellation_type::terminal); });
  }
  threads.join();
  EXPECT_EQ(ends.load(), runs);
}

}  // namespace
}  // namespace reeve::async
