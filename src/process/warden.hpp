// The warden: a single-threaded process that forks workers, holds their deadlines and buries them.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "process/protocol.hpp"

namespace reeve::process {

/// One worker as its warden sees it.
struct Ward {
  pid_t pid = 0;  // 0: nobody
  std::uint64_t incarnation = 0;
  int statm_fd = -1;  // opened when first looked at: a third of a start goes into /proc
  int children_fd = -1;
  int channel_fd = -1;
  int output_fd = -1;           // read end of captured stdout and stderr
  std::string tail;             // the last bytes of its output
  std::uint64_t overcount = 0;  // pages that a forked child shares with it, found by a closer look
  std::int64_t next_close_look = 0;
  std::int64_t next_look = 0;
  std::int64_t look_interval = 0;
  std::uint64_t looked_for = 0;  // the limit that the last look was for: a call may have its own
  unsigned looks = 0;
  bool had_children = false;
  Cause killed_for = Cause::none;
  std::int64_t decided_at = 0;
  bool in_burial = false;
  bool reported_unkillable = false;
  unsigned descendants_killed = 0;
  std::uint64_t limit = 0;
  std::uint64_t observed = 0;
  std::string cgroup;
};

class Warden {
 public:
  /// Takes over the descriptors that the program left at their fixed numbers.
  Warden();

  /// Serves until the program is gone, then kills everything and returns. In a forked child that
  /// has become a worker it does not return.
  void run();

 private:
  /// What the loop has been woken by.
  enum Source : std::uint32_t {
    from_socket,
    from_timer,
    from_wake,
    from_signals,
    from_program,
    from_output  // of the slot that is named with it
  };

  // warden.cpp: the loop and its messages.
  void watch(int fd, Source source, std::uint32_t slot = 0);
  void adopt_descriptors();
  void serve_socket();
  void handle_command(const Command& command, int channel, int bell);
  void send(const Report& report);
  void flush();
  void say_hello();
  Report report(MessageKind kind, std::uint32_t slot) const;
  [[noreturn]] void end();

  // warden_spawn.cpp: making workers.
  void spawn(const Command& command, int channel, int bell);
  void refuse_to_spawn(const Command& command, int error);
  [[noreturn]] void become_worker(const Command& command, int channel, int bell, int output);
  void prepare_workers();
  pid_t fork_worker();
  std::uint64_t data_bytes();
  void open_books(Ward& ward, pid_t pid, int channel, int output);
  void open_cgroup(Ward& ward, std::uint32_t slot);

  // warden_watch.cpp: deadlines and memory.
  void sweep();
  std::int64_t look_at(std::uint32_t slot, std::int64_t now);
  bool over_memory(std::uint32_t slot, std::uint64_t limit);
  std::uint64_t measure(Ward& ward, std::uint32_t& descendants);
  std::uint64_t measure_worker(Ward& ward) const;
  std::uint64_t measure_descendant(pid_t pid) const;
  std::uint64_t look_closely(Ward& ward, std::uint64_t used, std::uint64_t limit) const;
  static bool has_children(Ward& ward);
  void arm(std::int64_t when);

  // warden_bury.cpp: killing and reaping.
  void kill(std::uint32_t slot, Cause cause);
  void reap();
  void bury(std::uint32_t slot, bool by_signal, int status, std::int64_t cpu_ns,
            std::uint64_t peak);
  void read_output(Ward& ward);
  bool orphans_left();
  void abandon_orphans(const std::vector<pid_t>& signalled);
  std::vector<pid_t> known_pids() const;

  BoardHeader* board_ = nullptr;
  BoardSlot* slots_ = nullptr;
  WorkerSettings settings_;  // copies: the board is not mapped in workers
  std::string settings_text_;
  pid_t self_ = 0;
  std::vector<Ward> wards_;
  std::vector<pid_t> abandoned_;  // orphans that were killed and do not die
  std::deque<std::string> outbox_;
  int socket_ = -1;
  int board_fd_ = -1;
  int hub_fd_ = -1;
  int wake_ = -1;
  int epoll_ = -1;
  int timer_ = -1;
  int signals_ = -1;
  int program_ = -1;  // pidfd of the program
  bool outbox_watched_ = false;
  int oom_score_fd_ = -1;
  std::string own_oom_score_;
  std::string worker_oom_score_;
  std::uint64_t shared_baseline_ = 0;  // bytes of files and shared memory that any worker maps
  std::uint64_t data_bytes_ = 0;       // VmData when the heap was `heap_bytes_` large
  std::size_t heap_bytes_ = 0;
};

/// `fd`, or a copy above the descriptors that workers keep; `fd` is closed then.
int move_up(int fd);

/// Monotonic time in ns, as on the board.
std::int64_t monotonic_ns() noexcept;

}  // namespace reeve::process
