// A coroutine that is woken by another thread may end its context before the waker has returned.
#include <reeve/async/parking_spot.hpp>

#include <array>
#include <atomic>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/thread_pool.hpp>
#include <functional>
#include <thread>

#include "tests/support/pch.hpp"

namespace reeve::async {
namespace {

namespace asio = boost::asio;

asio::awaitable<void> sleep_in(std::atomic<ParkingSpot*>& shared) {
  ParkingSpot spot;
  shared.store(&spot);
  co_await spot.park();
  shared.store(nullptr);
}

// Shows under TSan, or as a crash: the scheduler is gone while `post` still touches it.
TEST(ParkingSpotThreads, a_context_ends_as_soon_as_its_coroutine_was_woken) {
  constexpr int rounds = 3000;
  std::atomic<ParkingSpot*> shared{nullptr};
  std::atomic<int> turn{0};
  std::thread waker([&] {
    for (int round = 0; round < rounds; ++round) {
      while (turn.load() != round || shared.load() == nullptr) std::this_thread::yield();
      shared.exchange(nullptr)->unpark();
      turn.store(-1);
      while (turn.load() == -1) std::this_thread::yield();
    }
  });
  int ended = 0;
  for (int round = 0; round < rounds; ++round) {
    turn.store(round);
    {
      asio::io_context context;
      asio::co_spawn(context, sleep_in(shared), [&](std::exception_ptr e) { ended += e ? 0 : 1; });
      context.run();
    }
    while (turn.load() != -1) std::this_thread::yield();
  }
  turn.store(rounds);
  waker.join();
  EXPECT_EQ(ended, rounds);
}

asio::awaitable<void> sleep_and_note(ParkingSpot& spot, std::atomic<int>& woken) {
  co_await spot.park();
  ++woken;
}

/// Lets three coroutines sleep on `executor` and wakes them from a handler of `waker`, by
/// `unpark_when_returning`; `run` drives both.
void wake_three(const asio::any_io_executor& executor, const asio::any_io_executor& waker,
                const std::function<void()>& run) {
  std::array<ParkingSpot, 3> spots;
  std::atomic<int> woken{0}, at_return{-1};
  for (ParkingSpot& spot : spots)
    asio::co_spawn(executor, sleep_and_note(spot, woken), asio::detached);
  asio::post(waker, [&] {
    for (ParkingSpot& spot : spots) spot.unpark_when_returning();
    for (ParkingSpot& spot : spots) spot.unpark_when_returning();  // only the first call counts
    at_return = woken.load();
  });
  run();
  EXPECT_EQ(woken.load(), 3);
  if (executor == waker) {
    EXPECT_EQ(at_return.load(), 0) << "nobody runs inside of whoever wakes";
  }
}

TEST(ParkingSpotTest, ManyAreWokenWhenTheirWakerReturns) {
  asio::io_context context;
  wake_three(context.get_executor(), context.get_executor(), [&] { context.run(); });
}

/// How many of three sleepers ran before what their waker posted after waking them.
int woken_before_a_later_post(void (ParkingSpot::*wake)()) {
  asio::io_context context;
  std::array<ParkingSpot, 3> spots;
  std::atomic<int> woken{0};
  int before = -1;
  for (ParkingSpot& spot : spots)
    asio::co_spawn(context, sleep_and_note(spot, woken), asio::detached);
  asio::post(context, [&] {
    for (ParkingSpot& spot : spots) (spot.*wake)();
    asio::post(context, [&] { before = woken.load(); });
  });
  context.run();
  EXPECT_EQ(woken.load(), 3);
  return before;
}

// What shows that they do not go through the context's queue, and its lock, one by one.
TEST(ParkingSpotTest, ThoseWokenOnReturnAreQueuedTogether) {
  EXPECT_EQ(woken_before_a_later_post(&ParkingSpot::unpark), 3);
  EXPECT_EQ(woken_before_a_later_post(&ParkingSpot::unpark_when_returning), 0);
}

TEST(ParkingSpotTest, ManyAreWokenOnTheirStrand) {
  asio::io_context context;
  const asio::any_io_executor strand = asio::make_strand(context);
  wake_three(strand, context.get_executor(), [&] { context.run(); });
  context.restart();
  wake_three(strand, strand, [&] { context.run(); });
}

TEST(ParkingSpotTest, ManyAreWokenOnAThreadPool) {
  asio::thread_pool pool(1);
  wake_three(pool.get_executor(), pool.get_executor(), [&] { pool.join(); });
}

TEST(ParkingSpotTest, ManyAreWokenFromAnotherContext) {
  asio::io_context theirs, ours;
  wake_three(theirs.get_executor(), ours.get_executor(), [&] {
    theirs.poll();
    ours.run();
    theirs.run();
  });
}

struct CountsItsEnd {
  explicit CountsItsEnd(int& n) : ended(n) {}
  ~CountsItsEnd() { ++ended; }
  int& ended;
};

asio::awaitable<void> sleep_with(ParkingSpot*& shared, int& ended, std::atomic<int>& woken) {
  const CountsItsEnd local(ended);
  ParkingSpot spot;
  shared = &spot;
  co_await spot.park();
  ++woken;
}

TEST(ParkingSpotTest, AWokenCoroutineThatNeverRanIsDestroyedWithItsContext) {
  for (const bool together : {false, true}) {
    std::atomic<int> woken{0};
    int ended = 0;
    ParkingSpot* spot = nullptr;
    {
      asio::io_context context;
      asio::co_spawn(context, sleep_with(spot, ended, woken), asio::detached);
      context.poll();
      together ? spot->unpark_when_returning() : spot->unpark();
      EXPECT_EQ(ended, 0);
    }
    EXPECT_EQ(ended, 1);
    EXPECT_EQ(woken.load(), 0);
  }
}

}  // namespace
}  // namespace reeve::async
