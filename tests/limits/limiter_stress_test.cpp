// Slots under random acquire, cancel and timeout: never more than the limit, in order, none lost;
// cancellation and teardown after every step.
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/strand.hpp>
#include <random>
#include <reeve/limits.hpp>

#include "tests/limits/support/quiet_probe.hpp"
#include "tests/support/pch.hpp"
#include "tests/support/run.hpp"

namespace reeve::limits {
namespace {

namespace asio = boost::asio;
using asio::awaitable;
using std::chrono::milliseconds;
using testing::quiet;

/// Random arrivals, cancellations and timeouts. Who was granted must have asked after everyone who
/// was granted before; `in_use` counts what is really held.
class Storm {
 public:
  void run(int steps) {
    while (asked_ < steps) {
      batch();
      ASSERT_EQ(limiter_.resource_usage().tasks, 0);
      ASSERT_EQ(limiter_.resource_usage().waiting, 0u);
    }
    EXPECT_EQ(granted_ + timed_out_ + cancelled_, asked_);
    EXPECT_EQ(most_, 3);
    EXPECT_EQ(in_use_, 0);
    EXPECT_EQ(out_of_order_, 0);
    EXPECT_GT(granted_, steps / 3);
    EXPECT_GT(cancelled_, steps / 20);
    EXPECT_GT(timed_out_, steps / 200);
    std::printf("%d asked: %d granted, %d cancelled, %d timed out; at most %d at a time\n", asked_,
                granted_, cancelled_, timed_out_, most_);
  }

 private:
  awaitable<void> work(int number, milliseconds timeout, int hold) {
    try {
      const auto slot = co_await limiter_.acquire_task_slot(timeout);
      out_of_order_ += number < last_granted_;
      last_granted_ = number;
      ++granted_;
      was_granted_[number] = true;
      most_ = std::max(most_, ++in_use_);
      const std::shared_ptr<void> leave(nullptr, [this](void*) { --in_use_; });
      for (int i = 0; i < hold; ++i) co_await asio::post(context_, asio::use_awaitable);
    } catch (const LimitTimeoutError&) {
      ++timed_out_;
    }
  }

