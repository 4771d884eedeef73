// clone(CLONE_VM | CLONE_VFORK) twice, then exec: nothing of the program's memory is copied.
//
// The children make system calls and nothing else. They share the program's memory, so a function
// of the C library that notes something, or that a sanitizer replaces, would note it there.
#include "process/launch.hpp"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <new>
#include <reeve/base/error.hpp>

#include "process/protocol.hpp"

extern char** environ;

#if defined(__SANITIZE_THREAD__)
#define REEVE_WITH_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define REEVE_WITH_TSAN 1
#endif
#endif

#if !defined(REEVE_WITH_TSAN)
#define REEVE_NOT_INSTRUMENTED
#elif defined(__clang__)
#define REEVE_NOT_INSTRUMENTED __attribute__((disable_sanitizer_instrumentation))
#else
#define REEVE_NOT_INSTRUMENTED __attribute__((no_sanitize("thread")))
#endif

namespace reeve::process {
namespace {

constexpr std::size_t stack_bytes = 64 * 1024;

struct Plan {  // in memory that both children share with the program
  int fds[4];  // socket, board, hub, wake
  char* const* environment;
  std::byte* inner_stack;  // its lowest address
  pid_t warden = -1;
  int error = 0;
};

// A child that shares our memory while we wait; on its end it sends `exit_signal`, 0 for none.
#if defined(REEVE_WITH_TSAN)
// ThreadSanitizer's clone() takes CLONE_VM for a fork and unlocks its runtime in both. So the child
// gets a copy, and enters nothing of the runtime: other threads may have held its locks.
REEVE_NOT_INSTRUMENTED pid_t start_child(int (*body)(void*), std::byte*, int exit_signal,
                                         Plan* plan) {
  const long pid =
      syscall(SYS_clone, CLONE_VFORK | exit_signal, nullptr, nullptr, nullptr, nullptr);
  if (pid == 0) syscall(SYS_exit_group, body(plan));
  return static_cast<pid_t>(pid);
}
#else
pid_t start_child(int (*body)(void*), std::byte* stack, int exit_signal, Plan* plan) {
  return clone(body, stack + stack_bytes, CLONE_VM | CLONE_VFORK | exit_signal, plan);
}
#endif

REEVE_NOT_INSTRUMENTED int run_warden(void* argument) {
  auto& plan = *static_cast<Plan*>(argument);
  syscall(SYS_setsid);  // Ctrl-C in the program's terminal does not reach the workers first
  int high[4] = {-1, -1, -1, -1};
  for (int i = 0; i < 4; ++i) {
    high[i] = static_cast<int>(syscall(SYS_fcntl, plan.fds[i], F_DUPFD, 64));
    if (high[i] < 0) return plan.error = errno, 1;
  }
  static constexpr int targets[4] = {warden_socket_fd, warden_board_fd, warden_hub_fd,
                                     warden_wake_fd};
  for (int i = 0; i < 4; ++i) {
    if (syscall(SYS_dup3, high[i], targets[i], 0) < 0) return plan.error = errno, 1;
  }
  const long null = syscall(SYS_openat, AT_FDCWD, "/dev/null", O_RDONLY);
  if (null > 0) syscall(SYS_dup3, null, STDIN_FILENO, 0);
  syscall(SYS_close_range, 7u, ~0u, 0u);
  // Ignored signals would stay ignored across exec; the warden resets the rest.
  static constexpr unsigned long standard[8] = {};  // the kernel's struct sigaction: SIG_DFL
  constexpr std::size_t signal_set_bytes = 8;
  syscall(SYS_rt_sigaction, SIGCHLD, standard, nullptr, signal_set_bytes);
  syscall(SYS_rt_sigaction, SIGPIPE, standard, nullptr, signal_set_bytes);
  const char* arguments[] = {warden_name, nullptr};
  syscall(SYS_execve, "/proc/self/exe", arguments, plan.environment);
  plan.error = errno;
  return 127;
}

REEVE_NOT_INSTRUMENTED int run_intermediate(void* argument) {
  auto& plan = *static_cast<Plan*>(argument);
  plan.warden = start_child(run_warden, plan.inner_stack, SIGCHLD, &plan);
  if (plan.warden < 0) plan.error = errno;
  return 0;
}

}  // namespace

Launched launch_warden(int board, int hub, int wake) {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
    throw_errno("socketpair for the warden");
  os::UniqueFd ours(pair[0]);
  os::UniqueFd theirs(pair[1]);
  constexpr std::size_t memory_bytes = 2 * stack_bytes + sizeof(Plan);
  void* memory =
      mmap(nullptr, memory_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw_errno("mmap of the launch stacks");
  auto* const stacks = static_cast<std::byte*>(memory);
  auto* const shared =
      new (stacks + 2 * stack_bytes) Plan{{theirs.get(), board, hub, wake}, environ, stacks};
  // A handler of the program must not run in the children, which share its memory.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  const pid_t intermediate = start_child(run_intermediate, stacks + stack_bytes, 0, shared);
  const int clone_error = errno;
  if (intermediate > 0) {
    while (waitpid(intermediate, nullptr, __WCLONE) < 0 && errno == EINTR) {
    }
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  const Plan plan = *shared;
  munmap(memory, memory_bytes);
  if (intermediate < 0) throw SystemError(clone_error, "clone of the warden's launcher");
  if (plan.warden < 0 || plan.error != 0)
    throw SystemError(plan.error, "starting the warden from /proc/self/exe");
  Launched launched;
  launched.pid = plan.warden;
  launched.socket = std::move(ours);
  return launched;
}

}  // namespace reeve::process
