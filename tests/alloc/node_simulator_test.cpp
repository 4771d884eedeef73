// Replays on nodes: no break that a naive sweep finds, and the schedules of simulate() where nodes
// make no difference.
#include "reeve/alloc/node_simulator.hpp"

#include "tests/alloc/node_checker.hpp"
#include "tests/alloc/node_traces.hpp"
#include "tests/support/pch.hpp"

namespace reeve::alloc {
namespace {

NodeReplay replay(const NodeTrace& t, const NodeMachine& m, const SimulatorOptions& rule) {
  return simulate_on_nodes(t.jobs, t.requests, m, rule, Unrunnable::list).value();
}

void expect_no_break(const NodeTrace& t, const NodeMachine& m, const SimulatorOptions& rule,
                     bool conserving = true) {
  const auto r = replay(t, m, rule);
  const auto breaks = node_breaks({t.jobs, t.requests, m, rule, r}, conserving);
  for (const auto& b : breaks) RC_LOG() << b << '\n';
  RC_ASSERT(breaks.empty());
}

RC_GTEST_PROP(NodeSimulatorProperty, NoRuleBreaksAnInvariant, ()) {
  const auto m = random_machine();
  const auto t = random_node_trace();
  for (const auto& rule : every_node_rule()) expect_no_break(t, m, rule);
}

RC_GTEST_PROP(NodeSimulatorProperty, AlsoWhereJobsOutliveTheirEstimates, ()) {
  const auto m = random_machine();
  const auto t = random_node_trace(-50);
  for (const auto& rule : every_node_rule()) expect_no_break(t, m, rule, false);
}

// I10, I11.
RC_GTEST_PROP(NodeSimulatorProperty, NobodyStartsLaterThanPromised, ()) {
  const auto m = random_machine();
  const auto t = random_node_trace();
  const SimulatorOptions easy;
  const SimulatorOptions named{.placement = Placement::identified};
  const SimulatorOptions compress{.backfill = Backfill::conservative,
                                  .placement = Placement::identified,
                                  .replan = Replan::compress};
  for (const auto& rule : {easy, named, compress}) {
    const auto ran = replay(t, m, rule);
    for (const auto& job : ran.replay.jobs) RC_ASSERT(job.start <= job.promised);
  }
}

// I10 as it goes on: who is first keeps its promise whoever still comes.
RC_GTEST_PROP(NodeSimulatorProperty, ThePromiseOfTheFirstHoldsWhoeverStillComes, ()) {
  const auto m = random_machine();
  auto t = random_node_trace();
  for (auto placement : {Placement::counted, Placement::identified}) {
    const SimulatorOptions rule{.placement = placement};
    const auto all = replay(t, m, rule);
    const auto cut = static_cast<std::size_t>(draw(1, static_cast<int>(t.jobs.size())));
    NodeTrace part{{t.jobs.begin(), t.jobs.begin() + static_cast<std::ptrdiff_t>(cut)},
                   {t.requests.begin(), t.requests.begin() + static_cast<std::ptrdiff_t>(cut)}};
    const auto before = replay(part, m, rule);
    // Until the next one comes both are the same, so is who is first then, and what it was told.
    if (cut == t.jobs.size()) continue;
    const Time at = t.jobs[cut].submit;
    for (std::size_t j = 0; j < cut; ++j) {
      const auto& early = before.replay.jobs[j];
      if (early.start < 0) continue;
      if (early.start < at) RC_ASSERT(all.replay.jobs[j].start == early.start);
      if (early.start < at) continue;
      if (early.promised != early.start) RC_ASSERT(all.replay.jobs[j].start <= early.promised);
      break;
    }
  }
}

// I16.
RC_GTEST_PROP(NodeSimulatorProperty, OrderOfSimultaneousJobsDoesNotMatter, ()) {
  const auto m = random_machine();
  auto t = random_node_trace();
  for (auto& j : t.jobs) j.submit = j.submit / seconds(30) * seconds(30);
  std::vector<std::size_t> order;
  std::vector<int> lot;
  for (std::size_t i = 0; i < t.jobs.size(); ++i) {
    order.push_back(i);
    lot.push_back(draw(0, 1000));
  }
  std::sort(order.begin(), order.end(), [&](auto x, auto y) {
    return std::tuple(t.jobs[x].submit, lot[x], x) < std::tuple(t.jobs[y].submit, lot[y], y);
  });
  NodeTrace other;
  for (auto i : order) {
    other.jobs.push_back(t.jobs[i]);
    other.requests.push_back(t.requests[i]);
  }
  for (const auto& rule : every_node_rule()) {
    const auto a = replay(t, m, rule);
    const auto b = replay(other, m, rule);
    for (std::size_t i = 0; i < order.size(); ++i) {
      RC_ASSERT(a.replay.jobs[order[i]].start == b.replay.jobs[i].start);
      RC_ASSERT(a.shares[order[i]] == b.shares[i]);
    }
  }
}

// I17: memory by 1,000 and time by 3.
RC_GTEST_PROP(NodeSimulatorProperty, ScalingChangesNothing, ()) {
  auto m = random_machine();
  auto t = random_node_trace();
  std::vector<NodeReplay> before;
  for (const auto& rule : every_node_rule())
    if (rule.order != Order::f1) before.push_back(replay(t, m, rule));
  for (auto& g : m.groups) g.memory = g.memory == uncounted ? uncounted : 1000 * g.memory;
  for (auto& q : t.requests)
    for (auto& p : q.parts) p.memory *= 1000;
  for (auto& j : t.jobs) j = {j.id, 3 * j.submit, 3 * j.run, 3 * j.estimate, j.size};
  std::size_t k = 0;
  for (const auto& rule : every_node_rule()) {
    if (rule.order == Order::f1) continue;  // logarithms of times
    const auto after = replay(t, m, rule);
    for (std::size_t i = 0; i < t.jobs.size(); ++i) {
      const Time start = before[k].replay.jobs[i].start;
      RC_ASSERT(after.replay.jobs[i].start == (before[k].shares[i].empty() ? -1 : 3 * start));
      RC_ASSERT(after.replay.jobs[i].machines == before[k].replay.jobs[i].machines);
    }
    ++k;
  }
}

// Jobs of 1 to 8 processors, wherever they are.
NodeTrace plain_trace(int least_slack) {
  auto t = random_node_trace(least_slack);
  for (std::size_t i = 0; i < t.jobs.size(); ++i) {
    t.jobs[i].size = draw(1, 8);
    t.requests[i] = anywhere(t.jobs[i].size);
  }
  return t;
}

void expect_equal(const NodeTrace& t, const NodeMachine& m, SimulatorOptions nodes,
                  SimulatorOptions plain) {
  plain.processors = 8;
  const auto a = replay(t, m, nodes).replay;
  const auto b = simulate(t.jobs, plain).value();
  for (std::size_t i = 0; i < t.jobs.size(); ++i) {
    RC_ASSERT(a.jobs[i].start == b.jobs[i].start);
    RC_ASSERT(a.jobs[i].finish == b.jobs[i].finish);
    if (plain.placement == nodes.placement) RC_ASSERT(a.jobs[i].promised == b.jobs[i].promised);
    if (plain.placement == Placement::identified)
      RC_ASSERT(a.jobs[i].machines == b.jobs[i].machines);
  }
  RC_ASSERT(a.mean_wait == b.mean_wait);
  RC_ASSERT(a.max_wait == b.max_wait);
  RC_ASSERT(a.mean_bounded_slowdown == b.mean_bounded_slowdown);
  RC_ASSERT(a.utilisation == b.utilisation);
  RC_ASSERT(a.makespan == b.makespan);
}

const NodeMachine one_node{{{.name = "one", .processors = 8}}};
const NodeMachine one_each{{{.name = "n", .count = 8}}};
const NodeMachine mixed{{{.name = "a", .count = 2, .processors = 3}, {.name = "b", .count = 2}}};

RC_GTEST_PROP(NodeSimulatorProperty, EqualsCountingWhereNodesMakeNoDifference, ()) {
  const auto t = plain_trace(-30);
  for (const auto& m : {one_node, one_each, mixed})
    for (auto backfill : {Backfill::none, Backfill::easy})
      for (auto order : {Order::fcfs, Order::sjf, Order::f1})
        for (auto behind : {Order::fcfs, Order::sjf, Order::f1}) {
          const SimulatorOptions rule{
              .order = order, .backfill = backfill, .backfill_order = behind};
          expect_equal(t, m, rule, rule);
        }
}

RC_GTEST_PROP(NodeSimulatorProperty, EqualsNamedMachinesWhereEachNodeIsOne, ()) {
  const auto t = plain_trace(-30);
  for (auto backfill : {Backfill::easy, Backfill::conservative, Backfill::hybrid})
    for (auto replan : {Replan::rebuild, Replan::compress}) {
      if (replan == Replan::compress && backfill != Backfill::conservative) continue;
      const SimulatorOptions rule{
          .backfill = backfill, .depth = 3, .placement = Placement::identified, .replan = replan};
      expect_equal(t, one_each, rule, rule);
    }
}

RC_GTEST_PROP(NodeSimulatorProperty, EqualsCountingOnOneNode, ()) {
  const auto t = plain_trace(0);
  for (auto backfill : {Backfill::easy, Backfill::conservative, Backfill::hybrid})
    for (auto order : {Order::fcfs, Order::sjf, Order::f1})
      for (auto behind : {Order::fcfs, Order::sjf}) {
        const SimulatorOptions plain{
            .order = order, .backfill = backfill, .backfill_order = behind, .depth = 3};
        auto named = plain;
        named.placement = Placement::identified;
        expect_equal(t, one_node, named, plain);
      }
}

// Depth 1 is EASY, and as many as there are is conservative.
RC_GTEST_PROP(NodeSimulatorProperty, HybridLiesBetweenEasyAndConservative, ()) {
  const auto m = random_machine();
  const auto t = random_node_trace();
  const auto with = [&](Backfill backfill, std::size_t depth) {
    return replay(t, m, {.backfill = backfill, .depth = depth, .placement = Placement::identified})
        .shares;
  };
  RC_ASSERT(with(Backfill::hybrid, 1) == with(Backfill::easy, 64));
  RC_ASSERT(with(Backfill::hybrid, t.jobs.size()) == with(Backfill::conservative, 64));
}

// A trace of jobs that all come at once, in seconds.
NodeTrace at_once(std::initializer_list<std::pair<const char*, int>> specs) {
  NodeTrace t;
  for (const auto& [spec, run] : specs) {
    t.requests.push_back(parse_node_spec(spec).value());
    t.jobs.push_back({static_cast<std::int64_t>(t.jobs.size()), 0, seconds(run), seconds(run),
                      static_cast<std::int32_t>(t.requests.back().processors())});
  }
  return t;
}

std::vector<Time> starts(const NodeTrace& t, const NodeMachine& m, const SimulatorOptions& rule) {
  std::vector<Time> at;
  for (const auto& job : replay(t, m, rule).replay.jobs) at.push_back(job.start / seconds(1));
  return at;
}

TEST(NodeSimulator, WhoPassesTheFirstGoesBesideItsNodesIfTheLowestAreNeeded) {
  // The first waits for both nodes with a gpu; the long one behind it would lie on the one that is
  // free, as it is the lowest, but has room on the other kind.
  const NodeMachine m{
      {{.name = "gpu#", .count = 2, .properties = {{"gpu", true}}}, {.name = "plain"}}};
  const auto t = at_once({{"gpu1", 10}, {"2:gpu", 10}, {"1", 50}, {"1", 8}});
  const auto ran = replay(t, m, {});
  EXPECT_EQ(starts(t, m, {}), (std::vector<Time>{0, 10, 0, 0}));
  EXPECT_EQ(ran.replay.jobs[2].machines, (std::vector<std::int32_t>{2}));
  EXPECT_EQ(ran.replay.jobs[3].machines, (std::vector<std::int32_t>{1})) << "gone in time";
  EXPECT_EQ(starts(t, m, {.placement = Placement::identified}), (std::vector<Time>{0, 10, 0, 0}));
}

TEST(NodeSimulator, AStartPromisedWithoutNodesLetsMorePass) {
  // Two of three nodes will do for the first. The long one takes the lowest that is free.
  const NodeMachine m{{{.name = "n", .count = 3}}};
  const auto t = at_once({{"2", 10}, {"2", 10}, {"1", 50}});
  EXPECT_EQ(starts(t, m, {}), (std::vector<Time>{0, 10, 0}));
  EXPECT_EQ(starts(t, m, {.placement = Placement::identified}), (std::vector<Time>{0, 10, 0}));
  const auto other = at_once({{"n2", 10}, {"n3", 10}, {"2", 10}, {"1", 50}});
  EXPECT_EQ(starts(other, m, {}), (std::vector<Time>{0, 0, 10, 0}));
  EXPECT_EQ(starts(other, m, {.placement = Placement::identified}),
            (std::vector<Time>{0, 0, 10, 10}))
      << "its nodes were 1 and 2";
}

TEST(NodeSimulator, MemoryBindsWhereProcessorsDoNot) {
  const NodeMachine m{{{.name = "n", .count = 2, .processors = 8, .memory = 100}}};
  auto t = at_once({{"1", 10}, {"2", 10}, {"1", 5}});
  t.requests[0].parts[0].memory = 60;
  t.requests[1].parts[0].memory = 50;
  t.requests[2].parts[0].memory = 40;
  EXPECT_EQ(starts(t, m, {}), (std::vector<Time>{0, 10, 0}));
  EXPECT_EQ(starts(t, m, {.backfill = Backfill::none}), (std::vector<Time>{0, 10, 10}));
  EXPECT_EQ(replay(t, m, {}).shares[2], (std::vector<NodeShare>{{0, 1, 40}}));
}

TEST(NodeSimulator, WhoIsAloneIsAlone) {
  const NodeMachine m{{{.name = "n", .count = 2, .processors = 4, .memory = 8}}};
  const auto t = at_once({{"1:ppn=1", 10}, {"1:ppn=1#excl", 10}, {"1:ppn=4", 10}, {"1", 10}});
  EXPECT_EQ(starts(t, m, {}), (std::vector<Time>{0, 0, 10, 0}));
  EXPECT_EQ(replay(t, m, {}).shares[1], (std::vector<NodeShare>{{1, 4, 8}}));
}

TEST(NodeSimulator, JobsThatNeverFitAreRefusedOrListed) {
  const NodeMachine m{{{.name = "n", .count = 2, .processors = 4}}};
  const auto t = at_once({{"1:ppn=4", 10}, {"1:ppn=5", 10}, {"3", 10}, {"1:gpu", 10}, {"2", 10}});
  const auto no = simulate_on_nodes(t.jobs, t.requests, m, {}).refusal();
  EXPECT_EQ(no.code, Code::infeasible);
  EXPECT_EQ(no.subject, "processors, job 1");
  EXPECT_EQ(no.asked, 5);
  EXPECT_EQ(no.available, 4);
  const auto listed = replay(t, m, {});
  ASSERT_EQ(listed.refused.size(), 3u);
  EXPECT_EQ(listed.refused[0].first, 1u);
  EXPECT_EQ(listed.refused[1].second.subject, "nodes");
  EXPECT_EQ(listed.refused[2].second.code, Code::unmet_constraint);
  EXPECT_EQ(listed.replay.jobs[4].start, seconds(10));
  EXPECT_DOUBLE_EQ(listed.replay.mean_wait, 5);
}

TEST(NodeSimulator, ARequestWithoutMeaningIsListedOrNamed) {
  const NodeMachine m{{{.name = "n", .count = 2}}};
  auto t = at_once({{"1", 10}, {"1", 10}});
  t.requests[0].parts.resize(5);
  EXPECT_EQ(simulate_on_nodes(t.jobs, t.requests, m, {}).refusal().subject,
            "a job of more than four parts, job " + std::to_string(t.jobs[0].id));
  const auto listed = replay(t, m, {});
  ASSERT_EQ(listed.refused.size(), 1u);
  EXPECT_EQ(listed.refused[0].first, 0u);
  EXPECT_EQ(listed.replay.jobs[1].start, 0);
}

TEST(NodeSimulator, RefusesWhatItCannotReplay) {
  const NodeMachine m{{{.name = "n", .count = 2}}};
  const auto t = at_once({{"1", 10}});
  const auto code = [&](const SimulatorOptions& o) {
    return simulate_on_nodes(t.jobs, t.requests, m, o).refusal().code;
  };
  EXPECT_EQ(code({.backfill = Backfill::conservative}), Code::invalid_request);
  EXPECT_EQ(code({.backfill = Backfill::hybrid}), Code::invalid_request);
  EXPECT_EQ(code({.backfill = Backfill::none, .placement = Placement::identified}),
            Code::invalid_request);
  EXPECT_EQ(code({.backfill = Backfill::hybrid, .depth = 0, .placement = Placement::identified}),
            Code::invalid_request);
  EXPECT_EQ(code({.backfill = Backfill::hybrid,
                  .placement = Placement::identified,
                  .replan = Replan::compress}),
            Code::invalid_request);
  EXPECT_EQ(code({.backfill = Backfill::none, .one_at_a_time = true}), Code::invalid_request);
  EXPECT_EQ(code({.backfill = Backfill::shadow_once}), Code::invalid_request);
  EXPECT_EQ(simulate_on_nodes(t.jobs, {}, m, {}).refusal().code, Code::invalid_request);
  EXPECT_EQ(simulate_on_nodes(t.jobs, t.requests, {}, {}).refusal().code, Code::invalid_request);
  auto other = t;
  other.jobs[0].size = 2;
  const auto no = simulate_on_nodes(other.jobs, other.requests, m, {}).refusal();
  EXPECT_EQ(no.why(), "job 0 has 2 processors, and asks for 1");
  other.requests[0].parts.clear();
  EXPECT_FALSE(simulate_on_nodes(other.jobs, other.requests, m, {}));
  other = t;
  other.jobs[0].run = 0;
  EXPECT_EQ(simulate_on_nodes(other.jobs, other.requests, m, {}).refusal().code, Code::malformed);
  EXPECT_TRUE(simulate_on_nodes({}, {}, m, {})->replay.jobs.empty());
}

}  // namespace
}  // namespace reeve::alloc
