// Replays a trace on a machine of nodes: processors, memory and properties.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "reeve/alloc/node_machine.hpp"
#include "reeve/alloc/simulator.hpp"

namespace reeve::alloc {

/// What a job has of one node.
struct NodeShare {
  std::int32_t node = 0;
  std::int32_t processors = 0;
  std::int64_t memory = 0;  ///< bytes; 0 on a node whose memory is not counted

  friend bool operator==(const NodeShare&, const NodeShare&) = default;
};

struct NodeReplay {
  /// As of simulate(); Outcome::machines are the numbers of the nodes, ascending. Means are of jobs
  /// that ran, and processors those asked for.
  Replay replay;
  std::vector<std::vector<NodeShare>> shares;  ///< of each job, by ascending node
  /// Jobs that no empty machine could take, or whose request has no meaning, and why; they have
  /// start -1 and no share.
  std::vector<std::pair<std::size_t, Refusal>> refused;
};

/// What becomes of jobs that the machine can never run.
enum class Unrunnable : std::uint8_t {
  refuse,  ///< nothing is replayed
  list,    ///< the others are replayed
};

/// Replays `jobs`, of which each asks for what stands at its position in `requests`.
///
/// A job gets the lowest nodes that have room. Options as for simulate(), of which
/// - `processors` is not used,
/// - Placement::counted, with no backfill or easy: the first waiting job is promised a start and no
///   nodes. Another passes it where, on the lowest nodes that have room, it does not move that
///   start, or else where it fits beside the nodes that the first job would have then. Jobs run as
///   long as they run.
/// - Placement::identified, with easy, conservative or hybrid: a reservation names its nodes, as
///   many as get one. Jobs end at their estimates.
///
/// With one processor a node, nothing asked for but processors, and counted placement, it gives
/// what simulate() gives with it; so it does with identified placement, in which case the sets of
/// machines are equal too. With one node for all, both are what simulate() gives by counting.
///
/// With estimates not below runs: under easy and fcfs the start that the first job was promised
/// never moves later; under conservative with Replan::compress nobody's does.
///
/// Errors: those of simulate() and validate(); for Unrunnable::refuse those of can_run(), with the
///         job's number in the subject; invalid_request also for requests that are fewer than the
///         jobs, one_at_a_time, or conservative or hybrid with counted placement; malformed also
///         for a job whose size is not what its parts add up to.
/// Cost:   per event O((queue + running) * nodes) counted, O(queue * steps^2 * nodes) at worst
///         identified, where steps are the instants at which something that runs or is reserved
///         begins or ends. Before it begins, each different list of conditions takes a byte per
///         node and is compared with those before it.
Result<NodeReplay> simulate_on_nodes(std::span<const Job> jobs,
                                     std::span<const NodeRequest> requests,
                                     const NodeMachine& machine, const SimulatorOptions& options,
                                     Unrunnable unrunnable = Unrunnable::refuse);

}  // namespace reeve::alloc
