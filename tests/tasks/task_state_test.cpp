// Every cell of the state table, written out a second time.
#include <reeve/tasks/task_state.hpp>

#include "tests/support/pch.hpp"

namespace reeve::tasks {
namespace {

TEST(TaskState, EveryCellOfTheTable) {
  // One letter per cell, rows and columns in the order of the enumeration:
  // . forbidden, a allowed, n new attempt, s same state, r repeat, R by retry only, I by restart
  // only
  constexpr std::string_view rows[task_state_count] = {
      "sn..aaaI",  // pending
      ".saaaaaI",  // running
      ".n...aaa",  // retry_wait
      "...raaaI",  // cancelling
      "....r...",  // completed
      "R....r..",  // failed
      "......r.",  // cancelled
      "..R..aa.",  // interrupted
  };
  constexpr std::string_view letters = ".ansrRI";
  for (std::size_t from = 0; from < task_state_count; ++from)
    for (std::size_t to = 0; to < task_state_count; ++to) {
      const auto verdict = judge(static_cast<TaskState>(from), static_cast<TaskState>(to));
      EXPECT_EQ(letters[static_cast<std::size_t>(verdict)], rows[from][to])
          << to_string(static_cast<TaskState>(from)) << " -> "
          << to_string(static_cast<TaskState>(to));
    }
}

TEST(TaskState, DeleteColumn) {
  for (std::size_t i = 0; i < task_state_count; ++i) {
    const auto s = static_cast<TaskState>(i);
    const bool working = s == TaskState::running || s == TaskState::cancelling;
    EXPECT_EQ(may_delete(s, false), !working) << to_string(s);
    EXPECT_TRUE(may_delete(s, true));
  }
}

TEST(TaskState, WordsReadBack) {
  for (std::size_t i = 0; i < task_state_count; ++i) {
    const auto s = static_cast<TaskState>(i);
    EXPECT_EQ(parse_state(to_string(s)), s);
    EXPECT_EQ(is_settled(s), i >= 4);
  }
  EXPECT_EQ(parse_state("processing"), TaskState::running);
  EXPECT_EQ(parse_state("unknown"), std::nullopt);
}

}  // namespace
}  // namespace reeve::tasks
