// What a request would rather have: affinity that is not hard, spreads that are not strict,
// domains. Where the wish cannot be had, the request is placed all the same.
#include "reeve/alloc/resource_allocator.hpp"
#include "tests/alloc/shorthand.hpp"
#include "tests/support/pch.hpp"

namespace reeve::alloc {
namespace {

// Six nodes in three racks: 0 and 1 in "a", 2 and 3 in "b", 4 and 5 in "c". Without an index and
// with one, which is not asked where domains or affinities count.
struct Racks : testing::TestWithParam<std::size_t> {
  Racks() : manager(Dimensions::standard(), clock, {.index_from = GetParam()}) {
    for (unsigned n = 0; n < 6; ++n)
      EXPECT_TRUE(manager.register_resource(
          {.name = numbered(n),
           .capacity = cores(10),
           .capabilities = {{"rack", std::string(1, static_cast<char>('a' + n / 2))}}}));
  }
  // Puts something with a label onto one node.
  void occupy(unsigned node, std::int64_t n, const std::string& label = "") {
    Request r = want(n);
    r.label = label;
    const PlacementRule there{
        .filter = [&](const Amounts&, const Candidate& c) { return c.id == ResourceId{node}; }};
    ASSERT_TRUE(manager.create_reservation("other", r, there));
  }
  std::vector<int> placed(const Request& r, Strategy strategy = Strategy::first_fit) {
    std::vector<int> nodes;
    const auto lines = manager.plan(r, strategy);
    if (!lines) return nodes;
    for (const auto& line : *lines) nodes.push_back(static_cast<int>(line.resource));
    return nodes;
  }
  using Nodes = std::vector<int>;

  ManualClock clock;
  ReservationManager manager;
};
INSTANTIATE_TEST_SUITE_P(Index, Racks, testing::Values(std::size_t{0}, SIZE_MAX));

TEST_P(Racks, SoftAffinityGoesWhereTheOtherIs) {
  occupy(3, 4, "db");
  Request r = want(5);
  EXPECT_EQ(placed(r), Nodes{0});
  r.affinity = {{.label = "db", .hard = false}};
  EXPECT_EQ(placed(r), Nodes{3});
  EXPECT_EQ(placed(r, Strategy::balanced), Nodes{3}) << "the wish counts before the score";
  r.affinity[0].domain = "rack";
  EXPECT_EQ(placed(r), Nodes{2}) << "anywhere in that rack";
}

TEST_P(Racks, SoftAffinityThatCannotBeHadIsNoRefusal) {
  occupy(3, 8, "db");
  Request r = want(5);
  r.affinity = {{.label = "db", .hard = false}};
  EXPECT_EQ(placed(r), Nodes{0}) << "it has no room there";
  r.affinity = {{.label = "nobody", .hard = false}};
  EXPECT_EQ(placed(r), Nodes{0});
  r.affinity[0].hard = true;
  EXPECT_EQ(manager.plan(r).refusal().code, Code::affinity);
}

TEST_P(Racks, SoftAntiAffinityKeepsAwayWhileThereIsRoom) {
  occupy(0, 1, "db");
  Request r = want(5);
  r.affinity = {{.label = "db", .anti = true, .hard = false}};
  EXPECT_EQ(placed(r), Nodes{1});
  r.affinity[0].domain = "rack";
  EXPECT_EQ(placed(r), Nodes{2});
  for (unsigned n = 2; n < 6; ++n) occupy(n, 9);
  EXPECT_EQ(placed(r), Nodes{0}) << "near is better than not at all";
  r.affinity[0].hard = true;
  EXPECT_EQ(manager.plan(r).refusal().code, Code::affinity);
}

TEST_P(Racks, TheLeastWishesAreMissed) {
  occupy(0, 1, "noise");
  occupy(1, 1, "noise");
  occupy(1, 1, "db");
  occupy(4, 1, "db");
  Request r = want(1);
  r.affinity = {{.label = "db", .hard = false}, {.label = "noise", .anti = true, .hard = false}};
  EXPECT_EQ(placed(r), Nodes{4}) << "both wishes; 1 and 2 miss one, 0 misses two";
  occupy(4, 9);
  EXPECT_EQ(placed(r), Nodes{1}) << "one of them";
}

TEST_P(Racks, SoftAntiAffinityOfThoseAlreadyThereHindersNobody) {
  Request shy = want(1);
  shy.affinity = {{.label = "web", .anti = true, .hard = false}};
  ASSERT_TRUE(manager.create_reservation("other", shy, Strategy::first_fit));
  Request web = want(1);
  web.label = "web";
  EXPECT_EQ(placed(web), Nodes{0});
}

TEST_P(Racks, PackUsesFewNodesAndGoesOnWhenTheyAreFull) {
  occupy(0, 6);
  Request r{.gang = {{.amount = cores(4), .count = 4}}};
  EXPECT_EQ(placed(r, Strategy::greedy), (Nodes{1, 2, 3, 4})) << "any: by score alone";
  r.spread = Spread::pack;
  EXPECT_EQ(placed(r, Strategy::greedy), (Nodes{1, 1, 2, 2})) << "two nodes have room for all";
  r.spread = Spread::strict_pack;
  EXPECT_TRUE(placed(r).empty()) << "one node has not";
}

TEST_P(Racks, SpreadUsesManyNodesAndComesBackWhenThereAreNoMore) {
  for (unsigned n = 3; n < 6; ++n) occupy(n, 9);
  Request r{.gang = {{.amount = cores(2), .count = 7}}};
  EXPECT_EQ(placed(r), (Nodes{0, 0, 0, 0, 0, 1, 1})) << "any: first fit";
  r.spread = Spread::spread;
  EXPECT_EQ(placed(r), (Nodes{0, 1, 2, 0, 1, 2, 0})) << "turn about";
  r.spread = Spread::strict_spread;
  EXPECT_TRUE(placed(r).empty());
}

TEST_P(Racks, SpreadOverDomainsIsEvenToOnePiece) {
  Request r{.gang = {{.amount = cores(4), .count = 8}},
            .spread = Spread::spread,
            .spread_domain = "rack"};
  EXPECT_EQ(placed(r), (Nodes{0, 2, 4, 0, 2, 4, 1, 3}));
  r.gang[0].count = 3;
  r.spread = Spread::strict_spread;
  EXPECT_EQ(placed(r), (Nodes{0, 2, 4}));
  r.gang[0].count = 4;
  EXPECT_EQ(manager.plan(r).refusal().code, Code::affinity) << "there are three racks";
}

TEST_P(Racks, PackInDomainsStaysInARackWhileItHasRoom) {
  occupy(0, 4);
  Request r{
      .gang = {{.amount = cores(4), .count = 4}}, .spread = Spread::pack, .spread_domain = "rack"};
  EXPECT_EQ(placed(r, Strategy::worst_fit), (Nodes{1, 0, 1, 2}));
  r.spread = Spread::strict_pack;
  EXPECT_EQ(placed(r, Strategy::worst_fit), (Nodes{2, 3, 2, 3})) << "all in one rack";
}

}  // namespace
}  // namespace reeve::alloc
