// The link to the warden: commands out, reports in, bells to wake by.
#include "pool/process_backend.hpp"

#include <fmt/format.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <cerrno>
#include <cstring>
#include <deque>
#include <reeve/os/fd.hpp>

#include "pool/core.hpp"
#include "pool/process_worker.hpp"
#include "process/launch.hpp"
#include "process/protocol.hpp"

namespace reeve::detail {
namespace {

namespace asio = boost::asio;
using process::BoardHeader;
using process::BoardSlot;
using process::Command;
using process::MessageKind;
using process::Report;

constexpr std::uint32_t slot_capacity = 4096 + 64;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool sanitized = true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
constexpr bool sanitized = true;
#else
constexpr bool sanitized = false;
#endif
#else
constexpr bool sanitized = false;
#endif

class ProcessBackend final : public Backend {
 public:
  ProcessBackend(BackendEvents& events, std::weak_ptr<Core> owner, asio::any_io_executor executor,
                 async::QuietWait quiet, std::mutex& mutex, const ResourceConfig& config);
  ~ProcessBackend() override;

  std::shared_ptr<Worker> start(std::uint32_t slot, std::uint64_t incarnation,
                                std::string_view device) override;
  void kill(std::uint32_t slot, std::uint64_t incarnation, Cause cause) override;
  BoardSlot& cell(std::uint32_t slot) override { return slots_[slot]; }
  bool watch(std::int64_t due) override;
  bool watches() const noexcept override { return true; }
  Capabilities capabilities() const override;
  void set_sleeping(bool sleeps) noexcept override {
    hub_->program_sleeps.store(sleeps ? 1 : 0, std::memory_order_seq_cst);
  }
  void detach() noexcept override;

 private:
  struct Bell {
    std::uint64_t incarnation = 0;
    std::uint64_t rings = 0;  // filled by the read
    std::unique_ptr<asio::posix::stream_descriptor> stream;
  };

