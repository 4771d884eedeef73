// The one exception of the task store, with what a caller needs in order to answer its own caller.
#pragma once

#include <cstdint>
#include <reeve/base/error.hpp>
#include <reeve/tasks/task_state.hpp>

namespace reeve::tasks {

enum class TaskErrc : std::uint8_t {
  not_found,           ///< no record of that id (never the same as pending)
  exists,              ///< a record of that id with another body
  illegal_transition,  ///< the state table forbids it
  stale_attempt,       ///< another attempt has taken over
  invalid_argument,    ///< id, progress, field name, body or cursor out of range
  storage_full,        ///< the disk or the quota is full; deletes still work
  io_error,            ///< the disk refused; what was acknowledged is kept
  locked,              ///< another process has the file open
  bad_format,          ///< not a task file, damaged, or written by a newer version
  closed,              ///< the store has been closed
  timed_out,           ///< `wait` or a time limit
};

/// The word of an error code ("stale_attempt").
std::string_view to_string(TaskErrc code) noexcept;

/// Thrown by every operation of `reeve::tasks`; the record is unchanged. Copies never throw.
class TaskError : public Error {
 public:
  struct Current {
    TaskState state{};
    std::uint32_t attempt = 0;
    std::uint64_t revision = 0;
  };

  TaskError(TaskErrc code, const std::string& what) : Error(what), code_(code) {}
  TaskError(TaskErrc code, const std::string& what, Current current)
      : Error(what), code_(code), current_(current) {}

  TaskErrc code() const noexcept { return code_; }
  /// The record as it was when the operation was refused, where there is one.
  const std::optional<Current>& current() const noexcept { return current_; }

 private:
  TaskErrc code_;
  std::optional<Current> current_;
};

}  // namespace reeve::tasks
