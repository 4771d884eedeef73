// The power-cut explorer: a day of a service on a recording disk, and every disk state that a cut
// could leave of it, recovered and compared with what had been acknowledged.
#pragma once

#include <reeve/tasks/store_config.hpp>
#include <reeve/tasks/task_store.hpp>

#include "tests/tasks/support/disk_vfs.hpp"

namespace reeve::tasks::testing {

/// What must be true of one id once `ops` disk operations have happened.
struct Acknowledgement {
  std::size_t ops;
  std::string id;
  std::uint64_t revision;  // at least this one
  bool deleted;            // and then it is gone
};

/// From then on a record may be absent: its deletion was submitted, or its retention is over.
struct Release {
  std::size_t ops;
  std::string id;
  std::uint64_t revision;  // and any older one
};

struct History {
  std::vector<DiskOp> ops;
  std::vector<Acknowledgement> acks;
  std::vector<Release> releases;
  std::map<std::uint64_t, std::string> versions;  // everything ever submitted: revision -> JSON
};

/// Creations, starts, progress, ends, retries, cancellations, deletions, expiry, rows and results
/// of more than a page, `rounds` of four writers at a time. With `pretend`, the disk's sync does
/// nothing.
History live(DiskSync sync, bool pretend, unsigned seed, int rounds);

struct Findings {
  std::size_t states = 0, lost = 0, corrupt = 0, phantom = 0;
  std::string first;  // of them, in words
  Files first_state;  // and what the disk held
};

/// Examines each state that a power cut could have left, after each operation: synced only, all,
/// and `random_states` with operations reordered and torn.
Findings explore(const History& run, unsigned seed, int random_states);

}  // namespace reeve::tasks::testing
