// Real files and real processes: a second owner, a directory that may not be written, a disk that
// is full.
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <reeve/tasks/task_store.hpp>

#include "tests/support/pch.hpp"
#include "tests/tasks/support/run.hpp"

namespace reeve::tasks {
namespace {

using testing::code_of;
using testing::run;

constexpr int fine = 0, skipped = 99;

/// Runs `body` in a child process and returns what it returned.
template <class Body>
int in_child(Body body) {
  const pid_t child = ::fork();
  if (child == 0) {
    int answer = 98;
    try {
      answer = body();
    } catch (const std::exception& e) {
      std::fprintf(stderr, "child: %s\n", e.what());
    }
    ::_exit(answer);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/// What opening the file answers, as a number; -1: it opened.
int open_code(const StoreConfig& config) {
  boost::asio::io_context context;
  const auto code = code_of([&] { TaskStore store(context.get_executor(), config); });
  return code ? static_cast<int>(*code) : fine;
}

TEST(TwoProcesses, TheSecondIsRefusedAndServesWhenTheFirstHasDied) {
  testing::TempDir dir;
  StoreConfig config;
  config.path = dir.file("tasks.db");
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  const pid_t owner = ::fork();
  if (owner == 0) {
    boost::asio::io_context context;
    TaskStore store(context.get_executor(), config);
    run(context, store.create_task("kept"));
    run(context, store.start_task("kept"));
    if (::write(ready[1], "r", 1) != 1) ::_exit(1);
    for (;;) ::pause();
  }
  char byte = 0;
  ASSERT_EQ(::read(ready[0], &byte, 1), 1);
  boost::asio::io_context context;
  try {
    TaskStore store(context.get_executor(), config);
    ADD_FAILURE() << "two owners";
  } catch (const TaskError& e) {
    EXPECT_EQ(e.code(), TaskErrc::locked);
    EXPECT_THAT(e.what(), ::testing::HasSubstr("another process"));
    EXPECT_THAT(e.what(), ::testing::HasSubstr(config.path));
  }
  ::kill(owner, SIGKILL);
  ::waitpid(owner, nullptr, 0);
  TaskStore store(context.get_executor(), config);
  EXPECT_EQ(store.get_task_status("kept")->state(), TaskState::interrupted);
  EXPECT_EQ(run(context, store.retry_task("kept")).state(), TaskState::retry_wait);
  ::close(ready[0]);
  ::close(ready[1]);
}

TEST(TwoProcesses, ASecondStoreOfTheOwnersProcessDoesNotUnlockTheFile) {
  testing::TempDir dir;
  StoreConfig config;
  config.path = dir.file("tasks.db");
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  const pid_t other = ::fork();  // before SQLite knows the file here
  if (other == 0) {
    char byte = 0;
    if (::read(ready[0], &byte, 1) != 1) ::_exit(90);
    ::_exit(open_code(config));
  }
  boost::asio::io_context context;
  TaskStore owner(context.get_executor(), config);
  EXPECT_EQ(code_of([&] { TaskStore second(context.get_executor(), config); }), TaskErrc::locked);
  ASSERT_EQ(::write(ready[1], "r", 1), 1);
  int status = 0;
  ::waitpid(other, &status, 0);
  EXPECT_EQ(WEXITSTATUS(status), static_cast<int>(TaskErrc::locked));
  run(context, owner.create_task("still works"));
  ::close(ready[0]);
  ::close(ready[1]);
}

TEST(ReadOnly, ADirectoryThatMayNotBeWrittenIsAnIoErrorThatNamesTheFile) {
  testing::TempDir dir;
  StoreConfig config;
  config.path = dir.file("tasks.db");
  {
    boost::asio::io_context context;
    TaskStore store(context.get_executor(), config);
    run(context, store.create_task("kept"));
  }
  using std::filesystem::perms;
  const auto all_read = perms::owner_read | perms::owner_exec | perms::group_read |
                        perms::group_exec | perms::others_read | perms::others_exec;
  std::filesystem::permissions(config.path, perms::owner_read | perms::others_read);
  std::filesystem::permissions(dir.path(), all_read);
  const int answer = in_child([&] {
    // The super user may write everywhere: be nobody.
    if (::geteuid() == 0 && ::setresuid(65534, 65534, 65534) != 0) return skipped;
    if (open_code(config) != static_cast<int>(TaskErrc::io_error)) return 1;
    auto fresh = config;
    fresh.path = dir.file("new.db");
    if (open_code(fresh) != static_cast<int>(TaskErrc::io_error)) return 2;
    return fine;
  });
  std::filesystem::permissions(dir.path(), perms::owner_all);
  if (answer == skipped) GTEST_SKIP() << "this process cannot become another user";
  EXPECT_EQ(answer, fine);
  std::filesystem::permissions(config.path, perms::owner_read | perms::owner_write);
  boost::asio::io_context context;
  TaskStore store(context.get_executor(), config);
  EXPECT_TRUE(store.get_task_status("kept")) << "work resumes when the cause is gone";
}

/// A real file system of 4 MiB in a mount namespace of its own.
bool mount_small(const std::string& at) {
  const int flags = ::geteuid() == 0 ? CLONE_NEWNS : CLONE_NEWUSER | CLONE_NEWNS;
  return ::unshare(flags) == 0 &&
         ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
         ::mount("reeve-small", at.c_str(), "tmpfs", 0, "size=4m") == 0;
}

int live_on_a_full_disk(const std::string& directory) {
  if (!mount_small(directory)) return skipped;
  StoreConfig config;
  config.path = directory + "/tasks.db";
  boost::asio::io_context context;
  int created = 0;
  {
    TaskStore store(context.get_executor(), config);
    if (!std::filesystem::exists(config.path + "-reserve")) return 1;
    Fields pad;
    pad.set("pad", std::string(20'000, 'x'));
    std::optional<TaskErrc> code;
    while (!code && created < 1000) {
      code = code_of([&] { run(context, store.create_task("t" + std::to_string(created), pad)); });
      created += !code;
    }
    if (code != TaskErrc::storage_full || created < 20) return 2;
    // What is full of data still lets go of some.
    for (int i = 0; i < 10; ++i)
      if (!run(context, store.delete_task_status("t" + std::to_string(i)))) return 3;
    if (std::filesystem::exists(config.path + "-reserve")) return 4;
    if (store.get_task_status("t0") || !store.get_task_status("t10")) return 5;
  }
  {
    TaskStore store(context.get_executor(), config);
    for (int i = 0; i < created; ++i)
      if (store.get_task_status("t" + std::to_string(i)).has_value() != (i >= 10)) return 6;
    for (int i = 10; i < 20; ++i)
      if (!run(context, store.delete_task_status("t" + std::to_string(i)))) return 7;
  }
  // Not a byte left: it still starts, and shows what there is.
  {
    std::ofstream ballast(directory + "/ballast");
    const std::string block(512, 'b');
    while (ballast.write(block.data(), 512).flush()) {
    }
  }
  {
    TaskStore store(context.get_executor(), config);
    if (!store.get_task_status("t20") || store.get_task_status("t19")) return 8;
    if (!code_of([&] { run(context, store.create_task("refused")); })) return 9;
    if (!store.health().degraded) return 10;
    std::filesystem::remove(directory + "/ballast");
    run(context, store.create_task("after"));  // work resumes when the cause is gone
    if (store.health().degraded) return 11;
  }
  TaskStore store(context.get_executor(), config);
  return store.get_task_status("after") && !store.get_task_status("refused") ? fine : 12;
}

TEST(RealDisk, ThatIsFullLetsTasksBeDeletedAndTheStoreStart) {
  testing::TempDir dir;
  const int answer = in_child([&] { return live_on_a_full_disk(dir.path().string()); });
  if (answer == skipped) GTEST_SKIP() << "no mount namespace here";
  EXPECT_EQ(answer, fine);
}

}  // namespace
}  // namespace reeve::tasks
