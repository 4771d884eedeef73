// The memory that a pool shares with its warden: the board of leases and the hub page.
#pragma once

#include <atomic>
#include <cassert>
#include <cstdint>
#include <reeve/os/fd.hpp>
#include <string_view>

#include "process/layout.hpp"

namespace reeve::detail {

/// Made once per pool; a warden that follows another finds the same board.
class Board {
 public:
  /// Slots that a pool can have.
  static constexpr std::uint32_t capacity = 4096 + 64;

  /// Effect: makes and maps both; `text` goes behind the slots (see WorkerSettings::text_bytes).
  /// Errors: SystemError.
  Board(const process::WorkerSettings& settings, std::string_view text);
  ~Board();
  Board(const Board&) = delete;
  Board& operator=(const Board&) = delete;

  /// Preconditions: index < capacity.
  process::BoardSlot& slot(std::uint32_t index) const noexcept {
    assert(index < capacity);
    return slots_[index];
  }
  process::WorkerSettings& settings() const noexcept { return header_->settings; }
  int fd() const noexcept { return board_fd_.get(); }
  int hub_fd() const noexcept { return hub_fd_.get(); }
  /// An eventfd that the warden listens to.
  int wake_fd() const noexcept { return wake_.get(); }

  /// No warden looks at the board: none wakes by itself.
  void disarm() noexcept { header_->armed_until.store(process::never); }
  /// Effect: the warden looks again, unless it will by `due` (CLOCK_MONOTONIC, ns) anyhow.
  void arm(std::int64_t due) noexcept;
  /// Whether workers must ring the program when they have an answer.
  void set_sleeping(bool sleeps) noexcept {
    hub_->program_sleeps.store(sleeps ? 1 : 0, std::memory_order_seq_cst);
  }

 private:
  void unmap() noexcept;

  os::UniqueFd board_fd_;
  os::UniqueFd hub_fd_;
  os::UniqueFd wake_;
  std::size_t bytes_ = 0;
  process::BoardHeader* header_ = nullptr;
  process::BoardSlot* slots_ = nullptr;
  process::HubPage* hub_ = nullptr;
};

}  // namespace reeve::detail
