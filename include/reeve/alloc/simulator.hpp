// Replays a trace of rigid parallel jobs under a queue order and a backfill rule.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "reeve/alloc/swf.hpp"

namespace reeve::alloc {

/// Which waiting job is first.
enum class Order : std::uint8_t {
  fcfs,  ///< submit time
  sjf,   ///< shortest estimate, then submit time
  f1,    ///< log10(estimate) * size + 870 * log10(submit), in seconds
};

/// Who may pass the first waiting job.
enum class Backfill : std::uint8_t {
  none,
  easy,          ///< whoever does not delay the first job's reservation
  conservative,  ///< whoever delays nobody's reservation
  hybrid,        ///< whoever delays none of the first `depth` reservations
  shadow_once,   ///< whoever ends strictly before the first job's start as estimated when it got
                 ///< stuck
};

enum class Placement : std::uint8_t {
  counted,     ///< processors are alike; only their number matters
  identified,  ///< each has a number; the lowest free ones are taken, and a job keeps the same
               ///< ones; it ends at its estimate, where counted ones run on
};

/// What conservative backfill does with its reservations; others rebuild.
enum class Replan : std::uint8_t {
  rebuild,   ///< all are made anew at each event
  compress,  ///< they stay; at a completion each in turn moves to the earliest place
};

struct SimulatorOptions {
  std::int32_t processors = 0;  ///< required, > 0
  Order order = Order::fcfs;
  Backfill backfill = Backfill::easy;
  Order backfill_order = Order::fcfs;  ///< easy: in which the jobs behind the first are tried
  std::size_t depth = 64;              ///< hybrid: how many waiting jobs get a reservation, > 0
  Placement placement = Placement::counted;
  Replan replan = Replan::rebuild;
  /// One job at a time, one event at a time, arrivals before completions at the same instant.
  /// Otherwise all completions, then all arrivals of an instant, then one scheduling pass.
  bool one_at_a_time = false;
};

/// What happened to one job, at the position it has in the trace.
struct Outcome {
  Time start = -1;
  Time finish = -1;
  std::vector<std::int32_t> machines;  ///< identified placement only, ascending
  Time promised = forever;             ///< start of its first reservation; `start` if it got none
};

struct Replay {
  std::vector<Outcome> jobs;
  double mean_wait = 0;              ///< seconds
  double max_wait = 0;               ///< seconds
  double mean_bounded_slowdown = 0;  ///< max(1, (wait + run) / max(run, 10 s))
  double utilisation = 0;            ///< over the makespan
  double makespan = 0;               ///< seconds, from the first submit to the last finish
};

/// Same input, same answer on every compiler; ties go to the earlier submit, then the lower id,
/// then the earlier position: the order of simultaneous jobs with distinct ids does not matter.
///
/// A job that runs longer than estimated keeps its processors until it ends: never are more busy
/// than there are.
///
/// Errors: invalid_request (no processors; easy, conservative or hybrid with one_at_a_time;
///         identified without one of these; hybrid with depth 0), infeasible (a job larger than the
///         machine), malformed (jobs without size or time, or not in submit order), overflow
///         (submits, or all runs together, beyond 73,000 years).
/// Cost:   per event O(queue * running) counted, O(queue * slots * processors / 64) identified.
Result<Replay> simulate(std::span<const Job> jobs, const SimulatorOptions& options);

}  // namespace reeve::alloc
