// Crash notes: async-signal-safe, no allocation.
#include "process/crash_notes.hpp"

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <ucontext.h>
#include <unistd.h>

#include <cstddef>
#include <reeve/os/proc.hpp>

namespace reeve::process {
namespace {

ChannelHeader* notes = nullptr;
pid_t worker = 0;  // a forked child of a task has the handlers, too, but not the right to write
alignas(16) std::byte alternate_stack[32 * 1024];

// A null pointer was used right after the kernel refused memory: what malloc returned was not
// looked at. `error` is this thread's errno, as the faulting instruction left it.
bool follows_a_refusal(int number, const siginfo_t& info, int error) {
  if (error != ENOMEM || !is_null_use(number, info.si_code, info.si_addr)) return false;
  rlimit data{};
  return getrlimit(RLIMIT_DATA, &data) == 0 && data.rlim_cur != RLIM_INFINITY;
}

void on_crash(int number, siginfo_t* info, void* context) {
  const int error = errno;
  const bool sent = info->si_code <= 0;  // by raise() or kill(): no instruction faulted
  if (getpid() == worker && notes->crash_signal.load(std::memory_order_relaxed) == 0) {
    notes->crash_code = info->si_code;
    if (!sent) notes->crash_address = reinterpret_cast<std::uint64_t>(info->si_addr);
#if defined(__x86_64__)
    const auto* machine = static_cast<const ucontext_t*>(context);
    notes->crash_stack = static_cast<std::uint64_t>(machine->uc_mcontext.gregs[REG_RSP]);
#else
    (void)context;
#endif
    notes->data_bytes = os::vm_data_self();
    if (follows_a_refusal(number, *info, error)) {
      notes->memory_flag.store(refused_null_used, std::memory_order_relaxed);
    }
    notes->crash_signal.store(static_cast<std::uint32_t>(number), std::memory_order_release);
  }
  signal(number, SIG_DFL);  // the faulting instruction runs again and ends the process
  if (sent) raise(number);  // nothing would: the signal comes again when this handler returns
}

}  // namespace

bool is_null_use(int number, int code, const void* address) noexcept {
  return number == SIGSEGV && (code == SEGV_MAPERR || code == SEGV_ACCERR) &&
         reinterpret_cast<std::uintptr_t>(address) < null_page_bytes;
}

void install_crash_notes(ChannelHeader& channel) {
  notes = &channel;
  worker = getpid();
  stack_t stack{};
  stack.ss_sp = alternate_stack;
  stack.ss_size = sizeof alternate_stack;
  sigaltstack(&stack, nullptr);
  struct sigaction action{};
  action.sa_sigaction = on_crash;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigemptyset(&action.sa_mask);
  for (const int number : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT})
    sigaction(number, &action, nullptr);
}

}  // namespace reeve::process
