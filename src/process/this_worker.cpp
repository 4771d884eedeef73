// this_worker finds the context of the current thread, else of the process.
#include <reeve/process/this_worker.hpp>

#include <atomic>

namespace reeve {
namespace process {
namespace {

thread_local TaskContext* thread_context = nullptr;
std::atomic<TaskContext*> process_context{nullptr};

TaskContext* current() noexcept {
  if (thread_context != nullptr) return thread_context;
  return process_context.load(std::memory_order_acquire);
}

}  // namespace

void TaskContext::enter(TaskContext* context, bool whole_process) noexcept {
  if (whole_process) {
    process_context.store(context, std::memory_order_release);
  } else {
    thread_context = context;
  }
}

}  // namespace process

namespace this_worker {

bool stop_requested() {
  const auto* context = process::current();
  return context != nullptr && context->stop_requested();
}

void report_progress(double percent, std::string_view note) {
  if (auto* context = process::current()) context->report_progress(percent, note);
}

std::pmr::memory_resource* memory() {
  auto* context = process::current();
  return context != nullptr ? context->memory() : std::pmr::get_default_resource();
}

std::string_view device() {
  const auto* context = process::current();
  return context != nullptr ? context->device() : std::string_view{};
}

}  // namespace this_worker
}  // namespace reeve
