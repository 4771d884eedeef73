// The public handles: each call goes to the shared state.
#include <reeve/pool/resource_pool.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <reeve/pool/with_worker.hpp>
#include <reeve/process/init.hpp>

#include "pool/core.hpp"
#include "pool/lease_share.hpp"
#include "pool/mechanisms.hpp"
#include "process/worker.hpp"

namespace reeve {

void DeviceName::assign(std::string_view name) {
  if (name.empty() || name.size() > size_max || name.find('\0') != std::string_view::npos) {
    throw ConfigError(fmt::format(
        "device '{}' has {} bytes; a device has 1 to {} without a null, such as \"cuda\" or "
        "\"cuda:1\"; leave it out for any",
        name.substr(0, std::min<std::size_t>(40, name.find('\0'))), name.size(), size_max));
  }
  text_.fill('\0');
  std::memcpy(text_.data(), name.data(), name.size());
}

std::optional<std::string> find_fault(const RunLimits& limits) {
  if (limits.timeout && limits.timeout->count() <= 0) {
    return fmt::format(
        "RunLimits::timeout is {} ms; give it 1 ms or more, or leave it out for the time of the "
        "lease",
        limits.timeout->count());
  }
  if (limits.soft_timeout && limits.soft_timeout->count() <= 0) {
    return fmt::format(
        "RunLimits::soft_timeout is {} ms; give it 1 ms or more, or leave it out: nobody is asked "
        "to stop then",
        limits.soft_timeout->count());
  }
  if (limits.memory && *limits.memory == 0_B) {
    return "RunLimits::memory is 0 B; give it 1 B or more, or leave it out for the worker_memory "
           "of the pool";
  }
  return std::nullopt;
}

namespace detail {

void TaskName::check(std::string_view text) {
  if (text.empty() || text.size() > size_max) {
    throw ConfigError(fmt::format("a task id has 1 to {} bytes; '{}' has {}", size_max,
                                  text.substr(0, 40), text.size()));
  }
}

TaskName::TaskName(std::string_view text) : size_(static_cast<std::uint8_t>(text.size())) {
  check(text);
  std::memcpy(text_.data(), text.data(), text.size());
}

// Zero is "the pool's" there; less than that is nobody's wish.
void check_times(const AcquireOptions& options) {
  if (options.timeout.count() >= 0 && options.time_limit.count() >= 0) return;
  const bool wait = options.timeout.count() < 0;
  throw ConfigError(fmt::format(
      "AcquireOptions::{} is {} ms; give it 1 ms or more, or leave it out for the pool's {}",
      wait ? "timeout" : "time_limit", (wait ? options.timeout : options.time_limit).count(),
      wait ? "acquire_timeout" : "worker_timeout"));
}

// Each makes a warden and its workers: a task that makes its own pool again and again never ends.
void check_nesting() {
  const std::uint32_t depth = process::nesting_depth();
  if (depth < process::nesting_max) return;
  throw ConfigError(fmt::format(
      "this worker is {} process pools deep, the most that may be inside of each other is {}; use "
      "isolation = thread here, or give the result back and hire workers one level up",
      depth, process::nesting_max));
}

namespace {

void check_memory(const Core& core, const RunLimits& limits) {
  if (!limits.memory || core.config().isolation != Isolation::process) return;
  const ByteSize least = least_worker_memory();
  if (*limits.memory > least) return;
  throw ConfigError(fmt::format(
      "RunLimits::memory is {}, but an empty worker of this program takes up to {} already; give "
      "the call more, or leave it out for the worker_memory of the pool",
      to_string(*limits.memory), to_string(least)));
}

}  // namespace

Call::Call(const WorkerLease& lease, RunLimits limits)
    : core_(lease.core_), lease_(lease.lease_), limits_(std::move(limits)) {
  if (const auto fault = find_fault(limits_)) throw ConfigError(*fault);
  if (lease_ == nullptr) throw std::logic_error("this lease was moved from or given back");
  check_memory(*core_, limits_);
  core_->begin_call(*lease_);
}

Call::Call(Call&& other) noexcept
    : core_(other.core_),
      lease_(std::exchange(other.lease_, nullptr)),
      limits_(std::move(other.limits_)),
      task_(other.task_) {}

Call::~Call() {
  if (lease_ != nullptr) core_->end_call(*lease_);
}

codec::Writer& Call::arguments() {
  return lease_->port->begin_arguments();
}

boost::asio::awaitable<void> Call::complete() {
  return core_->complete(*lease_, *task_, limits_);
}

Call::Result Call::result() {
  const Reply reply = core_->take_reply(*lease_);
  if (reply.kind != ReplyKind::value) core_->throw_reply(*lease_, reply);
  return {reply.bytes, lease_->port->window()};
}

void throw_incomplete(std::size_t results, std::size_t items) {
  throw codec::DecodeError(
      fmt::format("a worker sent {} results for {} items; either its reply is damaged, or the task "
                  "stopped its chunk between items, which map and parallel_map do not allow",
                  results, items));
}

std::size_t next_chunk(std::size_t last, std::chrono::nanoseconds elapsed,
                       std::size_t left) noexcept {
  constexpr double target = 2e6;
  const double per_item = static_cast<double>(elapsed.count()) / static_cast<double>(last);
  const double ideal = per_item > 0 ? target / per_item : static_cast<double>(4 * last);
  const auto grown = static_cast<std::size_t>(std::min(ideal, 4.0 * static_cast<double>(last)));
  return std::clamp<std::size_t>(grown, 1, std::max<std::size_t>(1, left));
}

}  // namespace detail

WorkerLease& WorkerLease::operator=(WorkerLease&& other) noexcept {
  if (this != &other) {
    reset();
    core_ = other.core_;
    lease_ = std::exchange(other.lease_, nullptr);
  }
  return *this;
}

void WorkerLease::reset() noexcept {
  if (lease_ != nullptr) core_->release(*std::exchange(lease_, nullptr), false);
}

void WorkerLease::discard() && noexcept {
  if (lease_ != nullptr) core_->release(*std::exchange(lease_, nullptr), true);
}

WorkerId WorkerLease::id() const noexcept {
  return lease_ != nullptr ? core_->id_of(*lease_) : WorkerId{};
}
std::string_view WorkerLease::task() const noexcept {
  return lease_ != nullptr ? std::string_view(lease_->task) : std::string_view{};
}
std::string_view WorkerLease::device() const noexcept {
  return lease_ != nullptr ? core_->device_of(*lease_) : std::string_view{};
}
int WorkerLease::pid() const noexcept {
  return lease_ != nullptr ? core_->pid_of(*lease_) : 0;
}
ByteSize WorkerLease::memory_usage() const {
  return lease_ != nullptr ? core_->memory_usage(*lease_) : ByteSize{};
}
LeaseKey WorkerLease::key() const noexcept {
  return lease_ != nullptr ? LeaseKey{lease_->slot, lease_->serial} : LeaseKey{};
}
bool WorkerLease::observe(std::shared_ptr<LeaseObserver> observer, std::uint64_t token) {
  if (lease_ == nullptr) return false;
  core_->check_owner();
  return core_->observe(*lease_, std::move(observer), token);
}
bool WorkerLease::revoked() const noexcept {
  return lease_ == nullptr || core_->foreign() || core_->failure_of(*lease_) != nullptr;
}

namespace detail {
namespace {

boost::asio::awaitable<void> forget_cause(boost::asio::awaitable<std::exception_ptr> watch) {
  co_await std::move(watch);
}

}  // namespace

boost::asio::awaitable<std::exception_ptr> watch_scope(const WorkerLease& lease) {
  return lease.watch(true);
}

void finish_scope(std::exception_ptr cause, std::exception_ptr body_failure) {
  if (cause) std::rethrow_exception(cause);
  if (body_failure) std::rethrow_exception(body_failure);
}

}  // namespace detail

boost::asio::awaitable<std::exception_ptr> WorkerLease::watch(bool scoped) const {
  if (lease_ == nullptr) throw std::logic_error("this lease was moved from or given back");
  core_->check_owner();
  return core_->wait_revoked(detail::LeaseShare(core_->shared_from_this(), *lease_), scoped);
}

boost::asio::awaitable<void> WorkerLease::wait_revoked() {
  return detail::forget_cause(watch(false));
}

void WorkerLease::rethrow_cause() const {
  if (lease_ == nullptr) return;
  core_->check_owner();
  if (const auto failure = core_->failure_of(*lease_)) throw_failure(*failure);
}

std::span<std::byte> WorkerLease::allocate(std::size_t bytes) {
  if (lease_ == nullptr) throw std::logic_error("this lease was moved from or given back");
  return core_->allocate(*lease_, bytes);
}

// ------------------------------------------------------------------------------------------------

struct ResourcePool::Handle {
  explicit Handle(std::shared_ptr<detail::Core> core_) : core(std::move(core_)) {}
  Handle(const Handle&) = delete;
  ~Handle() { core->close(); }
  std::shared_ptr<detail::Core> core;
};

ResourcePool::ResourcePool(boost::asio::any_io_executor executor, ResourceConfig config) {
  if (const auto fault = find_fault(config)) throw ConfigError(*fault);
  if (config.isolation == Isolation::process && !initialized()) {
    throw ConfigError(
        "process workers are copies of this program that enter through reeve::init, which was not "
        "called; add "
        "it as the first line of main:\n"
        "    int main(int argc, char** argv) {\n"
        "      reeve::init(argc, argv);");
  }
  if (config.isolation == Isolation::process) detail::check_nesting();
  core_ = std::make_shared<detail::Core>(std::move(executor), std::move(config));
  core_->open();
  handle_ = std::make_shared<Handle>(core_);
}

boost::asio::awaitable<WorkerLease> ResourcePool::hand_over(WorkerLease lease) {
  co_return std::move(lease);
}

boost::asio::awaitable<WorkerLease> ResourcePool::acquire_worker(
    std::string_view task_id, const AcquireOptions& options) const {
  core_->check_owner();
  detail::TaskName::check(task_id);
  detail::check_times(options);
  if (detail::Lease* lease = core_->grab(task_id, options)) {
    return hand_over(WorkerLease(*core_, *lease));
  }
  return core_->wait(core_, detail::TaskName(task_id), options);
}

std::optional<WorkerLease> ResourcePool::try_acquire(std::string_view task_id,
                                                     const AcquireOptions& options) const {
  core_->check_owner();
  detail::TaskName::check(task_id);
  detail::check_times(options);
  return core_->try_acquire(task_id, options);
}

boost::asio::awaitable<void> ResourcePool::warm_up(std::size_t count) {
  core_->check_owner();
  return core_->warm_up(core_, count);
}

boost::asio::awaitable<void> ResourcePool::resize(std::size_t max_workers) {
  core_->check_owner();
  return core_->resize(core_, max_workers);
}

boost::asio::awaitable<ShutdownReport> ResourcePool::shutdown(ShutdownMode mode,
                                                              std::chrono::milliseconds deadline) {
  core_->check_owner();
  return core_->shutdown(core_, mode, deadline);
}

bool ResourcePool::request_stop(LeaseKey lease) {
  core_->check_owner();
  return core_->request_stop(lease);
}
bool ResourcePool::preempt(LeaseKey lease, std::string_view by, std::string_view reason) {
  core_->check_owner();
  return core_->preempt(lease, by, reason);
}

PoolStatus ResourcePool::status() const {
  return core_->status();
}
PoolHealth ResourcePool::health() const noexcept {
  return core_->health();
}
std::size_t ResourcePool::load() const noexcept {
  return core_->load();
}
Capabilities ResourcePool::capabilities() const {
  return core_->capabilities();
}
const ResourceConfig& ResourcePool::config() const noexcept {
  return core_->config();
}
std::size_t ResourcePool::max_workers() const {
  core_->check_owner();
  return core_->max_workers();
}
std::vector<audit::Event> ResourcePool::audit_events() const {
  return core_->journal().events();
}
boost::asio::any_io_executor ResourcePool::get_executor() const noexcept {
  return core_->executor();
}

}  // namespace reeve
