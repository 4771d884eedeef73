// Orderings, scores, combinations.
#include "reeve/alloc/policy.hpp"

#include "tests/alloc/shorthand.hpp"
#include "tests/support/pch.hpp"

namespace reeve::alloc {
namespace {

struct Queue : testing::Test {
  std::vector<UserView> users{{"a", cores(10), 1}, {"b", cores(20), 2}};
  QuotaTree quotas;
  QueueView view{100, cores(100), users, &quotas};

  bool first(const Ordering& o, Pending x, Pending y) const { return o(view, x, y) < 0; }
};

TEST_F(Queue, ArrivalAndShortest) {
  const Pending early{.submitted = 1, .duration = 50}, late{.submitted = 2, .duration = 5};
  EXPECT_TRUE(first(by_arrival(), early, late));
  EXPECT_TRUE(first(by_shortest(), late, early));
  EXPECT_EQ(by_arrival()(view, early, early), std::weak_ordering::equivalent);
}

TEST_F(Queue, PriorityAgesAndRequestersHaveTheirOwn) {
  const Pending old{.user = 0, .priority = 1, .submitted = 0};
  const Pending fresh{.user = 1, .priority = 5, .submitted = 100};
  EXPECT_TRUE(first(by_priority(), fresh, old));
  EXPECT_TRUE(first(by_priority({.period = 20}), old, fresh));  // 1 + 100 / 20 > 5
  EXPECT_FALSE(first(by_priority({.period = 20, .gained_max = 4}), old, fresh));
  EXPECT_TRUE(first(by_priority({}, {{"a", 10}}), old, fresh));
  EXPECT_EQ(aged_priority(0, INT64_MAX, {.period = 1, .step = INT32_MAX}), 1 << 20);
}

TEST_F(Queue, SharesAreWeightedAndExact) {
  const Pending x{.user = 0}, y{.user = 1};
  EXPECT_TRUE(first(by_share(), x, y));
  EXPECT_TRUE(first(by_share({.weights = {{"b", 3}}}), y, x));
  // 10/1 against 20/2: equal, so fewer tasks decide.
  EXPECT_TRUE(first(by_share({.weights = {{"b", 2}}}), x, y));
  EXPECT_EQ(by_share({.shared = {1}})(view, {.user = 0}, {.user = 0}),
            std::weak_ordering::equivalent);
}

TEST_F(Queue, BorrowersGoLastAndQuotasAreNamed) {
  const auto q = quotas.add({.name = "q", .nominal = Limits::of(0, 5)}).value();
  const Pending inside{.ticket = 2, .quota = q, .amount = cores(5)};
  const Pending beyond{.ticket = 1, .quota = q, .amount = cores(6)};
  const Policy p = QuotaPolicy();
  EXPECT_TRUE(first(p.order, inside, beyond));
  EXPECT_TRUE(p.admit(view, inside));
  EXPECT_EQ(p.admit(view, beyond).refusal().code, Code::quota_exceeded);
  EXPECT_TRUE(p.admit(view, {}));
  EXPECT_EQ(Policy(QuotaPolicy(true)).admit(view, {}).refusal().code, Code::unknown_quota);
}

TEST_F(Queue, TheLeftPolicyDecidesFirst) {
  const Policy both = Policy(PriorityPolicy()) | shortest_job_first() | best_fit() | QuotaPolicy();
  EXPECT_EQ(both.name, "priority|sjf|best_fit|quota");
  EXPECT_TRUE(first(both.order, {.priority = 2, .duration = 9}, {.priority = 1, .duration = 1}));
  EXPECT_TRUE(first(both.order, {.priority = 1, .duration = 1}, {.priority = 1, .duration = 9}));
  EXPECT_EQ(both.placement.scores.size(), 1u);
  EXPECT_TRUE(both.admit(view, {}));
  const Policy shared = fifo() | DrfPolicy();
  EXPECT_NE(shared.shares, nullptr);
}

TEST(PolicyScore, FitsMeasureWhatIsLeft) {
  const Amounts capacity = cores(100), scale = cores(200);
  const Amounts much = cores(90), little = cores(30);
  const Candidate full{ResourceId{0}, capacity, little, scale};
  const Candidate empty{ResourceId{1}, capacity, much, scale, true};
  EXPECT_EQ(least_left()(cores(10), full), 100'000);  // 20 of 200, in ppm
  EXPECT_LT(least_left()(cores(10), full), least_left()(cores(10), empty));
  EXPECT_GT(most_left()(cores(10), full), most_left()(cores(10), empty));
  EXPECT_EQ(least_used()(cores(10), full), 700'000);
  EXPECT_LT(lowest_id()(cores(10), full), lowest_id()(cores(10), empty));
  EXPECT_EQ(preferred_first()(cores(10), empty), 0);
  EXPECT_EQ(weighted({{lowest_id(), 3}, {preferred_first(), 2}})(cores(1), full), 2);
  EXPECT_EQ(weighted({{least_used(), INT32_MAX}, {least_used(), INT32_MAX}})(cores(1), full),
            2 * std::int64_t{700'000} * INT32_MAX);
}

TEST(PolicyScore, FragmentationIsWhatTheMixCannotUse) {
  const std::vector<Shape> mix{{cores(40), 1}, {cores(10), 3}};
  EXPECT_EQ(fragmentation(cores(50), mix, 0), 0);
  EXPECT_EQ(fragmentation(cores(30), mix, 0), 30);
  EXPECT_EQ(fragmentation(cores(5), mix, 0), 5 * 4);
  EXPECT_EQ(fragmentation(cores(0), mix, 0), 0);
  const Amounts capacity = cores(100), at50 = cores(50), at20 = cores(20);
  // 10 more on the one with 50 keeps room for 40; on the one with 20 nothing is lost beyond.
  EXPECT_EQ(least_fragmenting(mix, 0)(cores(20), {ResourceId{0}, capacity, at50, capacity}), 30);
  EXPECT_EQ(least_fragmenting(mix, 0)(cores(20), {ResourceId{1}, capacity, at20, capacity}), -20);
}

TEST(PolicyScore, PickAmongTheBestIsDeterministic) {
  const std::vector<Scored> all{{ResourceId{0}, {5}}, {ResourceId{1}, {1}}, {ResourceId{2}, {2}}};
  EXPECT_EQ(pick_among_best(1, 9)(all), 1u);
  std::vector<int> seen(3, 0);
  for (std::uint64_t seed = 0; seed < 64; ++seed) ++seen[pick_among_best(2, seed << 20)(all)];
  EXPECT_EQ(seen[0], 0);
  EXPECT_GT(seen[1], 0);
  EXPECT_GT(seen[2], 0);
}

TEST(PolicyBuilders, RefuseWeightZeroAndCycles) {
  DrfPolicy drf;
  EXPECT_EQ(drf.set_weight("a", 0).refusal().code, Code::invalid_amount);
  EXPECT_TRUE(drf.set_group("a", "g"));
  EXPECT_TRUE(drf.set_group("g", "h"));
  EXPECT_EQ(drf.set_group("h", "a").refusal().code, Code::invalid_request);
  EXPECT_EQ(drf.set_group("x", "x").refusal().code, Code::invalid_request);
  WeightedPolicy weighted(0);
  EXPECT_EQ(weighted.set_requester_weight("a", 0).refusal().code, Code::invalid_amount);
}

}  // namespace
}  // namespace reeve::alloc
