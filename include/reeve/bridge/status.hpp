// A look at a scheduler: plain values, taken under its lock in one piece.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <reeve/base/clock.hpp>
#include <reeve/bridge/config.hpp>
#include <string>
#include <vector>

namespace reeve::bridge {

/// How long granted requests had waited.
struct WaitFigures {
  std::uint64_t granted = 0;
  std::uint64_t timed_out = 0;
  std::uint64_t cancelled = 0;        ///< by their callers; a refusal is none
  std::chrono::nanoseconds total{0};  ///< of those granted
  std::chrono::nanoseconds longest{0};
};

struct RequesterStatus {
  std::string name;
  std::size_t held = 0;      ///< workers leased
  std::size_t coming = 0;    ///< decided, but the pool has yet to start the worker
  std::size_t waiting = 0;   ///< requests
  std::size_t reserved = 0;  ///< in reservations that have begun, and not leased
  double share = 0;          ///< of the pool's workers: held, coming and reserved
  double entitled = 0;       ///< weight / weights of all
  double used = 0;           ///< worker seconds, decayed; 0 without half_life
  std::optional<WorkerQuota> quota;
  std::size_t borrowed = 0;      ///< beyond its nominal quota
  std::uint64_t preempted = 0;   ///< leases that it lost, or gave back when asked
  std::uint64_t preempting = 0;  ///< leases that others lost for it
  WaitFigures waits;
};

struct ReservationStatus {
  std::uint64_t id = 0;
  std::string requester;
  std::size_t workers = 0;
  Clock::time_point start;
  Clock::time_point end;
  std::size_t ready = 0;   ///< workers kept free for it now
  std::size_t leased = 0;  ///< leases out of it
};

struct SchedulerStatus {
  std::size_t workers = 0;   ///< that the pool may have
  std::size_t leased = 0;    ///< by the pool, to leases of this scheduler
  std::size_t coming = 0;    ///< decided, but not leased yet
  std::size_t reserved = 0;  ///< kept free by reservations that have begun
  std::size_t waiting = 0;
  std::size_t stopping = 0;                 ///< leases that were asked to end
  std::vector<RequesterStatus> requesters;  ///< in the order of the configuration
  std::vector<ReservationStatus> reservations;
  std::vector<std::string> differences;  ///< between the ledger's books; empty: none
  bool closed = false;
};

/// A table: a line for each requester and each reservation.
std::string to_string(const SchedulerStatus& status);

}  // namespace reeve::bridge
