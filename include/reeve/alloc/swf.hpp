// Reads job traces in the Standard Workload Format, and dialects of it that say more of nodes.
#pragma once

#include <cstdint>
#include <istream>
#include <map>
#include <string>
#include <vector>

#include "reeve/alloc/node_machine.hpp"
#include "reeve/alloc/result.hpp"

namespace reeve::alloc {

/// One job. Times in microseconds (logs carry fractions of seconds).
struct Job {
  std::int64_t id = 0;
  Time submit = 0;
  Time run = 0;
  Time estimate = 0;      ///< requested time; the run time where the log has none
  std::int32_t size = 0;  ///< processors
};

/// What else a log says of a job; -1: nothing.
struct JobDetails {
  std::int64_t memory_used = -1;       ///< bytes, of a processor (of a node: memory_of_node)
  std::int64_t memory_requested = -1;  ///< the same
  std::int64_t user = -1;
  std::int64_t group = -1;
  std::int64_t executable = -1;
  std::int64_t queue = -1;
  std::int64_t partition = -1;
  std::int64_t preceding = -1;  ///< the job that this one waited for before it was submitted
  Time think = -1;              ///< from the end of that job to the submit
};

struct Trace {
  std::vector<Job> jobs;
  std::int32_t processors = 0;  ///< MaxProcs, else MaxNodes of the header; 0: not said
  std::size_t skipped = 0;      ///< lines without run time or processors

  std::int32_t nodes = 0;                          ///< MaxNodes of the header; 0: not said
  std::int64_t memory = 0;                         ///< MaxMemory in bytes; 0: not said
  std::map<std::int64_t, std::string> queues;      ///< `Queue: number name`, by number
  std::map<std::int64_t, std::string> partitions;  ///< `Partition: number name`

  std::vector<JobDetails> details;    ///< one for each job, with SwfOptions::details
  std::vector<NodeRequest> requests;  ///< one for each job, with SwfOptions::requests
};

struct SwfOptions {
  /// An estimate shorter than the run is raised to the run.
  bool estimate_at_least_run = true;
  /// Which field says how many processors a job takes; the other one stands in where it is unknown.
  enum class Size : std::uint8_t { used, requested } size = Size::used;

  /// Keeps Trace::details.
  bool details = false;

  /// Makes Trace::requests: processors in which shape.
  enum class Requests : std::uint8_t {
    none,
    anywhere,  ///< wherever they are
    per_node,  ///< on as few nodes as it takes at `processors_per_node` each
    specs,     ///< as the word in `spec_field` says (see parse_node_spec()), which then is the
               ///< job's size too; anywhere where that field is missing or -1. A line
               ///< whose fields 5 and 8 are unknown is skipped all the same
  } requests = Requests::none;
  std::int32_t processors_per_node = 1;  ///< > 0
  std::int32_t spec_field = 21;          ///< > 18; others behind the 18th are passed over

  /// The memory in requests.
  enum class Memory : std::uint8_t {
    none,
    requested,          ///< field 10
    requested_or_used,  ///< field 10, else field 7
  } memory = Memory::requested_or_used;
  std::int64_t memory_unit = 1024;  ///< bytes in one unit of both fields; 1 to 2^20
  bool memory_of_node = false;      ///< they are of each node, not of each processor
};

/// The dialect of logs of PBS-like systems with 21 fields a line: the 18, where each processor lay,
/// the queue's name, and a node specification; memory is in bytes and of each node.
SwfOptions swf_with_specs();

/// Reads up to 18 fields a line; `;` starts a comment; -1 means unknown; missing trailing fields
/// count as -1. Times may have fractions and are rounded to microseconds, to one at least; numbers
/// of processors are whole. Jobs that never ran are skipped and counted.
///
/// Errors: malformed, naming line number, field and reason; invalid_request (options out of range).
Result<Trace> read_swf(std::istream& in, SwfOptions options = {});

inline constexpr Time seconds(std::int64_t s) {
  return s * 1'000'000;
}

}  // namespace reeve::alloc
