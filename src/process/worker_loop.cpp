// The worker's loop. One call at a time; a futex wakes it, a bell tells the program.
#include "process/worker_loop.hpp"

#include <fcntl.h>
#include <linux/futex.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <new>
#include <reeve/codec/exception_record.hpp>
#include <reeve/codec/function_id.hpp>
#include <reeve/os/gpu.hpp>
#include <reeve/os/proc.hpp>

#include "process/channel.hpp"
#include "process/crash_notes.hpp"
#include "process/protocol.hpp"
#include "process/warden.hpp"

extern char** environ;

namespace reeve::process {
namespace {

ChannelHeader* refused_in = nullptr;  // where a refused allocation is noted
// RLIMIT_DATA of this call with its reserve. Atomic: threads of the last call may still run.
std::atomic<std::uint64_t> data_limit_with_reserve{0};

// operator new found no memory: note it, release the reserve of this call so that the error itself
// can travel, fail.
void on_no_memory() {
  rlimit data{};
  if (refused_in != nullptr &&
      refused_in->memory_flag.load(std::memory_order_relaxed) == nothing_refused) {
    refused_in->memory_used.store(os::vm_data_self(), std::memory_order_relaxed);
    refused_in->memory_flag.store(new_refused, std::memory_order_relaxed);
  }
  const rlim_t raised = data_limit_with_reserve.load(std::memory_order_relaxed);
  if (getrlimit(RLIMIT_DATA, &data) == 0 && data.rlim_cur < std::min(raised, data.rlim_max)) {
    data.rlim_cur = std::min(raised, data.rlim_max);
    setrlimit(RLIMIT_DATA, &data);
  }
  throw std::bad_alloc();
}

}  // namespace

WorkerLoop::WorkerLoop(ChannelHeader& channel, const HubPage& hub, const WorkerSettings& settings,
                       std::uint64_t data_bytes)
    : channel_(channel),
      hub_(hub),
      settings_(settings),
      data_limit_(settings.data_limit),
      data_at_start_(data_bytes) {
  auto* base = reinterpret_cast<std::byte*>(&channel) + channel_header_bytes;
  area_ = {base, settings.channel_bytes - channel_header_bytes};
  struct stat file{};
  if (fstat(worker_channel_fd, &file) == 0) file_bytes_ = static_cast<std::uint64_t>(file.st_size);
  // Before any task can start CUDA, and before the environment is noted as it should stay.
  const auto visible = os::cuda_visible_devices(device(), std::getenv("CUDA_VISIBLE_DEVICES"));
  if (visible) {
    setenv("CUDA_VISIBLE_DEVICES", visible->c_str(), 1);
    setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID", 0);  // the order that NVML counts in
  }
  file_mask_ = umask(0);
  umask(file_mask_);
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    environment_.push_back(*entry);
  }
  rlimit files{};
  if (getrlimit(RLIMIT_NOFILE, &files) == 0) files_at_start_ = files.rlim_cur;
  refused_in = &channel;
  if (data_limit_ != 0) data_limit_with_reserve = data_limit_ + settings.data_reserve;
  std::set_new_handler(on_no_memory);
  install_crash_notes(channel);
  TaskContext::enter(this, true);
}

void WorkerLoop::run() {
  channel_.data_bytes = data_at_start_;
  channel_.phase.store(static_cast<std::uint32_t>(WorkerPhase::idle), std::memory_order_release);
  std::uint32_t seen = 1;  // setting itself up was the first request
  answer(seen);
  for (;;) {
    wait_for(seen);
    seen = channel_.request.load(std::memory_order_acquire);
    serve(seen);
  }
}

void WorkerLoop::wait_for(std::uint32_t seen) {
  const std::int64_t from = monotonic_ns();
  if (gap_ < settings_.spin_ns) {
    // Yielding: whoever else wants this processor, the program above all, gets it.
    while (channel_.request.load(std::memory_order_acquire) == seen &&
           monotonic_ns() - from < settings_.spin_ns) {
      sched_yield();
    }
  }
  while (channel_.request.load(std::memory_order_acquire) == seen) {
    channel_.worker_sleeps.store(1, std::memory_order_seq_cst);
    if (channel_.request.load(std::memory_order_seq_cst) == seen) {
      syscall(SYS_futex, &channel_.request, FUTEX_WAIT, seen, nullptr, nullptr, 0);
    }
    channel_.worker_sleeps.store(0, std::memory_order_relaxed);
  }
  gap_ = blend(gap_, monotonic_ns() - from);
}

