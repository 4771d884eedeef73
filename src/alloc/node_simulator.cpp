// Checks, and the way from a trace to what the engines replay and back.
#include "reeve/alloc/node_simulator.hpp"

#include "alloc/node_engine.hpp"

namespace reeve::alloc {

namespace {

Refusal of_job(Refusal why, const Job& job) {
  why.subject.append(", job ").append(std::to_string(job.id));
  return why;
}

Result<void> check(std::span<const Job> jobs, std::span<const NodeRequest> requests,
                   const SimulatorOptions& o, Unrunnable unrunnable) {
  const auto no = [](const char* why) {
    return Refusal{.code = Code::invalid_request, .subject = why};
  };
  if (requests.size() != jobs.size()) return no("every job needs a request, and has one only");
  if (o.one_at_a_time || o.backfill == Backfill::shadow_once)
    return no("nodes take neither one_at_a_time nor shadow_once");
  const bool reserves = o.backfill == Backfill::conservative || o.backfill == Backfill::hybrid;
  if (o.placement == Placement::counted && reserves)
    return no("on nodes, conservative and hybrid backfill need identified placement");
  if (o.placement == Placement::identified && o.backfill == Backfill::none)
    return no("identified placement needs easy, conservative or hybrid backfill");
  if (o.backfill == Backfill::hybrid && o.depth == 0) return no("hybrid backfill needs a depth");
  if (o.replan == Replan::compress && o.backfill == Backfill::hybrid)
    return no("hybrid backfill rebuilds");
  if (auto ok = detail::check_jobs(jobs, INT32_MAX); !ok) return ok;
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    if (auto ok = detail::check_request(requests[i]); !ok) {
      if (unrunnable == Unrunnable::list) continue;
      return of_job(ok.refusal(), jobs[i]);
    }
    if (requests[i].processors() != jobs[i].size)
      return Refusal{.code = Code::malformed,
                     .subject = "job " + std::to_string(jobs[i].id) + " has " +
                                std::to_string(jobs[i].size) + " processors, and asks for " +
                                std::to_string(requests[i].processors())};
  }
  return {};
}

}  // namespace

Result<NodeReplay> simulate_on_nodes(std::span<const Job> jobs,
                                     std::span<const NodeRequest> requests,
                                     const NodeMachine& machine, const SimulatorOptions& options,
                                     Unrunnable unrunnable) {
  if (auto ok = validate(machine); !ok) return ok.refusal();
  if (auto ok = check(jobs, requests, options, unrunnable); !ok) return ok.refusal();
  NodeReplay replay;
  replay.replay.jobs.resize(jobs.size());
  replay.shares.resize(jobs.size());
  detail::NodeFit nodes(machine);
  std::vector<std::size_t> order;  // of those that can run
  std::vector<Job> sorted;
  std::vector<detail::NodeFit::Wanted> wanted;
  for (auto i : detail::order_of(jobs)) {
    auto ok = detail::check_request(requests[i]);
    if (ok) ok = nodes.explain(requests[i]);
    if (!ok) {
      if (unrunnable == Unrunnable::refuse) return of_job(ok.refusal(), jobs[i]);
      replay.refused.emplace_back(i, ok.refusal());
      continue;
    }
    order.push_back(i);
    sorted.push_back(jobs[i]);
    wanted.push_back(nodes.look_up(requests[i]));
  }
  std::sort(replay.refused.begin(), replay.refused.end(),
            [](const auto& a, const auto& b) { return a.first < b.first; });
  Replay ran;
  ran.jobs.resize(sorted.size());
  std::vector<std::vector<NodeShare>> shares(sorted.size());
  const detail::NodeTask task{sorted, wanted, nodes, options, ran.jobs, shares};
  if (options.placement == Placement::identified) {
    detail::run_nodes_identified(task);
  } else {
    detail::run_nodes_counted(task);
  }
  for (auto& job : ran.jobs)
    if (job.promised == forever) job.promised = job.start;
  detail::measure(sorted, machine.processors(), ran);
  for (std::size_t k = 0; k < order.size(); ++k) {
    replay.replay.jobs[order[k]] = std::move(ran.jobs[k]);
    replay.shares[order[k]] = std::move(shares[k]);
  }
  replay.replay.mean_wait = ran.mean_wait;
  replay.replay.max_wait = ran.max_wait;
  replay.replay.mean_bounded_slowdown = ran.mean_bounded_slowdown;
  replay.replay.utilisation = ran.utilisation;
  replay.replay.makespan = ran.makespan;
  return replay;
}

}  // namespace reeve::alloc
