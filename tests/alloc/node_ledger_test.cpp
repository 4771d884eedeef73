// Replays on nodes against the product itself: its ledger accepts them, and its allocator, left to
// schedule by itself, gives the same schedules.
#include "tests/alloc/node_ledger.hpp"

#include "tests/alloc/node_traces.hpp"
#include "tests/support/pch.hpp"

namespace reeve::alloc {
namespace {

RC_GTEST_PROP(NodeLedgerProperty, TheLedgerTakesEveryStartAndEnd, ()) {
  const auto m = random_machine();
  const auto t = random_node_trace();
  for (const auto& rule : every_node_rule()) {
    if (rule.order != Order::fcfs) continue;
    const auto r = simulate_on_nodes(t.jobs, t.requests, m, rule, Unrunnable::list).value();
    const auto faults = ledger_faults({t.jobs, t.requests, m, rule, r});
    for (const auto& f : faults) RC_LOG() << f << '\n';
    RC_ASSERT(faults.empty());
  }
}

// Jobs of one part that shares its nodes, which fit the machine.
NodeTrace trace_for_the_allocator(const NodeMachine& m) {
  const auto all = random_node_trace();
  NodeTrace t;
  for (std::size_t i = 0; i < all.jobs.size(); ++i) {
    auto q = all.requests[i];
    q.parts.resize(1);
    q.alone = false;
    if (!can_run(q, m)) continue;
    t.jobs.push_back(all.jobs[i]);
    t.jobs.back().size = static_cast<std::int32_t>(q.processors());
    t.requests.push_back(std::move(q));
  }
  return t;
}

void expect_same(const NodeTrace& t, const NodeMachine& m, const AllocatorOptions& options,
                 const SimulatorOptions& rule) {
  const auto a = allocator_schedule(t.jobs, t.requests, m, options);
  const auto b = simulate_on_nodes(t.jobs, t.requests, m, rule).value();
  for (std::size_t j = 0; j < t.jobs.size(); ++j) {
    RC_ASSERT(a.start[j] == b.replay.jobs[j].start);
    RC_ASSERT(a.nodes[j] == b.replay.jobs[j].machines);
  }
}

RC_GTEST_PROP(NodeLedgerProperty, TheAllocatorSchedulesTheSame, ()) {
  const auto m = random_machine();
  const auto t = trace_for_the_allocator(m);
  expect_same(t, m, {.rule = QueueRule::strict}, {.backfill = Backfill::none});
  const auto reserve = [](std::size_t depth) {
    return AllocatorOptions{.rule = QueueRule::reserve, .depth = depth};
  };
  expect_same(t, m, reserve(1), {.placement = Placement::identified});
  expect_same(t, m, reserve(3),
              {.backfill = Backfill::hybrid, .depth = 3, .placement = Placement::identified});
  expect_same(t, m, reserve(SIZE_MAX),
              {.backfill = Backfill::conservative, .placement = Placement::identified});
}

// AllocatorOptions::depth, against the schedules of simulate(): 1 is EASY, 3 a hybrid, as many as
// wait is conservative.
RC_GTEST_PROP(ResourceAllocatorProperty, DepthOneIsEasyAndAllIsConservative, ()) {
  auto t = random_node_trace();
  for (std::size_t i = 0; i < t.jobs.size(); ++i)
    t.requests[i] = anywhere(t.jobs[i].size = draw(1, 8));
  const NodeMachine m{{{.name = "one", .processors = 8}}};
  const auto starts = [&](std::size_t depth) {
    return allocator_schedule(t.jobs, t.requests, m, {.rule = QueueRule::reserve, .depth = depth})
        .start;
  };
  const auto simulated = [&](Backfill backfill) {
    std::vector<Time> at;
    const auto r = simulate(t.jobs, {.processors = 8, .backfill = backfill, .depth = 3}).value();
    for (const auto& job : r.jobs) at.push_back(job.start);
    return at;
  };
  RC_ASSERT(starts(1) == simulated(Backfill::easy));
  RC_ASSERT(starts(3) == simulated(Backfill::hybrid));
  RC_ASSERT(starts(t.jobs.size()) == simulated(Backfill::conservative));
  RC_ASSERT(starts(SIZE_MAX) == simulated(Backfill::conservative));
}

}  // namespace
}  // namespace reeve::alloc
