// The warden's event loop and its messages.
#include "process/warden.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <reeve/os/proc.hpp>

#include "process/tree.hpp"

namespace reeve::process {
namespace {

int only_connected_socket(int fd) {
  ucred peer{};
  socklen_t size = sizeof peer;
  int type = 0;
  socklen_t type_size = sizeof type;
  if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &type_size) != 0 || type != SOCK_SEQPACKET)
    return -1;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0 || peer.uid != geteuid())
    return -1;
  return peer.pid;
}

// Whatever the program ignored or handled: workers inherit the defaults.
void reset_signals() {
  struct sigaction action{};
  action.sa_handler = SIG_DFL;
  for (int number = 1; number < NSIG; ++number) sigaction(number, &action, nullptr);
}

// Workers drop all capabilities; an empty bounding set keeps them from gaining any by exec.
void empty_bounding_set() {
  for (int capability = 0; prctl(PR_CAPBSET_READ, capability) >= 0; ++capability) {
    if (prctl(PR_CAPBSET_DROP, capability) != 0) return;  // not allowed: there is nothing to gain
  }
}

}  // namespace

void Warden::watch(int fd, Source source, std::uint32_t slot) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = (std::uint64_t{slot} << 32) | source;
  epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event);
}

// Descriptors above own_fds_from are the warden's; a worker closes them all in one call.
int move_up(int fd) {
  if (fd < 0) return fd;
  const int moved = fcntl(fd, F_DUPFD_CLOEXEC, own_fds_from);
  if (moved < 0) return fd;
  close(fd);
  return moved;
}

std::int64_t monotonic_ns() noexcept {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

Warden::Warden() {
  prctl(PR_SET_NAME, warden_name);
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  rlimit files{};
  if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
  }
  adopt_descriptors();
  reset_signals();
  if (settings_.drop_capabilities != 0) empty_bounding_set();
  sigset_t mask;
  sigfillset(&mask);  // from now on signals are read, workers reset the mask
  sigprocmask(SIG_SETMASK, &mask, nullptr);
  sigset_t deaths;
  sigemptyset(&deaths);
  sigaddset(&deaths, SIGCHLD);
  signals_ = move_up(signalfd(-1, &deaths, SFD_CLOEXEC | SFD_NONBLOCK));
  timer_ = move_up(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
  epoll_ = move_up(epoll_create1(EPOLL_CLOEXEC));
  watch(socket_, from_socket);
  watch(timer_, from_timer);
  watch(wake_, from_wake);
  watch(signals_, from_signals);
  if (program_ >= 0) watch(program_, from_program);
}

void Warden::adopt_descriptors() {
  const int program = only_connected_socket(warden_socket_fd);
  if (program < 0) {
    static const char text[] =
        "reeve-warden: this name is reserved for a process that reeve starts itself\n";
    [[maybe_unused]] const auto n = write(2, text, sizeof text - 1);
    _exit(120);
  }
  struct stat board_stat{};
  if (fstat(warden_board_fd, &board_stat) != 0) _exit(121);
  const auto size = static_cast<std::size_t>(board_stat.st_size);
  void* board = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, warden_board_fd, 0);
  if (board == MAP_FAILED || size < sizeof(BoardHeader)) _exit(121);
  madvise(board, size, MADV_DONTFORK);  // workers never see it
  board_ = static_cast<BoardHeader*>(board);
  if (board_->magic != board_magic) _exit(121);
  slots_ = reinterpret_cast<BoardSlot*>(board_ + 1);
  settings_ = board_->settings;
  settings_text_.assign(reinterpret_cast<const char*>(slots_ + board_->slot_count),
                        settings_.text_bytes);
  self_ = getpid();
  socket_ = move_up(warden_socket_fd);
  board_fd_ = move_up(warden_board_fd);
  hub_fd_ = move_up(warden_hub_fd);
  wake_ = move_up(warden_wake_fd);
  program_ = static_cast<int>(syscall(SYS_pidfd_open, program, 0));
  if (program_ >= 0) program_ = move_up(program_);
}

