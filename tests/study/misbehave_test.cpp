// The bad tasks are as bad as they say, within their bounds. Real processes: an integration test.
#include <sys/wait.h>
#include <unistd.h>
#include <examples/study/misbehave.hpp>

#include <csignal>
#include <fstream>
#include <reeve/base/error.hpp>

namespace study {
namespace {

TEST(Misbehave, CrashKillsTheProcess) {
  EXPECT_EXIT(crash(), [](int status) { return status != 0; }, "");
}

// A field of /proc/PID/status that holds a signal mask.
std::uint64_t signal_mask(pid_t pid, const std::string& field) {
  std::ifstream in("/proc/" + std::to_string(pid) + "/status");
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with(field + ":"))
      return std::stoull(line.substr(field.size() + 1), nullptr, 16);
  }
  return 0;
}

TEST(Misbehave, NeverEndsOnAPoliteSignal) {
  constexpr std::uint64_t term = std::uint64_t{1} << (SIGTERM - 1);
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) never_end();
  int status = 0;
  while ((signal_mask(child, "SigBlk") & term) == 0) {
    ASSERT_EQ(::waitpid(child, &status, WNOHANG), 0);
    std::this_thread::yield();
  }
  ASSERT_EQ(::kill(child, SIGTERM), 0);
  EXPECT_NE(signal_mask(child, "ShdPnd") & term, 0u) << "the signal was not held back";
  EXPECT_EQ(::waitpid(child, &status, WNOHANG), 0) << "it ended";
  ASSERT_EQ(::kill(child, SIGKILL), 0);
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

TEST(Misbehave, EatsWhatItIsAllowed) {
  EXPECT_EQ(eat_memory(20u << 20), 32u << 20);
}

TEST(Misbehave, GrandchildrenOutliveTheirParentsButNotSigkill) {
  const auto pids = leave_grandchildren(3, 60);
  ASSERT_EQ(pids.size(), 3u);
  for (const auto pid : pids) {
    EXPECT_NE(::getsid(static_cast<pid_t>(pid)), ::getsid(0));
    EXPECT_EQ(::kill(static_cast<pid_t>(pid), SIGKILL), 0);
  }
}

TEST(Misbehave, RefusesUnboundedForking) {
  EXPECT_THROW(leave_grandchildren(9, 1), reeve::ConfigError);
  EXPECT_THROW(leave_grandchildren(0, 1), reeve::ConfigError);
  EXPECT_THROW(leave_grandchildren(1, 601), reeve::ConfigError);
}

}  // namespace
}  // namespace study
