// The decisions of the task store: state table, attempt fence, progress, idempotency, limits.
#include "tasks/record_fsm.hpp"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <unordered_map>

#include "tasks/json_text.hpp"
#include "tasks/recycled.hpp"

namespace reeve::tasks {

std::string_view to_string(TaskErrc code) noexcept {
  constexpr std::array<std::string_view, 11> names{
      "not_found",        "exists",       "illegal_transition", "stale_attempt",
      "invalid_argument", "storage_full", "io_error",           "locked",
      "bad_format",       "closed",       "timed_out"};
  return names[static_cast<std::size_t>(code)];
}

namespace detail {
namespace {

// The last three are those of an exported line.
constexpr std::array<std::string_view, 17> reserved_names{
    "id",         "status",   "state",      "attempt",    "revision",          "progress",
    "result",     "error",    "reason",     "created_at", "updated_at",        "finished_at",
    "expires_at", "retry_at", "_body_hash", "_ttl_ms",    "_retry_after_crash"};

Decision refuse(TaskErrc code, std::string what, const RecordData* current) {
  Decision d;
  if (current)
    d.refusal.emplace(code, what,
                      TaskError::Current{current->state, current->attempt, current->revision});
  else
    d.refusal.emplace(code, what);
  return d;
}

Decision illegal(std::string_view id, const RecordData& now, std::string_view wish) {
  return refuse(TaskErrc::illegal_transition,
                fmt::format("task '{}' is {} (attempt {}, revision {}): it cannot {}", id,
                            to_string(now.state), now.attempt, now.revision, wish),
                &now);
}

std::optional<Decision> find_misfit(std::string_view id, const RecordData* current,
                                    const Command& c) {
  if (c.percent && !(*c.percent >= 0 && *c.percent <= 100))
    return refuse(TaskErrc::invalid_argument,
                  fmt::format("progress of task '{}' is {}; it must be 0 to 100", id, *c.percent),
                  current);
  if (c.outcome.result.size() > result_bytes_max)
    return refuse(TaskErrc::invalid_argument,
                  fmt::format("the result of task '{}' has {} bytes; the most is {}: store it "
                              "elsewhere and record where",
                              id, c.outcome.result.size(), result_bytes_max),
                  current);
  if (current && c.attempt != 0 && c.attempt != current->attempt)
    return refuse(TaskErrc::stale_attempt,
                  fmt::format("attempt {} may not write task '{}': attempt {} is current ({})",
                              c.attempt, id, current->attempt, to_string(current->state)),
                  current);
  return std::nullopt;
}

void settle(RecordData& r, std::int64_t now_ms, const RetentionMs& retention) {
  r.finished_ms = now_ms;
  const auto kept =
      r.ttl_ms != never_ms && r.state != TaskState::interrupted ? r.ttl_ms : retention.of(r.state);
  r.expires_ms = kept == never_ms ? never_ms : now_ms + kept;
}

bool holds(std::string_view object, std::string_view members) {
  std::unordered_map<std::string_view, std::string_view> all;
  each_member(object, [&](std::string_view name, std::string_view value) { all[name] = value; });
  bool held = true;
  each_member(members, [&](std::string_view name, std::string_view value) {
    const auto at = all.find(name);
    held = held && at != all.end() && at->second == value;
  });
  return held;
}

/// Whether `c` says nothing that the record does not say.
bool repeats(const RecordData& current, const Command& c) {
  static const Outcome none;
  const Outcome& has = current.outcome ? *current.outcome : none;
  if (!c.outcome.result.empty() && c.outcome.result != has.result) return false;
  if (!c.outcome.error.empty() && c.outcome.error != has.error) return false;
  if (c.percent && current.state != TaskState::completed && *c.percent != current.progress)
    return false;
  if (!c.fields.empty() && !(current.fields && holds(*current.fields, c.fields.text())))
    return false;
  switch (current.state) {
    case TaskState::completed:
      return current.outcome && has.result == c.outcome.result;
    case TaskState::failed:
      return current.outcome && has.error == c.outcome.error;
    default:
      return true;
  }
}

/// Replaces what is given and keeps the rest.
void amend(RecordData& r, const Outcome& given) {
  if (given.result.empty() && given.error.empty() && given.reason.empty()) return;
  Outcome merged = r.outcome ? *r.outcome : Outcome();
  if (!given.result.empty()) merged.result = given.result;
  if (!given.error.empty()) merged.error = given.error;
  if (!given.reason.empty()) merged.reason = given.reason;
  r.outcome = std::make_shared<const Outcome>(std::move(merged));
}

void enter(RecordData& r, TaskState to, const Command& c, std::int64_t now_ms,
           const RetentionMs& retention) {
  r.state = to;
  r.finished_ms = r.expires_ms = r.retry_at_ms = never_ms;
  if (to == TaskState::running || to == TaskState::pending) r.outcome = nullptr;
  if (to == TaskState::completed) r.progress = 100;
  if (to == TaskState::retry_wait) r.retry_at_ms = c.retry_at_ms;
  if (to == TaskState::cancelled || to == TaskState::interrupted)
    amend(r, c.outcome);  // what the attempt had said stays
  else if (!c.outcome.result.empty() || !c.outcome.error.empty() || !c.outcome.reason.empty())
    r.outcome = std::make_shared<const Outcome>(c.outcome);
  if (is_settled(to)) settle(r, now_ms, retention);
}

Decision add_body(Decision d, std::string_view id, const RecordData* current, const Command& c) {
  RecordData& r = *d.next;
  const bool working = r.state == TaskState::running || r.state == TaskState::cancelling;
  if (c.percent && r.state != TaskState::completed) {
    if (!working && *c.percent != r.progress)
      return illegal(id, r, "report progress before it is started or after it has ended");
    if (*c.percent < r.progress && !c.allow_regress)
      return refuse(
          TaskErrc::invalid_argument,
          fmt::format("progress of task '{}' cannot fall from {} to {} within attempt {}; "
                      "set allow_regress if it must",
                      id, r.progress, *c.percent, r.attempt),
          current);
    r.progress = *c.percent;
  }
  if (!c.fields.empty()) {
    if (r.fields) {
      r.fields = std::make_shared<const std::string>(merge_objects(*r.fields, c.fields.text()));
    } else {
      r.fields = std::make_shared<const std::string>(c.fields.text());
    }
    if (r.fields->size() > fields_bytes_max)
      return refuse(TaskErrc::invalid_argument,
                    fmt::format("the fields of task '{}' would have {} bytes; the most is {}", id,
                                r.fields->size(), fields_bytes_max),
                    current);
  }
  return d;
}

Decision make_new(std::string_view id, const Command& c, std::int64_t now_ms,
                  const RetentionMs& retention) {
  Decision d;
  d.next = make_recycled<RecordData>();
  d.transition = true;
  RecordData& r = *d.next;
  r.id = std::make_shared<const std::string>(id);
  r.created_ms = r.updated_ms = now_ms;
  r.body_hash = hash_body(c.fields.text());
  r.ttl_ms = c.ttl_ms;
  r.retry_after_crash = c.retry_after_crash;
  const auto to = c.to.value_or(TaskState::pending);
  if (to != TaskState::pending) {
    const auto verdict = judge(TaskState::pending, to);
    if (verdict != Verdict::allowed && verdict != Verdict::new_attempt)
      return refuse(
          TaskErrc::illegal_transition,
          fmt::format("task '{}' does not exist and cannot begin as {}", id, to_string(to)),
          nullptr);
    if (verdict == Verdict::new_attempt) r.attempt = 1;
    enter(r, to, c, now_ms, retention);
  }
  return add_body(std::move(d), id, nullptr, c);
}

std::optional<TaskState> wanted(const RecordData& current, const Command& c) {
  switch (c.verb) {
    case Verb::retry:
      return current.state == TaskState::interrupted ? TaskState::retry_wait : TaskState::pending;
    case Verb::cancel:
      return current.state == TaskState::running || current.state == TaskState::cancelling
                 ? TaskState::cancelling
                 : TaskState::cancelled;
    case Verb::interrupt:
      return TaskState::interrupted;
    default:
      return c.to;
  }
}

Decision change(std::string_view id, const RecordData& current, const Command& c,
                std::int64_t now_ms, const RetentionMs& retention) {
  Decision d;
  const auto to = wanted(current, c);
  auto verdict = Verdict::same_state;
  if (c.verb == Verb::progress) {
    if (current.state != TaskState::running && current.state != TaskState::cancelling)
      return illegal(id, current, "report progress");
  } else if (to) {
    verdict = judge(current.state, *to);
    if (c.verb == Verb::retry && verdict != Verdict::by_retry)
      return illegal(id, current, "be retried");
    if (c.starts && verdict != Verdict::new_attempt) return illegal(id, current, "be started");
  } else if (is_settled(current.state)) {
    return illegal(id, current, "take new fields");
  }
  switch (verdict) {
    case Verdict::repeat:
      if (repeats(current, c)) return d;
      return illegal(id, current, fmt::format("become {} with another value", to_string(*to)));
    case Verdict::by_retry:
      if (c.verb != Verb::retry)
        return illegal(id, current, fmt::format("become {}; use retry", to_string(*to)));
      break;
    case Verdict::by_restart:
      if (c.verb != Verb::interrupt)
        return illegal(id, current, fmt::format("become {}", to_string(*to)));
      break;
    case Verdict::forbidden:
      return illegal(id, current, fmt::format("become {}", to_string(*to)));
    default:
      break;
  }
  d.next = make_recycled<RecordData>(current);
  d.next->updated_ms = std::max(now_ms, current.updated_ms);
  if (current.outcome && !current.outcome->result.empty()) d.next->had_result = true;
  d.transition = verdict != Verdict::same_state;
  if (verdict == Verdict::new_attempt) {
    ++d.next->attempt;
    d.next->progress = 0;
  }
  if (d.transition)
    enter(*d.next, *to, c, now_ms, retention);
  else
    amend(*d.next, c.outcome);
  return add_body(std::move(d), id, &current, c);
}

}  // namespace

std::int64_t RetentionMs::of(TaskState s) const noexcept {
  switch (s) {
    case TaskState::completed:
      return completed;
    case TaskState::failed:
      return failed;
    case TaskState::cancelled:
      return cancelled;
    case TaskState::interrupted:
      return interrupted;
    default:
      return never_ms;
  }
}

Decision decide(std::string_view id, const RecordData* current, const Command& c,
                std::int64_t now_ms, const RetentionMs& retention) {
  if (auto misfit = find_misfit(id, current, c)) return *std::move(misfit);
  if (!current) {
    if (c.verb == Verb::create || c.may_create) return make_new(id, c, now_ms, retention);
    return refuse(TaskErrc::not_found, fmt::format("there is no task '{}'", id), nullptr);
  }
  if (c.verb == Verb::create) {
    if (current->body_hash == hash_body(c.fields.text())) return {};
    return refuse(TaskErrc::exists,
                  fmt::format("task '{}' exists with another body ({}, attempt {})", id,
                              to_string(current->state), current->attempt),
                  current);
  }
  return change(id, *current, c, now_ms, retention);
}

void check_id(std::string_view id) {
  std::string fault;
  if (id.empty()) {
    fault = "is empty";
  } else if (id.size() > id_bytes_max) {
    fault = "is too long";
  } else if (!is_valid_utf8(id)) {
    fault = "is not valid UTF-8";
  } else {
    for (std::size_t i = 0; i < id.size() && fault.empty(); ++i) {
      const auto c = static_cast<unsigned char>(id[i]);
      const bool c1 = c == 0xC2 && static_cast<unsigned char>(id[i + 1]) < 0xA0;
      if (c < 0x20 || c == 0x7F || c1)
        fault =
            fmt::format("has the control character {:#04x} at byte {}, after '{}'; leave it out",
                        c1 ? static_cast<unsigned char>(id[i + 1]) : c, i, id.substr(0, i));
    }
  }
  if (!fault.empty())
    throw TaskError(TaskErrc::invalid_argument,
                    fmt::format("a task id of {} bytes {}; an id has 1 to {} bytes of valid UTF-8 "
                                "without control characters",
                                id.size(), fault, id_bytes_max));
}

bool is_reserved(std::string_view name) noexcept {
  for (const auto reserved : reserved_names)
    if (name == reserved) return true;
  return false;
}

void check_field_names(const Fields& fields) {
  if (fields.empty()) return;
  // The reserved names have one quoted form: themselves.
  each_member(fields.text(), [](std::string_view quoted, std::string_view) {
    const auto name = quoted.substr(1, quoted.size() - 2);
    if (is_reserved(name))
      throw TaskError(TaskErrc::invalid_argument,
                      fmt::format("the field name '{}' is reserved for the record itself; choose "
                                  "another name",
                                  name));
  });
}

std::uint64_t hash_body(std::string_view text) noexcept {
  std::uint64_t h = 0xcbf29ce484222325;  // FNV-1a, then a finaliser
  for (const char c : text) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  h = (h ^ (h >> 33)) * 0xff51afd7ed558ccd;
  return h ^ (h >> 33);
}

}  // namespace detail
}  // namespace reeve::tasks
