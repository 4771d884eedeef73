// Messages between the program and its warden: one SOCK_SEQPACKET frame each.
#pragma once

#include <sched.h>

#include <cstdint>

#include "process/layout.hpp"

namespace reeve::process {

/// How a worker ends that finds its channel, its bell or its directory gone.
inline constexpr int lost_descriptors_status = 125;

enum class MessageKind : std::uint32_t { spawn, kill, hello, spawned, revoked, exited };

/// Program to warden. `spawn` carries two descriptors: the channel's memfd and the bell.
struct Command {
  MessageKind kind;
  std::uint32_t slot;
  std::uint64_t incarnation;
  Cause cause = Cause::none;
  std::uint8_t bind = 0;
  cpu_set_t cpus{};
};

inline constexpr std::size_t tail_bytes = 2048;

/// Warden to program.
struct Report {
  MessageKind kind;
  std::uint32_t slot;
  std::uint64_t incarnation;
  std::int32_t pid;
  std::int32_t error;           // spawned: errno, 0 if it runs
  Cause cause;                  // revoked, exited
  std::uint8_t tree_complete;   // exited: nothing of the tree is left
  std::uint8_t died_by_signal;  // exited: status is a signal number
  std::uint8_t unkillable;      // revoked: still alive after the patience for D state
  std::int32_t status;
  std::uint32_t descendants_killed;
  std::uint64_t limit;  // bytes or ns, by cause
  std::uint64_t observed;
  std::uint64_t peak;       // bytes
  std::int64_t decided_at;  // CLOCK_MONOTONIC ns
  std::int64_t dead_at;
  std::int64_t cpu_ns;
  std::uint32_t threads;    // hello: threads that static initialisers started, plus one
  std::uint64_t baseline;   // hello: VmData of a worker before any task
  std::uint32_t tail_size;  // exited: captured output, at the end of the frame
  char tail[tail_bytes];

  std::size_t frame_bytes() const noexcept { return sizeof(Report) - tail_bytes + tail_size; }
};

/// Descriptor numbers in a freshly started warden or worker.
inline constexpr int warden_socket_fd = 3;
inline constexpr int warden_board_fd = 4;
inline constexpr int warden_hub_fd = 5;
inline constexpr int warden_wake_fd = 6;
inline constexpr int worker_channel_fd =
    500;  // high: tasks that write to low numbers do not hit them
inline constexpr int worker_bell_fd = 501;
inline constexpr int worker_hub_fd = 502;
inline constexpr int worker_cwd_fd = 503;
inline constexpr int own_fds_from = 512;  // the warden keeps its own above; workers close them all

inline constexpr char warden_name[] = "reeve-warden";
inline constexpr char worker_name[] = "reeve-worker";

}  // namespace reeve::process
