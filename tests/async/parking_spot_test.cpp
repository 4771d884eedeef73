// A coroutine that is woken by another thread may end its context before the waker has returned.
#include <reeve/async/parking_spot.hpp>

#include <atomic>
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

}  // namespace
}  // namespace reeve::async
