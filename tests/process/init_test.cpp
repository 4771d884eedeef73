// reeve::init leaves ordinary programs alone, and nobody becomes a warden by its name only.
#include <reeve/process/init.hpp>

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <sstream>

#include "tests/support/pch.hpp"

extern char** environ;

namespace reeve {
namespace {

struct Ended {
  int status = -1;
  std::string errors;
};

/// This test program under another name, without any of the descriptors that a warden is given.
Ended run_as(const std::string& name, const std::vector<std::string>& more = {}) {
  const std::string path = ::testing::TempDir() + "reeve-init-" + std::to_string(getpid());
  std::vector<char*> arguments{const_cast<char*>(name.c_str())};
  for (const std::string& text : more) arguments.push_back(const_cast<char*>(text.c_str()));
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 2, path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  pid_t pid = -1;
  Ended ended;
  EXPECT_EQ(posix_spawn(&pid, "/proc/self/exe", &actions, nullptr, arguments.data(), environ), 0);
  posix_spawn_file_actions_destroy(&actions);
  int status = 0;
  if (waitpid(pid, &status, 0) == pid && WIFEXITED(status)) ended.status = WEXITSTATUS(status);
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  ended.errors = text.str();
  unlink(path.c_str());
  return ended;
}

TEST(Init, was_called_by_main) {
  EXPECT_TRUE(initialized());
}

TEST(Init, a_reserved_name_alone_makes_no_warden_and_no_worker) {
  for (const char* name : {"reeve-warden", "reeve-worker"}) {
    const Ended ended = run_as(name);
    EXPECT_EQ(ended.status, 120) << name;
    EXPECT_THAT(ended.errors, ::testing::HasSubstr("reserved")) << name;
  }
}

TEST(Init, a_program_with_arguments_is_an_ordinary_one) {
  EXPECT_EQ(run_as("reeve-warden", {"--gtest_filter=Init.was_called_by_main"}).status, 0);
  EXPECT_EQ(run_as("any name", {"--gtest_filter=Init.was_called_by_main"}).status, 0);
}

}  // namespace
}  // namespace reeve
