// The link to the warden: commands out, reports in, bells to wake by.
#include "pool/process_backend.hpp"

#include <fmt/format.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <cerrno>
#include <cstring>
#include <deque>
#include <reeve/os/fd.hpp>
#include <reeve/os/topology.hpp>

#include "pool/board.hpp"
#include "pool/core.hpp"
#include "pool/mechanisms.hpp"
#include "pool/pool_group.hpp"
#include "pool/process_worker.hpp"
#include "process/launch.hpp"
#include "process/protocol.hpp"

namespace reeve::detail {
namespace {

namespace asio = boost::asio;
using process::BoardSlot;
using process::Command;
using process::MessageKind;
using process::Report;

class ProcessBackend final : public Backend {
 public:
  ProcessBackend(BackendEvents& events, std::weak_ptr<Core> owner, asio::any_io_executor executor,
                 async::QuietWait quiet, std::mutex& mutex, const ResourceConfig& config);
  ~ProcessBackend() override;

  std::shared_ptr<Worker> start(std::uint32_t slot, std::uint64_t incarnation,
                                std::string_view device) override;
  void kill(std::uint32_t slot, std::uint64_t incarnation, Cause cause) override;
  BoardSlot& cell(std::uint32_t slot) override { return board_.slot(slot); }
  bool watch(std::int64_t due) override {
    board_.arm(due);
    return true;
  }
  bool watches() const noexcept override { return true; }
  Capabilities capabilities() const override;
  void set_sleeping(bool sleeps) noexcept override { board_.set_sleeping(sleeps); }
  void detach() noexcept override;

 private:
  struct Bell {
    std::uint64_t incarnation = 0;
    std::uint64_t rings = 0;  // filled by the read
    std::unique_ptr<asio::posix::stream_descriptor> stream;
  };

  PoolGroup make_group() const;
  Board make_board();
  void place(std::uint32_t slot, Command& command) const;
  void launch();
  void listen();
  void await_end();
  void read_reports();
  void handle(const Report& report);
  void listen_to(std::uint32_t slot, std::uint64_t incarnation);
  void send(const Command& command, int channel, int bell);
  bool post(const Command& command, int channel, int bell);
  void flush();
  void warden_lost(const char* how);

  struct Outgoing {
    Command command;
    os::UniqueFd channel;
    os::UniqueFd bell;
  };

