// A dying process writes down where it died, dies all the same, and its children write nothing.
#include "process/crash_notes.hpp"

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <new>

#include "tests/support/pch.hpp"

namespace reeve::process {
namespace {

struct Died {
  int signal = 0;
  const ChannelHeader* notes = nullptr;
};

/// Runs `body` in a child with crash notes.
Died die_of(const std::function<void()>& body) {
  void* page = mmap(nullptr, channel_header_bytes, PROT_READ | PROT_WRITE,
                    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  auto* channel = new (page) ChannelHeader{};
  const pid_t child = fork();
  if (child == 0) {
    install_crash_notes(*channel);
    body();
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return {WIFSIGNALED(status) ? WTERMSIG(status) : 0, channel};
}

#if defined(__clang__)
[[clang::no_sanitize("undefined")]]
#endif
void write_to(std::uint64_t address) {
  *reinterpret_cast<volatile int*>(address) = 1;
}

TEST(CrashNotes, tell_signal_and_address_of_a_fault) {
  const Died died = die_of([] { write_to(0x4560); });
  EXPECT_EQ(died.signal, SIGSEGV) << "the process dies by the same signal";
  EXPECT_EQ(died.notes->crash_signal, static_cast<std::uint32_t>(SIGSEGV));
  EXPECT_EQ(died.notes->crash_address, 0x4560u);
  EXPECT_GT(died.notes->data_bytes, 0u);
}

TEST(CrashNotes, a_signal_that_was_sent_has_no_address) {
  for (const int number : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT}) {
    const Died died = die_of([number] { raise(number); });
    EXPECT_EQ(died.signal, number);
    EXPECT_EQ(died.notes->crash_signal, static_cast<std::uint32_t>(number));
    EXPECT_EQ(died.notes->crash_address, 0u);
  }
}

TEST(CrashNotes, are_the_parents_alone) {
  const Died died = die_of([] {
    const pid_t child = fork();
    if (child == 0) raise(SIGSEGV);
    waitpid(child, nullptr, 0);
  });
  EXPECT_EQ(died.signal, 0);
  EXPECT_EQ(died.notes->crash_signal, 0u);
}

TEST(CrashNotes, are_not_written_for_a_plain_end) {
  const Died died = die_of([] { raise(SIGTERM); });
  EXPECT_EQ(died.signal, SIGTERM);
  EXPECT_EQ(died.notes->crash_signal, 0u);
}

}  // namespace
}  // namespace reeve::process
