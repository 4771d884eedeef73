// Whole logs on nodes: no break under any rule, nothing that the ledger would refuse, and the
// schedules of simulate() where nodes make no difference.
#include <fstream>

#include "tests/alloc/data.hpp"
#include "tests/alloc/node_ledger.hpp"
#include "tests/alloc/node_traces.hpp"
#include "tests/support/pch.hpp"

namespace reeve::alloc {
namespace {

using Requests = SwfOptions::Requests;
using Memory = SwfOptions::Memory;

Trace load(const std::string& path, const SwfOptions& options) {
  std::ifstream in(path);
  return read_swf(in, options).value();
}

const SimulatorOptions fcfs{.backfill = Backfill::none};
const SimulatorOptions easy{};
const SimulatorOptions easy_sjf{.order = Order::sjf, .backfill_order = Order::sjf};
const SimulatorOptions named{.placement = Placement::identified};
const SimulatorOptions conservative{.backfill = Backfill::conservative,
                                    .placement = Placement::identified,
                                    .replan = Replan::compress};

// Replays, and finds no break.
NodeReplay checked(const Trace& t, const NodeMachine& m, const SimulatorOptions& rule,
                   bool conserving = true) {
  auto r = simulate_on_nodes(t.jobs, t.requests, m, rule, Unrunnable::list).value();
  EXPECT_EQ(node_breaks({t.jobs, t.requests, m, rule, r}, conserving), std::vector<std::string>{});
  const auto late = std::count_if(r.replay.jobs.begin(), r.replay.jobs.end(),
                                  [](const Outcome& job) { return job.start > job.promised; });
  const bool promises = rule.order == Order::fcfs &&
                        (rule.backfill == Backfill::easy || rule.replan == Replan::compress);
  EXPECT_TRUE(late == 0 || !promises) << late << " start later than promised";
  return r;
}

void expect_means(const NodeReplay& r, double wait, double slowdown) {
  EXPECT_NEAR(r.replay.mean_wait, wait, 0.0005);
  EXPECT_NEAR(r.replay.mean_bounded_slowdown, slowdown, 0.00005);
}

// HPC2N's 120 nodes with two processors and 1 GiB each.
const NodeMachine seth{
    {{.name = "seth", .count = 120, .processors = 2, .memory = std::int64_t{1} << 30}}};

TEST(NodeLogs, Hpc2nOnDualNodes) {
  REEVE_NEEDS_DATA(data_file("hpc2n.swf"));
  const auto t =
      load(data_file("hpc2n.swf"),
           {.requests = Requests::per_node, .processors_per_node = 2, .memory = Memory::none});
  ASSERT_EQ(t.jobs.size(), 3145u);
  expect_means(checked(t, seth, fcfs), 5660.491, 47.5409);
  expect_means(checked(t, seth, easy), 3585.254, 17.1586);
  expect_means(checked(t, seth, easy_sjf), 2395.722, 12.3056);
  expect_means(checked(t, seth, named), 3529.673, 19.1390);
  expect_means(checked(t, seth, conservative), 3481.333, 19.1177);
}

TEST(NodeLogs, Hpc2nWithTheMemoryThatItLogs) {
  REEVE_NEEDS_DATA(data_file("hpc2n.swf"));
  const auto t =
      load(data_file("hpc2n.swf"), {.requests = Requests::per_node, .processors_per_node = 2});
  for (const auto& rule : {fcfs, easy, easy_sjf, named, conservative}) {
    const auto r = checked(t, seth, rule);
    ASSERT_EQ(r.refused.size(), 3u) << "two processors of theirs want more than the node has";
    for (const auto& [job, why] : r.refused) EXPECT_EQ(why.subject, "memory");
    EXPECT_EQ(ledger_faults({t.jobs, t.requests, seth, rule, r}), std::vector<std::string>{});
  }
  expect_means(checked(t, seth, easy), 3610.911, 17.4862);
  const auto loose = load(data_file("hpc2n.swf"), {.requests = Requests::anywhere});
  for (const auto& rule : {easy, conservative})
    EXPECT_TRUE(checked(loose, seth, rule).refused.empty()) << "one processor of a node will do";
}

// The allocator, left to schedule the log by itself.
TEST(NodeLogs, TheAllocatorSchedulesHpc2nTheSame) {
  REEVE_NEEDS_DATA(data_file("hpc2n.swf"));
  const auto all =
      load(data_file("hpc2n.swf"), {.requests = Requests::per_node, .processors_per_node = 2});
  NodeTrace t;
  for (std::size_t j = 0; j < all.jobs.size() && t.jobs.size() < 1000; ++j) {
    if (all.requests[j].parts.size() > 1 || !can_run(all.requests[j], seth)) continue;
    t.jobs.push_back(all.jobs[j]);
    t.requests.push_back(all.requests[j]);
  }
  const auto a =
      allocator_schedule(t.jobs, t.requests, seth, {.rule = QueueRule::reserve, .depth = 1});
  const auto b = simulate_on_nodes(t.jobs, t.requests, seth, named).value();
  for (std::size_t j = 0; j < t.jobs.size(); ++j) {
    ASSERT_EQ(a.start[j], b.replay.jobs[j].start) << j;
    ASSERT_EQ(a.nodes[j], b.replay.jobs[j].machines) << j;
  }
}

// Where processors lie makes no difference then, to jobs that want no memory.
TEST(NodeLogs, LogsAnywhereEqualThoseOfCountedProcessors) {
  REEVE_NEEDS_DATA(data_file("hpc2n.swf"));
  const NodeMachine sixteen{{{.name = "n", .count = 16, .processors = 16}}};
  for (const auto& [file, machine] :
       {std::pair("hpc2n.swf", &seth), std::pair("lublin_256.swf", &sixteen)}) {
    const auto t = load(data_file(file), {.requests = Requests::anywhere, .memory = Memory::none});
    for (auto rule : {fcfs, easy, easy_sjf}) {
      const auto nodes = checked(t, *machine, rule, false).replay;
      rule.processors = static_cast<std::int32_t>(machine->processors());
      const auto plain = simulate(t.jobs, rule).value();
      for (std::size_t j = 0; j < t.jobs.size(); ++j)
        ASSERT_EQ(nodes.jobs[j].start, plain.jobs[j].start) << file << ' ' << j;
      EXPECT_EQ(nodes.mean_bounded_slowdown, plain.mean_bounded_slowdown);
    }
  }
}

TEST(NodeLogs, LublinOnNodesOfSixteen) {
  REEVE_NEEDS_DATA(data_file("lublin_256.swf"));
  const NodeMachine m{{{.name = "n", .count = 16, .processors = 16}}};
  auto t = load(data_file("lublin_256.swf"),
                {.requests = Requests::per_node, .processors_per_node = 16});
  ASSERT_EQ(t.jobs.size(), 10'000u);
  (void)checked(t, m, easy, false);
  t.jobs.resize(3000);
  t.requests.resize(3000);
  for (const auto& rule : {fcfs, named, conservative}) (void)checked(t, m, rule, false);
}

// The shipped trace of the dialect with node specifications.
TEST(NodeLogs, SpecsWithMemoryAndProperties) {
  const std::string folder = REEVE_SHIPPED_DATA;
  std::ifstream description(folder + "/nodes.txt");
  const auto m = read_machine(description).value();
  const auto t = load(folder + "/nodes.swf", swf_with_specs());
  ASSERT_EQ(t.jobs.size(), 80u);
  const auto having = [&](auto what) {
    return std::count_if(t.requests.begin(), t.requests.end(), what);
  };
  ASSERT_GT(having([](const auto& q) { return q.parts.size() > 1; }), 2);
  ASSERT_GT(having([](const auto& q) { return q.alone; }), 2);
  ASSERT_GT(having([](const auto& q) { return !q.parts[0].where.empty(); }), 20);
  for (const auto& rule : every_node_rule()) {
    const auto r = checked(t, m, rule);
    ASSERT_EQ(r.refused.size(), 2u);
    EXPECT_EQ(r.refused[0].second.subject, "nodes");
    EXPECT_EQ(r.refused[1].second.subject, "gpu");
    EXPECT_EQ(ledger_faults({t.jobs, t.requests, m, rule, r}), std::vector<std::string>{});
  }
}

}  // namespace
}  // namespace reeve::alloc
