// A batch job yields its worker to an urgent request: when it is asked, or when its grace is over.
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/this_coro.hpp>
#include <cstdio>
#include <reeve/bridge.hpp>
#include <string>

namespace asio = boost::asio;
using namespace std::chrono_literals;
using namespace reeve::literals;
using reeve::bridge::WorkerScheduler;

// [heed]
long count_until_asked() {
  long steps = 1;
  while (!reeve::this_worker::stop_requested()) ++steps;
  return steps;  // what is done so far
}
// [/heed]

int never_look() {
  for (volatile bool on = true; on;) continue;  // an endless loop that compilers keep
  return 0;
}

int answer() {
  return 42;
}

asio::awaitable<void> urgent(WorkerScheduler scheduler) {
  auto worker = co_await scheduler.acquire_worker("urgent");
  const int result = co_await worker.run<&answer>();
  std::printf("urgent: %d\n", result);
}

void rethrow(std::exception_ptr failure) {
  if (failure) std::rethrow_exception(failure);
}

// [batch]
asio::awaitable<void> batch(WorkerScheduler scheduler) {
  const auto executor = co_await asio::this_coro::executor;
  reeve::bridge::WorkerRequest request;
  request.preemptible = true;
  {
    auto worker = co_await scheduler.acquire_worker("batch", request);
    asio::co_spawn(executor, urgent(scheduler), rethrow);  // which finds no worker free
    const long steps = co_await worker.run<&count_until_asked>();
    std::printf("batch: asked to stop, %s\n", steps > 0 ? "kept its partial result" : "had none");
  }
  try {
    auto worker = co_await scheduler.acquire_worker("batch", request);
    asio::co_spawn(executor, urgent(scheduler), rethrow);
    co_await worker.run<&never_look>();
  } catch (const reeve::WorkerPreemptedError& e) {
    std::printf("batch: lost its worker to %s\n", std::string(e.by()).c_str());
  }
}
// [/batch]

int main(int argc, char** argv) {
  reeve::init(argc, argv);
  asio::io_context context;
  reeve::ResourceConfig config;
  config.max_workers = 1;
  config.worker_timeout = 60s;
  config.worker_memory = 256_MiB;
  reeve::ResourcePool pool(context.get_executor(), config);
  // [rules]
  reeve::bridge::SchedulerConfig sharing;
  sharing.policy = reeve::bridge::SchedulingPolicy::priority;
  sharing.requesters = {{"urgent", 1, 10}, {"batch", 1, 0}};  // name, weight, priority
  sharing.preemption.grace = 2s;
  WorkerScheduler scheduler(pool, sharing);
  // [/rules]
  asio::co_spawn(context, batch(scheduler), rethrow);
  context.run();
}
// [output]
// batch: asked to stop, kept its partial result
// urgent: 42
// batch: lost its worker to urgent
// urgent: 42
// [/output]
