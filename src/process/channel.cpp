// Making, growing and checking a channel.
#include "process/channel.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <new>
#include <reeve/base/byte_size.hpp>
#include <reeve/base/error.hpp>
#include <string>

namespace reeve::process {

namespace {
constexpr std::size_t first_file_bytes = 64 * 1024;
}

void throw_too_large(const char* what, std::size_t size, std::size_t before, std::size_t window) {
  const std::string others =
      before > 0 ? fmt::format(" behind {} of arguments and buffers", to_string(ByteSize{before}))
                 : std::string();
  throw codec::EncodeError(fmt::format(
      "{} take {} or more{}, and a message may have {} (ResourceConfig::message_max); raise that "
      "limit, or send less at a time",
      what, to_string(ByteSize{size}), others, to_string(ByteSize{window})));
}

Channel::Channel(const WorkerSettings& settings) {
  file_ = os::UniqueFd(memfd_create("reeve-channel", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!file_) throw_errno("memfd_create(reeve-channel)");
  file_bytes_ = std::min<std::size_t>(first_file_bytes, settings.channel_bytes);
  if (ftruncate(file_.get(), static_cast<off_t>(file_bytes_)) != 0 ||
      fcntl(file_.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_SEAL) != 0) {
    throw_errno("sizing a channel");
  }
  void* window = mmap(nullptr, settings.channel_bytes, PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_NORESERVE, file_.get(), 0);
  if (window == MAP_FAILED) throw_errno("mmap of a channel");
  header_ = new (window) ChannelHeader{};
  header_->settings = settings;
  area_ = {static_cast<std::byte*>(window) + channel_header_bytes,
           settings.channel_bytes - channel_header_bytes};
}

Channel::~Channel() {
  if (header_ != nullptr) munmap(header_, area_.size() + channel_header_bytes);
}

std::span<std::byte> Channel::reserve(std::size_t bytes) {
  if (bytes > area_.size()) throw_too_large("the arguments", bytes, 0, area_.size());
  const std::size_t needed = bytes + channel_header_bytes;
  while (needed > file_bytes_) {
    if (!look_at_size()) throw_errno("the size of a channel");
    if (needed <= file_bytes_) break;
    // In whole pages: a reply begins behind the arguments, rounded up, and may be empty.
    const std::size_t pages = (std::max(needed, 2 * file_bytes_) + 4095) / 4096 * 4096;
    const std::size_t wanted = std::min(pages, area_.size() + channel_header_bytes);
    if (ftruncate(file_.get(), static_cast<off_t>(wanted)) == 0) {
      file_bytes_ = wanted;
    } else if (errno != EPERM) {  // EPERM: the worker has grown it beyond that since the look
      throw_errno("growing a channel");
    }
  }
  return area_.first(file_bytes_ - channel_header_bytes);
}

// The worker grows the file, too, for results that it may have cut back afterwards.
bool Channel::look_at_size() noexcept {
  struct stat file{};
  if (fstat(file_.get(), &file) != 0) return false;
  file_bytes_ =
      std::min(static_cast<std::size_t>(file.st_size), area_.size() + channel_header_bytes);
  return true;
}

bool Channel::readable(std::uint64_t offset, std::uint64_t size) {
  if (offset > area_.size() || size > area_.size() - offset) return false;
  const std::uint64_t end = channel_header_bytes + offset + size;
  return end <= file_bytes_ || (look_at_size() && end <= file_bytes_);
}

}  // namespace reeve::process
