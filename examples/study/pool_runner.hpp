// The study in a pool of worker processes, beside the tasks that misbehave.
#pragma once

#include "runner.hpp"

namespace study {

/// Every chunk is a lease of a worker process; the bad tasks queue up among them for the same
/// workers. Adds a check for each bad task, for each case against the same figures computed in this
/// process, and for the pool's books.
///
/// Preconditions: main began with reeve::init.
Runner pool_runner();

}  // namespace study
