// The bad tasks; each is bounded where a bound does not spoil its point.
#include "misbehave.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <memory>
#include <string>

#include <reeve/base/error.hpp>

namespace study {
namespace {

constexpr int grandchildren_max = 8;
constexpr int seconds_max = 600;
constexpr std::size_t bite = 16u << 20;
constexpr std::size_t page = 4096;

// Runs in the middle process: starts a session, leaves one sleeper that reports its pid, and ends.
[[noreturn]] void fork_sleeper(int report, int seconds) {
  ::setsid();
  if (::fork() != 0) ::_exit(0);
  ::setsid();
  for (const int signal : {SIGTERM, SIGHUP, SIGINT}) std::signal(signal, SIG_IGN);
  const std::int64_t pid = ::getpid();
  const bool told = ::write(report, &pid, sizeof pid) == sizeof pid;
  ::close(report);
  for (unsigned left = static_cast<unsigned>(seconds); told && left > 0;) left = ::sleep(left);
  ::_exit(0);
}

}  // namespace

void never_end() {
  sigset_t all;
  sigfillset(&all);
  sigprocmask(SIG_BLOCK, &all, nullptr);
  for (volatile std::uint64_t turns = 0;;) turns = turns + 1;
}

std::uint64_t eat_memory(std::uint64_t at_most) {
  std::vector<std::unique_ptr<char[]>> eaten;
  std::uint64_t bytes = 0;
  for (; bytes < at_most; bytes += bite) {
    eaten.emplace_back(new char[bite]);
    volatile char* const start = eaten.back().get();
    for (std::size_t i = 0; i < bite; i += page) start[i] = 1;
  }
  return bytes;
}

void crash() {
  int* volatile nowhere = nullptr;
  *static_cast<volatile int*>(nowhere) = 1;
}

std::vector<std::int64_t> leave_grandchildren(int count, int seconds) {
  if (count < 1 || count > grandchildren_max || seconds < 1 || seconds > seconds_max) {
    throw reeve::ConfigError("leave_grandchildren(" + std::to_string(count) + ", " +
                             std::to_string(seconds) +
                             "): allowed are 1 to 8 processes, 1 to 600 s");
  }
  std::array<int, 2> ends{};
  if (::pipe(ends.data()) != 0) reeve::throw_errno("pipe");
  int fork_error = 0;
  for (int i = 0; i < count && fork_error == 0; ++i) {
    const pid_t middle = ::fork();
    if (middle == 0) fork_sleeper(ends[1], seconds);
    if (middle < 0) fork_error = errno;
    while (middle > 0 && ::waitpid(middle, nullptr, 0) < 0 && errno == EINTR) continue;
  }
  ::close(ends[1]);
  std::vector<std::int64_t> pids;
  for (std::int64_t pid = 0; ::read(ends[0], &pid, sizeof pid) == sizeof pid;) pids.push_back(pid);
  ::close(ends[0]);
  if (fork_error != 0) throw reeve::SystemError(fork_error, "fork");
  return pids;
}

}  // namespace study
