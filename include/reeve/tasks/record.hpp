// A task record: one immutable version of what is known about a task.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <reeve/tasks/fields.hpp>
#include <reeve/tasks/task_state.hpp>
#include <string>
#include <utility>

namespace reeve::tasks {

using WallTime = std::chrono::sys_time<std::chrono::milliseconds>;

namespace detail {

inline constexpr std::int64_t never_ms = -1;

struct Outcome {
  std::string result;  ///< JSON text, empty without one
  std::string error;
  std::string reason;
};

struct RecordData {
  double progress = 0;
  std::shared_ptr<const std::string> id;
  std::shared_ptr<const std::string> fields;  ///< JSON object text; null for none
  std::shared_ptr<const Outcome> outcome;     ///< null until there is one
  std::int64_t created_ms = 0;
  std::int64_t updated_ms = 0;
  std::int64_t finished_ms = never_ms;
  std::int64_t expires_ms = never_ms;
  std::int64_t retry_at_ms = never_ms;
  std::int64_t ttl_ms = never_ms;  ///< the task's own retention; never_ms: the store's
  std::uint64_t rid = 0;
  std::uint64_t revision = 0;
  std::uint64_t body_hash = 0;
  std::uint32_t attempt = 0;
  TaskState state = TaskState::pending;
  bool retry_after_crash = false;
  bool had_result = false;  ///< an earlier version: the disk may still hold it
};

}  // namespace detail

/// One version of a record. A cheap handle (one pointer) to immutable data; it stays valid and
/// unchanged whatever happens to the store.
class TaskRecord {
 public:
  /// Refers to nothing: only to be assigned to (Asio needs it to carry a result).
  TaskRecord() noexcept = default;
  explicit TaskRecord(std::shared_ptr<const detail::RecordData> data) : data_(std::move(data)) {}

  const std::string& id() const noexcept { return *data_->id; }
  TaskState state() const noexcept { return data_->state; }
  /// 0 before the first start; rises by one with each start.
  std::uint32_t attempt() const noexcept { return data_->attempt; }
  /// Rises with every change in the store; two versions of any record never share one. An ETag.
  std::uint64_t revision() const noexcept { return data_->revision; }
  /// Percent, 0 to 100; never falls within an attempt.
  double progress() const noexcept { return data_->progress; }
  /// The extra fields as JSON object text.
  std::string_view fields() const noexcept {
    return data_->fields ? std::string_view(*data_->fields) : std::string_view("{}");
  }
  /// JSON text of the result; empty without one. Of a task that goes on: what was set so far.
  std::string_view result() const noexcept {
    return data_->outcome ? std::string_view(data_->outcome->result) : std::string_view();
  }
  /// What the last failed attempt said, or was set since.
  std::string_view error() const noexcept {
    return data_->outcome ? std::string_view(data_->outcome->error) : std::string_view();
  }
  /// A word for machines: "time_limit", "retries_exhausted", "restart", ...
  std::string_view reason() const noexcept {
    return data_->outcome ? std::string_view(data_->outcome->reason) : std::string_view();
  }
  WallTime created_at() const noexcept { return at(data_->created_ms).value(); }
  WallTime updated_at() const noexcept { return at(data_->updated_ms).value(); }
  std::optional<WallTime> finished_at() const noexcept { return at(data_->finished_ms); }
  std::optional<WallTime> expires_at() const noexcept { return at(data_->expires_ms); }
  std::optional<WallTime> retry_at() const noexcept { return at(data_->retry_at_ms); }

  /// The whole record as one JSON object, the extra fields inlined, as the REST API and export
  /// write it.
  std::string to_json() const;

 private:
  static std::optional<WallTime> at(std::int64_t ms) noexcept {
    if (ms == detail::never_ms) return std::nullopt;
    return WallTime{std::chrono::milliseconds{ms}};
  }
  std::shared_ptr<const detail::RecordData> data_;
};

}  // namespace reeve::tasks
