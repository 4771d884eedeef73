// clone(CLONE_VM | CLONE_VFORK) twice, then exec: nothing of the program's memory is copied.
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
#include <cstring>
#include <reeve/base/error.hpp>

#include "process/protocol.hpp"

extern char** environ;

namespace reeve::process {
namespace {

constexpr std::size_t stack_bytes = 64 * 1024;

struct Plan {
  int fds[4];              // socket, board, hub, wake
  std::byte* inner_stack;  // its lowest address
  pid_t warden = -1;
  int error = 0;
};

// Runs with the program's memory while the program waits: only system calls, no allocation.
int run_warden(void* argument) {
  auto& plan = *static_cast<Plan*>(argument);
  setsid();  // Ctrl-C in the program's terminal does not reach the workers first
  int high[4];
  for (int i = 0; i < 4; ++i) {
    high[i] = fcntl(plan.fds[i], F_DUPFD, 64);
    if (high[i] < 0) return plan.error = errno, 1;
  }
  static constexpr int targets[4] = {warden_socket_fd, warden_board_fd, warden_hub_fd,
                                     warden_wake_fd};
  for (int i = 0; i < 4; ++i) {
    if (dup2(high[i], targets[i]) < 0) return plan.error = errno, 1;
  }
  const int null = open("/dev/null", O_RDONLY);
  if (null >= 0) dup2(null, STDIN_FILENO);
  syscall(SYS_close_range, 7u, ~0u, 0u);
  // Ignored signals would stay ignored across exec; the warden resets the rest.
  struct sigaction standard{};
  standard.sa_handler = SIG_DFL;
  sigaction(SIGCHLD, &standard, nullptr);
  sigaction(SIGPIPE, &standard, nullptr);
  char* arguments[] = {const_cast<char*>(warden_name), nullptr};
  execve("/proc/self/exe", arguments, environ);
  plan.error = errno;
  _exit(127);
}

int run_intermediate(void* argument) {
  auto& plan = *static_cast<Plan*>(argument);
  plan.warden =
      clone(run_warden, plan.inner_stack + stack_bytes, CLONE_VM | CLONE_VFORK | SIGCHLD, &plan);
  if (plan.warden < 0) plan.error = errno;
  _exit(0);
}

}  // namespace

Launched launch_warden(int board, int hub, int wake) {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
    throw_errno("socketpair for the warden");
  os::UniqueFd ours(pair[0]);
  os::UniqueFd theirs(pair[1]);
  void* stacks =
      mmap(nullptr, 2 * stack_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (stacks == MAP_FAILED) throw_errno("mmap of the launch stacks");
  Plan plan{{theirs.get(), board, hub, wake}, static_cast<std::byte*>(stacks)};
  auto* outer_stack = static_cast<std::byte*>(stacks) + 2 * stack_bytes;
  // A handler of the program must not run in the children, which share its memory.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  const pid_t intermediate = clone(run_intermediate, outer_stack, CLONE_VM | CLONE_VFORK, &plan);
  const int clone_error = errno;
  if (intermediate > 0) {
    while (waitpid(intermediate, nullptr, __WCLONE) < 0 && errno == EINTR) {
    }
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  munmap(stacks, 2 * stack_bytes);
  if (intermediate < 0) throw SystemError(clone_error, "clone of the warden's launcher");
  if (plan.warden < 0 || plan.error != 0)
    throw SystemError(plan.error, "starting the warden from /proc/self/exe");
  Launched launched;
  launched.pid = plan.warden;
  launched.socket = std::move(ours);
  return launched;
}

}  // namespace reeve::process
