// Borrowing, lending, cycles.
#include "reeve/alloc/quota.hpp"

#include "tests/support/pch.hpp"

namespace reeve::alloc {
namespace {

struct Pair : testing::Test {
  QuotaTree tree;
  QuotaId root = tree.add({.name = "root"}).value();
  QuotaId a = tree.add({.name = "a",
                        .parent = root,
                        .nominal = Limits::of(0, 10),
                        .borrow = Limits::of(0, 5)})
                  .value();
  QuotaId b =
      tree.add(
              {.name = "b", .parent = root, .nominal = Limits::of(0, 10), .lend = Limits::of(0, 3)})
          .value();
};

TEST_F(Pair, BorrowsUpToItsLimitAndTheLendersFloor) {
  EXPECT_EQ(tree.available(a, 0), 13);  // 10 + the 3 that b lends
  tree.charge(b, Amounts::of(0, 10));
  EXPECT_EQ(tree.available(a, 0), 10);
  tree.charge(b, Amounts::of(0, -10));
  tree.charge(a, Amounts::of(0, 13));
  EXPECT_EQ(tree.borrowed(a, 0), 3);
  EXPECT_EQ(tree.available(b, 0), 7);  // the floor
  EXPECT_EQ(tree.check(a, Amounts::of(0, 1)).refusal().code, Code::quota_exceeded);
}

TEST_F(Pair, BorrowingLimitBinds) {
  ASSERT_TRUE(tree.set_limits(b, Limits::of(0, 10), {}, {}));
  EXPECT_EQ(tree.available(a, 0), 15);
}

TEST_F(Pair, RefusesCyclesDuplicatesAndStrangers) {
  auto c = tree.add({.name = "c", .parent = a}).value();
  EXPECT_EQ(tree.move(a, c).refusal().code, Code::cyclic_quota);
  EXPECT_EQ(tree.move(a, a).refusal().code, Code::cyclic_quota);
  EXPECT_EQ(tree.add({.name = "a"}).refusal().code, Code::duplicate);
  EXPECT_EQ(tree.add({.name = "d", .parent = static_cast<QuotaId>(9)}).refusal().code,
            Code::unknown_quota);
  EXPECT_EQ(tree.add({.name = "e", .nominal = Limits::of(0, -1)}).refusal().code,
            Code::invalid_amount);
}

RC_GTEST_PROP(QuotaTree, ChargeAndGiveBackIsNeutralAndRootNeverExceedsItsSum, ()) {
  QuotaTree tree;
  std::vector<QuotaId> ids{tree.add({.name = "0", .nominal = Limits::of(0, 5)}).value()};
  std::int64_t total = 5;
  for (int i = 1; i < 8; ++i) {
    const auto nominal = *rc::gen::inRange(0, 20);
    total += nominal;
    ids.push_back(tree.add({.name = std::to_string(i),
                            .parent = ids[*rc::gen::inRange<std::size_t>(0, ids.size())],
                            .nominal = Limits::of(0, nominal),
                            .borrow = Limits::of(0, *rc::gen::inRange(0, 30)),
                            .lend = Limits::of(0, *rc::gen::inRange(0, 20))})
                      .value());
  }
  std::vector<std::pair<QuotaId, std::int64_t>> charged;
  std::int64_t sum = 0;
  for (int i = 0; i < 40; ++i) {
    const auto id = ids[*rc::gen::inRange<std::size_t>(0, ids.size())];
    const std::int64_t n = *rc::gen::inRange(1, 15);
    if (!tree.check(id, Amounts::of(0, n))) continue;
    tree.charge(id, Amounts::of(0, n));
    charged.emplace_back(id, n);
    sum += n;
    RC_ASSERT(sum <= total);
    for (auto q : ids) RC_ASSERT(tree.available(q, 0) >= 0);
  }
  for (auto [id, n] : charged) tree.charge(id, Amounts::of(0, -n));
  for (auto q : ids) RC_ASSERT(tree.usage(q).is_zero());
}

}  // namespace
}  // namespace reeve::alloc
