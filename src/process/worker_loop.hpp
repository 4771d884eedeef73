// A worker's life: wait for a call, run it, reply, tidy up.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <mutex>
#include <reeve/codec/buffer.hpp>
#include <reeve/process/this_worker.hpp>
#include <span>
#include <vector>

#include "process/layout.hpp"

namespace reeve::process {

class WorkerLoop final : public TaskContext {
 public:
  WorkerLoop(ChannelHeader& channel, const HubPage& hub, const WorkerSettings& settings,
             std::uint64_t data_bytes);

  [[noreturn]] void run();

  // TaskContext
  bool stop_requested() const noexcept override;
  void report_progress(double percent, std::string_view note) noexcept override;
  std::pmr::memory_resource* memory() noexcept override;
  std::string_view device() const noexcept override;

 private:
  void wait_for(std::uint32_t seen);
  void serve(std::uint32_t number);
  ReplyKind call(codec::Writer& result);
  ReplyKind reply_exception(codec::Writer& result, ReplyKind kind);
  static std::span<std::byte> grow_window(void* context, std::size_t needed);
  void apply_data_limit();
  void answer(std::uint32_t number) noexcept;
  void ring() noexcept;
  std::uint32_t find_dirt(std::int64_t elapsed);
  void restore();

  ChannelHeader& channel_;
  const HubPage& hub_;
  const WorkerSettings& settings_;
  std::span<std::byte> area_;
  std::uint64_t file_bytes_ = 0;
  std::uint64_t reply_from_ = 0;
  std::uint64_t data_limit_ = 0;
  std::uint64_t calls_ = 0;
  std::uint64_t data_at_start_;
  std::uint64_t files_at_start_ = 0;  // soft RLIMIT_NOFILE
  std::mutex reporting_;
  std::int64_t last_ring_ = 0;
  std::int64_t gap_ = 0;  // between calls, of late
  mode_t file_mask_ = 0;
  std::vector<const char*> environment_;
};

}  // namespace reeve::process
