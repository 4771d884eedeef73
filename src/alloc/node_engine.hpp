// What the engines that replay on nodes share.
#pragma once

#include "alloc/node_fit.hpp"
#include "alloc/simulator_detail.hpp"

namespace reeve::alloc::detail {

/// One replay: every job can run on the machine, and they are in order of submit.
struct NodeTask {
  std::span<const Job> jobs;
  std::span<const NodeFit::Wanted> wanted;
  const NodeFit& nodes;
  const SimulatorOptions& options;
  std::vector<Outcome>& outcomes;
  std::vector<std::vector<NodeShare>>& shares;

  void start(std::size_t job, Time now, Time length) const {
    auto& out = outcomes[job];
    out.start = now;
    out.finish = now + length;
    for (const auto& s : shares[job]) out.machines.push_back(s.node);
  }
  void promise(std::size_t job, Time at) const {
    if (outcomes[job].promised == forever) outcomes[job].promised = at;
  }
};

void run_nodes_counted(const NodeTask& task);
void run_nodes_identified(const NodeTask& task);

}  // namespace reeve::alloc::detail
