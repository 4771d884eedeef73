// Task records that survive: create, change, await, watch and list them.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <iosfwd>
#include <memory>
#include <optional>
#include <reeve/tasks/error.hpp>
#include <reeve/tasks/record.hpp>
#include <reeve/tasks/store_config.hpp>
#include <reeve/tasks/watcher.hpp>
#include <string_view>
#include <vector>

namespace reeve::tasks {

enum class Durability : std::uint8_t {
  by_kind,  ///< transitions sync, progress relaxed
  sync,     ///< acknowledged after the disk has it
  relaxed,  ///< acknowledged at once; on disk within StoreConfig::relaxed_delay, or after `flush`
};

struct CreateOptions {
  std::chrono::milliseconds ttl{0};  ///< kept so long after its end; 0: the store's retention
  bool retry_after_crash =
      false;  ///< idempotent work: a restart plans a retry instead of `interrupted`
  Durability durability = Durability::by_kind;
};

struct UpdateOptions {
  std::uint32_t attempt = 0;  ///< the attempt that writes; 0: not fenced
  Durability durability = Durability::by_kind;
  bool allow_regress = false;  ///< progress may fall
};

/// Which records `list_tasks` returns. Ages count from the last update.
struct TaskFilter {
  std::vector<TaskState> states;  ///< empty: all
  std::optional<std::chrono::milliseconds> older_than;
  std::optional<std::chrono::milliseconds> newer_than;
  std::size_t limit = 100;  ///< 1 to 1000
  std::string cursor;       ///< `next_cursor` of the page before
};

/// Records in each state, indexed by TaskState.
struct TaskCounts {
  std::size_t by_state[task_state_count]{};
  std::size_t operator[](TaskState s) const noexcept {
    return by_state[static_cast<std::size_t>(s)];
  }
  std::size_t total() const noexcept;
};

struct TaskPage {
  std::vector<TaskRecord> items;  ///< in order of creation
  std::string next_cursor;        ///< empty on the last page
  TaskCounts counts;              ///< of the whole store
};

struct StoreHealth {
  bool degraded = false;  ///< the last write failed; every further write tries again
  std::string cause;
  std::uint64_t commits = 0;
  std::uint64_t rows = 0;
  std::uint64_t failures = 0;
};

struct ImportReport {
  std::size_t imported = 0;
  std::size_t skipped = 0;  ///< an id that exists already
};

namespace detail {
class Engine;
}

/// The records of a service's tasks, in memory for readers and, with a path, in one SQLite file.
///
/// Readers never block on the disk. A transition becomes visible, to everyone at once, when the
/// disk has it: nobody acts on a completion that a power cut could undo. Progress is visible at
/// once, and so is a transition that its writer made Durability::relaxed. The destructor writes
/// what has been accepted and joins the store's one thread; `close` does the same.
///
/// Lifetime:     operations under way keep the store's state alive; after `close` they throw
/// closed. Cancellation: a cancelled writer returns early; what it submitted is still written (as
/// with any
///               database, the outcome is then unknown to it).
/// Errors:       TaskError; the record is unchanged.
/// Threads:      any, for every member.
class TaskStore {
 public:
  /// Opens or creates the file, reads every record, classifies those of a program that died.
  ///
  /// Errors: ConfigError; TaskError: locked (another process), bad_format (foreign, newer,
  /// damaged), io_error. Cost:   blocks; about 1.5 s per million records.
  explicit TaskStore(boost::asio::any_io_executor executor, StoreConfig config = {});
  ~TaskStore();
  TaskStore(TaskStore&&) noexcept = default;
  TaskStore& operator=(TaskStore&&) = delete;

  /// A new pending record. Repeated with the same fields it returns the present record.
  /// Errors: exists (other fields), invalid_argument.
  boost::asio::awaitable<TaskRecord> create_task(std::string_view id, Fields fields = Fields(),
                                                 CreateOptions options = {});
  /// Creates the record or merges into it; "status", "progress", "error" and "result" in `fields`
  /// mean the record's own. With `options.attempt` nothing is created.
  /// Errors: illegal_transition, stale_attempt, invalid_argument, not_found.
  boost::asio::awaitable<TaskRecord> set_task_status(std::string_view id, Fields fields,
                                                     UpdateOptions options = {});
  boost::asio::awaitable<TaskRecord> set_task_status(std::string_view id, TaskState state,
                                                     Fields fields = Fields(),
                                                     UpdateOptions options = {});
  /// pending or retry_wait -> running, as a new attempt whose number is in the answer.
  boost::asio::awaitable<TaskRecord> start_task(std::string_view id, UpdateOptions options = {});
  boost::asio::awaitable<TaskRecord> update_task_progress(std::string_view id, double percent,
                                                          Fields fields = Fields(),
                                                          UpdateOptions options = {});
  /// The same for callers without a coroutine: relaxed. False: refused (ended, fallen, stale, out
  /// of range). Cost: well under a microsecond; never waits for the disk.
  bool post_progress(std::string_view id, double percent, UpdateOptions options = {}) noexcept;
  bool post_progress(std::string_view id, double percent, Fields fields,
                     UpdateOptions options = {}) noexcept;

