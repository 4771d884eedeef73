// Exact amounts and units.
#include "reeve/alloc/quantity.hpp"

#include "tests/support/pch.hpp"

namespace reeve::alloc {
namespace {

TEST(Quantity, ConvertsByExactFactors) {
  EXPECT_EQ(*to_canonical({50, "cores"}, ResourceType::compute), 50'000);
  EXPECT_EQ(*parse_amount("1.5 GiB", ResourceType::memory), 1'610'612'736);
  EXPECT_EQ(*parse_amount("250 millicores", ResourceType::compute), 250);
  EXPECT_EQ(*parse_amount("2000 microcores", ResourceType::compute), 2);
  EXPECT_EQ(*parse_amount("10 MB/s", ResourceType::network), 80'000'000);
  EXPECT_EQ(*parse_amount("0.5 gpus", ResourceType::gpu), 500);
}

TEST(Quantity, TenTenthsAreOne) {  // seed defect 9: float drift
  Amounts sum;
  for (int i = 0; i < 10; ++i) sum[0] += *parse_amount("0.1 cores", ResourceType::compute);
  EXPECT_EQ(sum[0], *parse_amount("1 cores", ResourceType::compute));
}

TEST(Quantity, RefusesBadAmounts) {  // seed defects 6 and 7
  EXPECT_EQ(to_canonical({-50, "cores"}, ResourceType::compute).refusal().code,
            Code::invalid_amount);
  EXPECT_EQ(to_canonical({0, "cores"}, ResourceType::compute).refusal().code, Code::invalid_amount);
  EXPECT_EQ(to_canonical({50, "GB"}, ResourceType::compute).refusal().code, Code::unit_mismatch);
  EXPECT_EQ(to_canonical({50, "bogo"}, ResourceType::compute).refusal().code, Code::unknown_unit);
  EXPECT_EQ(to_canonical({INT64_MAX, "cores"}, ResourceType::compute).refusal().code,
            Code::overflow);
  EXPECT_EQ(parse_amount("0.0001 cores", ResourceType::compute).refusal().code,
            Code::inexact_amount);
  EXPECT_EQ(parse_amount("-1 cores", ResourceType::compute).refusal().code, Code::invalid_amount);
  EXPECT_EQ(parse_amount("99999999999999999999 B", ResourceType::memory).refusal().code,
            Code::overflow);
  EXPECT_EQ(parse_amount("", ResourceType::memory).refusal().code, Code::invalid_amount);
}

TEST(Quantity, RefusalIsASentenceAndValueThrowsIt) {
  auto no = to_canonical({50, "GB"}, ResourceType::compute);
  EXPECT_EQ(no.refusal().why(),
            "the unit 'GB' does not measure this resource type in '50 GB'; amounts of compute are "
            "in cores, core, cpus, millicores, m or microcores, such as '2 cores'");
  EXPECT_THROW(no.value(), RefusedError);
}

TEST(Quantity, AbsentMeansZeroInAmountsAndUnlimitedInLimits) {
  EXPECT_EQ(Amounts{}[3], 0);
  EXPECT_EQ(Limits{}[3], Limits::unlimited);
  EXPECT_TRUE(Amounts::of(0, 1).fits(Amounts::of(0, 1)));
  EXPECT_FALSE(Amounts::of(1, 1).fits(Amounts::of(0, 1)));
}

TEST(Quantity, AddCheckedLeavesItselfAloneOnOverflow) {
  Amounts a = Amounts::of(1, INT64_MAX - 1);
  const Amounts before = a;
  EXPECT_FALSE(a.add_checked(Amounts::of(1, 2)));
  EXPECT_FALSE(a.add_checked(Amounts::of(0, INT64_MAX), 2));
  EXPECT_EQ(a, before);
  EXPECT_TRUE(a.add_checked(Amounts::of(1, 1)));
}

TEST(Dimensions, StandardHasOneColumnPerTypeAndRoomForOneMore) {
  auto dims = Dimensions::standard();
  EXPECT_EQ(dims.size(), 7u);
  EXPECT_EQ(*dims.find("memory"), *dims.find(ResourceType::memory));
  EXPECT_EQ(dims.add("memory", ResourceType::memory).refusal().code, Code::duplicate);
  EXPECT_TRUE(dims.add("licences", ResourceType::custom));
  EXPECT_EQ(dims.add("ninth", ResourceType::custom).refusal().code, Code::overflow);
  EXPECT_EQ(dims.find("nothing").refusal().code, Code::unknown_dimension);
}

RC_GTEST_PROP(Quantity, DecimalTextEqualsWholeNumberOfSubunits, ()) {
  const auto milli = *rc::gen::inRange<std::int64_t>(1, 10'000'000);
  std::string fraction = std::to_string(milli % 1000);
  fraction.insert(0, 3 - fraction.size(), '0');
  const auto text = std::to_string(milli / 1000) + "." + fraction + " cores";
  RC_ASSERT(*parse_amount(text, ResourceType::compute) == milli);
}

}  // namespace
}  // namespace reeve::alloc
