// The warden makes a worker: one fork, a dozen system calls, no program to load.
#include <fcntl.h>
#include <malloc.h>
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
#include <reeve/codec/function_id.hpp>
#include <reeve/os/proc.hpp>

#include "process/tree.hpp"
#include "process/warden.hpp"
#include "process/worker.hpp"

namespace reeve::process {

void Warden::refuse_to_spawn(const Command& command, int error) {
  Report answer{};
  answer.kind = MessageKind::spawned;
  answer.slot = command.slot;
  answer.incarnation = command.incarnation;
  answer.error = error;
  send(answer);
}

void Warden::spawn(const Command& command, int channel, int bell) {
  Ward& ward = wards_[command.slot];
  if (ward.pid != 0 || ward.in_burial) return refuse_to_spawn(command, EBUSY);
  int output[2] = {-1, -1};
  if (board_->settings.capture_output != 0 && pipe2(output, O_CLOEXEC) != 0) {
    return refuse_to_spawn(command, errno);
  }
  ward = Ward{};
  ward.incarnation = command.incarnation;
  slots_[command.slot].memory_used.store(0, std::memory_order_relaxed);
  slots_[command.slot].memory_peak.store(0, std::memory_order_relaxed);
  open_cgroup(ward, command.slot);
  const pid_t pid = fork_worker();
  if (pid == 0) become_worker(command, channel, bell, output[1]);
  const int error = errno;
  if (output[1] >= 0) close(output[1]);
  if (pid < 0) {
    if (output[0] >= 0) close(output[0]);
    if (!ward.cgroup.empty()) rmdir(ward.cgroup.c_str());
    ward = Ward{};
    return refuse_to_spawn(command, error);
  }
  open_books(ward, pid, channel, output[0]);
  if (ward.output_fd >= 0) watch(ward.output_fd, from_output, command.slot);
  send(report(MessageKind::spawned, command.slot));
}

void Warden::open_books(Ward& ward, pid_t pid, int channel, int output) {
  ward.pid = pid;
  ward.channel_fd = fcntl(channel, F_DUPFD_CLOEXEC, own_fds_from);
  ward.output_fd = move_up(output);
  if (ward.output_fd >= 0) fcntl(ward.output_fd, F_SETFL, O_NONBLOCK);
}

// What every worker would else find out for itself.
void Warden::prepare_workers() {
  codec::program_id();  // reads the table of modules
  oom_score_fd_ = move_up(open("/proc/self/oom_score_adj", O_RDWR | O_CLOEXEC));
  char own[16] = {};
  if (read(oom_score_fd_, own, sizeof own - 1) > 0) own_oom_score_ = own;
  worker_oom_score_ = std::to_string(settings_.oom_score);
  std::uint64_t private_bytes = 0;
  // The worker maps the same files, and more as it touches them.
  if (!memory_of(self_, private_bytes, shared_baseline_)) shared_baseline_ = 0;
  shared_baseline_ += 8u << 20;
}

// A worker inherits its score for the kernel's out-of-memory killer; to write it there would cost
// it a directory of /proc.
pid_t Warden::fork_worker() {
  const auto set_score = [this](const std::string& score) {
    [[maybe_unused]] const auto n = pwrite(oom_score_fd_, score.data(), score.size(), 0);
  };
  data_bytes();
  set_score(worker_oom_score_);
  const pid_t pid = fork();
  if (pid != 0) set_score(own_oom_score_);
  return pid;
}

// VmData, read again only when the heap has grown: the text of /proc/self/status is long.
std::uint64_t Warden::data_bytes() {
  const struct mallinfo2 heap = mallinfo2();
  if (data_bytes_ == 0 || heap.arena + heap.hblkhd != heap_bytes_) {
    heap_bytes_ = heap.arena + heap.hblkhd;
    data_bytes_ = os::vm_data_self();
  }
  return data_bytes_;
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
  enter_worker(settings_, settings_text_.c_str(), data_bytes_);
}

}  // namespace reeve::process
