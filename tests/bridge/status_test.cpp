// A scheduler's status as values and as text.
#include <reeve/bridge/status.hpp>

#include "tests/bridge/bridge_test_support.hpp"

namespace reeve::test {
namespace {

using testing::HasSubstr;

TEST(BridgeStatus, CountsWhatIsHeldWaitedForAndReserved) {
  Shop shop(4, of({{"alice", 3, 0, WorkerQuota{1}}, {"bob"}}));
  const auto a = shop.ask("alice");
  const auto b = shop.ask("alice");
  const auto reservation = shop.scheduler->reserve("bob", 2, shop.in(0s), 10s);
  const auto c = shop.ask("alice");
  shop.advance(2s);
  const auto d = shop.ask("bob");
  const bridge::SchedulerStatus s = shop.scheduler->status();
  EXPECT_EQ(s.workers, 4U);
  EXPECT_EQ(s.leased, 3U);
  EXPECT_EQ(s.coming, 0U);
  EXPECT_EQ(s.reserved, 1U);
  EXPECT_EQ(s.waiting, 1U);
  EXPECT_FALSE(s.closed);
  EXPECT_TRUE(s.differences.empty());
  ASSERT_EQ(s.requesters.size(), 2U);
  const bridge::RequesterStatus& alice = s.requesters[0];
  EXPECT_EQ(alice.name, "alice");
  EXPECT_EQ(alice.held, 2U);
  EXPECT_EQ(alice.waiting, 1U);
  EXPECT_EQ(alice.borrowed, 1U);
  EXPECT_DOUBLE_EQ(alice.share, 0.5);
  EXPECT_DOUBLE_EQ(alice.entitled, 0.75);
  EXPECT_EQ(alice.waits.granted, 2U);
  const bridge::RequesterStatus& bob = s.requesters[1];
  EXPECT_EQ(bob.held, 1U);
  EXPECT_EQ(bob.reserved, 1U);
  EXPECT_DOUBLE_EQ(bob.share, 0.5);
  ASSERT_EQ(s.reservations.size(), 1U);
  EXPECT_EQ(s.reservations[0].requester, "bob");
  EXPECT_EQ(s.reservations[0].ready, 1U);
  EXPECT_EQ(s.reservations[0].leased, 1U);
  EXPECT_EQ(s.reservations[0].workers, 2U);
  const std::string text = to_string(s);
  EXPECT_THAT(text, HasSubstr("4 workers: 3 leased, 0 coming, 1 reserved; 1 waiting"));
  EXPECT_THAT(text,
              HasSubstr("alice            held    2  waiting     1  share  50.0 % of  75.0 %"));
  EXPECT_THAT(text, HasSubstr("reservation 1 of bob: 2 workers for 10.000 s, 1 ready, 1 leased"));
}

TEST(BridgeStatus, WaitsAreMeasuredByTheClock) {
  Shop shop(1, of({{"alice"}, {"bob"}}));
  const auto a = shop.ask("alice");
  const auto b = shop.ask("bob");
  shop.advance(3s);
  a->give_back();
  shop.settle();
  ASSERT_TRUE(b->has());
  EXPECT_EQ(shop.of("bob").waits.longest, 3s);
  EXPECT_EQ(shop.of("bob").waits.total, 3s);
  EXPECT_EQ(shop.of("bob").waits.granted, 1U);
  EXPECT_EQ(shop.of("alice").waits.longest, 0s);
}

}  // namespace
}  // namespace reeve::test
