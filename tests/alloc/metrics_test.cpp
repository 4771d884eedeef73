// Metrics over time, dashboard data, and its texts.
#include "reeve/alloc/metrics.hpp"

#include "tests/alloc/shorthand.hpp"
#include "tests/support/pch.hpp"

namespace reeve::alloc {
namespace {

struct Measured : testing::Test {
  Measured() {
    EXPECT_TRUE(manager.register_resource(
        {.name = "n\"1", .capacity = cores(100), .capabilities = {{"arch", std::string("x86")}}}));
    EXPECT_TRUE(manager.register_resource({.name = "n2", .capacity = cores(60)}));
  }
  void pass(std::int64_t s) { clock.advance(std::chrono::seconds(s)); }
  ManualClock clock;
  ReservationManager manager{Dimensions::standard(), clock};
  ResourceAllocator allocator{manager};
  MetricsCollector metrics;
  ContentionDetector contention;
};

TEST_F(Measured, UtilisationIsIntegratedOverTime) {
  metrics.sample(manager);
  const auto id = manager.create_reservation("a", want(80)).value();
  metrics.sample(manager);
  pass(30);
  metrics.sample(manager);
  (void)manager.release_reservation(id);
  metrics.sample(manager);
  pass(10);
  metrics.sample(manager);
  EXPECT_DOUBLE_EQ(metrics.mean_utilisation(0), 0.5 * 30 / 40);
  EXPECT_EQ(metrics.mean_utilisation(1), 0);
}

TEST_F(Measured, WaitsAndReasonsAreKeptPerOwner) {
  ASSERT_TRUE(allocator.submit("a", want(90)));
  metrics.observe(allocator, allocator.schedule());
  ASSERT_TRUE(allocator.submit("b", want(70)));
  for (int i = 0; i < 3; ++i) metrics.observe(allocator, allocator.schedule());
  EXPECT_EQ(metrics.held_back().at("busy"), 1u) << "once per reason, not once per cycle";
  pass(5);
  for (auto id : manager.live()) (void)manager.release_reservation(id);
  metrics.observe(allocator, allocator.schedule());
  EXPECT_EQ(metrics.waits().at("b").longest, 5'000'000'000);
  EXPECT_EQ(metrics.waits().at("a").mean(), 0);
}

TEST_F(Measured, TheDashboardSaysWhatTheLedgerSays) {
  const auto held = manager.create_reservation("a", want(40), Strategy::best_fit).value();
  const auto used = manager.create_reservation("b", want(90)).value();
  (void)held;
  ASSERT_TRUE(manager.confirm_reservation(used));
  (void)manager.create_reservation("c", want(1000)).has_value();
  ASSERT_TRUE(allocator.submit("c", want(70)));
  metrics.observe(allocator, allocator.schedule());
  (void)contention.measure(allocator);
  pass(2);
  auto pool = ElasticPool::create(manager, {.name = "p", .capacity = cores(10)}).value();
  ASSERT_TRUE(manager.resize_resource(ResourceId{1}, cores(30)));
  const auto d = dashboard_data(manager, {&allocator, &metrics, &contention, {&pool}});
  ASSERT_EQ(d.dims.size(), 1u);
  EXPECT_EQ(d.dims[0].capacity, 140);
  EXPECT_EQ(d.dims[0].held, 40);
  EXPECT_EQ(d.dims[0].committed, 90);
  EXPECT_EQ(d.dims[0].free, 10);
  EXPECT_EQ(d.dims[0].debt, 10);
  EXPECT_DOUBLE_EQ(d.dims[0].fragmentation, 0.5);
  EXPECT_EQ(d.resources.size(), 3u);
  EXPECT_EQ(d.resources[0].state, "in_use");
  EXPECT_EQ(d.resources[0].of_class, "arch=x86");
  EXPECT_EQ(d.classes.size(), 2u);
  EXPECT_EQ(d.owners[1].used[0], 90);
  EXPECT_EQ(d.contentions.at(0).severity, "medium");
  EXPECT_EQ(d.pools.at(0).size, 1);
  EXPECT_EQ(d.reservations.at("held"), 1u);
  EXPECT_EQ(d.reservations.at("confirmed"), 1u);
  EXPECT_EQ(d.refusals.at("infeasible"), 1u);
  EXPECT_EQ(d.held_back.at("busy"), 1u);
  EXPECT_EQ(d.waiting, 1u);
  EXPECT_DOUBLE_EQ(d.longest_wait_s, 2);
  EXPECT_TRUE(d.audit_clean);
  EXPECT_EQ(d, dashboard_data(manager, {&allocator, &metrics, &contention, {&pool}}));
}

TEST_F(Measured, TextAndJson) {
  (void)manager.create_reservation("a", want(40)).value();
  const auto d = dashboard_data(manager);
  EXPECT_THAT(to_text(d), testing::HasSubstr("compute    0.16 cores  0.04 cores  0 cores"));
  EXPECT_THAT(to_text(d), testing::HasSubstr("waiting: 0, longest 0 s; audit clean"));
  const auto json = to_json(d);
  EXPECT_THAT(json, testing::StartsWith(
                        R"({"at":1000000000,"dims":[{"name":"compute","counted":"millicores",)"
                        R"("capacity":160,)"));
  EXPECT_THAT(json, testing::HasSubstr(R"("name":"n\"1","state":)"));
  EXPECT_THAT(json, testing::EndsWith(R"("waiting":0,"longest_wait_s":0,"audit_clean":true})"));
  EXPECT_EQ(std::count(json.begin(), json.end(), '{'), std::count(json.begin(), json.end(), '}'));
}

}  // namespace
}  // namespace reeve::alloc
