// A process worker as a place for calls: its channel and its bell.
#pragma once

#include <atomic>
#include <optional>

#include "pool/worker.hpp"
#include "process/channel.hpp"

namespace reeve::detail {

class ProcessWorker final : public Worker {
 public:
  ProcessWorker(const process::WorkerSettings& settings, std::string_view device);

  codec::Writer& begin_arguments() override;
  void submit(const codec::TaskDescriptor& task, std::string_view task_name, std::uint64_t memory,
              bool stop) override;
  std::span<const std::byte> arguments() const noexcept override { return writer_->bytes(); }
  bool replied() const noexcept override;
  bool untouched() const noexcept override;
  Reply reply() override;
  void request_stop() noexcept override;
  process::CrashNote crash_note() const noexcept override;
  bool take_progress(Progress& progress) override;
  std::span<const std::byte> window() const noexcept override { return channel_.area(); }
  std::span<std::byte> allocate(std::size_t bytes) override;
  void end_lease() noexcept override { kept_ = 0; }

  const process::Channel& channel() const noexcept { return channel_; }

 private:
  static std::span<std::byte> grow(void* self, std::size_t needed);

  mutable process::Channel channel_;
  bool data_limited_;
  std::optional<codec::Writer> writer_;
  std::size_t kept_ = 0;      // bytes of buffers that were built in place
  std::uint32_t number_ = 1;  // of the latest request; the first is to set itself up
  std::uint32_t progress_seen_ = 0;
};

}  // namespace reeve::detail
