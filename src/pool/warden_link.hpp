// The link to a pool's warden: commands out, reports in, and the news of its end.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <reeve/async/quiet_wait.hpp>
#include <reeve/os/fd.hpp>

#include "process/protocol.hpp"

namespace reeve::detail {

class Core;

/// What a link tells, with the pool's mutex held.
class LinkEvents {
 public:
  virtual void on_report(const process::Report& report) = 0;
  /// The link is closed by then.
  virtual void on_warden_ended() = 0;

 protected:
  ~LinkEvents() = default;
};

/// All members are called with `mutex` held; events come only while `owner` lives.
class WardenLink {
 public:
  WardenLink(LinkEvents& events, std::weak_ptr<Core> owner, boost::asio::any_io_executor executor,
             async::QuietWait quiet, std::mutex& mutex);

  bool is_open() const noexcept { return socket_.has_value(); }
  /// Takes the socket to warden `pid` and listens to both from the next turn of the executor on.
  void open(os::UniqueFd socket, pid_t pid);
  void close() noexcept;
  /// The two descriptors, or -1 for none, may be closed when it returns. A closed link sends
  /// nothing. Errors: SystemError if they cannot be sent, or must wait and cannot be duplicated.
  void send(const process::Command& command, int channel = -1, int bell = -1);

 private:
  struct Outgoing {
    process::Command command;
    os::UniqueFd channel;
    os::UniqueFd bell;
  };

  void listen();
  void await_end();
  void read_reports();
  void end();
  void listen_soon();
  int post(const process::Command& command, int channel, int bell);
  void flush();
  void flush_later();

  LinkEvents& events_;
  std::weak_ptr<Core> owner_;
  boost::asio::any_io_executor executor_;
  async::QuietWait quiet_;
  std::mutex& mutex_;
  std::optional<boost::asio::posix::stream_descriptor> socket_;
  std::optional<boost::asio::posix::stream_descriptor> life_;  // its pidfd, where there is one
  std::uint64_t generation_ = 0;  // a handler of a link that was closed concerns no other
  std::deque<Outgoing> outbox_;
  bool flushing_ = false;
};

}  // namespace reeve::detail
