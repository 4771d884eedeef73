// How a worker ends: its whole tree is killed, reaped, and only then reported.
#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>

#include "process/tree.hpp"
#include "process/warden.hpp"

namespace reeve::process {
namespace {

std::int64_t nanoseconds(const timeval& time) {
  return std::int64_t{time.tv_sec} * 1'000'000'000 + std::int64_t{time.tv_usec} * 1000;
}

void close_if_open(int& fd) {
  if (fd >= 0) close(fd);
  fd = -1;
}

}  // namespace

void Warden::kill(std::uint32_t slot, Cause cause) {
  Ward& ward = wards_[slot];
  if (ward.pid == 0 || ward.killed_for != Cause::none) return;
  ward.killed_for = cause;
  ward.decided_at = monotonic_ns();
  // One write ends everything born in the group, also what forks faster than we can list it.
  const bool by_group = !ward.cgroup.empty() && write_text(ward.cgroup + "/cgroup.kill", "1");
  if (!by_group) {
    // First the worker; what it leaves comes to us when it is reaped. Only if it cannot die now
    // (state D) are its children still below it.
    ward.had_children = has_children(ward);
    ::kill(ward.pid, SIGKILL);
    if (ward.had_children) ward.descendants_killed = kill_tree(ward.pid);
  }
  send(report(MessageKind::revoked, slot));
}

void Warden::reap() {
  signalfd_siginfo ignored[8];
  while (read(signals_, ignored, sizeof ignored) > 0) {
  }
  bool buried = false;
  for (;;) {
    siginfo_t info{};
    if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT | __WALL) != 0 || info.si_pid == 0)
      break;
    const pid_t pid = info.si_pid;
    std::uint32_t slot = 0;
    while (slot < wards_.size() && wards_[slot].pid != pid) ++slot;
    if (slot < wards_.size()) read_output(wards_[slot]);
    int status = 0;
    rusage usage{};
    wait4(pid, &status, __WALL, &usage);
    if (slot == wards_.size()) {  // an orphan of a dead worker
      std::erase(abandoned_, pid);
      continue;
    }
    buried = true;
    const bool by_signal = WIFSIGNALED(status);
    bury(slot, by_signal, by_signal ? WTERMSIG(status) : WEXITSTATUS(status),
         nanoseconds(usage.ru_utime) + nanoseconds(usage.ru_stime),
         static_cast<std::uint64_t>(usage.ru_maxrss) * 1024);
  }
  if (buried) sweep();
}