void WorkerLoop::serve(std::uint32_t number) {
  const std::int64_t started = monotonic_ns();
  ++calls_;
  apply_data_limit();
  const std::uint64_t from = std::min<std::uint64_t>(channel_.reply_from, area_.size());
  reply_from_ = from;
  file_bytes_ = std::max(file_bytes_, channel_.file_bytes);  // the program may have grown it
  const std::uint64_t backed = file_bytes_ - channel_header_bytes;
  codec::Writer result(area_.subspan(from, backed > from ? backed - from : 0), &grow_window, this);
  result.set_shared(area_);
  const ReplyKind kind = call(result);
  channel_.phase.store(static_cast<std::uint32_t>(WorkerPhase::replied), std::memory_order_relaxed);
  channel_.reply_kind = static_cast<std::uint32_t>(kind);
  channel_.reply_offset = from;
  channel_.reply_bytes = result.size();
  channel_.dirt = find_dirt(monotonic_ns() - started);
  answer(number);
  restore();
}

void WorkerLoop::answer(std::uint32_t number) noexcept {
  channel_.reply.store(number, std::memory_order_seq_cst);
  // Idle only now: who dies idle without a reply has run nothing, and its call is made elsewhere.
  channel_.phase.store(static_cast<std::uint32_t>(WorkerPhase::idle), std::memory_order_release);
  if (hub_.program_sleeps.load(std::memory_order_seq_cst) != 0) ring();
}

ReplyKind WorkerLoop::call(codec::Writer& result) {
  const auto note = [this](WorkerPhase phase) {
    channel_.phase.store(static_cast<std::uint32_t>(phase), std::memory_order_relaxed);
  };
  try {
    note(WorkerPhase::decoding);
    const codec::FunctionId id{channel_.function_module, channel_.function_offset};
    const std::uint64_t offset = channel_.argument_offset;
    const std::uint64_t size = channel_.argument_bytes;
    if (offset > area_.size() || size > area_.size() - offset) _exit(lost_descriptors_status);
    codec::Reader arguments(area_.subspan(offset, size));
    arguments.set_shared(area_);
    const codec::TaskDescriptor& task = codec::resolve(id);
    note(WorkerPhase::running);
    errno = 0;  // crash notes take ENOMEM for the task's own
    task.call(arguments, result);
    return ReplyKind::value;
  } catch (const std::bad_alloc&) {
    const bool refused = settings_.data_limit != 0 &&
                         channel_.memory_flag.load(std::memory_order_relaxed) != nothing_refused;
    return reply_exception(result, refused ? ReplyKind::memory : ReplyKind::exception);
  } catch (const codec::FunctionError&) {
    return reply_exception(result, ReplyKind::refused);
  } catch (...) {
    return reply_exception(result, ReplyKind::exception);
  }
}

// The result may be half written; the exception replaces it.
ReplyKind WorkerLoop::reply_exception(codec::Writer& result, ReplyKind kind) {
  result.truncate(0);
  try {
    codec::encode_exception(result, std::current_exception());
  } catch (...) {
    result.truncate(0);
  }
  return kind;
}

std::span<std::byte> WorkerLoop::grow_window(void* context, std::size_t needed) {
  auto& self = *static_cast<WorkerLoop*>(context);
  if (needed > self.area_.size() - self.reply_from_) {
    throw_too_large("the results", needed, self.reply_from_, self.area_.size());
  }
  // Shared pages, grown by doubling; the window is mapped already, so no address changes.
  const std::uint64_t wanted = channel_header_bytes + self.reply_from_ + needed;
  const std::uint64_t bytes = std::min<std::uint64_t>(std::max(wanted, 2 * self.file_bytes_),
                                                      channel_header_bytes + self.area_.size());
  if (ftruncate(worker_channel_fd, static_cast<off_t>(bytes)) != 0) throw std::bad_alloc();
  self.file_bytes_ = bytes;
  return self.area_.subspan(self.reply_from_, bytes - channel_header_bytes - self.reply_from_);
}

