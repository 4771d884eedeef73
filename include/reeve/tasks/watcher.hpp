// Follows the changes of task records without ever losing the last one.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <memory>
#include <optional>
#include <reeve/tasks/record.hpp>
#include <string>
#include <vector>

namespace reeve::tasks {

struct WatchFilter {
  std::string id;         ///< one task; empty: any
  std::string id_prefix;  ///< tasks whose id starts so
  std::vector<TaskState>
      states;  ///< the state after the change; empty: any. Deletions always pass.
};

struct WatchEvent {
  enum class Kind : std::uint8_t {
    changed,  ///< `record` is the newest version
    deleted,  ///< deleted or expired; only `id`
    reset,    ///< `since` was too old: every present record follows as `changed`
    closed,   ///< the store has been closed; the last event
  };
  WatchEvent() = default;
  WatchEvent(Kind k, std::string task) : kind(k), id(std::move(task)) {}

  Kind kind = Kind::closed;
  std::string id;
  std::optional<TaskRecord> record;
  std::uint64_t token = 0;  ///< give it as `since` to resume after this event
};

namespace detail {
struct Subscription;
}

/// One follower. Versions between two calls of `next` are folded into the newest, so a slow
/// follower costs memory for each live task at most, and the last state of every task always
/// arrives. Resuming from a token repeats an event rather than losing one.
///
/// Threads: one coroutine calls `next`.
class Watcher {
 public:
  explicit Watcher(std::shared_ptr<detail::Subscription> subscription);
  ~Watcher();
  Watcher(Watcher&&) noexcept;
  Watcher& operator=(Watcher&&) noexcept;

  /// The next change. Cancellation: leaves the event for the next call.
  boost::asio::awaitable<WatchEvent> next();
  /// The next change that is there already.
  std::optional<WatchEvent> try_next();

 private:
  std::shared_ptr<detail::Subscription> subscription_;
};

}  // namespace reeve::tasks
