// The task store's exception.
#include <reeve/tasks/error.hpp>

#include "tests/support/pch.hpp"

namespace reeve::tasks {
namespace {

TEST(TaskError, CarriesItsCodeAndTheRecord) {
  const TaskError bare(TaskErrc::not_found, "there is no task 'x'");
  EXPECT_EQ(bare.code(), TaskErrc::not_found);
  EXPECT_FALSE(bare.current());
  const TaskError full(TaskErrc::stale_attempt, "late", {TaskState::running, 2, 7});
  const TaskError copy = full;
  EXPECT_EQ(copy.current()->attempt, 2u);
  EXPECT_STREQ(copy.what(), "late");
  static_assert(std::is_nothrow_copy_constructible_v<TaskError>);
}

TEST(TaskError, EveryCodeHasAWord) {
  EXPECT_EQ(to_string(TaskErrc::not_found), "not_found");
  EXPECT_EQ(to_string(TaskErrc::storage_full), "storage_full");
  EXPECT_EQ(to_string(TaskErrc::timed_out), "timed_out");
}

}  // namespace
}  // namespace reeve::tasks
