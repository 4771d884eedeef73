// Descriptors close once, are close-on-exec, travel through sockets; pidfds report how a child
// ended.
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <reeve/base/error.hpp>
#include <reeve/os/fd.hpp>

namespace reeve::os {
namespace {

bool is_open(int fd) {
  return ::fcntl(fd, F_GETFD) >= 0;
}
bool is_cloexec(int fd) {
  return (::fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0;
}
std::span<const std::byte> bytes(std::string_view text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

template <class Body>
pid_t fork_child(Body body) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    body();
    ::_exit(0);
  }
  return pid;
}

TEST(UniqueFd, ClosesOnceAndMoves) {
  int raw = -1;
  {
    UniqueFd a = make_eventfd();
    raw = a.get();
    EXPECT_TRUE(is_cloexec(raw));
    UniqueFd b = std::move(a);
    EXPECT_FALSE(a);
    EXPECT_EQ(b.get(), raw);
    UniqueFd& same = b;
    b = std::move(same);
    EXPECT_TRUE(is_open(raw));
  }
  EXPECT_FALSE(is_open(raw));
}

TEST(UniqueFd, ReleaseGivesUpAndResetKeepsErrno) {
  UniqueFd a = make_eventfd();
  const int raw = a.release();
  EXPECT_TRUE(is_open(raw));
  a.reset(raw);
  errno = EDOM;
  a.reset();
  EXPECT_EQ(errno, EDOM);
  EXPECT_FALSE(is_open(raw));
}

TEST(Memfd, HasSizeSealsAndIsShared) {
  UniqueFd file = memfd("reeve-test", 8192, Seals::shrink | Seals::grow);
  EXPECT_TRUE(is_cloexec(file.get()));
  EXPECT_EQ(seals_of(file.get()), (Seals::shrink | Seals::grow));
  EXPECT_NE(::ftruncate(file.get(), 4096), 0);
  EXPECT_EQ(errno, EPERM);
  Mapping first = Mapping::shared(file.get(), 8192);
  Mapping second = Mapping::shared(file.get(), 4096, Access::read, 4096);
  file.reset();
  first.bytes()[4096] = std::byte{42};
  EXPECT_EQ(second.bytes()[0], std::byte{42});
  Mapping moved = std::move(first);
  EXPECT_FALSE(first);
  EXPECT_EQ(moved.size(), 8192u);
  add_seals(memfd("x", 1).get(), Seals::seal);
}

TEST(Memfd, RefusalsAreSystemErrors) {
  EXPECT_THROW(Mapping::shared(-1, 4096), SystemError);
  EXPECT_THROW(Mapping::anonymous_shared(0), SystemError);
  EXPECT_THROW(add_seals(-1, Seals::seal), SystemError);
  EXPECT_THROW(seals_of(-1), SystemError);
  UniqueFd sealed = memfd("x", 1, Seals::seal);
  EXPECT_THROW(add_seals(sealed.get(), Seals::write), SystemError);
}

TEST(Mapping, AnonymousMemoryIsSharedWithChildren) {
  Mapping page = Mapping::anonymous_shared(4096);
  const pid_t pid = fork_child([&] { page.bytes()[0] = std::byte{7}; });
  EXPECT_EQ(pidfd_wait(pidfd_open(pid).get(), Wait::block).error, 0);
  EXPECT_EQ(page.bytes()[0], std::byte{7});
}

TEST(Pidfd, ReportsExitCodeAndUsage) {
  const pid_t pid = fork_child([] { ::_exit(42); });
  UniqueFd fd = pidfd_open(pid);
  EXPECT_TRUE(is_cloexec(fd.get()));
  const WaitResult result = pidfd_wait(fd.get(), Wait::block);
  ASSERT_TRUE(result.status.has_value());
  EXPECT_EQ(result.status->pid, pid);
  EXPECT_FALSE(result.status->signalled);
  EXPECT_EQ(result.status->value, 42);
  EXPECT_GT(result.status->peak_resident_bytes, 0u);
  EXPECT_EQ(pidfd_wait(fd.get(), Wait::poll).error, ECHILD);
  EXPECT_EQ(pidfd_send_signal(fd.get(), SIGKILL), ESRCH);
}

TEST(Pidfd, KillsAndSeesDeath) {
  const pid_t pid = fork_child([] { ::pause(); });
  UniqueFd fd = pidfd_open(pid);
  EXPECT_FALSE(pidfd_dead(fd.get()));
  const WaitResult running = pidfd_wait(fd.get(), Wait::poll);
  EXPECT_EQ(running.error, 0);
  EXPECT_FALSE(running.status.has_value());
  EXPECT_EQ(pidfd_send_signal(fd.get(), SIGKILL), 0);
  pollfd entry{fd.get(), POLLIN, 0};
  ASSERT_EQ(::poll(&entry, 1, 10'000), 1);
  EXPECT_TRUE(pidfd_dead(fd.get()));
  const WaitResult result = pidfd_wait(fd.get(), Wait::poll);
  ASSERT_TRUE(result.status.has_value());
  EXPECT_TRUE(result.status->signalled);
  EXPECT_EQ(result.status->value, SIGKILL);
}

TEST(Pidfd, ReapsAChildWithoutExitSignal) {
  // clone with exit_signal 0: invisible to waitpid(-1), visible to us.
  const auto pid = static_cast<pid_t>(::syscall(SYS_clone, 0, nullptr, nullptr, nullptr, 0));
  if (pid == 0) ::_exit(5);
  ASSERT_GT(pid, 0);
  UniqueFd fd = pidfd_open(pid);
  const WaitResult result = pidfd_wait(fd.get(), Wait::block);
  ASSERT_TRUE(result.status.has_value()) << std::strerror(result.error);
  EXPECT_EQ(result.status->value, 5);
}

TEST(Pidfd, OfNobodyIsESRCH) {
  try {
    pidfd_open(0x7ffffff);
    FAIL();
  } catch (const SystemError& error) {
    EXPECT_TRUE(error.code() == ESRCH || error.code() == EINVAL);
  }
}

TEST(Eventfd, CountsAndDrains) {
  UniqueFd fd = make_eventfd();
  EXPECT_EQ(eventfd_drain(fd.get()), 0u);
  EXPECT_TRUE(eventfd_signal(fd.get()));
  EXPECT_TRUE(eventfd_signal(fd.get()));
  EXPECT_EQ(eventfd_drain(fd.get()), 2u);
  EXPECT_EQ(eventfd_drain(fd.get()), 0u);
  EXPECT_FALSE(eventfd_signal(-1));
}

TEST(Seqpacket, CarriesMessagesAndDescriptors) {
  auto [left, right] = seqpacket_pair();
  EXPECT_TRUE(is_cloexec(left.get()) && is_cloexec(right.get()));
  UniqueFd a = make_eventfd(1);
  UniqueFd b = make_eventfd(2);
  const std::array<int, 2> out{a.get(), b.get()};
  ASSERT_EQ(send_with_fds(left.get(), bytes("hello"), out), 0);
  std::array<std::byte, 64> buffer{};
  std::array<UniqueFd, 4> in;
  const Received got = recv_with_fds(right.get(), buffer, in);
  EXPECT_EQ(got.error, 0);
  EXPECT_EQ(got.bytes, 5u);
  EXPECT_EQ(std::memcmp(buffer.data(), "hello", 5), 0);
  ASSERT_EQ(got.fd_count, 2u);
  EXPECT_FALSE(got.fds_lost || got.truncated || got.eof);
  EXPECT_TRUE(is_cloexec(in[0].get()));
  EXPECT_EQ(eventfd_drain(in[0].get()), 1u);
  EXPECT_EQ(eventfd_drain(in[1].get()), 2u);
}

TEST(Seqpacket, ClosesDescriptorsThatHaveNoRoom) {
  auto [left, right] = seqpacket_pair();
  std::array<int, 2> pipe_ends{};
  ASSERT_EQ(::pipe2(pipe_ends.data(), O_CLOEXEC | O_NONBLOCK), 0);
  UniqueFd reader{pipe_ends[0]};
  UniqueFd writer{pipe_ends[1]};
  const std::array<int, 2> out{left.get(), writer.get()};
  ASSERT_EQ(send_with_fds(left.get(), bytes("x"), out), 0);
  writer.reset();
  std::array<std::byte, 8> buffer{};
  std::array<UniqueFd, 1> in;
  const Received got = recv_with_fds(right.get(), buffer, in);
  EXPECT_EQ(got.fd_count, 1u);
  EXPECT_TRUE(got.fds_lost);
  char byte = 0;
  EXPECT_EQ(::read(reader.get(), &byte, 1), 0) << "the lost writer end is still open somewhere";
}

TEST(Seqpacket, NamesTruncationEndOfFileAndEmptiness) {
  auto [left, right] = seqpacket_pair(Blocking::no);
  std::array<std::byte, 4> buffer{};
  EXPECT_EQ(recv_with_fds(right.get(), buffer).error, EAGAIN);
  ASSERT_EQ(send_with_fds(left.get(), bytes("longer")), 0);
  const Received cut = recv_with_fds(right.get(), buffer);
  EXPECT_TRUE(cut.truncated);
  EXPECT_EQ(cut.bytes, 4u);
  EXPECT_EQ(send_with_fds(left.get(), {}), EINVAL);
  const std::vector<int> many(fds_per_message_max + 1, left.get());
  EXPECT_EQ(send_with_fds(left.get(), bytes("x"), many), EINVAL);
  left.reset();
  EXPECT_TRUE(recv_with_fds(right.get(), buffer).eof);
  EXPECT_EQ(send_with_fds(right.get(), bytes("x")), EPIPE);  // and no SIGPIPE
}

TEST(Seqpacket, SaysEAGAINWhenFull) {
  auto [left, right] = seqpacket_pair(Blocking::no);
  const std::vector<std::byte> block(4096);
  int error = 0;
  for (int i = 0; i < 100'000 && error == 0; ++i) error = send_with_fds(left.get(), block);
  EXPECT_EQ(error, EAGAIN);
}

}  // namespace
}  // namespace reeve::os
