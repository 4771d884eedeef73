// The ring numbers events, keeps the newest, counts the rest, and never shows a torn event.
#include <reeve/audit/ring.hpp>
#include <reeve/base/error.hpp>

namespace reeve::audit {
namespace {

Event with_figure(std::uint64_t figure) {
  Event event;
  event.lease = event.limit = event.observed = event.peak_bytes = figure;
  return event;
}

TEST(AuditRing, RefusesSenselessCapacities) {
  EXPECT_THROW(Ring{0}, ConfigError);
  EXPECT_THROW(Ring{std::size_t{1} << 40}, ConfigError);
  EXPECT_EQ(Ring{5}.capacity(), 8u);
}

TEST(AuditRing, NumbersFromOneAndOverwritesTheOldest) {
  Ring ring(4);
  EXPECT_TRUE(ring.snapshot().empty());
  for (std::uint64_t i = 1; i <= 4; ++i) EXPECT_EQ(ring.push(with_figure(i)), i);
  EXPECT_EQ(ring.overwritten(), 0u);
  ring.push(with_figure(5));
  EXPECT_EQ(ring.overwritten(), 1u);
  EXPECT_EQ(ring.pushed(), 5u);
  const auto events = ring.snapshot();
  ASSERT_EQ(events.size(), 4u);
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(events[i].sequence, i + 2);
    EXPECT_EQ(events[i].lease, i + 2);
  }
  EXPECT_EQ(ring.since(4).size(), 1u);
  EXPECT_TRUE(ring.since(5).empty());
  EXPECT_TRUE(ring.since(99).empty());
}

TEST(AuditRing, CopiesInBatches) {
  Ring ring(8);
  for (std::uint64_t i = 1; i <= 8; ++i) ring.push(with_figure(i));
  Event batch[3];
  EXPECT_EQ(ring.copy_since(0, batch, 3), 3u);
  EXPECT_EQ(batch[2].sequence, 3u);
  EXPECT_EQ(ring.copy_since(7, batch, 3), 1u);
}

TEST(AuditRing, ReadersNeverSeeATornEvent) {
  Ring ring(8);
  std::atomic<bool> stop{false};
  std::atomic<std::uint64_t> seen{0};
  std::atomic<int> faults{0};
  std::vector<std::thread> readers;
  for (int r = 0; r < 2; ++r) {
    readers.emplace_back([&] {
      while (!stop.load()) {
        std::uint64_t last = 0;
        for (const Event& event : ring.snapshot()) {
          const std::uint64_t f = event.sequence;
          if (event.lease != f || event.observed != f || event.peak_bytes != f || f <= last) {
            ++faults;
          }
          last = f;
          ++seen;
        }
      }
    });
  }
  std::uint64_t pushed = 0;
  while (pushed < 20'000 || (seen.load() < 1'000 && pushed < 50'000'000)) {
    ring.push(with_figure(++pushed));
  }
  stop = true;
  for (auto& reader : readers) reader.join();
  EXPECT_EQ(faults.load(), 0);
  EXPECT_EQ(ring.pushed(), pushed);
}

}  // namespace
}  // namespace reeve::audit
