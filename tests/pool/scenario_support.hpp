// What the scenario tests share: processes found by a mark, victim programs, tasks that misbehave.
#pragma once

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cstdlib>
#include <fstream>
#include <reeve/process/this_worker.hpp>
#include <sstream>
#include <thread>

#include "tests/pool/pool_test_support.hpp"

namespace reeve::test {

using Clock = std::chrono::steady_clock;

inline asio::awaitable<void> pause_for(std::chrono::milliseconds time) {
  asio::steady_timer timer(co_await asio::this_coro::executor, time);
  co_await timer.async_wait(asio::use_awaitable);
}

inline std::string read_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

inline int parent_pid(int pid) {
  const std::string text = read_text("/proc/" + std::to_string(pid) + "/stat");
  const auto name_end = text.rfind(')');
  if (name_end == std::string::npos) return -1;
  std::istringstream fields(text.substr(name_end + 1));
  std::string state;
  int parent = -1;
  fields >> state >> parent;
  return parent;
}

/// True unless the process is gone or a zombie.
inline bool is_alive(int pid) {
  const std::string text = read_text("/proc/" + std::to_string(pid) + "/stat");
  const auto name_end = text.rfind(')');
  return name_end != std::string::npos && text.size() > name_end + 2 && text[name_end + 2] != 'Z' &&
         text[name_end + 2] != 'X';
}

/// Everything that is started while a mark lives (by a pool: its warden, workers, whatever these
/// start) carries it in its environment, wherever it is in the process tree.
class Mark {
 public:
  Mark() {
    static int count = 0;
    value_ = std::to_string(getpid()) + "." + std::to_string(++count) + ";";
    setenv("REEVE_TEST_MARK", value_.c_str(), 1);
  }
  ~Mark() { unsetenv("REEVE_TEST_MARK"); }

  /// Living processes with this mark; with `name`: of that name.
  std::vector<int> processes(std::string_view name = {}) const {
    std::vector<int> found;
    DIR* proc = opendir("/proc");
    if (proc == nullptr) return found;
    while (const dirent* entry = readdir(proc)) {
      if (entry->d_name[0] < '0' || entry->d_name[0] > '9') continue;
      const std::string path = std::string("/proc/") + entry->d_name;
      if (read_text(path + "/environ").find("REEVE_TEST_MARK=" + value_) == std::string::npos)
        continue;
      if (!name.empty() && read_text(path + "/comm") != std::string(name) + "\n") continue;
      found.push_back(std::atoi(entry->d_name));
    }
    closedir(proc);
    return found;
  }

  /// How long it took until none was left, or nothing. Two empty looks in a row count: one look is
  /// no snapshot.
  std::optional<std::chrono::milliseconds> gone_within(std::chrono::milliseconds patience,
                                                       std::string_view name = {}) const {
    const auto start = Clock::now();
    while (Clock::now() - start < patience) {
      const auto looked_at = Clock::now();
      if (processes(name).empty() && processes(name).empty())
        return std::chrono::duration_cast<std::chrono::milliseconds>(looked_at - start);
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return std::nullopt;
  }

 private:
  std::string value_;
};

/// This test program once more, running one disabled test, as a program that may be killed.
class Victim {
 public:
  explicit Victim(const std::string& test, const std::string& argument = {},
                  const char* file = "/proc/self/exe") {
    const std::string filter = "--gtest_filter=" + test;
    setenv("REEVE_TEST_VICTIM", argument.c_str(), 1);
    char also[] = "--gtest_also_run_disabled_tests";
    char* arguments[] = {const_cast<char*>(file), const_cast<char*>(filter.c_str()), also, nullptr};
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    if (posix_spawn(&pid_, file, &actions, nullptr, arguments, environ) != 0) pid_ = -1;
    posix_spawn_file_actions_destroy(&actions);
    unsetenv("REEVE_TEST_VICTIM");
  }
  Victim(const Victim&) = delete;
  ~Victim() {
    if (pid_ > 0) signal(SIGKILL), wait_status(5s);
  }

  void signal(int number) const {
    if (pid_ > 0) kill(pid_, number);
  }
  /// Its wait status, or nothing if it did not end in time.
  std::optional<int> wait_status(std::chrono::milliseconds patience) {
    const auto until = Clock::now() + patience;
    int status = 0;
    for (;;) {
      if (waitpid(pid_, &status, WNOHANG) == pid_) {
        pid_ = -1;
        return status;
      }
      if (Clock::now() > until) return std::nullopt;
      std::this_thread::sleep_for(1ms);
    }
  }
  static std::string argument() {
    const char* text = std::getenv("REEVE_TEST_VICTIM");
    return text != nullptr ? text : "";
  }

 private:
  pid_t pid_ = -1;
};

// ------------------------------------------------------------------------------------------------
// Tasks

inline int double_it(int x) {
  return 2 * x;
}
inline int own_pid() {
  return getpid();
}
inline int spin() {
  std::atomic<unsigned> rounds{0};
  for (;;) rounds.fetch_add(1, std::memory_order_relaxed);
}
inline int nap(int milliseconds) {
  std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
  return milliseconds;
}
inline int crash() {
  raise(SIGSEGV);
  return 0;
}
inline int work_until_stopped() {
  int rounds = 0;
  while (!this_worker::stop_requested()) {
    std::this_thread::sleep_for(1ms);
    ++rounds;
  }
  return rounds;
}

/// The kinds of descendants that hide from their killers.
enum class Kid { child, session, daemon, immune, grandchild };

[[noreturn]] inline void live_as_kid() {
  prctl(PR_SET_NAME, "reeve-kid");
  for (;;) pause();
}

/// Starts one and returns once it lives.
inline int start_kid(int kind) {
  int ready[2];
  if (pipe(ready) != 0) throw std::runtime_error("pipe");
  const auto fork_further = [](int times) {
    for (int i = 0; i < times; ++i) {
      if (fork() != 0) _exit(0);
    }
  };
  const pid_t child = fork();
  if (child < 0) throw std::runtime_error("fork");
  if (child == 0) {
    const auto kid = static_cast<Kid>(kind);
    if (kid == Kid::session) setsid();
    if (kid == Kid::daemon) setsid(), fork_further(1);
    if (kid == Kid::grandchild) fork_further(3);
    if (kid == Kid::immune) {
      for (int number = 1; number < NSIG; ++number) ::signal(number, SIG_IGN);
    }
    prctl(PR_SET_NAME, "reeve-kid");
    [[maybe_unused]] const auto n = write(ready[1], "x", 1);
    live_as_kid();
  }
  close(ready[1]);
  char byte;
  [[maybe_unused]] const auto n = read(ready[0], &byte, 1);
  close(ready[0]);
  return static_cast<int>(child);
}

}  // namespace reeve::test
