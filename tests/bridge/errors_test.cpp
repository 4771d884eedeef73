// What a refused reservation tells.
#include <reeve/bridge/errors.hpp>

#include "tests/bridge/bridge_test_support.hpp"

namespace reeve::test {
namespace {

using bridge::ReservationRefusedError;
using testing::HasSubstr;

TEST(BridgeErrors, ARefusedReservationNamesTheEarliestTime) {
  Shop shop(2, of({{"alice"}, {"bob"}}));
  const auto held = shop.scheduler->reserve("alice", 2, shop.in(10s), 10s);
  try {
    const auto second = shop.scheduler->reserve("bob", 1, shop.in(15s), 5s);
    FAIL() << "it was accepted";
  } catch (const ReservationRefusedError& e) {
    ASSERT_TRUE(e.earliest());
    EXPECT_EQ(*e.earliest(), shop.in(20s));
    EXPECT_THAT(e.what(), HasSubstr("'bob' cannot have 1 workers 15.000 s from now for 5.000 s"));
    EXPECT_THAT(e.what(), HasSubstr("leaves 0"));
    EXPECT_THAT(e.what(), HasSubstr("5.000 s later"));
    const auto third = shop.scheduler->reserve("bob", 1, *e.earliest(), 5s);
    EXPECT_TRUE(third.status());
  }
}

TEST(BridgeErrors, AReservationBeyondTheQuotaIsRefused) {
  Shop shop(4, of({{"alice", 1, 0, WorkerQuota{1, 1}}, {"bob", 1, 0, WorkerQuota{2, 0, 0}}}));
  const auto two = shop.scheduler->reserve("alice", 2, shop.in(10s), 10s);
  try {
    const auto third = shop.scheduler->reserve("alice", 1, shop.in(10s), 10s);
    FAIL() << "it was accepted";
  } catch (const ReservationRefusedError& e) {
    EXPECT_THAT(e.what(), HasSubstr("quota"));
    ASSERT_TRUE(e.earliest());
    EXPECT_EQ(*e.earliest(), shop.in(20s));
  }
}

}  // namespace
}  // namespace reeve::test
