// Making and mapping the board.
#include "pool/board.hpp"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <reeve/base/error.hpp>

namespace reeve::detail {

using process::BoardHeader;
using process::BoardSlot;
using process::HubPage;

Board::Board(const process::WorkerSettings& settings, std::string_view text)
    : board_fd_(memfd_create("reeve-board", MFD_CLOEXEC)),
      hub_fd_(memfd_create("reeve-hub", MFD_CLOEXEC | MFD_ALLOW_SEALING)),
      wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      bytes_(process::board_bytes(capacity, text.size())) {
  if (!board_fd_ || !hub_fd_ || !wake_ ||
      ftruncate(board_fd_.get(), static_cast<off_t>(bytes_)) != 0 ||
      ftruncate(hub_fd_.get(), sizeof(HubPage)) != 0) {
    throw_errno("making the pool's board");
  }
  constexpr int access = PROT_READ | PROT_WRITE;
  void* const board = mmap(nullptr, bytes_, access, MAP_SHARED, board_fd_.get(), 0);
  if (board == MAP_FAILED) throw_errno("mapping the pool's board");
  void* const hub = mmap(nullptr, sizeof(HubPage), access, MAP_SHARED, hub_fd_.get(), 0);
  if (hub == MAP_FAILED) {
    const int error = errno;
    munmap(board, bytes_);
    throw SystemError(error, "mapping the pool's hub page");
  }
  header_ = static_cast<BoardHeader*>(board);
  hub_ = static_cast<HubPage*>(hub);
  // Workers hold this page: none of them may cut it, nor write what all the others believe.
  constexpr int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL;
  if (fcntl(hub_fd_.get(), F_ADD_SEALS, seals) != 0) {
    const int error = errno;
    unmap();
    throw SystemError(error, "sealing the pool's hub page");
  }
  header_->magic = process::board_magic;
  header_->slot_count = capacity;
  header_->settings = settings;
  disarm();
  slots_ = reinterpret_cast<BoardSlot*>(header_ + 1);
  std::memcpy(static_cast<void*>(slots_ + capacity), text.data(), text.size());
  hub_->program_sleeps.store(1);
}

Board::~Board() {
  unmap();
}

void Board::unmap() noexcept {
  munmap(header_, bytes_);
  munmap(hub_, sizeof(HubPage));
}

void Board::arm(std::int64_t due) noexcept {
  if (header_->armed_until.load(std::memory_order_seq_cst) <= due) return;
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto n = write(wake_.get(), &one, sizeof one);
}

}  // namespace reeve::detail
