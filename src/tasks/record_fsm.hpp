// Decides what a command does to a record: no lock, no clock, no IO.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <reeve/tasks/error.hpp>
#include <reeve/tasks/record.hpp>
#include <string>

namespace reeve::tasks::detail {

enum class Verb : std::uint8_t {
  create,  // idempotent: absent, or present with the same body
  set,     // upsert of fields and, where given, state and progress
  progress,
  retry,      // failed -> pending, interrupted -> retry_wait
  cancel,     // asks: a running task becomes cancelling, a waiting one cancelled
  interrupt,  // the store itself, at a restart
};

struct Command {
  explicit Command(Verb v) : verb(v) {}

  Verb verb;
  std::optional<TaskState> to;  // set: the wanted state
  std::optional<double> percent;
  Fields fields;
  Outcome outcome;            // of completed, failed, retry_wait, cancelled
  std::uint32_t attempt = 0;  // 0: not fenced
  std::int64_t retry_at_ms = never_ms;
  std::int64_t ttl_ms = never_ms;
  bool may_create = false;  // set on an absent id creates it
  bool retry_after_crash = false;
  bool allow_regress = false;
  bool starts = false;  // to running: only as a new attempt
};

/// Retention by state in milliseconds; never_ms keeps for ever.
struct RetentionMs {
  std::int64_t completed = never_ms, failed = never_ms, cancelled = never_ms,
               interrupted = never_ms;
  std::int64_t of(TaskState s) const noexcept;
};

struct Decision {
  std::optional<TaskError> refusal;
  std::shared_ptr<RecordData> next;  // null without a refusal: nothing to change
  bool transition = false;           // the state changed, or the record is new
};

/// `id` is used in messages and, for a new record, copied. The caller fills in rid and revision.
Decision decide(std::string_view id, const RecordData* current, const Command& command,
                std::int64_t now_ms, const RetentionMs& retention);

inline constexpr std::chrono::milliseconds kept_max = std::chrono::hours{24 * 36525};
inline constexpr std::size_t id_bytes_max = 256;
inline constexpr std::size_t fields_bytes_max = 64 * 1024;
inline constexpr std::size_t result_bytes_max = 16 * 1024 * 1024;

/// Throws TaskError(invalid_argument) for an id that may not be stored.
void check_id(std::string_view id);
/// Throws TaskError(invalid_argument) for a reserved field name.
void check_field_names(const Fields& fields);
bool is_reserved(std::string_view field_name) noexcept;
std::uint64_t hash_body(std::string_view text) noexcept;

}  // namespace reeve::tasks::detail
