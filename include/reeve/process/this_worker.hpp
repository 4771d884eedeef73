// What a running task may ask and tell: stop requests, progress, memory, device.
#pragma once

#include <memory_resource>
#include <string_view>

namespace reeve {

/// Functions for the body of a task. Outside of a worker they do nothing: `stop_requested` is
/// false, `memory` is the default resource, `device` is empty.
namespace this_worker {

/// True once the caller asked this task to end: a soft limit was reached, or the lease is being
/// given up. Poll it in long loops and return early. Cost: one load.
bool stop_requested();

/// Tells the caller how far the task is. `percent` is clamped to [0, 100]; the note is cut at 120
/// bytes. Any thread may report; of two reports at the same time one may be left out. Cost: about
/// 100 ns; the caller is woken at most 100 times a second.
void report_progress(double percent, std::string_view note = {});

/// Memory that counts against this worker's limit. In a process worker it is the ordinary heap,
/// which the kernel limits; in a thread worker it is the only memory that is limited at all.
std::pmr::memory_resource* memory();

/// "cpu", "cuda:0", ...: the device slot of this worker.
std::string_view device();

}  // namespace this_worker

namespace process {

/// What stands behind this_worker in a worker.
class TaskContext {
 public:
  virtual bool stop_requested() const noexcept = 0;
  virtual void report_progress(double percent, std::string_view note) noexcept = 0;
  virtual std::pmr::memory_resource* memory() noexcept = 0;
  virtual std::string_view device() const noexcept = 0;

  /// Makes `context` the one of this thread (thread workers) or of all threads (`whole_process`).
  static void enter(TaskContext* context, bool whole_process = false) noexcept;

 protected:
  ~TaskContext() = default;
};

}  // namespace process
}  // namespace reeve
