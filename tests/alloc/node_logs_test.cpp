// Whole logs on nodes: no break; and what the ledger says of every one of their starts and ends.
#include <fstream>
#include <sstream>

#include "reeve/alloc/node_simulator.hpp"
#include "reeve/alloc/resource_allocator.hpp"
#include "tests/alloc/data.hpp"
#include "tests/alloc/node_checker.hpp"
#include "tests/alloc/node_traces.hpp"
#include "tests/support/pch.hpp"

namespace reeve::alloc {
namespace {

Trace load(const std::string& path, const SwfOptions& options) {
  std::ifstream in(path);
  return read_swf(in, options).value();
}

// 120 nodes with two processors and 1 GiB each.
NodeMachine seth() {
  return {{{.name = "seth", .count = 120, .processors = 2, .memory = std::int64_t{1} << 30}}};
}

NodeReplay checked(const Trace& t, const NodeMachine& m, const SimulatorOptions& rule,
                   bool conserving = true) {
  auto r = simulate_on_nodes(t.jobs, t.requests, m, rule, Unrunnable::list).value();
  const auto breaks = node_breaks({t.jobs, t.requests, m, rule, r}, conserving);
  EXPECT_EQ(breaks, std::vector<std::string>{});
  return r;
}

std::vector<SimulatorOptions> usual_rules() {
  return {{.backfill = Backfill::none},
          {},
          {.order = Order::sjf, .backfill_order = Order::sjf},
          {.placement = Placement::identified},
          {.backfill = Backfill::conservative,
           .placement = Placement::identified,
           .replan = Replan::compress}};
}

TEST(NodeLogs, Hpc2nOnItsDualNodes) {
  REEVE_NEEDS_DATA(data_file("hpc2n.swf"));
  SwfOptions options;
  options.requests = SwfOptions::Requests::per_node;
  options.processors_per_node = 2;
  for (auto memory : {SwfOptions::Memory::none, SwfOptions::Memory::requested_or_used}) {
    options.memory = memory;
    const auto t = load(data_file("hpc2n.swf"), options);
    for (const auto& rule : usual_rules()) {
      const auto r = checked(t, seth(), rule);
      std::printf("per_node mem %d bf %d: wait %.3f bsld %.4f util %.4f refused %zu\n", int(memory),
                  int(rule.backfill), r.replay.mean_wait, r.replay.mean_bounded_slowdown,
                  r.replay.utilisation, r.refused.size());
    }
  }
  options.requests = SwfOptions::Requests::anywhere;
  const auto t = load(data_file("hpc2n.swf"), options);
  for (const auto& rule : usual_rules()) {
    const auto r = checked(t, seth(), rule);
    std::printf("anywhere bf %d: wait %.3f bsld %.4f util %.4f refused %zu\n", int(rule.backfill),
                r.replay.mean_wait, r.replay.mean_bounded_slowdown, r.replay.utilisation,
                r.refused.size());
  }
}

TEST(NodeLogs, LublinOnNodesOfSixteen) {
  REEVE_NEEDS_DATA(data_file("lublin_256.swf"));
  SwfOptions options;
  options.requests = SwfOptions::Requests::per_node;
  options.processors_per_node = 16;
  auto t = load(data_file("lublin_256.swf"), options);
  const NodeMachine m{{{.name = "n", .count = 16, .processors = 16}}};
  (void)checked(t, m, {}, false);
  t.jobs.resize(3000);
  t.requests.resize(3000);
  for (const auto& rule : usual_rules()) (void)checked(t, m, rule, false);
}

}  // namespace
}  // namespace reeve::alloc
