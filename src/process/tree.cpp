// Walks /proc/PID/task/*/children. Runs in the single-threaded warden.
#include "process/tree.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace reeve::process {
namespace {

// Reads a whole small /proc file; empty when it is gone.
std::size_t read_file(const char* path, char* to, std::size_t size) {
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  std::size_t got = 0;
  while (got + 1 < size) {
    const ssize_t n = read(fd, to + got, size - 1 - got);
    if (n <= 0) break;
    got += static_cast<std::size_t>(n);
  }
  close(fd);
  to[got] = '\0';
  return got;
}

void parse_children(const char* path, std::vector<pid_t>& result) {
  static thread_local std::vector<char> text(1 << 16);
  if (read_file(path, text.data(), text.size()) == 0) return;
  for (const char* at = text.data(); *at != '\0';) {
    char* end = nullptr;
    const long pid = std::strtol(at, &end, 10);
    if (end == at) break;
    result.push_back(static_cast<pid_t>(pid));
    at = *end == '\0' ? end : end + 1;
  }
}

// A signal for exactly the process that is `parent`'s child now: no other can have got its number.
bool signal_child(pid_t pid, pid_t parent, int signal) {
  const int fd = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
  if (fd < 0) return false;
  const bool same = parent_of(pid) == parent;
  const bool sent = same && syscall(SYS_pidfd_send_signal, fd, signal, nullptr, 0) == 0;
  close(fd);
  return sent;
}

struct Member {
  pid_t pid;
  pid_t parent;
};

void walk(pid_t root, std::vector<Member>& members) {
  std::vector<pid_t> children;
  std::vector<pid_t> queue{root};
  for (std::size_t i = 0; i < queue.size() && queue.size() < 100'000; ++i) {
    children.clear();
    list_children(queue[i], children);
    for (const pid_t child : children) {
      members.push_back({child, queue[i]});
      queue.push_back(child);
    }
  }
}

}  // namespace

void list_children(pid_t parent, std::vector<pid_t>& result) {
  char path[96];
  std::snprintf(path, sizeof path, "/proc/%d/task", parent);
  DIR* tasks = opendir(path);
  if (tasks == nullptr) return;
  while (const dirent* entry = readdir(tasks)) {
    if (entry->d_name[0] < '0' || entry->d_name[0] > '9') continue;
    std::snprintf(path, sizeof path, "/proc/%d/task/%.20s/children", parent, entry->d_name);
    parse_children(path, result);
  }
  closedir(tasks);
}

void list_children(pid_t parent, pid_t thread, std::vector<pid_t>& result) {
  char path[96];
  std::snprintf(path, sizeof path, "/proc/%d/task/%d/children", parent, thread);
  parse_children(path, result);
}

void list_descendants(pid_t root, std::vector<pid_t>& result) {
  std::vector<Member> members;
  walk(root, members);
  for (const Member& member : members) result.push_back(member.pid);
}

unsigned kill_tree(pid_t root) {
  kill(root, SIGSTOP);  // the warden's own unreaped child: its number cannot be reused
  std::vector<pid_t> stopped;
  std::vector<Member> members;
  // Stop everyone first, so that nobody forks while we look; a pass that finds nobody new ends it.
  for (int pass = 0; pass < 200; ++pass) {
    members.clear();
    walk(root, members);
    bool found = false;
    for (const Member& member : members) {
      if (std::find(stopped.begin(), stopped.end(), member.pid) != stopped.end()) continue;
      signal_child(member.pid, member.parent, SIGSTOP);
      stopped.push_back(member.pid);
      found = true;
    }
    if (!found) break;
  }
  unsigned killed = 0;
  for (auto member = members.rbegin(); member != members.rend(); ++member) {
    if (signal_child(member->pid, member->parent, SIGKILL)) ++killed;
  }
  kill(root, SIGKILL);
  return killed;
}

unsigned kill_orphans(const std::vector<pid_t>& known, std::vector<pid_t>* signalled) {
  std::vector<pid_t> children;
  list_children(getpid(), children);
  unsigned killed = 0;
  for (const pid_t child : children) {
    if (std::find(known.begin(), known.end(), child) != known.end()) continue;
    killed += kill_tree(child) + 1;
    if (signalled == nullptr) continue;
    if (std::find(signalled->begin(), signalled->end(), child) == signalled->end())
      signalled->push_back(child);
  }
  return killed;
}

bool write_text(const std::string& path, const std::string& text) {
  const int fd = open(path.c_str(), O_WRONLY | O_CLOEXEC);
  if (fd < 0) return false;
  const bool written = write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  close(fd);
  return written;
}

pid_t parent_of(pid_t pid) {
  char path[48];
  char text[512];
  std::snprintf(path, sizeof path, "/proc/%d/stat", pid);
  if (read_file(path, text, sizeof text) == 0) return -1;
  const char* after_name = std::strrchr(text, ')');  // the name may contain anything
  int parent = -1;
  if (after_name == nullptr || std::sscanf(after_name + 1, " %*c %d", &parent) != 1) return -1;
  return parent;
}

bool memory_of(pid_t pid, std::uint64_t& private_bytes, std::uint64_t& shared_bytes) {
  char path[48];
  char text[128];
  std::snprintf(path, sizeof path, "/proc/%d/statm", pid);
  unsigned long long size = 0, resident = 0, shared = 0;
  if (read_file(path, text, sizeof text) == 0) return false;
  if (std::sscanf(text, "%llu %llu %llu", &size, &resident, &shared) != 3 || size == 0)
    return false;
  static const auto page = static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
  shared_bytes = shared * page;
  private_bytes = (resident - std::min(resident, shared)) * page;
  return true;
}

std::int64_t cpu_time_of(pid_t pid) {
  clockid_t clock;
  timespec time{};
  if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &time) != 0) return 0;
  return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

std::optional<std::uint64_t> proportional_set(pid_t pid) {
  char path[48];
  char text[4096];
  std::snprintf(path, sizeof path, "/proc/%d/smaps_rollup", pid);
  if (read_file(path, text, sizeof text) == 0) return std::nullopt;
  unsigned long long kibibytes = 0;
  const char* line = std::strstr(text, "\nPss:");
  if (line == nullptr || std::sscanf(line, "\nPss: %llu", &kibibytes) != 1) return std::nullopt;
  return std::uint64_t{kibibytes} * 1024;
}

}  // namespace reeve::process