  BackendEvents& events_;
  std::weak_ptr<Core> owner_;
  asio::any_io_executor executor_;
  async::QuietWait quiet_;
  std::mutex& mutex_;
  const ResourceConfig& config_;  // the pool's core outlives its backend
  PoolGroup group_;
  std::optional<os::Topology> topology_;
  process::WorkerSettings settings_;
  Board board_;
  std::optional<asio::posix::stream_descriptor> socket_;
  std::optional<asio::posix::stream_descriptor> life_;  // the warden's pidfd, where there is one
  pid_t warden_ = -1;
  unsigned warden_threads_ = 0;
  ByteSize baseline_;
  std::vector<std::shared_ptr<Bell>> bells_;
  std::vector<std::uint64_t> living_;  // incarnation per slot, 0: none
  std::deque<Outgoing> outbox_;
  bool flushing_ = false;
};

ProcessBackend::ProcessBackend(BackendEvents& events, std::weak_ptr<Core> owner,
                               asio::any_io_executor executor, async::QuietWait quiet,
                               std::mutex& mutex, const ResourceConfig& config)
    : events_(events),
      owner_(std::move(owner)),
      executor_(std::move(executor)),
      quiet_(quiet),
      mutex_(mutex),
      config_(config),
      group_(make_group()),
      board_(make_board()) {
  if (config.bind != Bind::none) topology_.emplace(os::Topology::read());
}

PoolGroup ProcessBackend::make_group() const {
  return config_.use_cgroup ? PoolGroup(os::find_own_cgroup()) : PoolGroup::declined();
}

Board ProcessBackend::make_board() {
  const std::string text = settings_text(config_);
  settings_ = worker_settings(config_, text.size());
  enter_group(settings_, group_, config_);
  return Board(settings_, text);
}

ProcessBackend::~ProcessBackend() {
  group_.remove();  // else by the warden, when it has buried everybody
}

void ProcessBackend::launch() {
  process::Launched launched =
      process::launch_warden(board_.fd(), board_.hub_fd(), board_.wake_fd());
  warden_ = launched.pid;
  board_.disarm();
  socket_.emplace(executor_, launched.socket.release());
  socket_->non_blocking(true);
  const int life = static_cast<int>(syscall(SYS_pidfd_open, warden_, 0));
  if (life >= 0) life_.emplace(executor_, life);
  asio::post(executor_, [weak = owner_, this] {
    if (const auto owner = weak.lock()) {
      const std::lock_guard lock(mutex_);
      listen();
      await_end();
    }
  });
}

void ProcessBackend::listen() {
  if (!socket_) return;
  socket_->async_wait(asio::posix::stream_descriptor::wait_read,
                      [weak = owner_, this, warden = warden_,
                       quiet = quiet_](const boost::system::error_code& error) {
                        quiet.resumed();
                        const auto owner = weak.lock();
                        if (!owner) return;
                        const std::lock_guard lock(mutex_);
                        if (error || !socket_ || warden != warden_) return;
                        read_reports();
                        listen();
                      });
  quiet_.started();
}

// The socket alone would not do: what the warden has just forked holds it open too, and may be
// stopped.
void ProcessBackend::await_end() {
  if (!life_) return;
  life_->async_wait(
      asio::posix::stream_descriptor::wait_read,
      [weak = owner_, this, warden = warden_, quiet = quiet_](const boost::system::error_code& e) {
        quiet.resumed();
        const auto owner = weak.lock();
        if (!owner) return;
        const std::lock_guard lock(mutex_);
        if (e || !socket_ || warden != warden_) return;
        read_reports();  // the last ones
        if (socket_) warden_lost("its warden ended");
      });
  quiet_.started();
}

void ProcessBackend::read_reports() {
  for (;;) {
    Report report{};
    const ssize_t size = recv(socket_->native_handle(), &report, sizeof report, MSG_DONTWAIT);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0 && errno == EAGAIN) return;
    if (size <= 0) return warden_lost("its warden ended");
    if (static_cast<std::size_t>(size) < sizeof report - process::tail_bytes) continue;
    report.tail_size = std::min<std::uint32_t>(
        report.tail_size, static_cast<std::uint32_t>(static_cast<std::size_t>(size) -
                                                     (sizeof report - process::tail_bytes)));
    handle(report);
    if (!socket_) return;
  }
}

void ProcessBackend::handle(const Report& report) {
  if (report.kind == MessageKind::hello) {
    warden_threads_ = report.threads;
    baseline_ = ByteSize{report.baseline};
    return;
  }
  if (report.slot >= living_.size() || living_[report.slot] != report.incarnation) return;
  switch (report.kind) {
    case MessageKind::spawned:
      if (report.error == 0) {
        listen_to(report.slot, report.incarnation);
        events_.on_started(report.slot, report.incarnation, report.pid);
      } else {
        living_[report.slot] = 0;
        events_.on_start_failed(report.slot, report.incarnation,
                                fmt::format("fork failed: {}", std::strerror(report.error)));
      }
      break;
    case MessageKind::revoked:
      if (report.unkillable != 0) {
        events_.on_stuck(report.slot, report.incarnation);
      } else {
        events_.on_killed(report.slot, report.incarnation, report.cause);
      }
      break;
    case MessageKind::exited:
      living_[report.slot] = 0;
      bells_[report.slot]->stream.reset();
      events_.on_died(report.slot, report.incarnation, death_of(report));
      break;
    default:
      break;
  }
}

// A warden that died took its workers along (PR_SET_PDEATHSIG); the next start makes a new one.
void ProcessBackend::warden_lost(const char* how) {
  socket_.reset();
  life_.reset();
  warden_ = -1;
  outbox_.clear();
  board_.disarm();
  // What PR_SET_PDEATHSIG does not reach, the group does. A killed group is not used again.
  if (!group_.path().empty()) {
    group_.kill();
    group_.remove();
    group_ = make_group();
    enter_group(settings_, group_, config_);
    enter_group(board_.settings(), group_, config_);
  }
  for (std::uint32_t slot = 0; slot < living_.size(); ++slot) {
    const std::uint64_t incarnation = std::exchange(living_[slot], 0);
    if (incarnation == 0) continue;
    bells_[slot]->stream.reset();
    Death death;
    death.cause = Cause::lost;
    const process::LeaseWord word{board_.slot(slot).word.load()};
    if (word.cause() != Cause::active && word.cause() != Cause::none) death.cause = word.cause();
    death.by_signal = true;
    death.status = 9;
    death.tree_complete = false;
    death.dead_at = now_ns();
    death.reason = how;
    events_.on_died(slot, incarnation, std::move(death));
  }
}

std::shared_ptr<Worker> ProcessBackend::start(std::uint32_t slot, std::uint64_t incarnation,
                                              std::string_view device) {
  if (!socket_) launch();
  if (slot >= living_.size()) {
    living_.resize(slot + 1, 0);
    while (bells_.size() <= slot) bells_.push_back(std::make_shared<Bell>());
  }
  auto worker = std::make_shared<ProcessWorker>(settings_, device);
  os::UniqueFd bell(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!bell) throw_errno("eventfd for a worker");
  living_[slot] = incarnation;
  bells_[slot] = std::make_shared<Bell>();
  bells_[slot]->incarnation = incarnation;
  bells_[slot]->stream =
      std::make_unique<asio::posix::stream_descriptor>(executor_, bell.release());
  Command command{};
  command.kind = MessageKind::spawn;
  command.slot = slot;
  command.incarnation = incarnation;
  place(slot, command);
  send(command, worker->channel().fd(), bells_[slot]->stream->native_handle());
  return worker;
}

void ProcessBackend::place(std::uint32_t slot, Command& command) const {
  if (!topology_) return;
  command.bind = 1;
  command.cpus = config_.bind == Bind::core ? topology_->core_of(slot) : topology_->node_of(slot);
}

// A read, not a wait: Asio re-arms a wait by epoll_ctl, and a bell that nobody drains would ring
// for ever.
void ProcessBackend::listen_to(std::uint32_t slot, std::uint64_t incarnation) {
  Bell& bell = *bells_[slot];
  if (bell.incarnation != incarnation || !bell.stream) return;
  bell.stream->async_read_some(
      asio::buffer(&bell.rings, sizeof bell.rings),
      [weak = owner_, this, slot, incarnation, keep = bells_[slot], quiet = quiet_](
          const boost::system::error_code& error, std::size_t) {
        quiet.resumed();
        const auto owner = weak.lock();
        if (!owner) return;
        const std::lock_guard lock(mutex_);
        if (error || slot >= bells_.size() || bells_[slot]->incarnation != incarnation ||
            !bells_[slot]->stream) {
          return;
        }
        listen_to(slot, incarnation);
        events_.on_bell();
      });
  quiet_.started();
}

void ProcessBackend::kill(std::uint32_t slot, std::uint64_t incarnation, Cause cause) {
  Command command{};
  command.kind = MessageKind::kill;
  command.slot = slot;
  command.incarnation = incarnation;
  command.cause = cause;
  send(command, -1, -1);
}

void ProcessBackend::send(const Command& command, int channel, int bell) {
  if (outbox_.empty() && post(command, channel, bell)) return;
  Outgoing item{command, {}, {}};
  if (channel >= 0) {
    item.channel = os::UniqueFd(fcntl(channel, F_DUPFD_CLOEXEC, 0));
    item.bell = os::UniqueFd(fcntl(bell, F_DUPFD_CLOEXEC, 0));
    if (!item.channel || !item.bell) throw_errno("duplicating a worker's descriptors");
  }
  outbox_.push_back(std::move(item));
  flush();
}

// One frame to the warden; false if its queue is full. A warden that is gone is noticed by the
// reader.
bool ProcessBackend::post(const Command& command, int channel, int bell) {
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
    const ssize_t sent = sendmsg(socket_->native_handle(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent >= 0 || (errno != EINTR && errno != EAGAIN && errno != ENOBUFS)) return true;
    if (errno != EINTR) return false;
  }
}

void ProcessBackend::flush() {
  while (!outbox_.empty() && socket_) {
    const Outgoing& item = outbox_.front();
    if (post(item.command, item.channel.get(), item.bell.get())) {
      outbox_.pop_front();
      continue;
    }
    if (std::exchange(flushing_, true)) return;
    socket_->async_wait(asio::posix::stream_descriptor::wait_write,
                        [weak = owner_, this](const boost::system::error_code&) {
                          const auto owner = weak.lock();
                          if (!owner) return;
                          const std::lock_guard lock(mutex_);
                          flushing_ = false;
                          flush();
                        });
    return;
  }
}

void ProcessBackend::detach() noexcept {
  // The warden sees the end of its socket and kills everything that is left.
  socket_.reset();
  life_.reset();
  bells_.clear();
  outbox_.clear();
}

Capabilities ProcessBackend::capabilities() const {
  return list_mechanisms(settings_, group_, config_, warden_threads_);
}

}  // namespace

std::unique_ptr<Backend> make_process_backend(BackendEvents& events, std::weak_ptr<Core> owner,
                                              asio::any_io_executor executor,
                                              async::QuietWait quiet, std::mutex& mutex,
                                              const ResourceConfig& config) {
  return std::make_unique<ProcessBackend>(events, std::move(owner), std::move(executor), quiet,
                                          mutex, config);
}

}  // namespace reeve::detail
