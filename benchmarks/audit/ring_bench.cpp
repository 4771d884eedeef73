// The cost of one event: push, stamp and push, and the same fact through an asynchronous spdlog
// logger.
#include <fmt/format.h>
#include <spdlog/async.h>
#include <spdlog/sinks/null_sink.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <reeve/audit.hpp>
#include <vector>

namespace {

// The median over rounds of the nanoseconds that one call of `body` takes.
template <class Body>
double median_ns(int rounds, int calls, Body body) {
  std::vector<double> figures;
  for (int round = 0; round < rounds; ++round) {
    const auto begin = std::chrono::steady_clock::now();
    for (int i = 0; i < calls; ++i) body();
    const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - begin;
    figures.push_back(took.count() / calls);
  }
  std::nth_element(figures.begin(), figures.begin() + rounds / 2, figures.end());
  return figures[static_cast<std::size_t>(rounds / 2)];
}

void print(const char* figure, double value, double goal, const char* peer, double peer_value) {
  fmt::print(R"({{"component":"audit","figure":"{}","value":{:.1f},"unit":"ns","goal":{:.0f},)"
             R"("peer":"{}","peer_value":{:.1f},"ratio":{:.2f},"met":{}}})"
             "\n",
             figure, value, goal, peer, peer_value, peer_value / value, value <= goal);
}

}  // namespace

int main() {
  using namespace reeve::audit;
  Ring ring(4096);
  Event event;
  event.kind = EventKind::grant;
  event.lease = 1;
  event.worker = 2;
  event.incarnation = 1;
  event.task = "study-1";
  event.device = "cuda:0";
  const double push = median_ns(51, 100'000, [&] { ring.push(event); });
  const double stamped = median_ns(51, 100'000, [&] {
    stamp(event);
    ring.push(event);
  });
  const double line = median_ns(31, 20'000, [&] {
    if (to_jsonl(event).empty()) std::abort();
  });
  auto threads = std::make_shared<spdlog::details::thread_pool>(8192, 1);
  const auto logger = std::make_shared<spdlog::async_logger>(
      "peer", std::make_shared<spdlog::sinks::null_sink_mt>(), threads,
      spdlog::async_overflow_policy::overrun_oldest);
  const double peer = median_ns(31, 20'000, [&] {
    logger->info("grant lease={} worker={} incarnation={} task={} device={}", event.lease,
                 event.worker, event.incarnation, event.task.view(), event.device.view());
  });
  print("ring_push", push, 40, "spdlog async, null sink", peer);
  print("stamp_and_push", stamped, 100, "spdlog async, null sink", peer);
  print("json_line", line, 1500, "spdlog async, null sink", peer);
}
