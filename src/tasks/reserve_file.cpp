// posix_fallocate: blocks that are really there.
#include "tasks/reserve_file.hpp"

#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <filesystem>
#include <utility>

namespace reeve::tasks::detail {

void ReserveFile::hold() noexcept {
  if (held_ || bytes_ == 0) return;
  // Asked before each attempt: one that fails takes the last space for a moment.
  struct statvfs space{};
  const std::string directory = std::filesystem::path(path_).parent_path().string();
  if (::statvfs(directory.empty() ? "." : directory.c_str(), &space) == 0 &&
      space.f_bavail * space.f_frsize < bytes_)
    return;
  const int fd = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return;
  held_ = ::posix_fallocate(fd, 0, static_cast<off_t>(bytes_)) == 0;
  ::close(fd);
  if (!held_) ::unlink(path_.c_str());
}

bool ReserveFile::give_up() noexcept {
  return std::exchange(held_, false) && ::unlink(path_.c_str()) == 0;
}

}  // namespace reeve::tasks::detail
