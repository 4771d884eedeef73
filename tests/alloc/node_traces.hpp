// Random machines, requests and traces of jobs on nodes.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "reeve/alloc/node_simulator.hpp"
#include "tests/support/pch.hpp"

namespace reeve::alloc {

inline int draw(int least, int most) {
  return *rc::gen::inRange(least, most + 1);
}

inline NodeMachine random_machine() {
  NodeMachine machine;
  const int groups = draw(1, 3);
  for (int g = 0; g < groups; ++g) {
    NodeGroup group{.name = std::string("g") + std::to_string(g),
                    .count = draw(1, 4),
                    .processors = draw(1, 4)};
    if (draw(0, 3) > 0) group.memory = draw(1, 8);
    for (const char* p : {"a", "b"})
      if (draw(0, 1)) group.properties.emplace(p, true);
    if (draw(0, 1)) group.properties.emplace("rack", std::int64_t{draw(1, 2)});
    machine.groups.push_back(std::move(group));
  }
  return machine;
}

inline std::vector<Constraint> random_where() {
  std::vector<Constraint> where;
  switch (draw(0, 9)) {
    case 0:
      where.push_back({"a", Constraint::Kind::exists});
      break;
    case 1:
      where.push_back({"a", Constraint::Kind::absent});
      break;
    case 2:
      where.push_back({"b", Constraint::Kind::exists});
      where.push_back(needs("rack", std::int64_t{draw(1, 2)}));
      break;
    case 3:
      where.push_back({"g0", Constraint::Kind::absent});
      break;
    case 4:
      where.push_back(needs("host", std::string("g1") + std::to_string(draw(1, 2))));
      break;
    default:
      break;
  }
  return where;
}

inline NodeRequest random_request() {
  if (draw(0, 2) == 0) {
    auto q = anywhere(draw(1, 6), draw(0, 3));
    q.parts[0].where = random_where();
    return q;
  }
  NodeRequest q;
  q.alone = draw(0, 5) == 0;
  for (int p = draw(1, draw(1, 4)); p > 0; --p)
    q.parts.push_back({draw(1, 2), draw(1, 3), draw(0, 4), random_where()});
  return q;
}

/// Jobs, and what each asks for.
struct NodeTrace {
  std::vector<Job> jobs;
  std::vector<NodeRequest> requests;
};

/// Estimates lie up to 40 s above runs, and as far below as `least_slack` says.
inline NodeTrace random_node_trace(int least_slack = 0) {
  NodeTrace t;
  Time at = 0;
  const int n = draw(1, 40);
  for (int i = 0; i < n; ++i) {
    at += seconds(draw(0, 20));
    const auto run = seconds(draw(1, 60));
    const auto estimate = std::max(seconds(1), run + seconds(draw(least_slack, 40)));
    t.requests.push_back(random_request());
    t.jobs.push_back(
        {i, at, run, estimate, static_cast<std::int32_t>(t.requests.back().processors())});
  }
  return t;
}

/// Every rule that nodes take.
inline std::vector<SimulatorOptions> every_node_rule() {
  std::vector<SimulatorOptions> rules;
  for (auto order : {Order::fcfs, Order::sjf, Order::f1}) {
    rules.push_back({.order = order, .backfill = Backfill::none});
    for (auto behind : {Order::fcfs, Order::sjf})
      for (auto placement : {Placement::counted, Placement::identified})
        rules.push_back({.order = order, .backfill_order = behind, .placement = placement});
    for (auto replan : {Replan::rebuild, Replan::compress})
      rules.push_back({.order = order,
                       .backfill = Backfill::conservative,
                       .placement = Placement::identified,
                       .replan = replan});
    rules.push_back({.order = order,
                     .backfill = Backfill::hybrid,
                     .depth = 2,
                     .placement = Placement::identified});
  }
  return rules;
}

}  // namespace reeve::alloc
