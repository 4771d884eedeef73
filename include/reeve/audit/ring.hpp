// The latest events of a pool in memory: pushed under the pool's lock, read from any thread.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <reeve/audit/event.hpp>
#include <vector>

namespace reeve::audit {

/// A fixed number of the latest events. When it is full the oldest event is overwritten and
/// counted.
///
/// Threads: one writer at a time (the pool's lock sees to that); readers may be any number of
/// threads and
///          neither wait for the writer nor make it wait: each slot carries the sequence number of
///          the event in it, and a slot that changes while it is copied is left out.
class Ring {
 public:
  /// Preconditions: capacity > 0; it is rounded up to a power of two.
  /// Errors:        ConfigError.
  explicit Ring(std::size_t capacity = 4096);

  /// Stores a copy of `event` with the next sequence number (from 1) and returns that number.
  /// Cost: a copy of 152 bytes; no allocation, no lock, no clock.
  std::uint64_t push(const Event& event) noexcept;

  /// Every event still held, oldest first. Threads: any.
  std::vector<Event> snapshot() const { return since(0); }

  /// The events after sequence number `sequence` that are still held, oldest first. Threads: any.
  std::vector<Event> since(std::uint64_t sequence) const;

  /// Copies up to `count` events after `sequence` to `out` and returns how many; the reader of a
  /// drain. Never allocates. A gap between `sequence` and out[0].sequence - 1 has been overwritten.
  /// Threads: any.
  std::size_t copy_since(std::uint64_t sequence, Event* out, std::size_t count) const noexcept;

  std::size_t capacity() const noexcept { return mask_ + 1; }
  /// Events ever pushed. Threads: any.
  std::uint64_t pushed() const noexcept { return head_.load(std::memory_order_acquire); }
  /// Events that are no longer held. Threads: any.
  std::uint64_t overwritten() const noexcept {
    const std::uint64_t all = pushed();
    return all > capacity() ? all - capacity() : 0;
  }

 private:
  static constexpr std::size_t word_count = sizeof(Event) / sizeof(std::uint64_t);
  static_assert(sizeof(Event) % sizeof(std::uint64_t) == 0);
  struct Slot {
    std::atomic<std::uint64_t> sequence{0};  // of the event inside; 0 while it is written
    std::atomic<std::uint64_t> words[word_count];
  };
  bool read(std::uint64_t sequence, Event& out) const noexcept;

  std::size_t mask_;
  std::unique_ptr<Slot[]> slots_;
  std::atomic<std::uint64_t> head_{0};
};

}  // namespace reeve::audit
