// Descriptors, mappings, pidfds and messages that carry descriptors.
#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <reeve/base/error.hpp>
#include <reeve/os/fd.hpp>

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

namespace reeve::os {

void UniqueFd::reset(int fd) noexcept {
  const int old = std::exchange(fd_, fd);
  if (old < 0) return;
  const int saved = errno;
  ::close(old);
  errno = saved;
}

Mapping& Mapping::operator=(Mapping&& other) noexcept {
  if (this != &other) {
    reset();
    data_ = std::exchange(other.data_, nullptr);
    size_ = std::exchange(other.size_, 0);
  }
  return *this;
}

void Mapping::reset() noexcept {
  if (data_ != nullptr) ::munmap(data_, size_);
  data_ = nullptr;
  size_ = 0;
}

Mapping Mapping::shared(int fd, std::size_t size, Access access, std::size_t offset) {
  const int protection = access == Access::read ? PROT_READ : PROT_READ | PROT_WRITE;
  void* data = ::mmap(nullptr, size, protection, MAP_SHARED, fd, static_cast<off_t>(offset));
  if (data == MAP_FAILED) throw_errno("mmap of " + std::to_string(size) + " shared bytes");
  return Mapping{data, size};
}

Mapping Mapping::anonymous_shared(std::size_t size) {
  void* data = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (data == MAP_FAILED) throw_errno("mmap of " + std::to_string(size) + " anonymous bytes");
  return Mapping{data, size};
}

UniqueFd memfd(const char* name, std::size_t size, Seals seals) {
  UniqueFd fd{::memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING)};
  if (!fd) throw_errno(std::string("memfd_create(") + name + ")");
  if (::ftruncate(fd.get(), static_cast<off_t>(size)) != 0) {
    throw_errno(std::string("ftruncate(") + name + ", " + std::to_string(size) + ")");
  }
  if (seals != Seals::none) add_seals(fd.get(), seals);
  return fd;
}

void add_seals(int memfd, Seals seals) {
  static_assert(F_SEAL_SEAL == 1 && F_SEAL_SHRINK == 2 && F_SEAL_GROW == 4 && F_SEAL_WRITE == 8);
  if (::fcntl(memfd, F_ADD_SEALS, static_cast<int>(seals)) != 0) throw_errno("fcntl(F_ADD_SEALS)");
}

Seals seals_of(int memfd) {
  const int seals = ::fcntl(memfd, F_GET_SEALS);
  if (seals < 0) throw_errno("fcntl(F_GET_SEALS)");
  return static_cast<Seals>(seals);
}

UniqueFd pidfd_open(pid_t pid) {
  UniqueFd fd{static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))};
  if (!fd) throw_errno("pidfd_open(" + std::to_string(pid) + ")");
  return fd;
}

int pidfd_send_signal(int pidfd, int signal) noexcept {
  return ::syscall(SYS_pidfd_send_signal, pidfd, signal, nullptr, 0) == 0 ? 0 : errno;
}

bool pidfd_dead(int pidfd) noexcept {
  pollfd entry{pidfd, POLLIN, 0};
  return ::poll(&entry, 1, 0) > 0 && (entry.revents & (POLLIN | POLLHUP)) != 0;
}

WaitResult pidfd_wait(int pidfd, Wait wait) noexcept {
  siginfo_t info{};
  rusage usage{};
  const int options = WEXITED | __WALL | (wait == Wait::poll ? WNOHANG : 0);
  long rc = 0;
  do {  // the system call itself: glibc's waitid hands out no rusage
    rc = ::syscall(SYS_waitid, P_PIDFD, pidfd, &info, options, &usage);
  } while (rc != 0 && errno == EINTR);
  WaitResult result;
  if (rc != 0) {
    result.error = errno;
    return result;
  }
  if (info.si_pid == 0) return result;
  ExitStatus status;
  status.pid = info.si_pid;
  status.signalled = info.si_code != CLD_EXITED;
  status.core_dumped = info.si_code == CLD_DUMPED;
  status.value = info.si_status;
  const auto microseconds = [](const timeval& t) {
    return static_cast<std::uint64_t>(t.tv_sec) * 1'000'000 + static_cast<std::uint64_t>(t.tv_usec);
  };
  status.user_us = microseconds(usage.ru_utime);
  status.system_us = microseconds(usage.ru_stime);
  status.peak_resident_bytes = static_cast<std::uint64_t>(usage.ru_maxrss) * 1024;
  result.status = status;
  return result;
}

