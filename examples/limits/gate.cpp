// Five jobs, two task slots, and what a caller is told that does not want to wait.
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cstdio>
#include <reeve/limits.hpp>

namespace asio = boost::asio;
using namespace std::chrono_literals;
using namespace reeve::limits;
using namespace reeve::literals;

/// A machine on which only the slots decide. Leave `probe` out to watch this one.
struct IdleMachine final : UsageProbe {
  Sample sample() override { return {}; }
};

// [job]
asio::awaitable<void> job(ResourceLimiter& limiter, int number) {
  const TaskSlot slot = co_await limiter.acquire_task_slot(60s, 1_GiB);  // what it will use
  std::printf("job %d runs\n", number);
  co_await asio::post(asio::use_awaitable);
}  // the slot goes to whoever asked first
// [/job]

int main() {
  asio::io_context context;
  LimiterConfig config;
  config.limits.max_concurrent_tasks = 2;
  config.probe = std::make_shared<IdleMachine>();
  ResourceLimiter limiter(context.get_executor(), config);
  for (int number = 1; number <= 5; ++number)
    asio::co_spawn(context, job(limiter, number), asio::detached);
  context.run();

  // [advice]
  const auto first = limiter.try_acquire_task_slot(), second = limiter.try_acquire_task_slot();
  const StartAdvice advice = limiter.can_start_task();
  std::printf("%s stand in the way\n", to_string(advice.blocker).data());
  try {
    const TaskSlot third = limiter.acquire_task_slot_blocking(1ms);
  } catch (const LimitTimeoutError& e) {
    std::printf("%s\n", e.what());
  }
  // [/advice]
}
// [output]
// job 1 runs
// job 2 runs
// job 3 runs
// job 4 runs
// job 5 runs
// tasks stand in the way
// no task slot within 1 ms: tasks is at its limit (2 of 2 slots are out) and 0 others waited ...
// [/output]
