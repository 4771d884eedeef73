// Nodes with shared devices: rules, exact accounts, and the published trace.
#include "reeve/alloc/device_cluster.hpp"

#include <fstream>
#include <sstream>

#include "tests/alloc/data.hpp"
#include "tests/alloc/shorthand.hpp"
#include "tests/support/pch.hpp"

namespace reeve::alloc {
namespace {

DeviceDemand part(std::int64_t share) {
  return {.amount = cores(1), .devices = 1, .share = share};
}

TEST(DeviceCluster, APartGoesToOneDeviceAndSeveralAreTakenWhole) {
  DeviceCluster c(DeviceRule::best_fit);
  (void)c.add_node(cores(100), 2, "T4").value();
  const auto small = c.add_shape(part(600)).value();
  const auto both = c.add_shape({.amount = cores(1), .devices = 2}).value();
  const auto first = c.place(small).value();
  EXPECT_EQ(first.devices, (std::vector<std::uint8_t>{0}));
  EXPECT_EQ(c.place(both).refusal().code, Code::busy);
  EXPECT_EQ(c.place(small).value().devices, (std::vector<std::uint8_t>{1}));  // 400 is too small
  EXPECT_EQ(c.place(small).refusal().code, Code::busy);
  c.release(first);
  EXPECT_EQ(c.devices(0)[0], 1000);
  EXPECT_EQ(c.device_used(), 600);
}

TEST(DeviceCluster, ModelsAreRespectedAndBadShapesRefused) {
  DeviceCluster c(DeviceRule::first_fit);
  (void)c.add_node(cores(100), 2, "T4").value();
  (void)c.add_node(cores(100), 2, "A10").value();
  auto demand = part(500);
  demand.models = {"A10"};
  const auto a10 = c.add_shape(demand).value();
  demand.models = {"H100"};
  const auto h100 = c.add_shape(demand).value();
  EXPECT_EQ(c.place(a10).value().node, 1u);
  EXPECT_EQ(c.place(h100).refusal().code, Code::unmet_constraint);
  EXPECT_EQ(c.add_shape({.amount = cores(1), .devices = 2, .share = 500}).refusal().code,
            Code::invalid_request);
  EXPECT_EQ(c.add_shape({.amount = cores(-1), .devices = 1}).refusal().code, Code::invalid_amount);
  EXPECT_EQ(c.add_node(cores(-1), 2, "x").refusal().code, Code::invalid_amount);
}

TEST(DeviceCluster, FragmentationAwareFillsWhatOthersCannotUse) {
  // A device with 400 left is useless to the mix (500 and whole ones), so 400 goes there.
  DeviceCluster c(DeviceRule::fragmentation_aware);
  (void)c.add_node(cores(100), 2, "T4").value();
  const auto six = c.add_shape(part(600), 0).value();
  const auto four = c.add_shape(part(400), 1).value();
  (void)c.add_shape(part(500), 5).value();
  (void)c.add_shape(part(1000), 5).value();
  ASSERT_EQ(c.place(six).value().devices[0], 0);
  EXPECT_EQ(c.place(four).value().devices[0], 0);
}

RC_GTEST_PROP(DeviceCluster, KeptScoresEqualFreshOnesAndEverythingComesBack, ()) {
  const auto rule = static_cast<DeviceRule>(*rc::gen::inRange(0, 4));
  DeviceCluster c(rule);
  const auto nodes = *rc::gen::inRange(1, 6);
  for (int n = 0; n < nodes; ++n)
    (void)c
        .add_node(cores(*rc::gen::inRange(1, 30)), *rc::gen::inRange(0, 4),
                  *rc::gen::element<std::string>("a", "b"))
        .value();
  for (int s = 0; s < 5; ++s) {
    DeviceDemand d{.amount = cores(*rc::gen::inRange(1, 6)), .devices = *rc::gen::inRange(0, 3)};
    if (d.devices == 1) d.share = 100 * *rc::gen::inRange(1, 11);
    (void)c.add_shape(d, static_cast<std::uint32_t>(*rc::gen::inRange(0, 3))).value();
  }
  const DeviceCluster empty = c;
  std::vector<DevicePlacement> live;
  for (int i = 0; i < 40; ++i) {
    if (*rc::gen::inRange(0, 3) == 0 && !live.empty()) {
      c.release(live.back());
      live.pop_back();
      continue;
    }
    // The same state without any kept score: all live pieces are put back at once.
    DeviceCluster fresh = empty;
    for (const auto& p : live) fresh.restore(p);
    const auto shape = static_cast<std::uint32_t>(*rc::gen::inRange(0, 5));
    const auto a = c.place(shape);
    const auto b = fresh.place(shape);
    RC_ASSERT(a.has_value() == b.has_value());
    if (!a) continue;
    RC_ASSERT(a->node == b->node);
    RC_ASSERT(a->devices == b->devices);
    live.push_back(*a);
    for (std::uint32_t n = 0; n < c.size(); ++n) {
      RC_ASSERT(!c.free(n).any_negative());
      for (auto f : c.devices(n)) RC_ASSERT(f >= 0 && f <= 1000);
    }
  }
  for (const auto& p : live) c.release(p);
  RC_ASSERT(c.device_used() == 0);
}

struct Openb {
  std::vector<std::vector<std::string>> nodes, pods;
};

std::vector<std::vector<std::string>> csv(const std::string& path) {
  std::ifstream in(path);
  std::string line;
  std::getline(in, line);
  std::vector<std::vector<std::string>> rows;
  while (std::getline(in, line)) {
    rows.emplace_back();
    std::istringstream cells(line);
    for (std::string cell; std::getline(cells, cell, ',');) rows.back().push_back(cell);
  }
  return rows;
}

DeviceDemand demand_of(const std::vector<std::string>& pod) {
  DeviceDemand d{.amount = cores(std::stol(pod[1])), .devices = std::stoi(pod[3])};
  d.amount[1] = std::stol(pod[2]);
  if (d.devices == 1) d.share = std::stol(pod[4]);
  return d;
}

// Device allocation in per cent when arrivals reach the capacity: the trace, enlarged by random
// copies to 130 % of it, in random order.
double openb(const Openb& data, DeviceRule rule, std::uint64_t seed) {
  DeviceCluster c(rule);
  for (const auto& n : data.nodes) {
    Amounts capacity = cores(std::stol(n[1]));
    capacity[1] = std::stol(n[2]);
    (void)c.add_node(capacity, std::stoi(n[3]), n[4]).value();
  }
  std::vector<DeviceDemand> shapes;
  std::vector<std::uint32_t> weights, shape_of;
  std::int64_t demanded = 0;
  for (const auto& p : data.pods) {
    const auto d = demand_of(p);
    const auto at = std::find(shapes.begin(), shapes.end(), d) - shapes.begin();
    if (at == std::ssize(shapes)) {
      shapes.push_back(d);
      weights.push_back(0);
    }
    ++weights[static_cast<std::size_t>(at)];
    shape_of.push_back(static_cast<std::uint32_t>(at));
    demanded += d.devices * d.share;
  }
  // The mix is the most frequent shapes that make up 95 % of the trace.
  std::vector<std::size_t> order(shapes.size());
  for (std::size_t s = 0; s < shapes.size(); ++s) order[s] = s;
  std::sort(order.begin(), order.end(),
            [&](auto a, auto b) { return std::pair(weights[b], a) < std::pair(weights[a], b); });
  std::size_t covered = 0;
  for (auto s : order) {
    const auto weight = weights[s];
    if (covered * 100 >= data.pods.size() * 95) weights[s] = 0;
    covered += weight;
  }
  for (std::size_t s = 0; s < shapes.size(); ++s) (void)c.add_shape(shapes[s], weights[s]).value();
  std::uint64_t x = seed * 2654435761 + 1;
  const auto draw = [&](std::size_t n) {
    x = x * 6364136223846793005ULL + 1442695040888963407ULL;
    return static_cast<std::size_t>((x >> 33) % n);
  };
  while (demanded * 100 < c.device_capacity() * 130) {
    shape_of.push_back(shape_of[draw(data.pods.size())]);
    demanded += shapes[shape_of.back()].devices * shapes[shape_of.back()].share;
  }
  for (std::size_t i = shape_of.size(); i > 1; --i) std::swap(shape_of[i - 1], shape_of[draw(i)]);
  std::int64_t arrived = 0;
  for (auto s : shape_of) {
    arrived += shapes[s].devices * shapes[s].share;
    if (arrived > c.device_capacity()) break;
    (void)c.place(s);
  }
  return 100.0 * static_cast<double>(c.device_used()) / static_cast<double>(c.device_capacity());
}

double mean_openb(DeviceRule rule, int runs) {
  const Openb data{csv(data_file("alibaba_openb_v2023/openb_node_list_gpu_node.csv")),
                   csv(data_file("alibaba_openb_v2023/openb_pod_list_default.csv"))};
  double sum = 0;
  for (int seed = 0; seed < runs; ++seed)
    sum += openb(data, rule, static_cast<std::uint64_t>(seed + 42));
  return sum / runs;
}

TEST(DeviceClusterPublished, AlibabaBestFit) {
  REEVE_NEEDS_DATA(data_file("alibaba_openb_v2023/openb_pod_list_default.csv"));
  const auto mean = mean_openb(DeviceRule::best_fit, 10);
  RecordProperty("allocation_percent", std::to_string(mean));
  EXPECT_NEAR(mean, 92.86, 0.4);
}

TEST(DeviceClusterPublished, AlibabaFragmentationAware) {
  REEVE_NEEDS_DATA(data_file("alibaba_openb_v2023/openb_pod_list_default.csv"));
  const auto mean = mean_openb(DeviceRule::fragmentation_aware, 10);
  RecordProperty("allocation_percent", std::to_string(mean));
  EXPECT_GE(mean, 95.0);
}

}  // namespace
}  // namespace reeve::alloc