void WorkerLoop::apply_data_limit() {
  const bool was_raised = channel_.memory_flag.load(std::memory_order_relaxed) != nothing_refused;
  channel_.memory_flag.store(nothing_refused, std::memory_order_relaxed);
  if (settings_.data_limit == 0) return;
  const std::uint64_t wish = channel_.data_limit;
  const std::uint64_t asked =
      wish != 0 ? std::min(wish, settings_.data_limit) : settings_.data_limit;
  if (asked == data_limit_ && !was_raised) return;
  data_limit_with_reserve.store(asked + settings_.data_reserve, std::memory_order_relaxed);
  rlimit data{};
  getrlimit(RLIMIT_DATA, &data);
  data.rlim_cur = std::min<rlim_t>(asked, data.rlim_max);
  setrlimit(RLIMIT_DATA, &data);
  data_limit_ = asked;
}

void WorkerLoop::ring() noexcept {
  const std::uint64_t one = 1;
  // Without its bell a worker cannot be heard: end, so that the death is seen instead.
  if (write(worker_bell_fd, &one, sizeof one) != sizeof one && errno != EAGAIN)
    _exit(lost_descriptors_status);
}

std::uint32_t WorkerLoop::find_dirt(std::int64_t elapsed) {
  std::uint32_t dirt = clean;
  siginfo_t info{};
  for (;;) {
    info.si_pid = 0;
    if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | __WALL) != 0) break;  // no child at all
    if (info.si_pid == 0) {
      dirt |= children_left;
      break;
    }
  }
  if (channel_.memory_flag.load(std::memory_order_relaxed) != nothing_refused)
    dirt |= memory_refused;
  std::size_t count = 0;
  bool same = environ != nullptr || environment_.empty();
  for (; same && environ != nullptr && environ[count] != nullptr; ++count) {
    same = count < environment_.size() && environ[count] == environment_[count];
  }
  if (!same || count != environment_.size()) dirt |= environment_changed;
  constexpr std::int64_t long_enough = 100'000;
  if (elapsed > long_enough || calls_ % 64 == 0) {
    const std::uint64_t data = os::vm_data_self();
    channel_.data_bytes = data;
    if (data > data_at_start_ && data - data_at_start_ > settings_.growth_max) {
      dirt |= memory_grown;
    }
    rlimit files{};
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur != files_at_start_)
      dirt |= limits_changed;
  }
  return dirt;
}

// The next lease finds working directory, umask and signal mask as they were.
void WorkerLoop::restore() {
  if (fchdir(worker_cwd_fd) != 0) _exit(lost_descriptors_status);
  umask(file_mask_);
  sigset_t none;
  sigemptyset(&none);
  pthread_sigmask(SIG_SETMASK, &none, nullptr);
}

bool WorkerLoop::stop_requested() const noexcept {
  return channel_.stop_requested.load(std::memory_order_relaxed) != 0;
}

void WorkerLoop::report_progress(double percent, std::string_view note) noexcept {
  // Whoever reports at the same time is later or earlier as you like: one of both is enough. Nobody
  // waits, for a forked child may have copied a lock that is held.
  const std::unique_lock lock(reporting_, std::try_to_lock);
  if (!lock.owns_lock()) return;
  // Odd while it is written, and even again whatever a child left of its own report.
  const std::uint32_t odd = (channel_.progress_sequence.load(std::memory_order_relaxed) + 1) | 1u;
  channel_.progress_sequence.store(odd, std::memory_order_release);
  std::atomic_thread_fence(std::memory_order_release);
  channel_.progress_percent.store(std::isnan(percent) ? 0.0 : std::clamp(percent, 0.0, 100.0),
                                  std::memory_order_relaxed);
  const std::size_t size = std::min(note.size(), note_bytes);
  for (std::size_t i = 0; i < size; ++i) {
    channel_.progress_note[i].store(note[i], std::memory_order_relaxed);
  }
  channel_.progress_note_bytes.store(static_cast<std::uint32_t>(size), std::memory_order_relaxed);
  channel_.progress_sequence.store(odd + 1, std::memory_order_release);
  constexpr std::int64_t between_rings = 10'000'000;
  const std::int64_t now = monotonic_ns();
  if (now - last_ring_ < between_rings) return;
  last_ring_ = now;
  ring();
}

std::pmr::memory_resource* WorkerLoop::memory() noexcept {
  return std::pmr::get_default_resource();
}

std::string_view WorkerLoop::device() const noexcept {
  return {channel_.device, strnlen(channel_.device, sizeof channel_.device)};
}

}  // namespace reeve::process
