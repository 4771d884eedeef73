// Descriptors that close themselves, mappings that unmap themselves, and messages that carry
// descriptors.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>

namespace reeve::os {

/// Owns one file descriptor and closes it. Every descriptor that this header makes is
/// close-on-exec.
///
/// Threads: as an int: one thread at a time.
class UniqueFd {
 public:
  UniqueFd() noexcept = default;
  explicit UniqueFd(int fd) noexcept : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(other.release()) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    if (this != &other) reset(other.release());
    return *this;
  }
  ~UniqueFd() { reset(); }

  int get() const noexcept { return fd_; }
  explicit operator bool() const noexcept { return fd_ >= 0; }
  /// Gives the descriptor up without closing it.
  int release() noexcept { return std::exchange(fd_, -1); }
  /// Closes what it owns and takes `fd`. Leaves errno as it was.
  void reset(int fd = -1) noexcept;

 private:
  int fd_ = -1;
};

enum class Access : std::uint8_t { read, read_write };

/// Owns one memory mapping and unmaps it.
///
/// Threads: moving and destroying by one thread; the memory is the users' matter.
class Mapping {
 public:
  Mapping() noexcept = default;
  Mapping(Mapping&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  Mapping& operator=(Mapping&& other) noexcept;
  ~Mapping() { reset(); }

  /// Maps `size` bytes of `fd` from `offset` (a multiple of the page size), shared with all who map
  /// it.
  ///
  /// Preconditions: size > 0; the file is at least offset + size bytes long, or touching the rest
  /// is SIGBUS. Lifetime:      the mapping keeps the file; `fd` may be closed. Errors: SystemError.
  static Mapping shared(int fd, std::size_t size, Access = Access::read_write,
                        std::size_t offset = 0);
  /// Anonymous memory that children made by fork share.
  static Mapping anonymous_shared(std::size_t size);

  void* data() const noexcept { return data_; }
  std::size_t size() const noexcept { return size_; }
  explicit operator bool() const noexcept { return data_ != nullptr; }
  std::span<std::byte> bytes() const noexcept { return {static_cast<std::byte*>(data_), size_}; }
  void reset() noexcept;

 private:
  Mapping(void* data, std::size_t size) noexcept : data_(data), size_(size) {}
  void* data_ = nullptr;
  std::size_t size_ = 0;
};

/// Seals of a memfd; combine with |. `none` still allows to add seals later.
enum class Seals : unsigned { none = 0, seal = 1, shrink = 2, grow = 4, write = 8 };
constexpr Seals operator|(Seals a, Seals b) noexcept {
  return static_cast<Seals>(static_cast<unsigned>(a) | static_cast<unsigned>(b));
}

/// An anonymous file of `size` zero bytes, sealed with `seals`; `name` shows in /proc/PID/maps.
/// Errors: SystemError.
UniqueFd memfd(const char* name, std::size_t size, Seals seals = Seals::none);
void add_seals(int memfd, Seals seals);
/// The seals that `memfd` carries: what a receiver checks before it maps a stranger's file.
Seals seals_of(int memfd);

/// A descriptor of the process `pid`, readable when it has died. Errors: SystemError (ESRCH: no
/// such process).
UniqueFd pidfd_open(pid_t pid);

/// Sends `signal`; returns 0 or the errno value (ESRCH: it has been reaped). Async-signal-safe.
int pidfd_send_signal(int pidfd, int signal) noexcept;

/// Whether the process has died (reaped or not). Never blocks; needs no parenthood.
/// Async-signal-safe.
bool pidfd_dead(int pidfd) noexcept;

/// How a child ended, and what it used.
struct ExitStatus {
  pid_t pid = 0;
  bool signalled = false;    ///< ended by a signal
  bool core_dumped = false;  ///< only with `signalled`
  int value = 0;             ///< the exit code, or the signal
  std::uint64_t user_us = 0, system_us = 0;
  std::uint64_t peak_resident_bytes = 0;  ///< ru_maxrss: of the largest process of its reaped tree
};

struct WaitResult {
  int error = 0;                     ///< errno value; ECHILD: not a child of ours, or reaped before
  std::optional<ExitStatus> status;  ///< empty without an error: still running
};

enum class Wait : std::uint8_t { poll, block };

/// Reaps the child behind `pidfd`, also one that was made with exit_signal 0 (__WALL).
/// Async-signal-safe. Preconditions: the caller is the parent; others get ECHILD.
WaitResult pidfd_wait(int pidfd, Wait) noexcept;

/// A non-blocking eventfd. Errors: SystemError.
UniqueFd make_eventfd(unsigned initial = 0);
/// Adds 1 and so wakes who waits; false when it could not. Async-signal-safe.
bool eventfd_signal(int fd) noexcept;
/// Takes the count, 0 if there was none. Async-signal-safe.
std::uint64_t eventfd_drain(int fd) noexcept;

enum class Blocking : std::uint8_t { yes, no };

/// Two connected SOCK_SEQPACKET sockets: whole messages in order, end of file when the peer dies.
/// Errors: SystemError.
std::pair<UniqueFd, UniqueFd> seqpacket_pair(Blocking = Blocking::yes);

/// The most descriptors that one message may carry.
inline constexpr std::size_t fds_per_message_max = 16;

/// Sends one message with copies of `fds`. Retries after EINTR, never raises SIGPIPE, never
/// allocates.
///
/// Preconditions: `data` is not empty (an empty message looks like end of file);
///                fds.size() <= fds_per_message_max, else EINVAL.
/// Errors:        returns 0 or the errno value: EAGAIN full, EPIPE the peer is gone, EMSGSIZE too
/// long.
int send_with_fds(int socket, std::span<const std::byte> data,
                  std::span<const int> fds = {}) noexcept;

struct Received {
  int error = 0;           ///< errno value; EAGAIN: nothing there
  bool eof = false;        ///< the peer has closed or died
  bool truncated = false;  ///< the message was longer than the buffer: its end is lost
  bool fds_lost = false;   ///< more descriptors came than there was room for; those were closed
  std::size_t bytes = 0;
  std::size_t fd_count = 0;
};

/// Receives one message; descriptors go to `fds` in the order of sending, close-on-exec from birth.
/// Retries after EINTR, never allocates.
Received recv_with_fds(int socket, std::span<std::byte> data,
                       std::span<UniqueFd> fds = {}) noexcept;

}  // namespace reeve::os
