// Looking at a pool.
#include <fmt/format.h>

#include "pool/core.hpp"
#include "process/tree.hpp"

namespace reeve::detail {

PoolStatus Core::status() const {
  check_owner();
  PoolStatus status;
  {
    const std::lock_guard lock(mutex_);
    const std::int64_t now = now_ns();
    status.total_workers = max_workers_;
    status.live_workers = live();
    status.active_tasks = active_;
    status.waiting = waiters_.size();
    status.quarantined = quarantined_;
    status.deaths = deaths_;
    status.spawns = spawns_;
    status.grants = grants_;
    status.closed = closed_ || detached_;
    std::size_t leased = 0;
    for (std::uint32_t number = 0; number < slots_.size(); ++number) {
      const Slot& slot = slots_[number];
      leased += slot.state == WorkerState::leased;
      if (slot.state == WorkerState::empty) continue;
      WorkerStatus worker;
      worker.id = {number, slot.incarnation};
      worker.state = slot.state;
      worker.device = slot.device;
      worker.pid = slot.pid;
      worker.tasks_done = slot.tasks_done;
      worker.deaths = slot.deaths;
      if (slot.lease != nullptr) {
        worker.task = slot.lease->task;
        worker.lease_age = std::chrono::nanoseconds(now - slot.lease->granted_at);
        status.active_task_ids.push_back(slot.lease->task);
      }
      status.workers.push_back(std::move(worker));
    }
    const std::size_t taken = leased + waiters_.size();
    status.available_workers = status.closed || taken >= max_workers_ ? 0 : max_workers_ - taken;
  }
  for (WorkerStatus& worker : status.workers) {  // files are read outside of the lock
    std::uint64_t own = 0, shared = 0;
    if (worker.pid == 0) continue;
    if (process::memory_of(worker.pid, own, shared)) worker.rss = ByteSize{own + shared};
    worker.cpu_time = std::chrono::nanoseconds(process::cpu_time_of(worker.pid));
  }
  return status;
}

PoolHealth Core::health() const noexcept {
  if (closed_.load(std::memory_order_acquire)) return PoolHealth::closed;
  if (stuck_.load(std::memory_order_relaxed)) return PoolHealth::stuck;
  const std::int64_t until = degraded_until_.load(std::memory_order_relaxed);
  const bool served = idle_count_.load(std::memory_order_relaxed) > 0;
  return until != 0 && !served && until > now_ns() ? PoolHealth::degraded : PoolHealth::ready;
}

std::size_t Core::load() const noexcept {
  if (foreign()) return 0;
  const std::lock_guard lock(mutex_);
  return active_ + waiters_.size();
}

std::size_t Core::max_workers() const noexcept {
  const std::lock_guard lock(mutex_);
  return max_workers_;
}

Capabilities Core::capabilities() const {
  check_owner();
  const std::lock_guard lock(mutex_);
  Capabilities result = backend_->capabilities();
  if (gpus_) {
    result.mechanisms.push_back(gpus_->capability());
  } else {
    const bool threads = config_.gpu_memory.bytes() > 0;
    result.mechanisms.push_back(
        {"nvml", false,
         threads ? "gpu_memory is not enforced: thread workers share one process"
                 : "gpu_memory is 0"});
  }
  return result;
}

ByteSize Core::memory_usage(const Lease& lease) const {
  check_owner();
  int pid = 0;
  {
    const std::lock_guard lock(mutex_);
    if (lease.failure != nullptr || detached_) return {};
    const Slot& slot = slots_[lease.slot];
    pid = slot.pid;
    if (pid == 0) return ByteSize{slot.port != nullptr ? slot.port->memory_used() : 0};
  }
  std::vector<int> tree{pid};  // files are read outside of the lock
  process::list_descendants(pid, tree);
  std::uint64_t sum = 0;
  for (const int member : tree) {
    std::uint64_t own = 0, shared = 0;
    if (process::memory_of(member, own, shared)) sum += own;
  }
  return ByteSize{sum};
}

std::string_view Core::device_of(const Lease& lease) const {
  if (foreign()) return {};
  // Not the slot's own copy: slots move when there are more of them.
  return config_.devices[lease.slot % config_.devices.size()];
}

WorkerId Core::id_of(const Lease& lease) const {
  if (foreign()) return {};
  const std::lock_guard lock(mutex_);
  return lease.worker;
}

int Core::pid_of(const Lease& lease) const {
  if (foreign()) return 0;
  const std::lock_guard lock(mutex_);
  if (lease.rehiring) return 0;
  return lease.failure == nullptr ? slots_[lease.slot].pid : 0;
}

std::span<std::byte> Core::allocate(Lease& lease, std::size_t bytes) {
  check_owner();
  const std::lock_guard lock(mutex_);
  if (lease.failure != nullptr) throw_failure(*lease.failure);
  if (lease.calling) throw std::logic_error("make buffers before the call that uses them");
  if (lease.rehiring) {
    throw Error("the worker of task '" + lease.task + "' died and is being replaced; try again");
  }
  lease.buffers = true;
  return slots_[lease.slot].port->allocate(bytes);
}

}  // namespace reeve::detail

namespace reeve {

std::string_view to_string(WorkerState state) {
  switch (state) {
    case WorkerState::empty:
      return "empty";
    case WorkerState::starting:
      return "starting";
    case WorkerState::idle:
      return "idle";
    case WorkerState::leased:
      return "leased";
    case WorkerState::ending:
      return "ending";
    case WorkerState::backoff:
      return "backoff";
    case WorkerState::quarantined:
      return "quarantined";
  }
  return "?";
}

std::string_view to_string(PoolHealth health) {
  switch (health) {
    case PoolHealth::ready:
      return "ready";
    case PoolHealth::degraded:
      return "degraded";
    case PoolHealth::stuck:
      return "stuck";
    case PoolHealth::closed:
      return "closed";
  }
  return "?";
}

bool Capabilities::has(std::string_view name) const {
  for (const Capability& mechanism : mechanisms) {
    if (mechanism.name == name) return mechanism.active;
  }
  return false;
}

std::string to_string(const Capabilities& capabilities) {
  std::string text;
  for (const Capability& mechanism : capabilities.mechanisms) {
    text += fmt::format("{:<14} {:<4} {}\n", mechanism.name, mechanism.active ? "on" : "off",
                        mechanism.detail);
  }
  return text;
}

}  // namespace reeve
