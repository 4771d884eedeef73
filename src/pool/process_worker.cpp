// Writing a request, reading a reply: every figure from the worker is copied out, then checked.
#include "pool/process_worker.hpp"

#include <linux/futex.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <new>

#include "process/crash_notes.hpp"

namespace reeve::detail {

using process::ChannelHeader;

ProcessWorker::ProcessWorker(const process::WorkerSettings& settings, std::string_view device)
    : channel_(settings), data_limited_(settings.data_limit != 0) {
  ChannelHeader& header = channel_.header();
  const std::size_t size = std::min(device.size(), sizeof header.device - 1);
  std::memcpy(header.device, device.data(), size);
  header.request.store(number_, std::memory_order_relaxed);
}

std::span<std::byte> ProcessWorker::grow(void* self, std::size_t needed) {
  auto& worker = *static_cast<ProcessWorker*>(self);
  return worker.channel_.reserve(worker.kept_ + needed).subspan(worker.kept_);
}

codec::Writer& ProcessWorker::begin_arguments() {
  writer_.emplace(channel_.reserve(kept_).subspan(kept_), &grow, this);
  if (kept_ > 0) writer_->set_shared(channel_.area());
  return *writer_;
}

std::span<std::byte> ProcessWorker::allocate(std::size_t bytes) {
  constexpr std::size_t alignment = codec::area_alignment;
  const std::size_t rounded = (bytes + alignment - 1) / alignment * alignment;
  if (rounded < bytes) throw std::bad_alloc();
  if (rounded > channel_.area().size() - kept_) {  // their sum may be small again
    process::throw_too_large("the buffers", bytes, kept_, channel_.area().size());
  }
  const std::span<std::byte> area = channel_.reserve(kept_ + rounded);
  const std::span<std::byte> block = area.subspan(kept_, bytes);
  kept_ += rounded;
  return block;
}

void ProcessWorker::submit(const codec::TaskDescriptor& task, std::string_view task_name,
                           std::uint64_t memory, bool stop) {
  ChannelHeader& header = channel_.header();
  const codec::FunctionId id = codec::identify(task);
  constexpr std::size_t alignment = codec::area_alignment;
  header.function_module = id.module;
  header.function_offset = id.offset;
  header.argument_offset = kept_;
  header.argument_bytes = writer_->size();
  header.reply_from = (kept_ + writer_->size() + alignment - 1) / alignment * alignment;
  header.data_limit = memory;
  header.file_bytes = channel_.file_bytes();
  const std::size_t size = std::min(task_name.size(), sizeof header.task - 1);
  std::memcpy(header.task, task_name.data(), size);
  header.task[size] = '\0';
  header.stop_requested.store(stop ? 1 : 0, std::memory_order_relaxed);
  header.request.store(++number_, std::memory_order_seq_cst);
  if (header.worker_sleeps.load(std::memory_order_seq_cst) != 0) {
    syscall(SYS_futex, &header.request, FUTEX_WAKE, 1, nullptr, nullptr, 0);
  }
}

bool ProcessWorker::replied() const noexcept {
  // Sequentially consistent: "the program sleeps" must be visible before this looks.
  return channel_.header().reply.load(std::memory_order_seq_cst) == number_;
}

bool ProcessWorker::untouched() const noexcept {
  const ChannelHeader& header = channel_.header();
  const auto phase =
      static_cast<process::WorkerPhase>(header.phase.load(std::memory_order_acquire));
  const std::uint32_t replied = header.reply.load(std::memory_order_acquire);
  return phase == process::WorkerPhase::idle && (replied == number_ || replied == number_ - 1);
}

Reply ProcessWorker::reply() {
  const volatile ChannelHeader& header = channel_.header();
  Reply reply;
  const auto kind = static_cast<ReplyKind>(header.reply_kind);
  const std::uint64_t offset = header.reply_offset;
  const std::uint64_t size = header.reply_bytes;
  reply.dirt = header.dirt;
  reply.data_bytes = header.data_bytes;
  const bool known = kind == ReplyKind::value || kind == ReplyKind::exception ||
                     kind == ReplyKind::memory || kind == ReplyKind::refused;
  if (!known || !channel_.readable(offset, size)) {
    reply.dirt |= process::stream_broken;
    reply.kind = ReplyKind::refused;
    return reply;
  }
  reply.kind = kind;
  // By now the task has let go of what it had.
  if (kind == ReplyKind::memory) {
    reply.data_bytes = channel_.header().memory_used.load(std::memory_order_relaxed);
  }
  reply.bytes = channel_.area().subspan(offset, size);
  return reply;
}

void ProcessWorker::request_stop() noexcept {
  channel_.header().stop_requested.store(1, std::memory_order_relaxed);
}

process::CrashNote ProcessWorker::crash_note() const noexcept {
  ChannelHeader& header = channel_.header();
  process::CrashNote note;
  note.signal = static_cast<int>(header.crash_signal.load(std::memory_order_acquire));
  if (note.signal == 0) return note;
  if (data_limited_) {
    // A refusal that the task survived explains no later end, unless that is the abort() after an
    // exception that nobody caught.
    const std::uint32_t refusal = header.memory_flag.load(std::memory_order_relaxed);
    const bool aborted = refusal == process::new_refused && note.signal == SIGABRT;
    note.memory_refused = aborted || refusal == process::refused_null_used;
    note.data_bytes =
        aborted ? header.memory_used.load(std::memory_order_relaxed) : header.data_bytes;
  }
  note.address = header.crash_address;
  const std::uint64_t stack = header.crash_stack;
  const std::uint64_t distance = note.address > stack ? note.address - stack : stack - note.address;
  note.null_pointer = process::is_null_use(note.signal, header.crash_code,
                                           reinterpret_cast<const void*>(note.address));
  note.stack_overflow = note.signal == SIGSEGV && note.address != 0 && distance < 65536;
  return note;
}

bool ProcessWorker::take_progress(Progress& progress) {
  ChannelHeader& header = channel_.header();
  for (int attempt = 0; attempt < 4; ++attempt) {
    const std::uint32_t before = header.progress_sequence.load(std::memory_order_acquire);
    if (before == progress_seen_) return false;
    if (before % 2 != 0) continue;
    progress.percent =
        std::clamp(header.progress_percent.load(std::memory_order_relaxed), 0.0, 100.0);
    const std::size_t size = std::min<std::size_t>(
        header.progress_note_bytes.load(std::memory_order_relaxed), process::note_bytes);
    progress.note.resize(size);
    for (std::size_t i = 0; i < size; ++i) {
      progress.note[i] = header.progress_note[i].load(std::memory_order_relaxed);
    }
    std::atomic_thread_fence(std::memory_order_acquire);
    if (header.progress_sequence.load(std::memory_order_relaxed) != before) continue;
    progress_seen_ = before;
    return true;
  }
  return false;
}

}  // namespace reeve::detail
