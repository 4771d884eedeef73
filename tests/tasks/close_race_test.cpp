// close() against a task that ends at that moment, whose expiry starts the store's thread.
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <future>
#include <reeve/tasks/task_store.hpp>
#include <thread>

#include "tests/support/pch.hpp"
#include "tests/tasks/support/run.hpp"

namespace reeve::tasks {
namespace {

using std::chrono::hours;
using testing::run;

thread_local std::function<void()>* at_next_look = nullptr;

/// Jumps once. Counts who looks at it after that, but for a thread that has something else to do.
class JumpClock final : public Clock {
 public:
  time_point now() const noexcept override {
    if (at_next_look != nullptr) (*std::exchange(at_next_look, nullptr))();
    const bool jumped = jumped_.load();
    if (jumped) ++looks_;
    return time_point{hours{jumped ? 2 : 1}};
  }
  void jump() { jumped_ = true; }
  int looks() const { return looks_.load(); }

 private:
  std::atomic<bool> jumped_{false};
  mutable std::atomic<int> looks_{0};
};

TEST(CloseRace, ATaskThatEndsDuringCloseDoesNotHoldItUp) {
  JumpClock clock;
  StoreConfig config;
  config.clock = &clock;
  config.retention.completed = std::chrono::milliseconds{1};
  boost::asio::io_context context;
  TaskStore store(context.get_executor(), config);
  // The first two are guarded by the same lock.
  for (const char* id : {"a-12345678", "b-12345678", "still running"}) {
    run(context, store.create_task(id));
    run(context, store.start_task(id));
  }
  run(context, store.complete_task("a-12345678"));
  std::promise<void> ready;
  std::function<void()> until_closing = [&] {
    clock.jump();
    // Once to wake up, once more to remove the first: now the store's thread wants the lock.
    while (clock.looks() < 2) std::this_thread::yield();
    ready.set_value();
    while (store.post_progress("still running", 50)) std::this_thread::yield();
  };
  std::thread ending([&] {
    boost::asio::io_context own;
    at_next_look = &until_closing;
    run(own, store.complete_task("b-12345678"));
  });
  ready.get_future().wait();
  auto closing = std::async(std::launch::async, [&store] { store.close(); });
  if (closing.wait_for(std::chrono::seconds{60}) != std::future_status::ready) {
    std::fputs("close() hangs\n", stderr);
    std::abort();
  }
  ending.join();
  EXPECT_TRUE(store.get_task_status("still running"));
}

}  // namespace
}  // namespace reeve::tasks
