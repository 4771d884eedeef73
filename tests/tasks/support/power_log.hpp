// Keeps a run of the power-cut explorer on a real disk, to examine it again: which rows share a
// commit depends on the threads of that run, so its seed alone does not bring it back.
#pragma once

#include <filesystem>

#include "tests/tasks/support/power_cut.hpp"

namespace reeve::tasks::testing {

struct SavedRun {
  History run;
  unsigned seed = 0;
  int random_states = 0;
};

void save_run(const std::filesystem::path& file, const History& run, unsigned seed,
              int random_states);
SavedRun load_run(const std::filesystem::path& file);

/// Explores and, where a state fails, leaves the run and that state's files in a directory of the
/// system's temporary one; `Findings::first` then ends with how to examine it again.
Findings explore_and_keep(const History& run, unsigned seed, int random_states);

}  // namespace reeve::tasks::testing