  void make_board(const ResourceConfig& config);
  void launch();
  void listen();
  void read_reports();
  void handle(const Report& report);
  void listen_to(std::uint32_t slot, std::uint64_t incarnation);
  void send(const Command& command, int channel, int bell);
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
  process::WorkerSettings settings_;
  os::UniqueFd board_fd_;
  os::UniqueFd hub_fd_;
  os::UniqueFd wake_;
  std::size_t board_bytes_ = 0;
  BoardHeader* board_ = nullptr;
  BoardSlot* slots_ = nullptr;
  process::HubPage* hub_ = nullptr;
  std::optional<asio::posix::stream_descriptor> socket_;
  pid_t warden_ = -1;
  unsigned warden_threads_ = 0;
  ByteSize baseline_;
  std::vector<std::shared_ptr<Bell>> bells_;
  std::vector<std::uint64_t> living_;  // incarnation per slot, 0: none
  std::deque<Outgoing> outbox_;
  bool flushing_ = false;
  bool read_posted_ = false;
};

ProcessBackend::ProcessBackend(BackendEvents& events, std::weak_ptr<Core> owner,
                               asio::any_io_executor executor, async::QuietWait quiet,
                               std::mutex& mutex, const ResourceConfig& config)
    : events_(events),
      owner_(std::move(owner)),
      executor_(std::move(executor)),
      quiet_(quiet),
      mutex_(mutex) {
  make_board(config);
}

void ProcessBackend::make_board(const ResourceConfig& config) {
  std::string text = config.working_directory;
  text.push_back('\0');
  for (const auto& [name, value] : config.environment)
    text.append(name + "=" + value).push_back('\0');
  if (config.working_directory.empty() && config.environment.empty()) text.clear();
  settings_.data_limit = config.hard_memory && !sanitized ? config.worker_memory.bytes() : 0;
  settings_.data_reserve = (16_MiB).bytes();
  settings_.channel_bytes =
      process::channel_header_bytes + config.message_max.bytes() / 4096 * 4096;
  const ByteSize growth = config.recycle.growth_max;
  settings_.growth_max = (growth > 0_B ? growth : config.worker_memory / 2).bytes();
  settings_.nice = config.nice;
  settings_.file_mask = config.file_mask ? static_cast<int>(*config.file_mask) : -1;
  settings_.drop_capabilities = config.keep_capabilities ? 0 : 1;
  settings_.capture_output = config.output == Output::capture ? 1 : 0;
  settings_.exec_each = config.exec_each_worker ? 1 : 0;
  settings_.text_bytes = static_cast<std::uint32_t>(text.size());

  board_fd_ = os::UniqueFd(memfd_create("reeve-board", MFD_CLOEXEC));
  hub_fd_ = os::UniqueFd(memfd_create("reeve-hub", MFD_CLOEXEC));
  wake_ = os::UniqueFd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  board_bytes_ = process::board_bytes(slot_capacity, text.size());
  if (!board_fd_ || !hub_fd_ || !wake_ ||
      ftruncate(board_fd_.get(), static_cast<off_t>(board_bytes_)) != 0 ||
      ftruncate(hub_fd_.get(), sizeof(process::HubPage)) != 0) {
    throw_errno("making the pool's board");
  }
  void* board = mmap(nullptr, board_bytes_, PROT_READ | PROT_WRITE, MAP_SHARED, board_fd_.get(), 0);
  void* hub =
      mmap(nullptr, sizeof(process::HubPage), PROT_READ | PROT_WRITE, MAP_SHARED, hub_fd_.get(), 0);
  if (board == MAP_FAILED || hub == MAP_FAILED) throw_errno("mapping the pool's board");
  board_ = static_cast<BoardHeader*>(board);
  board_->magic = process::board_magic;
  board_->slot_count = slot_capacity;
  board_->settings = settings_;
  board_->armed_until.store(process::never);
  slots_ = reinterpret_cast<BoardSlot*>(board_ + 1);
  std::memcpy(static_cast<void*>(slots_ + slot_capacity), text.data(), text.size());
  hub_ = static_cast<process::HubPage*>(hub);
  hub_->program_sleeps.store(1);
}

ProcessBackend::~ProcessBackend() {
  if (board_ != nullptr) munmap(board_, board_bytes_);
  if (hub_ != nullptr) munmap(hub_, sizeof(process::HubPage));
}

void ProcessBackend::launch() {
  process::Launched launched = process::launch_warden(board_fd_.get(), hub_fd_.get(), wake_.get());
  warden_ = launched.pid;
  board_->armed_until.store(process::never);
  socket_.emplace(executor_, launched.socket.release());
  socket_->non_blocking(true);
  asio::post(executor_, [weak = owner_, this] {
    if (const auto owner = weak.lock()) {
      const std::lock_guard lock(mutex_);
      listen();
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
    case MessageKind::exited: {
      Death death;
      death.cause = report.cause;
      death.by_signal = report.died_by_signal != 0;
      death.status = report.status;
      death.tree_complete = report.tree_complete != 0;
      death.descendants_killed = report.descendants_killed;
      death.limit = report.limit;
      death.observed = report.observed;
      death.peak = report.peak;
      death.decided_at = report.decided_at;
      death.dead_at = report.dead_at;
      death.cpu_ns = report.cpu_ns;
      death.tail.assign(report.tail, report.tail_size);
      living_[report.slot] = 0;
      bells_[report.slot]->stream.reset();
      events_.on_died(report.slot, report.incarnation, std::move(death));
      break;
    }
    default:
      break;
  }
}

// A warden that died took its workers along (PR_SET_PDEATHSIG); the next start makes a new one.
void ProcessBackend::warden_lost(const char* how) {
  socket_.reset();
  warden_ = -1;
  outbox_.clear();
  board_->armed_until.store(process::never);
  for (std::uint32_t slot = 0; slot < living_.size(); ++slot) {
    const std::uint64_t incarnation = std::exchange(living_[slot], 0);
    if (incarnation == 0) continue;
    bells_[slot]->stream.reset();
    Death death;
    death.cause = Cause::lost;
    const process::LeaseWord word{slots_[slot].word.load()};
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
  const os::UniqueFd bell(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!bell) throw_errno("eventfd for a worker");
  living_[slot] = incarnation;
  bells_[slot] = std::make_shared<Bell>();
  bells_[slot]->incarnation = incarnation;
  bells_[slot]->stream = std::make_unique<asio::posix::stream_descriptor>(
      executor_, fcntl(bell.get(), F_DUPFD_CLOEXEC, 0));
  bells_[slot]->stream->non_blocking(true);
  Command command{};
  command.kind = MessageKind::spawn;
  command.slot = slot;
  command.incarnation = incarnation;
  send(command, worker->channel().fd(), bell.get());
  return worker;
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
  Outgoing item{command, {}, {}};
  if (channel >= 0) {
    item.channel = os::UniqueFd(fcntl(channel, F_DUPFD_CLOEXEC, 0));
    item.bell = os::UniqueFd(fcntl(bell, F_DUPFD_CLOEXEC, 0));
    if (!item.channel || !item.bell) throw_errno("duplicating a worker's descriptors");
  }
  outbox_.push_back(std::move(item));
  flush();
}

void ProcessBackend::flush() {
  while (!outbox_.empty() && socket_) {
    const Outgoing& item = outbox_.front();
    iovec part{const_cast<Command*>(&item.command), sizeof item.command};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    alignas(cmsghdr) char control[CMSG_SPACE(2 * sizeof(int))] = {};
    if (item.channel) {
      message.msg_control = control;
      message.msg_controllen = sizeof control;
      cmsghdr* header = CMSG_FIRSTHDR(&message);
      header->cmsg_level = SOL_SOCKET;
      header->cmsg_type = SCM_RIGHTS;
      header->cmsg_len = CMSG_LEN(2 * sizeof(int));
      const int fds[2] = {item.channel.get(), item.bell.get()};
      std::memcpy(CMSG_DATA(header), fds, sizeof fds);
    }
    const ssize_t sent = sendmsg(socket_->native_handle(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0 && (errno == EAGAIN || errno == ENOBUFS)) {
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
    outbox_.pop_front();  // also when the warden is gone: its end is reported by the reader
  }
}

bool ProcessBackend::watch(std::int64_t due) {
  if (board_->armed_until.load(std::memory_order_seq_cst) > due) {
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto n = write(wake_.get(), &one, sizeof one);
  }
  return true;
}

void ProcessBackend::detach() noexcept {
  // The warden sees the end of its socket and kills everything that is left.
  socket_.reset();
  bells_.clear();
  outbox_.clear();
}

Capabilities ProcessBackend::capabilities() const {
  Capabilities result;
  const auto add = [&](const char* name, bool active, std::string detail) {
    result.mechanisms.push_back({name, active, std::move(detail)});
  };
  add("deadline", true, "held by the warden, also while this program's event loop is blocked");
  add("rlimit_data", settings_.data_limit != 0,
      settings_.data_limit != 0
          ? "private memory is refused at worker_memory; new throws, the worker survives"
      : sanitized ? "off: a sanitizer reserves terabytes"
                  : "off: hard_memory is false");
  add("statm", true, "resident memory of the worker's tree is watched while it is leased");
  add("cgroup_kill", settings_.cgroup[0] != '\0',
      settings_.cgroup[0] != '\0' ? settings_.cgroup
                                  : "no writable cgroup v2 group of our own; trees are walked");
  add("cgroup_memory", false, "not delegated to this program");
  add("orphans", true,
      "workers die with this program, also after SIGKILL; if the warden itself is killed, deeper "
      "descendants die by best effort");
  add("spawn", true,
      settings_.exec_each != 0 || warden_threads_ > 1
          ? fmt::format("by exec (static initialisers started {} threads)",
                        warden_threads_ > 1 ? warden_threads_ - 1 : 0)
          : "by fork of the warden");
  return result;
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