  void batch() {
    constexpr int size = 100;
    std::vector<std::unique_ptr<asio::cancellation_signal>> signals;
    for (int i = 0; i < size; ++i) {
      signals.push_back(std::make_unique<asio::cancellation_signal>());
      const milliseconds timeout = random_() % 50 == 0 ? milliseconds{0} : milliseconds{60'000};
      const int number = asked_++;
      was_granted_.push_back(false);
      asio::co_spawn(context_, work(number, timeout, static_cast<int>(random_() % 3)),
                     asio::bind_cancellation_slot(signals.back()->slot(),
                                                  [this, number](std::exception_ptr e) {
                                                    // Cancelled while it held its slot: it has been
                                                    // counted as granted.
                                                    if (e && !was_granted_[number]) ++cancelled_;
                                                  }));
    }
    context_.restart();
    for (int i = 0; i < size * test::first_cancellable_step; ++i) context_.poll_one();
    for (int i = 0; i < 60; ++i) {
      context_.poll_one();
      if (i % 2 == 0) signals[random_() % size]->emit(asio::cancellation_type::terminal);
    }
    context_.restart();
    context_.run();
  }

  asio::io_context context_{1};
  ResourceLimiter limiter_{context_.get_executor(), quiet(3)};
  std::mt19937 random_{5};
  std::vector<bool> was_granted_;
  int asked_ = 0, granted_ = 0, timed_out_ = 0, cancelled_ = 0;
  int in_use_ = 0, most_ = 0, last_granted_ = -1, out_of_order_ = 0;
};

TEST(LimiterStress, FiftyThousandRandomSteps) {
  Storm().run(50'000);
}
TEST(LimiterStressFull, AMillionRandomSteps) {
  Storm().run(1'000'000);
}

awaitable<void> take_slot(ResourceLimiter& limiter, int& served) {
  const auto slot = co_await limiter.acquire_task_slot(std::chrono::minutes{1}, 1_GiB);
  ++served;
}
awaitable<void> take_lock(ResourceLimiter& limiter, int& served) {
  const auto lock = co_await limiter.acquire_model_lock("m", std::chrono::minutes{1});
  ++served;
}
using Take = awaitable<void> (*)(ResourceLimiter&, int&);

class EveryStep : public ::testing::TestWithParam<Take> {};
INSTANTIATE_TEST_SUITE_P(Of, EveryStep, ::testing::Values(&take_slot, &take_lock),
                         [](const auto& i) { return i.index == 0 ? "Slots" : "Locks"; });

TEST_P(EveryStep, ACancelledWaiterPassesItsTurnOn) {
  for (int steps = test::first_cancellable_step; steps < 16; ++steps) {
    asio::io_context context(1);
    ResourceLimiter limiter(context.get_executor(), quiet(1));
    auto slot = limiter.try_acquire_task_slot();
    auto lock = limiter.acquire_model_lock_blocking("m", milliseconds{1});
    asio::cancellation_signal signal;
    int first = 0, others = 0;
    asio::co_spawn(context, GetParam()(limiter, first),
                   asio::bind_cancellation_slot(signal.slot(), asio::detached));
    for (int i = 0; i < 2; ++i)
      asio::co_spawn(context, GetParam()(limiter, others), asio::detached);
    asio::post(context, [&] {
      slot.reset();
      lock.release();
    });
    for (int i = 0; i < steps; ++i) context.poll_one();
    signal.emit(asio::cancellation_type::terminal);
    context.restart();
    context.run();
    EXPECT_EQ(others, 2) << "after " << steps << " steps";
    EXPECT_EQ(limiter.resource_usage().tasks, 0) << "after " << steps << " steps";
    EXPECT_TRUE(limiter.acquire_model_lock_blocking("m", milliseconds{1}));
  }
}

TEST_P(EveryStep, TeardownGivesEverythingBack) {
  for (int steps = 0; steps < 16; ++steps) {
    asio::io_context outer(1);
    ResourceLimiter limiter(outer.get_executor(), quiet(1));
    int served = 0;
    {
      asio::io_context context(1);
      auto slot = limiter.try_acquire_task_slot();
      auto lock = limiter.acquire_model_lock_blocking("m", milliseconds{1});
      for (int i = 0; i < 3; ++i)
        asio::co_spawn(context, GetParam()(limiter, served), asio::detached);
      asio::post(context, [&] {
        slot.reset();
        lock.release();
      });
      for (int i = 0; i < steps; ++i) context.poll_one();
    }
    EXPECT_EQ(limiter.resource_usage().tasks, 0) << "after " << steps << " steps";
    EXPECT_EQ(limiter.resource_usage().waiting, 0u) << "after " << steps << " steps";
    EXPECT_EQ(limiter.resource_usage().reserved, 0_B);
    EXPECT_TRUE(limiter.acquire_model_lock_blocking("m", milliseconds{1}));
  }
}

TEST(LimiterThreadsStress, CancelledAtRandomFromTwoThreads) {
  asio::io_context context(2);
  ResourceLimiter limiter(context.get_executor(), quiet(2));
  std::atomic<int> in_use{0}, most{0}, ended{0};
  struct User {
    explicit User(asio::io_context& c) : strand(asio::make_strand(c)) {}
    asio::strand<asio::io_context::executor_type> strand;
    asio::cancellation_signal signal;
  };
  std::vector<std::unique_ptr<User>> users;
  auto work = [&]() -> awaitable<void> {
    const auto slot = co_await limiter.acquire_task_slot(std::chrono::minutes{1});
    const int now = ++in_use;
    if (now > most) most = now;
    --in_use;
  };
  for (int i = 0; i < 4000; ++i) {
    auto& user = *users.emplace_back(std::make_unique<User>(context));
    asio::co_spawn(
        user.strand, work(),
        asio::bind_cancellation_slot(user.signal.slot(), [&](std::exception_ptr) { ++ended; }));
    if (i % 3 == 0)
      asio::post(user.strand, [&user] { user.signal.emit(asio::cancellation_type::terminal); });
  }
  std::thread other([&] { context.run(); });
  context.run();
  other.join();
  EXPECT_LE(most, 2);
  EXPECT_EQ(ended, 4000);
  EXPECT_EQ(limiter.resource_usage().tasks, 0);
}

}  // namespace
}  // namespace reeve::limits
