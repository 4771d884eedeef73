// The program's end of one worker's channel.
#pragma once

#include <cstddef>
#include <cstdint>
#include <reeve/codec/buffer.hpp>
#include <reeve/os/fd.hpp>
#include <span>

#include "process/layout.hpp"

namespace reeve::process {

/// EncodeError of arguments or a result ("the arguments", "the result") that take `size` bytes or
/// more behind `before` others in a window of `window` bytes.
[[noreturn]] void throw_too_large(const char* what, std::size_t size, std::size_t before,
                                  std::size_t window);

/// A memfd that the program and one worker map: a header page, then the area for arguments and
/// results. The whole window is mapped at once; the file below it grows by doubling and never
/// shrinks (sealed), so that neither side can make the other fault.
class Channel {
 public:
  /// Errors: SystemError.
  explicit Channel(const WorkerSettings& settings);
  Channel(Channel&&) = delete;
  ~Channel();

  int fd() const noexcept { return file_.get(); }
  ChannelHeader& header() noexcept { return *header_; }
  std::span<std::byte> area() const noexcept { return area_; }

  /// The first `bytes` of the area, backed by memory. Throws codec::EncodeError beyond the window.
  std::span<std::byte> reserve(std::size_t bytes);

  /// True if area [offset, offset + size) is backed, so that reading it cannot fault.
  bool readable(std::uint64_t offset, std::uint64_t size);

  std::size_t file_bytes() const noexcept { return file_bytes_; }

 private:
  bool look_at_size() noexcept;

  os::UniqueFd file_;
  ChannelHeader* header_ = nullptr;
  std::span<std::byte> area_;
  std::size_t file_bytes_ = 0;  // that are known to be there; at most the window
};

}  // namespace reeve::process
