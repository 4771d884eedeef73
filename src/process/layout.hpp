// Memory that the program, the warden and a worker share: the board and the channels.
//
//   board    one per pool, mapped by the program and the warden only: who holds a lease, until
//   when. hub      one page per pool, written by the program, read-only for workers: "the program
//   sleeps". channel  one per worker, mapped by the program and that worker: one call at a time,
//   then bulk.
//
// Everything a worker can write is hostile: the program copies a value out once, checks it, uses
// it.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <limits>

namespace reeve::process {

static_assert(std::atomic<std::uint64_t>::is_always_lock_free);

inline constexpr std::int64_t never = std::numeric_limits<std::int64_t>::max();

/// How long something takes of late: follows shorter times fast and longer ones slowly, and forgets
/// beyond a millisecond.
inline std::int64_t blend(std::int64_t average, std::int64_t latest) noexcept {
  constexpr std::int64_t most = 1'000'000;
  const std::int64_t change = (latest < most ? latest : most) - average;
  return average + change / (change < 0 ? 2 : 8);
}

/// Why a lease ended. The first writer of the lease word decides; nobody overwrites it.
enum class Cause : std::uint8_t {
  none,
  active,
  timeout,
  memory,
  cancelled,
  crashed,
  lost,
  shutdown
};

/// serial (40 bits) | epoch (16 bits) | cause (8 bits): one atomic word per slot. `serial` counts
/// leases, `epoch` counts calls, so that a deadline of a call that has ended can never end the next
/// one.
class LeaseWord {
 public:
  constexpr LeaseWord() noexcept = default;
  constexpr explicit LeaseWord(std::uint64_t bits) noexcept : bits_(bits) {}
  constexpr LeaseWord(std::uint64_t serial, Cause cause) noexcept
      : bits_((serial << 24) | static_cast<std::uint64_t>(cause)) {}

  constexpr std::uint64_t bits() const noexcept { return bits_; }
  constexpr Cause cause() const noexcept { return static_cast<Cause>(bits_ & 0xff); }
  constexpr std::uint64_t serial() const noexcept { return bits_ >> 24; }
  constexpr LeaseWord with(Cause cause) const noexcept {
    return LeaseWord{(bits_ & ~std::uint64_t{0xff}) | static_cast<std::uint64_t>(cause)};
  }
  constexpr LeaseWord next_epoch() const noexcept {
    constexpr std::uint64_t mask = std::uint64_t{0xffff} << 8;
    return LeaseWord{(bits_ & ~mask) | ((bits_ + 0x100) & mask)};
  }

