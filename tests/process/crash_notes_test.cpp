// A dying process writes down where it died, dies all the same, and its children write nothing.
#include "process/crash_notes.hpp"

#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <new>

#include "tests/support/pch.hpp"
#include "tests/support/sanitizers.hpp"

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

// What malloc left behind is in errno, and it means something only under a limit.
TEST(CrashNotes, tell_a_null_pointer_that_a_refusal_returned) {
  const auto refused = [](rlim_t limit, int error, std::uint64_t address) {
    const Died died = die_of([=] {
      rlimit data{};
      getrlimit(RLIMIT_DATA, &data);
      data.rlim_cur = limit;
      setrlimit(RLIMIT_DATA, &data);
      errno = error;
      write_to(address);
    });
    EXPECT_EQ(died.signal, SIGSEGV);
    return died.notes->memory_flag.load() != 0;
  };
  if (test::sanitized) GTEST_SKIP() << "RLIMIT_DATA is off under this sanitizer";
  constexpr rlim_t limit = rlim_t{1} << 30;
  EXPECT_TRUE(refused(limit, ENOMEM, 8));
  EXPECT_FALSE(refused(limit, EINVAL, 8)) << "nothing was refused";
  EXPECT_FALSE(refused(RLIM_INFINITY, ENOMEM, 8)) << "not by a limit of ours";
  EXPECT_FALSE(refused(limit, ENOMEM, 0x23450)) << "no null pointer";
}

}  // namespace
}  // namespace reeve::process
