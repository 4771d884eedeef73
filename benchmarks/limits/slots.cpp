// The limiter: an uncontended slot, and how evenly a crowd of waiters is served.
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <reeve/limits.hpp>
#include <vector>

#include "benchmarks/support/report.hpp"
#include "tests/limits/support/quiet_probe.hpp"

namespace {

namespace asio = boost::asio;
using asio::awaitable;
using BenchClock = std::chrono::steady_clock;
using reeve::bench::Figure;
using namespace reeve::limits;
using reeve::limits::testing::quiet;

double seconds_since(BenchClock::time_point begin) {
  return std::chrono::duration<double>(BenchClock::now() - begin).count();
}

double try_acquire_ns(ResourceLimiter& limiter) {
  constexpr int rounds = 500'000;
  double best = 1e9;
  for (int repeat = 0; repeat < 7; ++repeat) {
    const auto begin = BenchClock::now();
    for (int i = 0; i < rounds; ++i) {
      const auto slot = limiter.try_acquire_task_slot();
      if (!slot) return 0;
    }
    best = std::min(best, seconds_since(begin) * 1e9 / rounds);
  }
  return best;
}

/// 200 users that take a slot again and again: how many others were granted while each one waited.
/// Counted in grants, so that a thread that the machine puts aside is not taken for starvation.
std::vector<double> waits_in_grants(double& seconds) {
  asio::io_context context(1);
  ResourceLimiter limiter(context.get_executor(), quiet(4));
  std::vector<double> waits;
  double grants = 0;
  auto user = [&]() -> awaitable<void> {
    for (int turn = 0; turn < 200; ++turn) {
      const double asked = grants;
      const auto slot = co_await limiter.acquire_task_slot(std::chrono::minutes{1});
      waits.push_back(grants++ - asked);
      for (int i = 0; i < turn % 4; ++i) co_await asio::post(asio::use_awaitable);
    }
  };
  for (int i = 0; i < 200; ++i) asio::co_spawn(context, user(), asio::detached);
  const auto begin = BenchClock::now();
  context.run();
  seconds = seconds_since(begin);
  return waits;
}

}  // namespace

int main() {
  asio::io_context context(1);
  ResourceLimiter limiter(context.get_executor(), quiet(5));
  Figure("limits", "G12 try_acquire and release", try_acquire_ns(limiter), "ns")
      .at_most(150)
      .print();
  double seconds = 0;
  const auto waits = waits_in_grants(seconds);
  using reeve::bench::percentile;
  const double median = percentile(waits, 0.5), longest = percentile(waits, 1.0);
  Figure("limits", "slots through a queue of 200", static_cast<double>(waits.size()) / seconds,
         "1/s")
      .print();
  Figure("limits", "G12 grants to others during a wait, p50", median, "").print();
  Figure("limits", "G12 longest wait / median wait", longest / median, "").at_most(10).print();
}
