// Making, delegating and cleaning up a pool's group.
#include "pool/pool_group.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <vector>

namespace reeve::detail {
namespace {

int write_text(const std::string& path, const char* text) noexcept {
  const os::UniqueFd fd{open(path.c_str(), O_WRONLY | O_CLOEXEC)};
  if (!fd) return errno;
  return write(fd.get(), text, std::strlen(text)) < 0 ? errno : 0;
}

std::vector<std::string> folders_in(const std::string& path) {
  std::vector<std::string> names;
  DIR* folder = opendir(path.c_str());
  if (folder == nullptr) return names;
  while (const dirent* entry = readdir(folder)) {
    if (entry->d_type == DT_DIR && entry->d_name[0] != '.') names.emplace_back(entry->d_name);
  }
  closedir(folder);
  return names;
}

void remove_with_children(const std::string& path) {
  for (const std::string& name : folders_in(path)) rmdir((path + "/" + name).c_str());
  rmdir(path.c_str());  // EBUSY: somebody lives in it
}

}  // namespace

PoolGroup::PoolGroup(const os::CgroupSelf& self) {
  static std::atomic<unsigned> counter{0};
  if (!self.found || !self.writable || !self.kill) {
    reason_ = self.reason;
    return;
  }
  remove_dead_pool_groups(self.path);
  std::string path = fmt::format("{}/reeve-pool-{}-{}", self.path, getpid(), counter.fetch_add(1));
  if (path.size() >= 256 || mkdir(path.c_str(), 0755) != 0) {
    reason_ = fmt::format("{} could not be made: {}", path,
                          std::strerror(path.size() >= 256 ? ENAMETOOLONG : errno));
    return;
  }
  path_ = std::move(path);
  reason_.clear();
  delegate(self);
}

PoolGroup PoolGroup::declined() {
  PoolGroup group;
  group.reason_ = "use_cgroup is false";
  return group;
}

// Limits need their controller in our group and in the pool's. A group that holds processes
// (ours does) gives none away unless it is the root.
void PoolGroup::delegate(const os::CgroupSelf& self) {
  const auto pass_on = [&](const char* controller) {
    const int error = write_text(self.path + "/cgroup.subtree_control", controller);
    return error != 0 ? error : write_text(path_ + "/cgroup.subtree_control", controller);
  };
  if (!self.memory) {
    memory_reason_ = fmt::format("memory is not in {}/cgroup.controllers", self.path);
  } else if (const int error = pass_on("+memory"); error != 0) {
    memory_reason_ = fmt::format("{} does not pass memory on: {}", self.path, std::strerror(error));
  } else {
    memory_ = true;
  }
  if (self.pids) pids_ = pass_on("+pids") == 0;
}

void PoolGroup::kill() const noexcept {
  if (!path_.empty()) write_text(path_ + "/cgroup.kill", "1");
}

void PoolGroup::remove() const noexcept {
  if (!path_.empty()) remove_with_children(path_);
}

void remove_dead_pool_groups(const std::string& own_group) noexcept {
  for (const std::string& name : folders_in(own_group)) {
    int pid = 0;
    if (std::sscanf(name.c_str(), "reeve-pool-%d-", &pid) != 1 || pid <= 0) continue;
    // Only an empty group goes: its maker may live in a pid namespace that we do not see.
    if (::kill(pid, 0) != 0 && errno == ESRCH) remove_with_children(own_group + "/" + name);
  }
}

}  // namespace reeve::detail
