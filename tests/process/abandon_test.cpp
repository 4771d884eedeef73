// An orphan that cannot die is given up once, and nobody is given up with it.
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>

#include "tests/process/warden_test_support.hpp"

namespace reeve::process {
namespace {

int fork_a_kid() {
  const pid_t kid = fork();
  if (kid != 0) return kid;
  for (;;) pause();
}

int kid_of(Hand& worker) {
  using Call = codec::CallTraits<codec::FunctionConstant<&fork_a_kid>>;
  codec::OwnedBuffer arguments;
  Call::encode_arguments(arguments.writer(), codec::FunctionConstant<&fork_a_kid>{});
  EXPECT_TRUE(worker.request(codec::identify(Call::descriptor()), arguments.bytes(),
                             [](ChannelHeader&) {}));
  codec::Reader reader(worker.reply());
  return codec::decode<int>(reader);
}

void sleep_until(std::int64_t when) {
  const timespec at{when / 1'000'000'000, when % 1'000'000'000};
  clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, nullptr);
}

// A burial gives up after 2 s. Whoever dies just then hands its children to the warden when nobody
// looks at orphans any more: it is their own worker's burial that ends them.
TEST(WardenAbandons, only_orphans_that_it_could_not_kill) {
  constexpr std::uint32_t others = 7;
  Program program;
  Hand first(program, 0, 1);
  const int pid = first.start();
  ASSERT_GT(pid, 0);
  const int undying = kid_of(first);
  std::vector<std::unique_ptr<Hand>> workers;
  std::vector<int> pids, kids;
  for (std::uint32_t slot = 1; slot <= others; ++slot) {
    workers.push_back(std::make_unique<Hand>(program, slot, slot + 1));
    pids.push_back(workers.back()->start());
    ASSERT_GT(pids.back(), 0);
    kids.push_back(kid_of(*workers.back()));
  }
  if (ptrace(PTRACE_SEIZE, undying, nullptr, nullptr) != 0) GTEST_SKIP() << "tracing is forbidden";
  ASSERT_EQ(::kill(pid, SIGKILL), 0);
  const std::int64_t end = monotonic_ns() + 2'000'000'000;
  for (std::uint32_t i = 0; i < others; ++i) {
    sleep_until(end + i * 3'000'000);
    ASSERT_EQ(::kill(pids[i], SIGKILL), 0);
  }
  for (const int kid : kids) EXPECT_TRUE(Program::gone(kid)) << "it was given up, and lives";
  waitpid(undying, nullptr, __WALL);
}

}  // namespace
}  // namespace reeve::process
