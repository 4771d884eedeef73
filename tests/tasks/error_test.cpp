// The task store's exception.
#include <reeve/tasks/error.hpp>
#include <reeve/tasks/task_store.hpp>

#include "tests/support/pch.hpp"
#include "tests/tasks/support/run.hpp"

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

/// The text of what `action` throws.
template <class Action>
std::string text_of(Action action) {
  try {
    action();
  } catch (const std::exception& e) {
    return e.what();
  }
  return "nothing was thrown";
}

void expect_words(const std::string& text, std::initializer_list<const char*> words) {
  for (const char* word : words) EXPECT_THAT(text, ::testing::HasSubstr(word));
}

TEST(TaskErrorTexts, NameTheIdItsRangeAndTheRemedy) {
  boost::asio::io_context context;
  TaskStore store(context.get_executor());
  auto create = [&](const std::string& id) {
    return text_of([&] { testing::run(context, store.create_task(id)); });
  };
  expect_words(create(""), {"is empty", "1 to 256 bytes"});
  expect_words(create(std::string(257, 'i')), {"257 bytes", "too long", "1 to 256 bytes"});
  expect_words(create("two\nlines"), {"0x0a", "at byte 3", "'two'", "leave it out", "1 to 256"});
  expect_words(create("\xff"), {"not valid UTF-8", "1 to 256 bytes"});
}

TEST(TaskErrorTexts, NameTheFileAndTheRemedy) {
  testing::TempDir dir;
  boost::asio::io_context context;
  StoreConfig config;
  config.path = dir.file("tasks.db");
  TaskStore owner(context.get_executor(), config);
  auto open = [&] { return text_of([&] { TaskStore store(context.get_executor(), config); }); };
  expect_words(open(), {config.path.c_str(), "another store of this one", "close it first"});
  config.path = dir.file("no-such-folder/tasks.db");
  expect_words(open(), {config.path.c_str(), "No such file", "make the folder first"});
}

}  // namespace
}  // namespace reeve::tasks