void Warden::bury(std::uint32_t slot, bool by_signal, int status, std::int64_t cpu_ns,
                  std::uint64_t peak) {
  Report death = report(MessageKind::exited, slot);
  death.dead_at = monotonic_ns();
  wards_[slot].pid = 0;
  wards_[slot].in_burial = true;
  if (!wards_[slot].cgroup.empty()) write_text(wards_[slot].cgroup + "/cgroup.kill", "1");
  // What the worker left behind is now our child: nobody else's children end up here.
  bool complete = !orphans_left();
  std::vector<pid_t> signalled;  // in the first second: they had time to die
  while (!complete && monotonic_ns() < death.dead_at + 2'000'000'000) {
    const bool early = monotonic_ns() < death.dead_at + 1'000'000'000;
    // The largest count of one pass: whom kill_tree() has killed may still be dying here.
    death.descendants_killed = std::max<std::uint32_t>(
        death.descendants_killed, kill_orphans(known_pids(), early ? &signalled : nullptr));
    for (int nap = 0; nap < 100 && !complete; ++nap) {
      const timespec time{0, 50'000};
      nanosleep(&time, nullptr);
      complete = !orphans_left() && !orphans_left();
      if (nap % 10 != 9) continue;
      sweep();  // neither the limits of others nor what the program asks wait for this burial
      serve_socket();
    }
  }
  if (!complete) abandon_orphans(signalled);
  Ward& ward = wards_[slot];  // looked up here: the program may have asked for further ones
  if (death.descendants_killed > 0) death.dead_at = monotonic_ns();
  death.tree_complete = complete;
  death.died_by_signal = by_signal;
  death.status = status;
  death.cpu_ns = cpu_ns;
  death.peak = std::max(death.peak, peak);
  death.tail_size = static_cast<std::uint32_t>(std::min(ward.tail.size(), tail_bytes));
  std::memcpy(death.tail, ward.tail.data() + (ward.tail.size() - death.tail_size), death.tail_size);
  if (!ward.cgroup.empty()) rmdir(ward.cgroup.c_str());
  close_if_open(ward.statm_fd);
  close_if_open(ward.children_fd);
  close_if_open(ward.channel_fd);
  close_if_open(ward.output_fd);
  ward = Ward{};
  send(death);
}

// Reaps dead orphans; true if any was there, dead or alive: look again.
bool Warden::orphans_left() {
  const std::vector<pid_t> known = known_pids();
  std::vector<pid_t> children;
  list_children(self_, self_, children);  // the warden has one thread
  bool left = false;
  for (const pid_t child : children) {
    bool ours = false;
    for (const pid_t pid : known) ours = ours || pid == child;
    if (ours) continue;
    // One that is reaped now may have handed its own children to us after the list was read.
    waitpid(child, nullptr, WNOHANG | __WALL);
    left = true;
  }
  return left;
}

// Who does not die in 2 s (state D, or traced by a stranger) makes no later burial wait. Others
// have just come from a worker that died meanwhile: its own burial ends them.
void Warden::abandon_orphans(const std::vector<pid_t>& signalled) {
  const std::vector<pid_t> known = known_pids();
  std::vector<pid_t> children;
  list_children(self_, self_, children);
  for (const pid_t child : children) {
    const auto is_in = [child](const std::vector<pid_t>& pids) {
      return std::find(pids.begin(), pids.end(), child) != pids.end();
    };
    if (!is_in(known) && is_in(signalled)) abandoned_.push_back(child);
  }
}

// All children that are no fresh orphans. Numbers of unreaped children are not given again.
std::vector<pid_t> Warden::known_pids() const {
  std::vector<pid_t> pids = abandoned_;
  for (const Ward& ward : wards_) {
    if (ward.pid != 0) pids.push_back(ward.pid);
  }
  return pids;
}

void Warden::read_output(Ward& ward) {
  if (ward.output_fd < 0) return;
  char buffer[16384];
  for (int i = 0; i < 64; ++i) {
    const ssize_t size = read(ward.output_fd, buffer, sizeof buffer);
    if (size < 0 && errno == EAGAIN) return;
    if (size <= 0) {
      close_if_open(ward.output_fd);
      return;
    }
    ward.tail.append(buffer, static_cast<std::size_t>(size));
    if (ward.tail.size() > 2 * tail_bytes) ward.tail.erase(0, ward.tail.size() - tail_bytes);
  }
}

void Warden::end() {
  for (Ward& ward : wards_) {
    if (ward.pid == 0) continue;
    if (!ward.cgroup.empty()) write_text(ward.cgroup + "/cgroup.kill", "1");
    kill_tree(ward.pid);
  }
  // Orphans arrive as their parents are reaped; stay until nobody is left, but not for ever.
  const std::int64_t until = monotonic_ns() + 5'000'000'000;
  while (monotonic_ns() < until) {
    kill_orphans({});
    pid_t pid;
    while ((pid = waitpid(-1, nullptr, WNOHANG | __WALL)) > 0) {
    }
    if (pid < 0) break;  // no child at all
    const timespec nap{0, 200'000};
    nanosleep(&nap, nullptr);
  }
  for (Ward& ward : wards_) {
    if (!ward.cgroup.empty()) rmdir(ward.cgroup.c_str());
  }
  if (board_->settings.cgroup[0] != '\0') rmdir(board_->settings.cgroup);
  _exit(0);
}

}  // namespace reeve::process
