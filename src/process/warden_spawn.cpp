// The warden makes a worker: one fork, a dozen system calls, no program to load.
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "process/tree.hpp"
#include "process/warden.hpp"
#include "process/worker.hpp"

namespace reeve::process {

void Warden::spawn(const Command& command, int channel, int bell) {
  Ward& ward = wards_[command.slot];
  Report answer{};
  answer.kind = MessageKind::spawned;
  answer.slot = command.slot;
  answer.incarnation = command.incarnation;
  if (ward.pid != 0) {
    answer.error = EBUSY;
    send(answer);
    return;
  }
  int output[2] = {-1, -1};
  if (board_->settings.capture_output != 0 && pipe2(output, O_CLOEXEC) != 0) {
    answer.error = errno;
    send(answer);
    return;
  }
  ward = Ward{};
  ward.incarnation = command.incarnation;
  slots_[command.slot].memory_used.store(0, std::memory_order_relaxed);
  slots_[command.slot].memory_peak.store(0, std::memory_order_relaxed);
  open_cgroup(ward, command.slot);
  const pid_t pid = fork();
  if (pid == 0) become_worker(command, channel, bell, output[1]);
  if (output[1] >= 0) close(output[1]);
  if (pid < 0) {
    answer.error = errno;
    if (output[0] >= 0) close(output[0]);
    if (!ward.cgroup.empty()) rmdir(ward.cgroup.c_str());
    ward = Ward{};
  } else {
    open_books(ward, pid, channel, output[0]);
    answer.pid = pid;
    if (ward.output_fd >= 0) {
      epoll_event event{};
      event.events = EPOLLIN;
      event.data.u64 = (std::uint64_t{command.slot} << 32) | 5;
      epoll_ctl(epoll_, EPOLL_CTL_ADD, ward.output_fd, &event);
    }
  }
  send(answer);
}

void Warden::open_books(Ward& ward, pid_t pid, int channel, int output) {
  ward.pid = pid;
  char path[64];
  std::snprintf(path, sizeof path, "/proc/%d/statm", pid);
  const auto raise = [](int fd) {
    if (fd < 0) return fd;
    const int high = fcntl(fd, F_DUPFD_CLOEXEC, own_fds_from);
    if (high < 0) return fd;
    close(fd);
    return high;
  };
  ward.statm_fd = raise(open(path, O_RDONLY | O_CLOEXEC));
  std::snprintf(path, sizeof path, "/proc/%d/task/%d/children", pid, pid);
  ward.children_fd = raise(open(path, O_RDONLY | O_CLOEXEC));
  ward.channel_fd = fcntl(channel, F_DUPFD_CLOEXEC, own_fds_from);
  ward.output_fd = raise(output);
  if (ward.output_fd >= 0) fcntl(ward.output_fd, F_SETFL, O_NONBLOCK);
  std::uint64_t own = 0;
  // Taken from ourselves: the worker maps the same files, and more as it touches them.
  if (!memory_of(getpid(), own, ward.shared_baseline)) ward.shared_baseline = 0;
  ward.shared_baseline += 8u << 20;
}

void Warden::open_cgroup(Ward& ward, std::uint32_t slot) {
  const WorkerSettings& settings = board_->settings;
  if (settings.cgroup[0] == '\0') return;
  // A group that was killed once kills whatever is born in it: every incarnation gets a fresh one.
  char path[384];
  std::snprintf(path, sizeof path, "%.255s/reeve-%d-%u-%llu", settings.cgroup, getpid(), slot,
                static_cast<unsigned long long>(ward.incarnation));
  if (mkdir(path, 0755) != 0) return;
  ward.cgroup = path;
  if (settings.group_memory != 0) {
    write_text(ward.cgroup + "/memory.max", std::to_string(settings.group_memory));
    write_text(ward.cgroup + "/memory.oom.group", "1");
  }
  if (settings.group_pids != 0)
    write_text(ward.cgroup + "/pids.max", std::to_string(settings.group_pids));
}

void Warden::become_worker(const Command& command, int channel, int bell, int output) {
  prctl(PR_SET_PDEATHSIG,
        SIGKILL);  // safe: the warden has one thread, which lives as long as it does
  if (getppid() != self_) _exit(122);
  const Ward& ward = wards_[command.slot];
  if (!ward.cgroup.empty()) {
    const int group = open((ward.cgroup + "/cgroup.procs").c_str(), O_WRONLY | O_CLOEXEC);
    if (group >= 0) {
      [[maybe_unused]] const auto n = write(group, "0", 1);
      close(group);
    }
  }
  const bool wired = dup2(hub_fd_, worker_hub_fd) >= 0 && dup2(channel, worker_channel_fd) >= 0 &&
                     dup2(bell, worker_bell_fd) >= 0;
  if (!wired) _exit(123);
  close(channel);
  close(bell);
  if (output >= 0) {
    dup2(output, STDOUT_FILENO);
    dup2(output, STDERR_FILENO);
    close(output);
  }
  syscall(SYS_close_range, static_cast<unsigned>(own_fds_from), ~0u, 0u);
  if (command.bind != 0) sched_setaffinity(0, sizeof command.cpus, &command.cpus);
  enter_worker(settings_, settings_text_.c_str());
}

}  // namespace reeve::process
