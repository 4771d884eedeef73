// Written beside and renamed, so that a kill at any time leaves a whole file.
#include <reeve/mcmc/atomic_file.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <reeve/base/error.hpp>

namespace reeve::mcmc {

void replace_file(const std::string& path, std::string_view bytes) {
  const std::string beside = path + ".new";
  const int fd = ::open(beside.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0)
    throw Error("cannot write the checkpoint " + beside + "; check the folder and its permissions");
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) {
      ::close(fd);
      throw Error("writing the checkpoint " + beside + " failed; is the disk full?");
    }
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  const bool safe = ::fsync(fd) == 0;
  ::close(fd);
  if (!safe || std::rename(beside.c_str(), path.c_str()) != 0)
    throw Error("the checkpoint " + path + " cannot be replaced; check the folder's permissions");
}

}  // namespace reeve::mcmc
