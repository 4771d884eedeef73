// Constraints against capabilities.
#include "reeve/alloc/capability.hpp"

#include "tests/support/pch.hpp"

namespace reeve::alloc {
namespace {

using Kind = Constraint::Kind;

const Capabilities node{
    {"arch", std::string("x86_64")}, {"cores", std::int64_t{32}}, {"ssd", true}};

TEST(Capability, NumbersMeanAtLeastTextAndTruthMeanEqual) {
  EXPECT_TRUE(satisfies(node, needs("cores", std::int64_t{32})));
  EXPECT_FALSE(satisfies(node, needs("cores", std::int64_t{33})));
  EXPECT_TRUE(satisfies(node, needs("arch", std::string("x86_64"))));
  EXPECT_FALSE(satisfies(node, needs("arch", std::string("arm64"))));
  EXPECT_FALSE(satisfies(node, needs("ssd", false)));
}

TEST(Capability, MissingCapabilityIsNotSatisfied) {  // seed defect 8
  for (auto kind : {Kind::at_least, Kind::at_most, Kind::equals, Kind::one_of})
    EXPECT_FALSE(satisfies(node, {"model", kind, {std::int64_t{1}}}));
  EXPECT_FALSE(satisfies(node, {"model", Kind::exists}));
  EXPECT_TRUE(satisfies(node, {"model", Kind::absent}));
  EXPECT_TRUE(satisfies(node, {"model", Kind::none_of, {std::string("P100")}}));
}

TEST(Capability, SetsAndExclusion) {
  const std::vector<CapValue> set{std::string("arm64"), std::string("x86_64")};
  EXPECT_TRUE(satisfies(node, {"arch", Kind::one_of, set}));
  EXPECT_FALSE(satisfies(node, {"arch", Kind::none_of, set}));
  EXPECT_TRUE(satisfies(node, {"cores", Kind::at_most, {std::int64_t{32}}}));
  EXPECT_FALSE(satisfies(node, {"arch", Kind::at_least, {std::int64_t{0}}}));
}

TEST(Capability, NamesTheBindingConstraint) {
  const std::vector<Constraint> wanted{needs("ssd", true), needs("cores", std::int64_t{64})};
  EXPECT_EQ(first_unmet(node, wanted), 1u);
  EXPECT_EQ(first_unmet(node, std::span(wanted).first(1)), std::nullopt);
}

TEST(Capability, ConstraintsWithoutMeaningAreRefused) {
  EXPECT_EQ(validate({"", Kind::exists}).refusal().code, Code::invalid_constraint);
  EXPECT_EQ(validate({"cores", Kind::at_least, {true}}).refusal().subject, "cores");
  EXPECT_FALSE(validate({"arch", Kind::one_of, {}}));
  EXPECT_FALSE(validate({"arch", Kind::exists, {true}}));
  EXPECT_TRUE(validate(needs("cores", std::int64_t{1})));
}

}  // namespace
}  // namespace reeve::alloc