 private:
  std::uint64_t bits_ = 0;
};

static_assert(LeaseWord(7, Cause::active).next_epoch().serial() == 7);
static_assert(LeaseWord((std::uint64_t{7} << 24) | 0xffff01).next_epoch().bits() ==
                  LeaseWord(7, Cause::active).bits(),
              "the epoch wraps inside its own bits");

struct alignas(128) BoardSlot {
  std::atomic<std::uint64_t> word;          // LeaseWord
  std::atomic<std::int64_t> deadline;       // CLOCK_MONOTONIC ns, or never
  std::atomic<std::uint64_t> memory_limit;  // bytes that the tree may use, or 0: not watched
  // Written by the warden.
  std::atomic<std::uint64_t> memory_used;
  std::atomic<std::uint64_t> memory_peak;
  std::atomic<std::uint32_t> descendants;
};

/// What a worker may use beyond its limit to tell that it was refused memory.
inline constexpr std::uint64_t refusal_reserve = 16u << 20;

/// Settings of a pool's workers, written once before the warden starts.
struct WorkerSettings {
  std::uint64_t data_limit = 0;     // RLIMIT_DATA soft; 0: not set
  std::uint64_t data_reserve = 0;   // hard limit = soft + reserve
  std::uint64_t channel_bytes = 0;  // size of the window a channel is mapped in
  std::uint64_t growth_max = 0;     // VmData above its start that makes a worker dirty
  std::int64_t spin_ns = 0;         // see ResourceConfig::spin_time
  std::int32_t nice = 0;
  std::int32_t file_mask = -1;  // umask, -1: inherited
  std::int32_t oom_score = 500;
  std::uint8_t drop_capabilities = 1;
  std::uint8_t capture_output = 0;
  std::uint8_t exec_each = 0;      // start every worker by exec instead of fork
  std::uint32_t depth = 1;         // of these workers: 1 in the program's pools, 2 in theirs
  std::uint32_t text_bytes = 0;    // cwd '\0' then NAME=VALUE '\0' ... behind the slots
  std::uint64_t group_memory = 0;  // memory.max of a worker's group, 0: not delegated
  std::uint64_t group_pids = 0;    // pids.max
  char cgroup[256] = {};           // our own cgroup v2 group for workers, or empty
};

struct alignas(BoardSlot) BoardHeader {  // the slots follow at its end
  std::uint64_t magic;
  std::uint32_t slot_count;               // capacity
  std::atomic<std::uint32_t> slots_used;  // slots from here on were never used
  WorkerSettings settings;
  alignas(64) std::atomic<std::int64_t> armed_until;  // when the warden wakes next, or never
  std::atomic<std::uint64_t> sweeps;                  // how often it looked, for the idle test
};

inline constexpr std::uint64_t board_magic = 0x7265657665626f61;

inline constexpr std::size_t board_bytes(std::size_t slots, std::size_t text) noexcept {
  return sizeof(BoardHeader) + slots * sizeof(BoardSlot) + text;
}

/// Inside a loop that looks for another processor's store.
inline void pause() noexcept {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

/// How soon the watch must look again at a tree that used `used` of `limit` bytes.
std::int64_t look_interval_ns(std::uint64_t used, std::uint64_t limit);

struct HubPage {
  std::atomic<std::uint32_t> program_sleeps;  // 1: ring the bell when a reply is ready
};

enum class ReplyKind : std::uint32_t { none, value, exception, memory, refused };
enum class WorkerPhase : std::uint32_t { starting, idle, decoding, running, encoding, replied };

/// What the worker found about itself after a task; any bit recycles it.
enum Dirt : std::uint32_t {
  clean = 0,
  children_left = 1,
  limits_changed = 2,
  environment_changed = 4,
  memory_grown = 8,
  memory_refused = 16,
  stream_broken = 32
};

/// What the kernel refused the worker, and what came of it.
enum Refusal : std::uint32_t {
  nothing_refused,
  new_refused,       // an allocation; the task may live on with that
  refused_null_used  // the null pointer that malloc returned was used: it died of it
};

inline constexpr std::size_t note_bytes = 120;

struct ChannelHeader {
  // Written by the program.
  alignas(64) std::atomic<std::uint32_t> request;  // futex: the number of the latest request
  std::atomic<std::uint32_t> stop_requested;
  std::uint64_t function_module;
  std::uint64_t function_offset;
  std::uint64_t argument_bytes;
  std::uint64_t data_limit;  // soft RLIMIT_DATA of this call, 0: the pool's
  std::uint64_t argument_offset;
  std::uint64_t file_bytes;  // size of the memfd, as the program knows it
  std::uint64_t reply_from;  // offset behind everything the program keeps in the area
  char device[64];
  char task[64];
  // Written by the worker.
  alignas(64) std::atomic<std::uint32_t> reply;  // equals `request` when its reply is complete
  std::atomic<std::uint32_t> worker_sleeps;
  std::atomic<std::uint32_t> phase;  // WorkerPhase
  std::uint32_t reply_kind;          // ReplyKind
  std::uint64_t reply_offset;        // from the start of the area
  std::uint64_t reply_bytes;
  std::uint32_t dirt;
  std::atomic<std::uint32_t> memory_flag;   // Refusal, of this call
  std::atomic<std::uint64_t> memory_used;   // VmData at that moment
  std::uint64_t data_bytes;                 // VmData when last measured
  std::atomic<std::uint32_t> crash_signal;  // set by the worker's own handler as it dies
  std::int32_t crash_code;
  std::uint64_t crash_address;
  std::uint64_t crash_stack;                                 // its stack pointer then
  alignas(64) std::atomic<std::uint32_t> progress_sequence;  // odd while it is written
  std::atomic<std::uint32_t> progress_note_bytes;
  std::atomic<double> progress_percent;
  std::atomic<char> progress_note[note_bytes];
  WorkerSettings settings;  // for a worker that was started by exec
};

/// A copy of what a dying worker noted.
struct CrashNote {
  int signal = 0;
  std::uint64_t address = 0;
  std::uint64_t data_bytes = 0;
  bool memory_refused = false;
  bool stack_overflow = false;
  bool null_pointer = false;  // used, or an offset from it
};

inline constexpr std::size_t channel_header_bytes = 4096;
static_assert(sizeof(ChannelHeader) <= channel_header_bytes);

}  // namespace reeve::process
