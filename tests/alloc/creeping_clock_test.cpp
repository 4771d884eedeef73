// A clock that moves while a verb is decided: every verb has one instant.
#include "reeve/alloc/reservation_manager.hpp"
#include "tests/alloc/shorthand.hpp"
#include "tests/support/pch.hpp"

namespace reeve::alloc {
namespace {

struct CreepingClock final : Clock {  // 1 ns for each look
  time_point now() const noexcept override { return time_point(duration(creeps ? time++ : time)); }
  mutable Time time = 1000;
  bool creeps = false;
};

struct CreepingTime : testing::TestWithParam<Time> {
  CreepingTime() {
    EXPECT_TRUE(manager.register_resource({.name = "node", .capacity = cores(1)}));
    first = manager.create_reservation("first", want(1, 0, 1000)).value();
    EXPECT_TRUE(manager.confirm_reservation(first));
    end = manager.find(first)->end;
  }
  void creep_from(Time at) {
    clock.time = at;
    clock.creeps = true;
  }
  void expect_no_more_than_there_is() {
    clock.creeps = false;
    const auto& node = manager.ledger().resources()[0];
    EXPECT_TRUE((node.balance.held + node.balance.committed).fits(node.capacity));
    EXPECT_TRUE(manager.audit().clean());
  }

  CreepingClock clock;
  ReservationManager manager{Dimensions::standard(), clock};
  ReservationId first;
  Time end = 0;
};

TEST_P(CreepingTime, NothingIsGivenTwiceBesideALaterBooking) {
  Request far = want(1);
  far.not_before = end + 1'000'000;
  ASSERT_TRUE(manager.create_reservation("far", far));
  creep_from(end - GetParam());
  EXPECT_FALSE(manager.create_reservation("second", want(1, 0, 10)));
  expect_no_more_than_there_is();
}

TEST_P(CreepingTime, NothingIsGivenTwiceAtTheEndOfAWindow) {
  Request second = want(1, 0, 10);
  second.not_before = end;
  creep_from(end - GetParam());
  const auto id = manager.create_reservation("second", second);
  if (id) {
    EXPECT_FALSE(manager.find(*id)->started);
  }
  expect_no_more_than_there_is();
}

TEST_P(CreepingTime, NothingIsGivenTwiceByReplacing) {
  const auto victim = manager.create_reservation("victim", [&] {
    Request later = want(1, 0, 10);
    later.not_before = end;
    return later;
  }());
  ASSERT_TRUE(victim);
  Request second = want(1, 0, 10);
  second.not_before = end;
  creep_from(end - GetParam());
  const auto id = manager.replace({{*victim}}, "second", second);
  if (id) {
    EXPECT_FALSE(manager.find(*id)->started);
  }
  expect_no_more_than_there_is();
}

INSTANTIATE_TEST_SUITE_P(BeforeTheEnd, CreepingTime, testing::Range<Time>(0, 12));

}  // namespace
}  // namespace reeve::alloc
