// Direct hand-over, cancellation and teardown of waiters.
#include <reeve/async/waiter_queue.hpp>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>

#include "tests/support/pch.hpp"

namespace reeve::async {
namespace {

namespace asio = boost::asio;

// Something that must never be lost: it goes back to its shelf when it is destroyed.
class Token {
 public:
  explicit Token(int& shelf) : shelf_(&shelf) { --shelf; }
  Token(Token&& other) noexcept : shelf_(std::exchange(other.shelf_, nullptr)) {}
  Token& operator=(Token&&) = delete;
  ~Token() {
    if (shelf_ != nullptr) ++*shelf_;
  }

 private:
  int* shelf_;
};

struct Desk {
  std::mutex mutex;
  WaiterQueue<Token> queue;
  std::vector<int> served;

  asio::awaitable<void> wait(int name) {
    Waiter<Token> waiter(mutex, queue);
    {
      const std::lock_guard lock(mutex);
      queue.push_back(waiter);
    }
    co_await waiter.wait();
    const auto token = waiter.take();
    served.push_back(token ? name : -name);
  }
  void grant_front(int& shelf) {
    const std::lock_guard lock(mutex);
    queue.grant(*queue.front(), Token(shelf));
  }
};

TEST(WaiterQueue, serves_in_order_of_arrival) {
  asio::io_context context;
  Desk desk;
  int shelf = 3;
  for (int name : {1, 2, 3}) asio::co_spawn(context, desk.wait(name), asio::detached);
  context.poll();
  for (int i = 0; i < 3; ++i) desk.grant_front(shelf);
  context.poll();
  EXPECT_THAT(desk.served, ::testing::ElementsAre(1, 2, 3));
  EXPECT_EQ(shelf, 3);
}

TEST(WaiterQueue, cancelled_waiter_leaves_and_the_next_is_granted) {
  asio::io_context context;
  Desk desk;
  int shelf = 1;
  asio::cancellation_signal signal;
  asio::co_spawn(context, desk.wait(1),
                 asio::bind_cancellation_slot(signal.slot(), asio::detached));
  asio::co_spawn(context, desk.wait(2), asio::detached);
  context.poll();
  signal.emit(asio::cancellation_type::terminal);
  context.poll();  // co_spawn passes a cancellation on through its executor
  desk.grant_front(shelf);
  context.poll();
  EXPECT_THAT(desk.served, ::testing::ElementsAre(-1, 2));
  EXPECT_EQ(shelf, 1);
}

// Scenario 55: the grant and the cancellation meet; the value arrives all the same.
TEST(WaiterQueue, granted_waiter_keeps_its_value_when_it_is_cancelled_before_it_runs) {
  asio::io_context context;
  Desk desk;
  int shelf = 1;
  asio::cancellation_signal signal;
  asio::co_spawn(context, desk.wait(1),
                 asio::bind_cancellation_slot(signal.slot(), asio::detached));
  context.poll();
  desk.grant_front(shelf);
  signal.emit(asio::cancellation_type::terminal);
  context.poll();
  EXPECT_THAT(desk.served, ::testing::ElementsAre(1));
  EXPECT_EQ(shelf, 1);
}

TEST(WaiterQueue, teardown_after_every_scheduler_step_loses_nothing) {
  for (int steps = 0; steps < 12; ++steps) {
    Desk desk;
    int shelf = 2;
    {
      asio::io_context context;
      for (int name : {1, 2, 3}) asio::co_spawn(context, desk.wait(name), asio::detached);
      for (int i = 0; i < steps; ++i) {
        context.poll_one();
        const bool someone = !desk.queue.empty();
        if (i >= 3 && shelf > 0 && someone) desk.grant_front(shelf);
      }
    }
    EXPECT_EQ(shelf, 2) << "after " << steps << " steps";
    EXPECT_TRUE(desk.queue.empty()) << "after " << steps << " steps";
  }
}

TEST(WaiterQueue, grants_from_another_thread) {
  asio::io_context context;
  Desk desk;
  int shelf = 1000;
  for (int name = 1; name <= 1000; ++name) asio::co_spawn(context, desk.wait(name), asio::detached);
  context.poll();
  std::thread granter([&] {
    for (int i = 0; i < 1000; ++i) {
      const std::lock_guard lock(desk.mutex);
      desk.queue.dismiss(*desk.queue.front());
    }
  });
  context.restart();
  context.run();
  granter.join();
  EXPECT_EQ(desk.served.size(), 1000u);
  EXPECT_EQ(shelf, 1000);
}

}  // namespace
}  // namespace reeve::async
