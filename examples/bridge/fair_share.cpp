// Two teams share four workers by weight, however many requests each of them has.
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <cstdio>
#include <reeve/bridge.hpp>
#include <string>

namespace asio = boost::asio;
using namespace std::chrono_literals;
using namespace reeve::literals;

int square(int x) {
  return x * x;
}

// How the workers were split each time the scheduler had decided who gets one that came back.
struct Decisions {
  static constexpr int enough = 400;
  int all = 0;
  int three_to_one = 0;

  void look_at(const reeve::bridge::SchedulerStatus& now) {
    const auto& research = now.requesters[0];
    const auto& reports = now.requesters[1];
    if (all == enough || research.waiting == 0 || reports.waiting == 0) return;
    ++all;
    three_to_one += research.held + research.coming == 3 && reports.held + reports.coming == 1;
  }
} decisions;

// [acquire]
asio::awaitable<void> work(reeve::bridge::WorkerScheduler scheduler, std::string team) {
  while (decisions.all < Decisions::enough) {
    {
      auto worker = co_await scheduler.acquire_worker(team);  // a lease of the pool, as any other
      co_await worker.run<&square>(decisions.all);
    }  // given back: the next one has it by now
    decisions.look_at(scheduler.status());
  }
}
// [/acquire]

int main(int argc, char** argv) {
  reeve::init(argc, argv);
  asio::io_context context;
  reeve::ResourceConfig config;
  config.max_workers = 4;
  config.worker_timeout = 10s;
  config.worker_memory = 256_MiB;
  reeve::ResourcePool pool(context.get_executor(), config);
  // [share]
  reeve::bridge::SchedulerConfig sharing;
  sharing.policy = reeve::bridge::SchedulingPolicy::fair_share;
  sharing.requesters = {{"research", 3}, {"reports", 1}};  // names and weights
  reeve::bridge::WorkerScheduler scheduler(pool, sharing);
  // [/share]
  for (const char* team : {"research", "reports"}) {
    for (int i = 0; i < 10; ++i) {  // as many requests of the one as of the other
      asio::co_spawn(context, work(scheduler, team), [](std::exception_ptr failure) {
        if (failure) std::rethrow_exception(failure);
      });
    }
  }
  context.run();
  for (const auto& team : scheduler.status().requesters) {
    std::printf("%s: entitled to %.0f %%\n", team.name.c_str(), 100 * team.entitled);
  }
  std::printf("%d workers came back while both teams waited\n", decisions.all);
  std::printf("after %d of them research had 3 and reports 1\n", decisions.three_to_one);
}
// [output]
// research: entitled to 75 %
// reports: entitled to 25 %
// 400 workers came back while both teams waited
// after 400 of them research had 3 and reports 1
// [/output]
