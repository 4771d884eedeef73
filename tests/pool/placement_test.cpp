// Workers run where the plan says.
#include <reeve/os/topology.hpp>
#include <reeve/pool/config.hpp>

#include <sched.h>

#include "tests/pool/pool_test_support.hpp"

namespace reeve::test {
namespace {

std::vector<int> cpus_of(const cpu_set_t& set) {
  std::vector<int> result;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(static_cast<std::size_t>(cpu), &set)) result.push_back(cpu);
  }
  return result;
}

std::vector<int> own_cpus() {
  cpu_set_t set{};
  sched_getaffinity(0, sizeof set, &set);
  return cpus_of(set);
}

using Placement = std::pair<std::uint32_t, std::vector<int>>;

asio::awaitable<std::vector<Placement>> ask_workers(ResourcePool& pool) {
  std::vector<WorkerLease> leases;
  std::vector<Placement> placements;
  for (int i = 0; i < 4; ++i) {
    auto lease = co_await pool.acquire_worker("where");
    leases.push_back(std::move(lease));
  }
  for (WorkerLease& lease : leases) {
    auto cpus = co_await lease.run<&own_cpus>();
    const std::uint32_t slot = lease.id().slot;
    placements.emplace_back(slot, std::move(cpus));
  }
  co_return placements;
}

std::vector<Placement> place(Bind bind) {
  asio::io_context context;
  ResourceConfig config = small_config();
  config.max_workers = 4;
  config.bind = bind;
  ResourcePool pool(context.get_executor(), config);
  EXPECT_EQ(pool.capabilities().has("bind"), bind != Bind::none);
  return run_in(context, ask_workers(pool));
}

TEST(Placement, WorkerAffinityEqualsThePlan) {
  const os::Topology topology = os::Topology::read();
  for (const auto& [slot, cpus] : place(Bind::core))
    EXPECT_EQ(cpus, cpus_of(topology.core_of(slot))) << "slot " << slot;
  for (const auto& [slot, cpus] : place(Bind::numa))
    EXPECT_EQ(cpus, cpus_of(topology.node_of(slot))) << "slot " << slot;
  for (const auto& [slot, cpus] : place(Bind::none))
    EXPECT_EQ(cpus, cpus_of(topology.allowed())) << "slot " << slot;
}

}  // namespace
}  // namespace reeve::test
