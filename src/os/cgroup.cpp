// cgroup v2 through its files.
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <reeve/base/error.hpp>
#include <reeve/os/cgroup.hpp>
#include <vector>

namespace reeve::os {
namespace {

std::optional<std::string> read_file(const std::string& path) {
  const UniqueFd fd{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  if (!fd) return std::nullopt;
  std::string text;
  char buffer[4096];
  for (;;) {
    const ssize_t got = ::read(fd.get(), buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return std::nullopt;
    if (got == 0) return text;
    text.append(buffer, static_cast<std::size_t>(got));
  }
}

int write_file(const std::string& path, std::string_view text) noexcept {
  const UniqueFd fd{::open(path.c_str(), O_WRONLY | O_CLOEXEC)};
  if (!fd) return errno;
  return ::write(fd.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()) ? 0
                                                                                          : errno;
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(separator), text.size());
    if (end > 0) parts.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return parts;
}

std::optional<std::uint64_t> number(std::string_view text) {
  std::uint64_t value = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{}) return std::nullopt;
  return value;
}

// The figure behind `key` in a file of "key value" lines.
std::optional<std::uint64_t> keyed(const std::string& path, std::string_view key) {
  const auto text = read_file(path);
  if (!text) return std::nullopt;
  for (const std::string_view line : split(*text, '\n')) {
    const auto words = split(line, ' ');
    if (words.size() == 2 && words[0] == key) return number(words[1]);
  }
  return std::nullopt;
}

// mountinfo writes space, tab, newline and backslash as \ooo.
std::string unescape(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size()) {
      out +=
          static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + text[i + 3] - '0');
      i += 3;
    } else {
      out += text[i];
    }
  }
  return out;
}

void write_limit(const std::string& path, const std::string& value) {
  const int error = write_file(path, value);
  if (error != 0) throw SystemError(error, "writing " + value + " to " + path);
}

}  // namespace

std::optional<std::string> parse_own_cgroup(std::string_view cgroup_text) {
  for (const std::string_view line : split(cgroup_text, '\n')) {
    if (line.substr(0, 3) == "0::") return std::string(line.substr(3));
  }
  return std::nullopt;
}

std::optional<std::string> parse_cgroup2_directory(std::string_view mountinfo_text,
                                                   std::string_view group) {
  for (const std::string_view line : split(mountinfo_text, '\n')) {
    const std::size_t dash = line.find(" - ");
    if (dash == std::string_view::npos || line.substr(dash + 3, 8) != "cgroup2 ") continue;
    const auto words = split(line.substr(0, dash), ' ');
    if (words.size() < 5) continue;
    const std::string root = unescape(words[3]);
    std::string directory = unescape(words[4]);
    std::string_view below = group;
    if (root != "/") {  // the mount shows a part of the hierarchy: our group must lie in it
      if (below.substr(0, root.size()) != root) continue;
      below.remove_prefix(root.size());
      if (!below.empty() && below.front() != '/') continue;
    }
    if (below.find("..") != std::string_view::npos) continue;
    if (below != "/") directory += below;
    return directory;
  }
  return std::nullopt;
}

CgroupSelf find_own_cgroup(const std::string& proc, const std::string& sys_prefix) {
  CgroupSelf self;
  const auto cgroup = read_file(proc + "/self/cgroup");
  const auto group = cgroup ? parse_own_cgroup(*cgroup) : std::nullopt;
  if (!group) {
    self.reason = "no cgroup v2 hierarchy is mounted for this process";
    return self;
  }
  const auto mounts = read_file(proc + "/self/mountinfo");
  const auto directory = mounts ? parse_cgroup2_directory(*mounts, *group) : std::nullopt;
  if (!directory) {
    self.reason = "no cgroup2 mount shows our group " + *group;
    return self;
  }
  self.found = true;
  self.path = sys_prefix + *directory;
  self.writable = ::access(self.path.c_str(), W_OK | X_OK) == 0 &&
                  ::access((self.path + "/cgroup.procs").c_str(), W_OK) == 0;
  const std::string controllers = read_file(self.path + "/cgroup.controllers").value_or("");
  for (const std::string_view name : split(controllers, ' ')) {
    const std::string_view trimmed = name.substr(0, name.find('\n'));
    self.memory = self.memory || trimmed == "memory";
    self.pids = self.pids || trimmed == "pids";
  }
  // The root group has no cgroup.kill itself, its children have: then cgroup.events tells nothing
  // either.
  struct stat info{};
  self.kill = ::stat((self.path + "/cgroup.kill").c_str(), &info) == 0;
  if (!self.kill && *group == "/") {
    const std::string release = read_file(proc + "/sys/kernel/osrelease").value_or("");
    const auto words = split(release, '.');
    const auto major = words.empty() ? std::nullopt : number(words[0]);
    const auto minor = words.size() < 2 ? std::nullopt : number(words[1]);
    self.kill = major && minor && (*major > 5 || (*major == 5 && *minor >= 14));
  }
  if (!self.writable)
    self.reason = "our group " + self.path + " is not writable";
  else if (!self.kill)
    self.reason = "the kernel has no cgroup.kill (Linux 5.14 or newer has)";
  else if (!self.memory)
    self.reason = "memory is not in " + self.path + "/cgroup.controllers";
  return self;
}

