// A worker process from its first instruction to its last.
#pragma once

#include "process/layout.hpp"

namespace reeve::process {

/// How many pools of workers this process is inside of: 0 in a program, 1 in its workers, 2 in
/// theirs. Cost: one load.
std::uint32_t nesting_depth() noexcept;

/// A worker this deep has no process pools of its own.
inline constexpr std::uint32_t nesting_max = 10;

/// Makes this freshly forked child a worker and serves calls for ever. `text` is the board's text
/// part (working directory and environment), `data_bytes` VmData at the fork.
[[noreturn]] void enter_worker(const WorkerSettings& settings, const char* text,
                               std::uint64_t data_bytes);

/// The same in a process that was started by exec; settings come from the inherited descriptors.
[[noreturn]] void enter_executed_worker();

}  // namespace reeve::process
