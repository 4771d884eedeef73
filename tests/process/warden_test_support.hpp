// A warden without a pool: its board, its socket, and workers that are spoken to by hand.
#pragma once

#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <reeve/codec/function_id.hpp>
#include <reeve/codec/task.hpp>
#include <reeve/os/fd.hpp>

#include "process/channel.hpp"
#include "process/launch.hpp"
#include "process/protocol.hpp"
#include "process/warden.hpp"
#include "tests/support/pch.hpp"

namespace reeve::process {

inline WorkerSettings plain_settings() {
  WorkerSettings settings;
  settings.channel_bytes = 1u << 20;
  settings.growth_max = 1u << 30;
  return settings;
}

/// The program's side of a warden.
class Program {
 public:
  static constexpr std::uint32_t slot_count = 8;

  explicit Program(WorkerSettings settings = plain_settings(), std::uint64_t magic = board_magic)
      : settings_(settings) {
    board_fd_ = os::UniqueFd(memfd_create("board", MFD_CLOEXEC));
    hub_fd_ = os::UniqueFd(memfd_create("hub", MFD_CLOEXEC));
    wake_ = os::UniqueFd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    EXPECT_EQ(ftruncate(board_fd_.get(), static_cast<off_t>(board_bytes(slot_count, 0))), 0);
    EXPECT_EQ(ftruncate(hub_fd_.get(), sizeof(HubPage)), 0);
    board_ = static_cast<BoardHeader*>(map(board_fd_.get(), board_bytes(slot_count, 0)));
    board_->magic = magic;
    board_->slot_count = slot_count;
    board_->settings = settings_;
    board_->armed_until = never;
    static_cast<HubPage*>(map(hub_fd_.get(), sizeof(HubPage)))->program_sleeps = 1;
    warden_ = launch_warden(board_fd_.get(), hub_fd_.get(), wake_.get());
  }
  ~Program() {
    munmap(board_, board_bytes(slot_count, 0));
    end();
    gone(warden_.pid);
  }

  void end() { warden_.socket.reset(); }
  int warden() const { return warden_.pid; }
  const WorkerSettings& settings() const { return settings_; }
  BoardSlot& slot(std::uint32_t number) { return reinterpret_cast<BoardSlot*>(board_ + 1)[number]; }
  void wake() {
    const std::uint64_t one = 1;
    EXPECT_EQ(write(wake_.get(), &one, sizeof one), 8);
  }

  /// One frame, whatever its bytes and descriptors are.
  void send(const void* bytes, std::size_t size, const std::vector<int>& fds = {}) {
    iovec part{const_cast<void*>(bytes), size};
    alignas(cmsghdr) char control[CMSG_SPACE(16 * sizeof(int))] = {};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    if (!fds.empty()) {
      message.msg_control = control;
      message.msg_controllen = CMSG_SPACE(fds.size() * sizeof(int));
      cmsghdr* header = CMSG_FIRSTHDR(&message);
      header->cmsg_level = SOL_SOCKET;
      header->cmsg_type = SCM_RIGHTS;
      header->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
      std::memcpy(CMSG_DATA(header), fds.data(), fds.size() * sizeof(int));
    }
    EXPECT_GE(sendmsg(warden_.socket.get(), &message, MSG_NOSIGNAL), 0) << std::strerror(errno);
  }
  void send(const Command& command, const std::vector<int>& fds = {}) {
    send(&command, sizeof command, fds);
  }

  /// The next report, or nothing: the socket is at its end, or 5 s have passed.
  std::optional<Report> next() {
    pollfd ready{warden_.socket.get(), POLLIN, 0};
    if (poll(&ready, 1, 5000) != 1) return std::nullopt;
    Report report{};
    const ssize_t size = recv(warden_.socket.get(), &report, sizeof report, 0);
    if (size <= 0) return std::nullopt;
    EXPECT_GE(static_cast<std::size_t>(size), sizeof report - tail_bytes);
    EXPECT_EQ(static_cast<std::size_t>(size), report.frame_bytes());
    return report;
  }
  /// The next of its kind; others are passed over.
  std::optional<Report> next(MessageKind kind) {
    for (;;) {
      const auto report = next();
      if (!report || report->kind == kind) return report;
    }
  }