void Warden::run() {
  say_hello();
  prepare_workers();
  for (;;) {
    epoll_event events[64];
    const int count = epoll_wait(epoll_, events, 64, -1);
    for (int i = 0; i < count; ++i) {
      const auto source = static_cast<Source>(events[i].data.u64 & 0xffffffff);
      const auto slot = static_cast<std::uint32_t>(events[i].data.u64 >> 32);
      std::uint64_t ignored;
      switch (source) {
        case from_socket:
          if ((events[i].events & EPOLLOUT) != 0) flush();
          if ((events[i].events & (EPOLLIN | EPOLLHUP)) != 0) serve_socket();
          break;
        case from_timer:
        case from_wake:
          if (read(source == from_timer ? timer_ : wake_, &ignored, 8) >= 0) sweep();
          break;
        case from_signals:
          reap();
          break;
        case from_program:
          end();
        case from_output:
          if (slot < wards_.size()) read_output(wards_[slot]);
          break;
      }
    }
  }
}

void Warden::serve_socket() {
  for (;;) {
    Command command{};
    iovec part{&command, sizeof command};
    alignas(cmsghdr) char control[CMSG_SPACE(4 * sizeof(int))];
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    const ssize_t size = recvmsg(socket_, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (size < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN) return;
      end();
    }
    if (size == 0) end();  // the program is gone or has closed the pool
    int fds[4] = {-1, -1, -1, -1};
    const cmsghdr* header = CMSG_FIRSTHDR(&message);
    if (header != nullptr && header->cmsg_type == SCM_RIGHTS) {
      std::memcpy(fds, CMSG_DATA(header), std::min(sizeof fds, header->cmsg_len - CMSG_LEN(0)));
    }
    const bool whole = (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == 0;
    if (size == sizeof command && command.slot < board_->slot_count) {
      const bool all = whole && fds[0] >= 0 && fds[1] >= 0;
      if (command.kind == MessageKind::spawn && !all) {
        refuse_to_spawn(command, EMFILE);  // descriptors got lost: we may have too many
      } else if (whole) {
        handle_command(command, fds[0], fds[1]);
      }
    }
    for (const int fd : fds) {
      if (fd >= 0) close(fd);
    }
  }
}

void Warden::handle_command(const Command& command, int channel, int bell) {
  if (command.slot >= wards_.size()) wards_.resize(command.slot + 1);
  if (command.kind == MessageKind::spawn) {
    spawn(command, channel, bell);
  } else if (command.kind == MessageKind::kill &&
             wards_[command.slot].incarnation == command.incarnation) {
    kill(command.slot, command.cause);
    sweep();
  }
}

Report Warden::report(MessageKind kind, std::uint32_t slot) const {
  Report result{};
  const Ward& ward = wards_[slot];
  result.kind = kind;
  result.slot = slot;
  result.incarnation = ward.incarnation;
  result.pid = ward.pid;
  result.cause = ward.killed_for;
  result.limit = ward.limit;
  result.observed = ward.observed;
  result.peak = slots_[slot].memory_peak.load(std::memory_order_relaxed);
  result.decided_at = ward.decided_at;
  result.descendants_killed = ward.descendants_killed;
  return result;
}

void Warden::say_hello() {
  Report hello{};
  hello.kind = MessageKind::hello;
  hello.threads = static_cast<std::uint32_t>(os::thread_count_self());
  hello.baseline = data_bytes();
  if (hello.threads > 1) settings_.exec_each = 1;  // forking would copy locks that others hold
  send(hello);
}

void Warden::send(const Report& report) {
  outbox_.emplace_back(reinterpret_cast<const char*>(&report), report.frame_bytes());
  flush();
}

void Warden::flush() {
  while (!outbox_.empty()) {
    const std::string& frame = outbox_.front();
    const ssize_t sent = ::send(socket_, frame.data(), frame.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0 && (errno == EAGAIN || errno == ENOBUFS)) break;
    if (sent < 0) end();
    outbox_.pop_front();
  }
  const bool wanted = !outbox_.empty();
  if (wanted == outbox_watched_) return;
  outbox_watched_ = wanted;
  epoll_event event{};
  event.events = EPOLLIN | (wanted ? EPOLLOUT : 0u);
  event.data.u64 = from_socket;
  epoll_ctl(epoll_, EPOLL_CTL_MOD, socket_, &event);
}

}  // namespace reeve::process
