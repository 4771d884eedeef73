// Where events go: a sink, the drain that carries them there from the ring, and JSON Lines.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <reeve/audit/event.hpp>
#include <reeve/audit/ring.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace reeve::audit {

/// Takes events in the order of their sequence numbers.
///
/// Threads: `write` and `lost` are called by one thread at a time, never under the pool's lock.
class Sink {
 public:
  virtual ~Sink() = default;
  virtual void write(const Event& event) noexcept = 0;
  /// `count` events were overwritten before the drain reached them.
  virtual void lost(std::uint64_t count) noexcept { (void)count; }
};

/// Carries what is new in a ring to sinks. The pool calls `run` after it has left its lock.
///
/// Threads: `run` may be called from any; calls that overlap return at once and leave the work to
/// the one
///          that is running, which then goes round again: nothing pushed before a call is left
///          behind.
class Drain {
 public:
  explicit Drain(const Ring& ring) noexcept : ring_(ring) {}
  /// The sink gets what no earlier `run` has carried away. Threads: any.
  void add(std::shared_ptr<Sink> sink);
  /// Feeds every sink what is new.
  void run() noexcept;
  /// Events that were overwritten before they reached the sinks.
  std::uint64_t lost() const noexcept { return lost_.load(std::memory_order_relaxed); }

 private:
  void carry() noexcept;

  const Ring& ring_;
  std::mutex sinks_mutex_;
  std::vector<std::shared_ptr<Sink>> sinks_;
  std::atomic<std::uint64_t> requests_{0};
  std::uint64_t done_ = 0;  // last sequence handed to the sinks
  std::atomic<std::uint64_t> lost_{0};
};

/// Calls a function for each event.
class FunctionSink final : public Sink {
 public:
  explicit FunctionSink(std::function<void(const Event&)> function)
      : function_(std::move(function)) {}
  /// An exception of the function is swallowed: an audit trail must not end a pool.
  void write(const Event& event) noexcept override;

 private:
  std::function<void(const Event&)> function_;
};

/// What JsonlSink does when its queue is full.
enum class Overflow : std::uint8_t {
  block,        ///< the drain waits for the disk: complete trail, the pool feels a slow disk
  drop_oldest,  ///< the oldest queued line goes: a gap in the sequence numbers shows it
};

struct JsonlConfig {
  std::filesystem::path path;
  std::size_t queue_line_count_max = 8192;
  Overflow overflow = Overflow::block;
  bool append = true;
};

/// One JSON object per event and line into a file, written by a thread of its own (docs/audit.md
/// has the grammar).
class JsonlSink final : public Sink {
 public:
  /// Errors: ConfigError (queue of 0), SystemError when the file cannot be opened.
  explicit JsonlSink(const JsonlConfig& config);
  ~JsonlSink() override;  ///< writes what is queued
  void write(const Event& event) noexcept override;
  /// Returns when every line given before is in the file (not fsynced).
  void flush();
  /// Lines that `Overflow::drop_oldest` has dropped.
  std::uint64_t dropped() const noexcept;
  /// Events that could not be turned into a line or queued (out of memory).
  std::uint64_t failed() const noexcept;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// The event as one line of JSON, without the newline. Fields in a fixed order; bytes that are no
/// UTF-8 become U+FFFD.
std::string to_jsonl(const Event& event);

/// The events in `text`, one per line; blank lines are skipped and fields it does not know ignored.
/// Errors: Error that names the line and what is wrong with it.
std::vector<Event> parse_jsonl(std::string_view text);
std::vector<Event> read_jsonl(const std::filesystem::path& path);

}  // namespace reeve::audit
