// Limits hold in a child, capabilities go for good, the OOM score is written.
#include <sys/wait.h>
#include <unistd.h>
#include <reeve/os/rlimit.hpp>

#include <cerrno>
#include <filesystem>
#include <fstream>

namespace reeve::os {
namespace {

// Runs `body` in a child and returns its exit code.
template <class Body>
int in_child(Body body) {
  const pid_t pid = ::fork();
  if (pid == 0) ::_exit(body());
  int status = 0;
  ::waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

TEST(Rlimit, SetsAndReadsBack) {
  EXPECT_EQ(in_child([] {
              if (set_limit(Resource::core, {0, 0}) != 0) return 1;
              const LimitResult got = get_limit(Resource::core);
              if (got.error != 0 || got.limit != Limit{0, 0}) return 2;
              if (set_limit(Resource::open_files, {20, 10}) != EINVAL) return 3;
              return 0;
            }),
            0);
}

TEST(Rlimit, WorksOnAnotherProcess) {
  int gate[2];
  ASSERT_EQ(::pipe(gate), 0);
  const pid_t pid = ::fork();
  if (pid == 0) {
    char byte = 0;
    ::close(gate[1]);
    [[maybe_unused]] const auto n = ::read(gate[0], &byte, 1);
    ::_exit(get_limit(Resource::file_size).limit.soft == 4096 ? 0 : 1);
  }
  ::close(gate[0]);
  EXPECT_EQ(set_limit(Resource::file_size, {4096, 4096}, pid), 0);
  ::close(gate[1]);
  int status = 0;
  ::waitpid(pid, &status, 0);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(get_limit(Resource::data, 0x7ffffff).error, ESRCH);
}

TEST(Rlimit, RaisesOpenFiles) {
  EXPECT_EQ(in_child([] {
              const Limit now = get_limit(Resource::open_files).limit;
              set_limit(Resource::open_files, {64, now.hard});
              const LimitResult raised = raise_open_files();
              return raised.error == 0 && raised.limit.soft == now.hard &&
                             get_limit(Resource::open_files).limit.soft == now.hard
                         ? 0
                         : 1;
            }),
            0);
}

TEST(Capabilities, AreGoneForGood) {
  EXPECT_EQ(in_child([] {
              if (drop_capabilities() != 0) return 1;
              if (effective_capabilities() != 0) return 2;
              if (set_limit(Resource::core, {0, 0}) != 0) return 3;
              return set_limit(Resource::core, {0, 4096}) == EPERM ? 0 : 4;
            }),
            0);
}

TEST(Capabilities, NoNewPrivileges) {
  EXPECT_EQ(in_child([] { return set_no_new_privileges(); }), 0);
}

TEST(OomScore, IsWritten) {
  EXPECT_EQ(set_oom_score_adj(1001), EINVAL);
  EXPECT_EQ(set_oom_score_adj(500, 0, "/nonexistent"), ENOENT);
  EXPECT_EQ(in_child([] {
              if (set_oom_score_adj(700) != 0) return 1;
              int score = 0;
              std::ifstream("/proc/self/oom_score_adj") >> score;
              return score == 700 ? 0 : 2;
            }),
            0);
}

}  // namespace
}  // namespace reeve::os
