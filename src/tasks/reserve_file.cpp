// posix_fallocate: blocks that are really there.
#include "tasks/reserve_file.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <utility>

namespace reeve::tasks::detail {

void ReserveFile::hold() noexcept {
  if (held_ || bytes_ == 0) return;
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