  /// True once the process is gone, or a zombie: whoever adopts a warden reaps it when it likes.
  static bool gone(int pid) {
    for (int i = 0; i < 5000; ++i) {
      if (ended(pid)) return true;
      usleep(1000);
    }
    return false;
  }

  static bool ended(int pid) {
    std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
    std::string text;
    std::getline(file, text);
    const auto name_end = text.rfind(')');
    return name_end == std::string::npos || text.compare(name_end, 3, ") Z") == 0;
  }

 private:
  static void* map(int fd, std::size_t bytes) {
    void* page = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    EXPECT_NE(page, MAP_FAILED);
    return page;
  }

  WorkerSettings settings_;
  os::UniqueFd board_fd_, hub_fd_, wake_;
  BoardHeader* board_ = nullptr;
  Launched warden_;
};

/// One worker of such a program.
class Hand {
 public:
  Hand(Program& program, std::uint32_t slot, std::uint64_t incarnation)
      : program_(program),
        slot_(slot),
        incarnation_(incarnation),
        channel_(program.settings()),
        bell_(eventfd(0, EFD_CLOEXEC)) {}

  Command command(MessageKind kind) const {
    Command result{};
    result.kind = kind;
    result.slot = slot_;
    result.incarnation = incarnation_;
    return result;
  }
  void order_start() { program_.send(command(MessageKind::spawn), {channel_.fd(), bell_.get()}); }
  /// Its pid, or 0 with `error` set.
  int start() {
    order_start();
    const auto report = program_.next(MessageKind::spawned);
    EXPECT_TRUE(report);
    if (!report) return 0;
    EXPECT_EQ(report->slot, slot_);
    EXPECT_EQ(report->incarnation, incarnation_);
    error = report->error;
    return pid_ = report->pid;
  }
  void kill(Cause cause) {
    Command order = command(MessageKind::kill);
    order.cause = cause;
    program_.send(order);
  }

  ChannelHeader& header() { return channel_.header(); }
  Channel& channel() { return channel_; }

  /// Writes a request for `id` as the program would; `change` may spoil it. True if a bell rang.
  template <class Change>
  bool request(codec::FunctionId id, std::span<const std::byte> arguments, Change change) {
    std::memcpy(channel_.reserve(arguments.size()).data(), arguments.data(), arguments.size());
    ChannelHeader& page = header();
    page.function_module = id.module;
    page.function_offset = id.offset;
    page.argument_offset = 0;
    page.argument_bytes = arguments.size();
    page.reply_from = (arguments.size() + 63) / 64 * 64;
    page.file_bytes = channel_.file_bytes();
    change(page);
    page.request.store(++number_);
    syscall(SYS_futex, &page.request, FUTEX_WAKE, 1, nullptr, nullptr, 0);
    pollfd ring{bell_.get(), POLLIN, 0};
    for (int i = 0; i < 500 && page.reply.load() != number_ && !Program::ended(pid_); ++i) {
      if (poll(&ring, 1, 10) == 1) {
        std::uint64_t rings;
        EXPECT_EQ(read(bell_.get(), &rings, sizeof rings), 8);
      }
    }
    return page.reply.load() == number_;
  }
  std::span<const std::byte> reply() {
    const std::uint64_t offset = header().reply_offset, size = header().reply_bytes;
    if (!channel_.readable(offset, size)) return {};
    return channel_.area().subspan(offset, size);
  }

  int error = 0;

 private:
  Program& program_;
  std::uint32_t slot_;
  std::uint64_t incarnation_;
  Channel channel_;
  os::UniqueFd bell_;
  std::uint32_t number_ = 0;
  int pid_ = 0;
};

}  // namespace reeve::process
