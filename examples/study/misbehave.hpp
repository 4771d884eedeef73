// Four tasks that no program should run without a limit.
#pragma once

#include <cstdint>
#include <vector>

namespace study {

/// Blocks every signal that can be blocked and computes for ever: only SIGKILL ends it.
void never_end();

/// Takes and touches memory in steps of 16 MiB until `new` throws std::bad_alloc, which it lets
/// out. Returns the bytes it had when it got all of `at_most`, that is, when no limit stopped it.
std::uint64_t eat_memory(std::uint64_t at_most);

/// Writes through a null pointer.
void crash();

/// Leaves `count` (1 to 8) double-forked grandchildren, each in its own session, that ignore polite
/// signals and sleep for `seconds` (1 to 600). Returns their pids, so that a caller can see them
/// gone.
///
/// Errors: reeve::ConfigError outside of these ranges; reeve::SystemError if fork or pipe fails.
std::vector<std::int64_t> leave_grandchildren(int count, int seconds);

}  // namespace study
