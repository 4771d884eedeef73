// One incarnation of a worker, seen from the pool: a place to put a call and to find its reply.
#pragma once

#include <cstdint>
#include <memory>
#include <reeve/codec/buffer.hpp>
#include <reeve/codec/function_id.hpp>
#include <reeve/pool/status.hpp>
#include <span>
#include <string>
#include <string_view>

#include "process/layout.hpp"

namespace reeve {

using process::ReplyKind;

struct Reply {
  ReplyKind kind = ReplyKind::none;
  std::span<const std::byte> bytes;
  std::uint32_t dirt = 0;        // process::Dirt
  std::uint64_t data_bytes = 0;  // VmData when last measured
};

struct Progress {
  double percent = 0;
  std::string note;
};

class Worker {
 public:
  virtual ~Worker() = default;

  /// Bytes [0, size) of the area are kept by the caller (buffers built in place); arguments go
  /// behind them.
  virtual codec::Writer& begin_arguments() = 0;
  /// Sends the call whose arguments were written. `memory`: private memory for this call, 0: as
  /// configured. `stop`: it is asked to stop from its beginning.
  virtual void submit(const codec::TaskDescriptor& task, std::string_view task_name,
                      std::uint64_t memory, bool stop) = 0;
  virtual std::span<const std::byte> arguments() const noexcept = 0;
  /// Also true once of a worker that has set itself up and waits for its first call.
  virtual bool replied() const noexcept = 0;
  /// True if the call that was submitted last, if any, never began.
  virtual bool untouched() const noexcept = 0;
  virtual Reply reply() = 0;
  virtual void request_stop() noexcept = 0;
  /// What a dying worker wrote down.
  virtual process::CrashNote crash_note() const noexcept = 0;
  /// True if the task reported since the last call.
  virtual bool take_progress(Progress& progress) = 0;
  /// What a thread worker has taken of this_worker::memory(); 0 for a process.
  virtual std::uint64_t memory_used() const noexcept { return 0; }
  /// The window that both sides map, for views built in place; empty for thread workers.
  virtual std::span<const std::byte> window() const noexcept = 0;
  /// A block in the window that stays until the lease ends.
  virtual std::span<std::byte> allocate(std::size_t bytes) = 0;
  /// Forgets blocks of the lease that ended.
  virtual void end_lease() noexcept = 0;
};

/// What is known about a worker's end.
struct Death {
  process::Cause cause = process::Cause::none;  // none: it died by itself
  bool by_signal = false;
  int status = 0;
  bool tree_complete = true;
  unsigned descendants_killed = 0;
  std::uint64_t limit = 0;
  std::uint64_t observed = 0;
  std::uint64_t peak = 0;
  std::int64_t decided_at = 0;
  std::int64_t dead_at = 0;
  std::int64_t cpu_ns = 0;
  std::string tail;
  std::string reason;  // for lost
};

/// Events of a backend; the pool's mutex is held.
class BackendEvents {
 public:
  virtual void on_started(std::uint32_t slot, std::uint64_t incarnation, int pid) = 0;
  virtual void on_start_failed(std::uint32_t slot, std::uint64_t incarnation,
                               std::string reason) = 0;
  virtual void on_killed(std::uint32_t slot, std::uint64_t incarnation, process::Cause cause) = 0;
  virtual void on_stuck(std::uint32_t slot, std::uint64_t incarnation) = 0;
  virtual void on_died(std::uint32_t slot, std::uint64_t incarnation, Death death) = 0;
  virtual void on_bell() = 0;

 protected:
  ~BackendEvents() = default;
};

/// Makes and ends workers. Every member is called with the pool's mutex held.
class Backend {
 public:
  virtual ~Backend() = default;

  /// Starts a worker; `on_started` or `on_start_failed` follows. The worker may be given calls at
  /// once.
  virtual std::shared_ptr<Worker> start(std::uint32_t slot, std::uint64_t incarnation,
                                        std::string_view device) = 0;
  virtual void kill(std::uint32_t slot, std::uint64_t incarnation, process::Cause cause) = 0;
  /// The cell that decides who ends a lease.
  virtual process::BoardSlot& cell(std::uint32_t slot) = 0;
  /// Makes sure that someone looks at the cells at `due` (ns) at the latest. False: the pool must
  /// do it.
  virtual bool watch(std::int64_t due) = 0;
  /// True if somebody else (the warden) ends leases in time.
  virtual bool watches() const noexcept = 0;
  /// What enforces the limits.
  virtual Capabilities capabilities() const = 0;
  /// The program is about to sleep (true) or awake: replies need a bell or not.
  virtual void set_sleeping(bool sleeps) noexcept = 0;
  /// No executor is left, or the pool is closed: let go of everything, killing what runs.
  virtual void detach() noexcept = 0;
};

}  // namespace reeve