UniqueFd make_eventfd(unsigned initial) {
  UniqueFd fd{::eventfd(initial, EFD_CLOEXEC | EFD_NONBLOCK)};
  if (!fd) throw_errno("eventfd");
  return fd;
}

bool eventfd_signal(int fd) noexcept {
  const std::uint64_t one = 1;
  ssize_t written = 0;
  do {
    written = ::write(fd, &one, sizeof one);
  } while (written < 0 && errno == EINTR);
  return written == sizeof one ||
         errno == EAGAIN;  // EAGAIN: the count is at its end, so it is readable
}

std::uint64_t eventfd_drain(int fd) noexcept {
  std::uint64_t count = 0;
  ssize_t got = 0;
  do {
    got = ::read(fd, &count, sizeof count);
  } while (got < 0 && errno == EINTR);
  return got == sizeof count ? count : 0;
}

std::pair<UniqueFd, UniqueFd> seqpacket_pair(Blocking blocking) {
  int fds[2] = {-1, -1};
  const int type = SOCK_SEQPACKET | SOCK_CLOEXEC | (blocking == Blocking::no ? SOCK_NONBLOCK : 0);
  if (::socketpair(AF_UNIX, type, 0, fds) != 0) throw_errno("socketpair(SOCK_SEQPACKET)");
  return {UniqueFd{fds[0]}, UniqueFd{fds[1]}};
}

namespace {

// Room for the descriptors of one message, aligned as the kernel wants it.
union ControlBuffer {
  char bytes[CMSG_SPACE(sizeof(int) * fds_per_message_max)];
  cmsghdr align;
};

}  // namespace

int send_with_fds(int socket, std::span<const std::byte> data, std::span<const int> fds) noexcept {
  if (data.empty() || fds.size() > fds_per_message_max) return EINVAL;
  iovec part{const_cast<std::byte*>(data.data()), data.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  ControlBuffer control{};
  if (!fds.empty()) {
    message.msg_control = control.bytes;
    message.msg_controllen = CMSG_SPACE(fds.size_bytes());
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(fds.size_bytes());
    std::memcpy(CMSG_DATA(header), fds.data(), fds.size_bytes());
  }
  ssize_t sent = 0;
  do {
    sent = ::sendmsg(socket, &message, MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  return sent < 0 ? errno : 0;
}

Received recv_with_fds(int socket, std::span<std::byte> data, std::span<UniqueFd> fds) noexcept {
  iovec part{data.data(), data.size()};
  msghdr message{};
  ControlBuffer control{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.bytes;
  message.msg_controllen = sizeof control.bytes;
  ssize_t got = 0;
  do {
    got = ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  } while (got < 0 && errno == EINTR);
  Received result;
  if (got < 0) {
    result.error = errno;
    return result;
  }
  result.bytes = static_cast<std::size_t>(got);
  result.truncated = (message.msg_flags & MSG_TRUNC) != 0;
  result.fds_lost = (message.msg_flags & MSG_CTRUNC) != 0;
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
       header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof fd);
      UniqueFd owned{fd};
      if (result.fd_count < fds.size()) {
        fds[result.fd_count++] = std::move(owned);
      } else {
        result.fds_lost = true;
      }
    }
  }
  result.eof = got == 0 && !data.empty();
  return result;
}

}  // namespace reeve::os
