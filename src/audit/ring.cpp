// A sequence lock per slot: the writer never waits, a reader drops what changes under its hands.
#include <bit>
#include <cstring>
#include <reeve/audit/ring.hpp>
#include <reeve/base/error.hpp>

namespace reeve::audit {
namespace {

std::size_t checked(std::size_t capacity) {
  constexpr std::size_t capacity_max = std::size_t{1} << 26;
  if (capacity == 0 || capacity > capacity_max) {
    throw ConfigError("an audit ring of " + std::to_string(capacity) +
                      " events is out of range; choose 1 to " + std::to_string(capacity_max));
  }
  return std::bit_ceil(capacity);
}

}  // namespace

Ring::Ring(std::size_t capacity)
    : mask_(checked(capacity) - 1), slots_(std::make_unique<Slot[]>(mask_ + 1)) {}

std::uint64_t Ring::push(const Event& event) noexcept {
  const std::uint64_t sequence = head_.load(std::memory_order_relaxed) + 1;
  Slot& slot = slots_[sequence & mask_];
  static_assert(offsetof(Event, sequence) == 0);
  const auto* bytes = reinterpret_cast<const std::byte*>(&event);
  // A reader that sees a new word (acquire) also sees the 0 that was stored before it.
  slot.sequence.store(0, std::memory_order_relaxed);
  slot.words[0].store(sequence, std::memory_order_release);
  for (std::size_t i = 1; i < word_count; ++i) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes + i * sizeof word, sizeof word);
    slot.words[i].store(word, std::memory_order_release);
  }
  slot.sequence.store(sequence, std::memory_order_release);
  head_.store(sequence, std::memory_order_release);
  return sequence;
}

bool Ring::read(std::uint64_t sequence, Event& out) const noexcept {
  const Slot& slot = slots_[sequence & mask_];
  if (slot.sequence.load(std::memory_order_acquire) != sequence) return false;
  std::uint64_t words[word_count];
  for (std::size_t i = 0; i < word_count; ++i) {
    words[i] = slot.words[i].load(std::memory_order_acquire);
  }
  if (slot.sequence.load(std::memory_order_relaxed) != sequence) return false;
  std::memcpy(static_cast<void*>(&out), words, sizeof out);
  return true;
}

std::size_t Ring::copy_since(std::uint64_t sequence, Event* out, std::size_t count) const noexcept {
  const std::uint64_t head = pushed();
  std::uint64_t next = sequence + 1;
  if (head > capacity() && next <= head - capacity()) next = head - capacity() + 1;
  std::size_t copied = 0;
  for (; next <= head && copied < count; ++next) {
    if (read(next, out[copied])) ++copied;
  }
  return copied;
}

std::vector<Event> Ring::since(std::uint64_t sequence) const {
  const std::uint64_t head = pushed();
  if (head <= sequence) return {};
  std::vector<Event> events(std::min<std::uint64_t>(head - sequence, capacity()));
  events.resize(copy_since(sequence, events.data(), events.size()));
  return events;
}

}  // namespace reeve::audit
