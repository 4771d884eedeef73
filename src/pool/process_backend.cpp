// What happens to process workers: starts, deaths, bells, and the loss of their warden.
#include "pool/process_backend.hpp"

#include <fmt/format.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <boost/asio/posix/stream_descriptor.hpp>
#include <cstring>
#include <reeve/os/fd.hpp>
#include <reeve/os/topology.hpp>

#include "pool/board.hpp"
#include "pool/core.hpp"
#include "pool/mechanisms.hpp"
#include "pool/pool_group.hpp"
#include "pool/process_worker.hpp"
#include "pool/warden_link.hpp"
#include "process/launch.hpp"

namespace reeve::detail {
namespace {

namespace asio = boost::asio;
using process::BoardSlot;
using process::Command;
using process::MessageKind;
using process::Report;

class ProcessBackend final : public Backend, private LinkEvents {
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
  void on_report(const Report& report) override;
  void on_warden_ended() override;
  void listen_to(std::uint32_t slot, std::uint64_t incarnation);

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
  WardenLink link_;
  bool greeted_ = false;  // by the warden of this link
  unsigned warden_threads_ = 0;
  ByteSize baseline_;
  std::vector<std::shared_ptr<Bell>> bells_;
  std::vector<std::uint64_t> living_;  // incarnation per slot, 0: none
};

constexpr const char* no_warden_text =
    "its warden, a copy of this program, ended before it came to reeve::init: make that the first "
    "line of main, before arguments are looked at";

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
      board_(make_board()),
      link_(*this, owner_, executor_, quiet_, mutex_) {
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
  board_.disarm();
  greeted_ = false;
  link_.open(std::move(launched.socket), launched.pid);
}

void ProcessBackend::on_report(const Report& report) {
  if (report.kind == MessageKind::hello) {
    greeted_ = true;
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
void ProcessBackend::on_warden_ended() {
  board_.disarm();
  // What PR_SET_PDEATHSIG does not reach, the group does. A killed group is not used again.
  if (!group_.path().empty()) {
    group_.kill();
    group_.remove();
    group_ = make_group();
    enter_group(settings_, group_, config_);
    enter_group(board_.settings(), group_, config_);
  }
  // Each death may start another worker, which has another warden.
  const auto lost = std::exchange(living_, std::vector<std::uint64_t>(living_.size(), 0));
  for (std::uint32_t slot = 0; slot < lost.size(); ++slot) {
    const std::uint64_t incarnation = lost[slot];
    if (incarnation == 0) continue;
    if (bells_[slot]->incarnation == incarnation) bells_[slot]->stream.reset();
    Death death;
    death.cause = Cause::lost;
    const process::LeaseWord word{board_.slot(slot).word.load()};
    if (word.cause() != Cause::active && word.cause() != Cause::none) death.cause = word.cause();
    death.by_signal = true;
    death.status = 9;
    death.tree_complete = false;
    death.dead_at = now_ns();
    death.reason = greeted_ ? "its warden ended" : no_warden_text;
    events_.on_died(slot, incarnation, std::move(death));
  }
}

std::shared_ptr<Worker> ProcessBackend::start(std::uint32_t slot, std::uint64_t incarnation,
                                              std::string_view device) {
  if (!link_.is_open()) launch();
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
  link_.send(command, worker->channel().fd(), bells_[slot]->stream->native_handle());
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
  link_.send(command);
}

void ProcessBackend::detach() noexcept {
  // The warden sees the end of its socket and kills everything that is left.
  link_.close();
  bells_.clear();
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
