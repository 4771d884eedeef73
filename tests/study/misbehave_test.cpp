// The bad tasks are as bad as they say, within their bounds. Real processes: an integration test.
#include <sys/wait.h>
#include <unistd.h>
#include <examples/study/misbehave.hpp>

#include <csignal>
#include <reeve/base/error.hpp>

namespace study {
namespace {

TEST(Misbehave, CrashKillsTheProcess) {
  EXPECT_EXIT(crash(), [](int status) { return status != 0; }, "");
}

TEST(Misbehave, NeverEndsOnAPoliteSignal) {
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    std::signal(SIGTERM, SIG_IGN);  // until never_end blocks it
    never_end();
  }
  ASSERT_EQ(::kill(child, SIGKILL), 0);
  int status = 0;
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
