// Frames of a SEQPACKET socket, and a queue of those that it does not take yet.
#include "pool/warden_link.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <cerrno>
#include <cstring>
#include <reeve/base/error.hpp>

#include "pool/core.hpp"

namespace reeve::detail {

namespace asio = boost::asio;
using process::Command;
using process::Report;

WardenLink::WardenLink(LinkEvents& events, std::weak_ptr<Core> owner,
                       asio::any_io_executor executor, async::QuietWait quiet, std::mutex& mutex)
    : events_(events),
      owner_(std::move(owner)),
      executor_(std::move(executor)),
      quiet_(quiet),
      mutex_(mutex) {}

void WardenLink::open(os::UniqueFd socket, pid_t pid) {
  const auto take = [this](auto& to, os::UniqueFd& fd) {
    to.emplace(executor_);
    to->assign(fd.get());
    fd.release();
  };
  try {
    take(socket_, socket);
    socket_->non_blocking(true);
    os::UniqueFd life(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
    if (life) take(life_, life);
    listen_soon();
  } catch (...) {
    close();  // the warden sees it and ends
    throw;
  }
}

void WardenLink::listen_soon() {
  asio::post(executor_, [weak = owner_, this, link = generation_] {
    if (const auto owner = weak.lock()) {
      const std::lock_guard lock(mutex_);
      if (link != generation_) return;
      listen();
      await_end();
    }
  });
}

void WardenLink::close() noexcept {
  socket_.reset();
  life_.reset();
  outbox_.clear();
  ++generation_;
}

void WardenLink::end() {
  close();
  events_.on_warden_ended();
}

void WardenLink::listen() {
  if (!socket_) return;
  socket_->async_wait(asio::posix::stream_descriptor::wait_read,
                      [weak = owner_, this, link = generation_,
                       quiet = quiet_](const boost::system::error_code& error) {
                        quiet.resumed();
                        const auto owner = weak.lock();
                        if (!owner) return;
                        const std::lock_guard lock(mutex_);
                        if (error || link != generation_) return;
                        read_reports();
                        // The end of a warden may have started another, with its own listener.
                        if (link == generation_) listen();
                      });
  quiet_.started();
}

// The socket alone would not do: what the warden has just forked holds it open too, and may be
// stopped.
void WardenLink::await_end() {
  if (!life_) return;
  life_->async_wait(
      asio::posix::stream_descriptor::wait_read,
      [weak = owner_, this, link = generation_,
       quiet = quiet_](const boost::system::error_code& e) {
        quiet.resumed();
        const auto owner = weak.lock();
        if (!owner) return;
        const std::lock_guard lock(mutex_);
        if (e || link != generation_) return;
        read_reports();  // the last ones, or the end, which may have opened the next link
        if (link == generation_) end();
      });
  quiet_.started();
}

void WardenLink::read_reports() {
  const std::uint64_t link = generation_;
  for (;;) {
    Report report{};
    const ssize_t size = recv(socket_->native_handle(), &report, sizeof report, MSG_DONTWAIT);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0 && errno == EAGAIN) return;
    if (size <= 0) return end();
    if (static_cast<std::size_t>(size) < sizeof report - process::tail_bytes) continue;
    report.tail_size = std::min<std::uint32_t>(
        report.tail_size, static_cast<std::uint32_t>(static_cast<std::size_t>(size) -
                                                     (sizeof report - process::tail_bytes)));
    events_.on_report(report);
    if (link != generation_) return;
  }
}

void WardenLink::send(const Command& command, int channel, int bell) {
  if (!socket_) return;  // its end has been told, or nobody wants to hear of it
  if (outbox_.empty()) {
    const int error = post(command, channel, bell);
    if (error == 0) return;
    if (error != EAGAIN && channel >= 0) throw SystemError(error, "asking the warden for a worker");
  }
  Outgoing item{command, {}, {}};
  if (channel >= 0) {
    item.channel = os::UniqueFd(fcntl(channel, F_DUPFD_CLOEXEC, 0));
    item.bell = os::UniqueFd(fcntl(bell, F_DUPFD_CLOEXEC, 0));
    if (!item.channel || !item.bell) throw_errno("duplicating a worker's descriptors");
  }
  outbox_.push_back(std::move(item));
  flush_later();
}

// One frame to the warden: 0, EAGAIN if its queue is full, or why it cannot be sent now. A warden
// that is gone is noticed by the reader.
int WardenLink::post(const Command& command, int channel, int bell) {
  iovec part{const_cast<Command*>(&command), sizeof command};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  alignas(cmsghdr) char control[CMSG_SPACE(2 * sizeof(int))] = {};
  if (channel >= 0) {
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(2 * sizeof(int));
    const int fds[2] = {channel, bell};
    std::memcpy(CMSG_DATA(header), fds, sizeof fds);
  }
  for (;;) {
    if (sendmsg(socket_->native_handle(), &message, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0) return 0;
    switch (errno) {
      case EINTR:
        continue;
      case EPIPE:
      case ECONNRESET:
      case ENOTCONN:
        return 0;
      case EWOULDBLOCK:
      case ENOBUFS:
        return EAGAIN;
      default:
        return errno;
    }
  }
}

void WardenLink::flush() {
  while (!outbox_.empty() && socket_) {
    const Outgoing& item = outbox_.front();
    const int error = post(item.command, item.channel.get(), item.bell.get());
    if (error == EAGAIN || (error != 0 && !item.channel)) return flush_later();
    const Command command = item.command;
    outbox_.pop_front();
    if (error == 0) continue;
    Report refused{};  // as the warden would say that it cannot
    refused.kind = process::MessageKind::spawned;
    refused.slot = command.slot;
    refused.incarnation = command.incarnation;
    refused.error = error;
    events_.on_report(refused);
  }
}

void WardenLink::flush_later() {
  if (std::exchange(flushing_, true)) return;
  socket_->async_wait(asio::posix::stream_descriptor::wait_write,
                      [weak = owner_, this](const boost::system::error_code&) {
                        const auto owner = weak.lock();
                        if (!owner) return;
                        const std::lock_guard lock(mutex_);
                        flushing_ = false;
                        flush();
                      });
}

}  // namespace reeve::detail
