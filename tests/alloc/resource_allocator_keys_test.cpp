// One ticket for one key, whatever becomes of the request.
#include "reeve/alloc/resource_allocator.hpp"
#include "tests/alloc/shorthand.hpp"
#include "tests/support/pch.hpp"

namespace reeve::alloc {
namespace {

Request keyed(std::int64_t n, const char* key = "k", std::int32_t priority = 0) {
  auto request = want(n, priority);
  request.key = std::string(key);
  return request;
}

struct Keys : testing::Test {
  Keys() { EXPECT_TRUE(manager.register_resource({.name = "node", .capacity = cores(10)})); }
  ReservationId granted() { return allocator.schedule().granted.at(0).reservation; }
  ManualClock clock;
  ReservationManager manager{Dimensions::standard(), clock};
  ResourceAllocator allocator{manager};
};

TEST_F(Keys, AnEvictedRequestIsGrantedAgain) {
  const auto first = allocator.submit("u", keyed(10)).value();
  const ReservationId victims[] = {granted()};
  const auto second = allocator.submit("v", want(10, 5)).value();
  const auto taken = allocator.grant_by_preemption(second, victims).value();
  EXPECT_EQ(allocator.submit("u", keyed(10)).value(), first) << "it waits again, under its ticket";
  EXPECT_EQ(allocator.waiting().size(), 1u);
  EXPECT_TRUE(allocator.schedule().granted.empty());
  (void)manager.release_reservation(taken);
  const auto report = allocator.schedule();
  ASSERT_EQ(report.granted.size(), 1u);
  EXPECT_EQ(report.granted[0].ticket, first);
  EXPECT_NE(report.granted[0].reservation, victims[0]);
  EXPECT_EQ(manager.live_count(), 1u);
}

TEST_F(Keys, ARepeatIsTheSameTicketWhileItWaitsRunsAndAfterwards) {
  const auto blocker = manager.create_reservation("x", want(10)).value();
  const auto ticket = allocator.submit("u", keyed(4)).value();
  const auto repeat = [&] {
    EXPECT_EQ(allocator.submit("u", keyed(4)).value(), ticket);
    EXPECT_EQ(allocator.submit("u", keyed(5)).refusal().code, Code::key_conflict);
    EXPECT_EQ(allocator.submit("v", keyed(4)).refusal().code, Code::key_conflict);
  };
  repeat();
  EXPECT_EQ(allocator.waiting().size(), 1u);
  (void)manager.release_reservation(blocker);
  const auto id = granted();
  repeat();
  EXPECT_TRUE(allocator.waiting().empty());
  (void)manager.release_reservation(id);
  repeat();
  EXPECT_TRUE(allocator.schedule().granted.empty());
}

TEST_F(Keys, AnotherKeyOrAWithdrawalMeansAnotherRequest) {
  const auto first = allocator.submit("u", keyed(1)).value();
  EXPECT_NE(allocator.submit("u", keyed(1, "other")).value(), first);
  ASSERT_TRUE(allocator.withdraw(first));
  const auto again = allocator.submit("u", keyed(2)).value();
  EXPECT_NE(again, first);
  EXPECT_EQ(allocator.schedule().granted.size(), 2u);
}

TEST_F(Keys, AllocateRepeatsItsAnswer) {
  const auto id = allocator.allocate("u", keyed(6)).value();
  EXPECT_EQ(allocator.allocate("u", keyed(6)).value(), id);
  EXPECT_EQ(manager.live_count(), 1u);
  (void)manager.release_reservation(id);
  EXPECT_EQ(allocator.allocate("u", keyed(6)).value(), id) << "that was the answer";
  // A refusal is no answer.
  const auto blocker = manager.create_reservation("x", want(10)).value();
  EXPECT_EQ(allocator.allocate("u", keyed(6, "l")).refusal().code, Code::busy);
  (void)manager.release_reservation(blocker);
  EXPECT_TRUE(allocator.allocate("u", keyed(6, "l")));
}

TEST_F(Keys, AllocateLeavesInTheQueueWhatItFindsThere) {
  (void)allocator.submit("u", keyed(10)).value();
  const ReservationId victims[] = {granted()};
  const auto urgent = allocator.submit("v", want(10, 5)).value();
  const auto taken = allocator.grant_by_preemption(urgent, victims).value();
  EXPECT_EQ(allocator.allocate("u", keyed(10)).refusal().code, Code::busy);
  EXPECT_EQ(allocator.waiting().size(), 1u);
  (void)manager.release_reservation(taken);
  EXPECT_EQ(manager.find(allocator.allocate("u", keyed(10)).value())->state, State::confirmed);
}

TEST(KeysKept, TheLastOnesAndThoseThatWait) {
  ManualClock clock;
  ReservationManager manager{Dimensions::standard(), clock};
  ASSERT_TRUE(manager.register_resource({.name = "node", .capacity = cores(10)}));
  ResourceAllocator allocator(manager, fifo(), {.remembered = 3});
  const auto waits = allocator.submit("u", keyed(10, "waits")).value();
  for (const char* key : {"a", "b", "c"}) (void)allocator.submit("u", keyed(1, key)).value();
  ASSERT_TRUE(manager.create_reservation("x", want(1)));
  EXPECT_EQ(allocator.schedule().granted.size(), 3u);
  (void)allocator.submit("u", keyed(1, "d")).value();
  EXPECT_EQ(allocator.submit("u", keyed(10, "waits")).value(), waits);
  EXPECT_EQ(allocator.submit("u", keyed(2, "d")).refusal().code, Code::key_conflict);
  EXPECT_TRUE(allocator.submit("u", keyed(2, "a"))) << "forgotten";
}

TEST(KeysKept, AGrantThatEndsAtOnceIsNone) {
  ManualClock clock;
  ReservationManager manager{Dimensions::standard(), clock, {.ttl = 0}};
  ASSERT_TRUE(manager.register_resource({.name = "node", .capacity = cores(10)}));
  ResourceAllocator allocator(manager);
  ASSERT_TRUE(allocator.submit("u", want(10)));
  const auto report = allocator.schedule();
  EXPECT_TRUE(report.granted.empty());
  ASSERT_EQ(report.waiting.size(), 1u);
  EXPECT_EQ(report.waiting[0].why.code, Code::wrong_state);
  EXPECT_EQ(manager.live_count(), 0u);
}

}  // namespace
}  // namespace reeve::alloc
