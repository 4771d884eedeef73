// Two teams share four workers by weight, however many requests each of them has.
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <cstdio>
#include <map>
#include <reeve/bridge.hpp>
#include <string>

namespace asio = boost::asio;
using namespace std::chrono_literals;
using namespace reeve::literals;

int square(int x) {
  return x * x;
}

std::map<std::string, int> held;  // now, by team
int best_split = 0;

// [acquire]
asio::awaitable<void> work(reeve::bridge::WorkerScheduler scheduler, std::string team) {
  for (int i = 0; i < 50; ++i) {
    auto worker = co_await scheduler.acquire_worker(team);  // a lease of the pool, as any other
    ++held[team];
    best_split += held["research"] == 3 && held["reports"] == 1;
    co_await worker.run<&square>(i);
    --held[team];
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
  for (int i = 0; i < 10; ++i) {  // as many requests of the one as of the other
    for (const char* team : {"research", "reports"}) {
      asio::co_spawn(context, work(scheduler, team), [](std::exception_ptr failure) {
        if (failure) std::rethrow_exception(failure);
      });
    }
  }
  context.run();
  const auto status = scheduler.status();
  for (const auto& team : status.requesters) {
    std::printf("%s: entitled to %.0f %%, %llu leases\n", team.name.c_str(), 100 * team.entitled,
                static_cast<unsigned long long>(team.waits.granted));
  }
  std::printf("research had 3 workers and reports 1 %s\n",
              best_split > 100 ? "most of the time" : "hardly ever");
}
// [output]
// research: entitled to 75 %, 500 leases
// reports: entitled to 25 %, 500 leases
// research had 3 workers and reports 1 most of the time
// [/output]
