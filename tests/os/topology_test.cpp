// Worker i's processors: one core or node each, in turn, never outside of the process' own mask.
#include <reeve/base/error.hpp>
#include <reeve/os/topology.hpp>

#include <unistd.h>

#include "tests/support/pch.hpp"

namespace reeve::os {
namespace {

cpu_set_t mask(std::initializer_list<int> cpus) {
  cpu_set_t set{};
  for (const int cpu : cpus) CPU_SET(static_cast<std::size_t>(cpu), &set);
  return set;
}

std::vector<int> cpus(const cpu_set_t& set) {
  std::vector<int> result;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(static_cast<std::size_t>(cpu), &set)) result.push_back(cpu);
  }
  return result;
}

using ::testing::ElementsAre;

const char* two_nodes = "numa:2 core:2 pu:2";  // cpus 0-7

TEST(Topology, CoresComeInTurnWithAllTheirThreads) {
  const Topology topology = Topology::synthetic(two_nodes, mask({0, 1, 2, 3, 4, 5, 6, 7}));
  ASSERT_EQ(topology.cores().size(), 4u);
  EXPECT_THAT(cpus(topology.core_of(0)), ElementsAre(0, 1));
  EXPECT_THAT(cpus(topology.core_of(3)), ElementsAre(6, 7));
  EXPECT_THAT(cpus(topology.core_of(4)), ElementsAre(0, 1)) << "round robin";
  EXPECT_THAT(cpus(topology.node_of(1)), ElementsAre(4, 5, 6, 7));
  EXPECT_THAT(cpus(topology.node_of(2)), ElementsAre(0, 1, 2, 3));
}

TEST(Topology, StaysWithinTheOwnMask) {
  const Topology topology = Topology::synthetic(two_nodes, mask({1, 6}));
  ASSERT_EQ(topology.cores().size(), 2u);
  EXPECT_THAT(cpus(topology.core_of(0)), ElementsAre(1));
  EXPECT_THAT(cpus(topology.core_of(1)), ElementsAre(6));
  const Topology one_node = Topology::synthetic(two_nodes, mask({5, 6}));
  ASSERT_EQ(one_node.nodes().size(), 1u) << "a node that is not ours is left out";
  EXPECT_THAT(cpus(one_node.node_of(7)), ElementsAre(5, 6));
}

TEST(Topology, AMaskThatHwlocDoesNotKnowIsOnePlace) {
  const Topology topology = Topology::synthetic(two_nodes, mask({100}));
  ASSERT_EQ(topology.cores().size(), 1u);
  EXPECT_THAT(cpus(topology.core_of(5)), ElementsAre(100));
}

TEST(Topology, NonsenseIsRefused) {
  EXPECT_THROW(Topology::synthetic("a machine", mask({0})), ConfigError);
}

TEST(Topology, ThisMachineCoversTheMaskOnce) {
  const Topology topology = Topology::read();
  cpu_set_t own{};
  ASSERT_EQ(sched_getaffinity(getpid(), sizeof own, &own), 0);
  EXPECT_TRUE(CPU_EQUAL(&own, &topology.allowed()));
  for (const auto* places : {&topology.cores(), &topology.nodes()}) {
    cpu_set_t all{};
    int count = 0;
    for (const cpu_set_t& set : *places) {
      CPU_OR(&all, &all, &set);
      count += CPU_COUNT(&set);
    }
    EXPECT_TRUE(CPU_EQUAL(&all, &own));
    EXPECT_EQ(count, CPU_COUNT(&own)) << "no processor twice";
  }
}

}  // namespace
}  // namespace reeve::os
