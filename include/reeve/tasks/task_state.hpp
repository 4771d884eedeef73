// The states of a task record and the table of the transitions between them.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace reeve::tasks {

/// What has become of a task. The numbers are stored on disk and never change.
enum class TaskState : std::uint8_t {
  pending = 0,      ///< recorded, nobody works on it
  running = 1,      ///< an attempt is at work
  retry_wait = 2,   ///< an attempt failed, the next one is planned
  cancelling = 3,   ///< a running attempt has been asked to stop
  completed = 4,    ///< finished with a result
  failed = 5,       ///< finished with an error
  cancelled = 6,    ///< stopped on request
  interrupted = 7,  ///< was running when the program died
};

inline constexpr std::size_t task_state_count = 8;

/// Nobody will change the record without being asked to: what `wait` waits for. `finished_at` is
/// set.
constexpr bool is_settled(TaskState s) noexcept {
  return s >= TaskState::completed;
}

/// The word used in JSON, lists and the environment ("retry_wait").
constexpr std::string_view to_string(TaskState s) noexcept {
  constexpr std::array<std::string_view, task_state_count> names{
      "pending",   "running", "retry_wait", "cancelling",
      "completed", "failed",  "cancelled",  "interrupted"};
  return names[static_cast<std::size_t>(s)];
}

/// Reads a state's word; "processing" is read as running.
constexpr std::optional<TaskState> parse_state(std::string_view word) noexcept {
  for (std::size_t i = 0; i < task_state_count; ++i)
    if (const auto s = static_cast<TaskState>(i); to_string(s) == word) return s;
  if (word == "processing") return TaskState::running;
  return std::nullopt;
}

/// What the table says about a wish to move a record to another state.
enum class Verdict : std::uint8_t {
  forbidden,    ///< the record stays as it is and the caller gets an error
  allowed,      ///< the record moves
  new_attempt,  ///< the record moves and its attempt number rises by one
  same_state,   ///< no transition: fields may be merged, by the current attempt only
  repeat,       ///< no-op where the value is the recorded one, otherwise forbidden
  by_retry,     ///< only by the explicit verb `retry`
  by_restart,   ///< only by the store itself, when it finds the record of a dead program
};

namespace detail {
inline constexpr auto transition_table = [] {
  using enum Verdict;
  constexpr auto x = forbidden;
  return std::array<std::array<Verdict, task_state_count>, task_state_count>{{
      //           pending     running      retry_wait  cancelling  completed failed   cancelled
      //           interrupted
      /*pending*/ {same_state, new_attempt, x, x, allowed, allowed, allowed, by_restart},
      /*running*/ {x, same_state, allowed, allowed, allowed, allowed, allowed, by_restart},
      /*retry_w*/ {x, new_attempt, x, x, x, allowed, allowed, allowed},
      /*cancell*/ {x, x, x, repeat, allowed, allowed, allowed, by_restart},
      /*complet*/ {x, x, x, x, repeat, x, x, x},
      /*failed */ {by_retry, x, x, x, x, repeat, x, x},
      /*cancell*/ {x, x, x, x, x, x, repeat, x},
      /*interru*/ {x, x, by_retry, x, x, allowed, allowed, x},
  }};
}();
}  // namespace detail

/// The state table. Cost: one array access.
constexpr Verdict judge(TaskState from, TaskState to) noexcept {
  return detail::transition_table[static_cast<std::size_t>(from)][static_cast<std::size_t>(to)];
}

/// Whether a record in this state may be deleted; `force` is needed while somebody works on it.
constexpr bool may_delete(TaskState s, bool force) noexcept {
  return force || (s != TaskState::running && s != TaskState::cancelling);
}

static_assert(judge(TaskState::cancelling, TaskState::completed) == Verdict::allowed,
              "work that finished before it saw the request keeps its result");
static_assert(judge(TaskState::cancelled, TaskState::pending) == Verdict::forbidden,
              "a cancelled task is never retried");
static_assert(!may_delete(TaskState::running, false) && may_delete(TaskState::failed, false));

}  // namespace reeve::tasks