Cgroup& Cgroup::operator=(Cgroup&& other) noexcept {
  if (this != &other) {
    remove();
    path_ = std::exchange(other.path_, {});
  }
  return *this;
}

Cgroup Cgroup::create(const CgroupSelf& self, std::string_view name, CgroupLimits limits) {
  if (name.empty() || name == "." || name == ".." || name.find('/') != std::string_view::npos) {
    throw ConfigError("\"" + std::string(name) +
                      "\" is no name for a cgroup; give one path component");
  }
  if (!self.writable) throw ConfigError("no cgroup can be made: " + self.reason);
  std::string path = self.path + "/" + std::string(name);
  if (::mkdir(path.c_str(), 0755) != 0) throw_errno("mkdir " + path);
  Cgroup group{std::move(path)};  // removed again if a limit cannot be set
  if (limits.memory_max != 0) {
    write_file(self.path + "/cgroup.subtree_control", "+memory");
    write_limit(group.path_ + "/memory.max", std::to_string(limits.memory_max));
    write_file(group.path_ + "/memory.swap.max", "0");  // absent without swap accounting
    write_limit(group.path_ + "/memory.oom.group", "1");
  }
  if (limits.pids_max != 0) {
    write_file(self.path + "/cgroup.subtree_control", "+pids");
    write_limit(group.path_ + "/pids.max", std::to_string(limits.pids_max));
  }
  return group;
}

UniqueFd Cgroup::open() const {
  UniqueFd fd{::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  if (!fd) throw_errno("open " + path_);
  return fd;
}

int Cgroup::add(pid_t pid) const noexcept {
  return write_file(path_ + "/cgroup.procs", std::to_string(pid));
}

int Cgroup::kill() const noexcept {
  return write_file(path_ + "/cgroup.kill", "1");
}

bool Cgroup::populated() const noexcept {
  return keyed(path_ + "/cgroup.events", "populated") != std::uint64_t{0};
}

bool Cgroup::wait_empty(std::chrono::milliseconds limit) const noexcept {
  const UniqueFd events{::open((path_ + "/cgroup.events").c_str(), O_RDONLY | O_CLOEXEC)};
  const auto end = std::chrono::steady_clock::now() + limit;
  for (;;) {
    char buffer[128];  // reading arms the next POLLPRI
    if (events) [[maybe_unused]]
      const auto got = ::pread(events.get(), buffer, sizeof buffer, 0);
    if (!populated()) return true;
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
    if (left.count() <= 0 || !events) return false;
    pollfd entry{events.get(), POLLPRI, 0};
    ::poll(&entry, 1, static_cast<int>(std::min<long long>(left.count(), 100)));
  }
}

std::optional<std::uint64_t> Cgroup::memory_peak() const {
  const auto text = read_file(path_ + "/memory.peak");
  return text ? number(*text) : std::nullopt;
}

std::optional<std::uint64_t> Cgroup::oom_kills() const {
  return keyed(path_ + "/memory.events", "oom_kill");
}

int Cgroup::remove() noexcept {
  if (path_.empty()) return 0;
  if (::rmdir(path_.c_str()) != 0 && errno != ENOENT) return errno;
  path_.clear();
  return 0;
}

}  // namespace reeve::os