  /// Repeated with an equal result it returns the present record.
  boost::asio::awaitable<TaskRecord> complete_task(std::string_view id, Json result = Json(),
                                                   UpdateOptions options = {});
  boost::asio::awaitable<TaskRecord> fail_task(std::string_view id, std::string_view error,
                                               std::string_view reason = {},
                                               UpdateOptions options = {});
  /// running -> retry_wait with the time at which the next attempt may start.
  boost::asio::awaitable<TaskRecord> schedule_retry(std::string_view id, WallTime at,
                                                    std::string_view error,
                                                    UpdateOptions options = {});
  /// Asks: running becomes cancelling, what has not started becomes cancelled. Repeating is
  /// harmless.
  boost::asio::awaitable<TaskRecord> cancel_task(std::string_view id, UpdateOptions options = {});
  /// The worker's answer: cancelling or running -> cancelled.
  boost::asio::awaitable<TaskRecord> acknowledge_cancel(std::string_view id,
                                                        std::string_view reason = {},
                                                        UpdateOptions options = {});
  /// failed -> pending, interrupted -> retry_wait; a cancelled task is never retried.
  boost::asio::awaitable<TaskRecord> retry_task(std::string_view id, UpdateOptions options = {});
  /// False when there was none. Errors: illegal_transition while it runs, unless `force`.
  boost::asio::awaitable<bool> delete_task_status(std::string_view id, bool force = false);

  /// The record, or nothing: an unknown id is never "pending". An expired record is never returned.
  /// Cost: one hash look-up under a striped mutex; no allocation.
  std::optional<TaskRecord> get_task_status(std::string_view id) const;
  /// A page in order of creation; stable under concurrent inserts and deletes: nothing twice,
  /// nothing missed that kept its state. Errors: invalid_argument (limit, cursor of another
  /// filter).
  TaskPage list_tasks(const TaskFilter& filter = {}) const;
  TaskCounts counts() const;

  /// Waits until the task has ended (completed, failed, cancelled or interrupted).
  /// Errors: not_found, also when it is deleted meanwhile; timed_out; closed.
  boost::asio::awaitable<TaskRecord> wait(
      std::string_view id, std::chrono::milliseconds timeout = std::chrono::milliseconds::max());
  /// Follows changes. `since`: token of the last event seen, to resume; 0: from now on.
  Watcher watch(WatchFilter filter = {}, std::uint64_t since = 0);

  /// Removes ended records whose end is at least `max_age` ago, 1,000 at a time; returns how many.
  /// Errors: invalid_argument: a negative age.
  boost::asio::awaitable<std::size_t> cleanup_old_tasks(std::chrono::milliseconds max_age);
  /// Removes records that are due now, at most `max`; the store's thread does it by itself.
  std::size_t remove_expired(std::size_t max = 1000);
  /// Everything accepted before is on disk when this returns. Errors: storage_full, io_error.
  boost::asio::awaitable<void> flush();

  /// One JSON object per line, in order of creation; `import_jsonl` of it gives equal records.
  void export_jsonl(std::ostream& out) const;
  /// Errors: invalid_argument with the line number; the lines before are imported, and on the disk.
  ///         storage_full, io_error: some are not; repeated, it skips those that are.
  boost::asio::awaitable<ImportReport> import_jsonl(std::istream& in);

  StoreHealth health() const;
  const StoreConfig& config() const noexcept;
  boost::asio::any_io_executor get_executor() const noexcept { return executor_; }
  /// Writes what is accepted, ends every wait and watch, refuses everything after. Blocks for the
  /// last write.
  void close() noexcept;

 private:
  boost::asio::any_io_executor executor_;
  std::shared_ptr<detail::Engine> engine_;
};

}  // namespace reeve::tasks
