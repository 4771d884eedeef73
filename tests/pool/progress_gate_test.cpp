// A sink behind its gate: in order, one at a time, never after the end.
#include <reeve/pool/progress_gate.hpp>

#include <atomic>
#include <latch>
#include <memory>
#include <stdexcept>
#include <thread>
#include <vector>

#include "tests/support/pch.hpp"

namespace reeve::detail {
namespace {

TEST(ProgressGate, drops_what_was_overtaken) {
  std::vector<double> seen;
  ProgressGate gate([&](double percent, std::string_view) { seen.push_back(percent); });
  for (const std::uint64_t number : {1u, 3u, 2u, 3u, 4u}) {
    gate.tell(number, static_cast<double>(number), {});
  }
  EXPECT_EQ(seen, (std::vector<double>{1, 3, 4}));
}

TEST(ProgressGate, without_a_sink_swallows_everything) {
  ProgressGate gate(nullptr);
  gate.tell(1, 50, {});
  gate.close();
  gate.tell(2, 60, {});
}

TEST(ProgressGate, tells_nothing_after_its_end_and_lets_go_of_the_sink) {
  auto captured = std::make_shared<int>(0);
  ProgressGate gate([captured](double, std::string_view) { ++*captured; });
  gate.tell(1, 50, {});
  gate.close();
  gate.tell(2, 60, {});
  EXPECT_EQ(*captured, 1);
  EXPECT_EQ(captured.use_count(), 1);
}

TEST(ProgressGate, its_end_waits_for_a_sink_that_is_running) {
  std::latch inside(1), go_on(1);
  std::atomic<bool> ended = false, ended_first = false;
  ProgressGate gate([&](double, std::string_view) {
    inside.count_down();
    go_on.wait();
    ended = true;
  });
  std::jthread teller([&] { gate.tell(1, 50, {}); });
  inside.wait();
  std::jthread closer([&] {
    go_on.count_down();
    gate.close();
    ended_first = ended.load();
  });
  closer.join();
  EXPECT_TRUE(ended_first);
}

TEST(ProgressGate, a_sink_may_end_its_own_call) {
  ProgressGate* self = nullptr;
  int calls = 0;
  const auto marker = std::make_shared<int>(7);
  ProgressGate gate([&calls, &self, marker](double, std::string_view) {
    self->close();
    calls += *marker;  // its captures are still there
  });
  self = &gate;
  gate.tell(1, 50, {});
  gate.tell(2, 60, {});
  EXPECT_EQ(calls, 7);
}

TEST(ProgressGate, a_sink_that_throws_is_no_longer_inside_nor_called_again) {
  auto captured = std::make_shared<int>(0);
  ProgressGate gate([captured](double, std::string_view) { throw std::runtime_error("sink"); });
  EXPECT_THROW(gate.tell(1, 50, {}), std::runtime_error);
  EXPECT_NO_THROW(gate.tell(2, 50, {}));
  gate.close();
  EXPECT_TRUE(gate.failure());
  EXPECT_EQ(captured.use_count(), 1);
}

TEST(ProgressGate, calls_the_sink_from_one_thread_at_a_time_and_in_order) {
  std::atomic<int> inside = 0;
  int most = 0;
  std::vector<double> seen;
  ProgressGate gate([&](double percent, std::string_view) {
    most = std::max(most, ++inside);
    seen.push_back(percent);
    --inside;
  });
  {
    std::atomic<std::uint64_t> number = 0;
    std::vector<std::jthread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&] {
        for (int turn = 0; turn < 2000; ++turn) {
          const std::uint64_t mine = ++number;
          gate.tell(mine, static_cast<double>(mine), {});
        }
      });
    }
  }
  EXPECT_EQ(most, 1);
  EXPECT_TRUE(std::is_sorted(seen.begin(), seen.end()));
  EXPECT_FALSE(seen.empty());
}

}  // namespace
}  // namespace reeve::detail
