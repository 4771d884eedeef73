// The public verbs: each copies its arguments into a private coroutine.
#include <fmt/format.h>

#include <reeve/tasks/task_store.hpp>

#include "tasks/json_text.hpp"
#include "tasks/operations.hpp"

namespace reeve::tasks {
namespace {

using boost::asio::awaitable;
using detail::Command;
using detail::Engine;
using detail::EnginePtr;
using detail::Verb;

std::string checked_text(std::string_view text, const char* what) {
  if (!detail::is_valid_utf8(text) || text.size() > detail::fields_bytes_max)
    throw TaskError(TaskErrc::invalid_argument,
                    fmt::format("the {} has {} bytes or is not UTF-8; it may have at most {}", what,
                                text.size(), detail::fields_bytes_max));
  return std::string(text);
}

/// Moves the seed's "status", "progress", "error" and "result" out of the fields.
void take_own_fields(Command& c) {
  const Fields given = std::move(c.fields);
  c.fields = Fields();
  for (const auto& member : detail::members_of(given.text())) {
    const bool text = member.value.starts_with('"');
    if (member.name == "status" || member.name == "state") {
      const auto state = text ? parse_state(detail::unquote(member.value)) : std::nullopt;
      if (!state)
        throw TaskError(TaskErrc::invalid_argument,
                        fmt::format("status {} is unknown; it may be pending, running (or "
                                    "processing), retry_wait, cancelling, completed, failed or "
                                    "cancelled",
                                    member.value));
      c.to = *state;
    } else if (member.name == "progress") {
      char* end = nullptr;
      const std::string number(member.value);
      const double value = std::strtod(number.c_str(), &end);
      if (end != number.c_str() + number.size())
        throw TaskError(TaskErrc::invalid_argument,
                        fmt::format("progress {} is not a number", member.value));
      c.percent = value;
    } else if (member.name == "error") {
      c.outcome.error =
          checked_text(text ? detail::unquote(member.value) : member.value, "error text");
    } else if (member.name == "result") {
      c.outcome.result = member.value;
    } else {
      c.fields.set(member.name, Json::parse(member.value));
    }
  }
  if (c.to == TaskState::completed && c.outcome.result.empty()) c.outcome.result = "null";
  detail::check_field_names(c.fields);
}

Command to_state(TaskState state, const UpdateOptions& options) {
  Command c(Verb::set);
  c.to = state;
  c.attempt = options.attempt;
  c.allow_regress = options.allow_regress;
  return c;
}

/// A command that is refused before it is judged is refused like any other: by the awaitable, with
/// the record's state.
template <class Build>
awaitable<TaskRecord> submit(const EnginePtr& engine, std::string_view id, Durability durability,
                             Build build) {
  try {
    Command command = build();
    return detail::perform(engine, std::string(id), std::move(command), durability);
  } catch (const TaskError& error) {
    return detail::refuse(engine, std::string(id), error);
  }
}

}  // namespace

TaskStore::TaskStore(boost::asio::any_io_executor executor, StoreConfig config)
    : executor_(std::move(executor)), engine_(std::make_shared<Engine>(config)) {}

TaskStore::~TaskStore() {
  if (engine_) engine_->close();
}

awaitable<TaskRecord> TaskStore::create_task(std::string_view id, Fields fields,
                                             CreateOptions options) {
  return submit(engine_, id, options.durability, [&] {
    detail::check_field_names(fields);
    Command c(Verb::create);
    c.fields = std::move(fields);
    c.retry_after_crash = options.retry_after_crash;
    if (options.ttl.count() < 0 || options.ttl > detail::kept_max)
      throw TaskError(TaskErrc::invalid_argument,
                      fmt::format("ttl is {} ms; it must be 0 (the store's) to 100 years",
                                  options.ttl.count()));
    if (options.ttl.count() > 0) c.ttl_ms = options.ttl.count();
    return c;
  });
}

awaitable<TaskRecord> TaskStore::set_task_status(std::string_view id, Fields fields,
                                                 UpdateOptions options) {
  return submit(engine_, id, options.durability, [&] {
    Command c(Verb::set);
    c.fields = std::move(fields);
    c.may_create = options.attempt == 0;  // a stale worker brings no deleted task back
    c.attempt = options.attempt;
    c.allow_regress = options.allow_regress;
    take_own_fields(c);
    return c;
  });
}

awaitable<TaskRecord> TaskStore::set_task_status(std::string_view id, TaskState state,
                                                 Fields fields, UpdateOptions options) {
  return submit(engine_, id, options.durability, [&] {
    detail::check_field_names(fields);
    Command c = to_state(state, options);
    c.fields = std::move(fields);
    c.may_create = options.attempt == 0;  // a stale worker brings no deleted task back
    if (state == TaskState::completed) c.outcome.result = "null";
    return c;
  });
}

awaitable<TaskRecord> TaskStore::start_task(std::string_view id, UpdateOptions options) {
  return submit(engine_, id, options.durability, [&] {
    Command c = to_state(TaskState::running, options);
    c.starts = true;
    return c;
  });
}

awaitable<TaskRecord> TaskStore::update_task_progress(std::string_view id, double percent,
                                                      Fields fields, UpdateOptions options) {
  return submit(engine_, id, options.durability, [&] {
    detail::check_field_names(fields);
    Command c(Verb::progress);
    c.percent = percent;
    c.fields = std::move(fields);
    c.attempt = options.attempt;
    c.allow_regress = options.allow_regress;
    return c;
  });
}

bool TaskStore::post_progress(std::string_view id, double percent, UpdateOptions options) noexcept {
  try {
    return engine_->post_progress(id, percent, options) ||
           post_progress(id, percent, Fields(), options);
  } catch (const std::exception&) {
    return false;
  }
}

bool TaskStore::post_progress(std::string_view id, double percent, Fields fields,
                              UpdateOptions options) noexcept {
  try {
    Command c(Verb::progress);
    c.percent = percent;
    c.fields = std::move(fields);
    detail::check_field_names(c.fields);
    c.attempt = options.attempt;
    c.allow_regress = options.allow_regress;
    return engine_->submit(id, c, Durability::relaxed).data != nullptr;
  } catch (const std::exception&) {
    return false;
  }
}

awaitable<TaskRecord> TaskStore::complete_task(std::string_view id, Json result,
                                               UpdateOptions options) {
  return submit(engine_, id, options.durability, [&] {
    Command c = to_state(TaskState::completed, options);
    c.outcome.result = result.text();
    return c;
  });
}

awaitable<TaskRecord> TaskStore::fail_task(std::string_view id, std::string_view error,
                                           std::string_view reason, UpdateOptions options) {
  return submit(engine_, id, options.durability, [&] {
    Command c = to_state(TaskState::failed, options);
    c.outcome.error = checked_text(error, "error text");
    c.outcome.reason = checked_text(reason, "reason");
    return c;
  });
}

awaitable<TaskRecord> TaskStore::schedule_retry(std::string_view id, WallTime at,
                                                std::string_view error, UpdateOptions options) {
  return submit(engine_, id, options.durability, [&] {
    Command c = to_state(TaskState::retry_wait, options);
    c.retry_at_ms = at.time_since_epoch().count();
    c.outcome.error = checked_text(error, "error text");
    return c;
  });
}

awaitable<TaskRecord> TaskStore::cancel_task(std::string_view id, UpdateOptions options) {
  return submit(engine_, id, options.durability, [&] {
    Command c(Verb::cancel);
    c.attempt = options.attempt;
    return c;
  });
}

awaitable<TaskRecord> TaskStore::acknowledge_cancel(std::string_view id, std::string_view reason,
                                                    UpdateOptions options) {
  return submit(engine_, id, options.durability, [&] {
    Command c = to_state(TaskState::cancelled, options);
    c.outcome.reason = checked_text(reason, "reason");
    return c;
  });
}

awaitable<TaskRecord> TaskStore::retry_task(std::string_view id, UpdateOptions options) {
  return submit(engine_, id, options.durability, [&] {
    Command c(Verb::retry);
    c.attempt = options.attempt;
    c.retry_at_ms = engine_->now_ms();
    return c;
  });
}

awaitable<bool> TaskStore::delete_task_status(std::string_view id, bool force) {
  return detail::perform_delete(engine_, std::string(id), force);
}

std::optional<TaskRecord> TaskStore::get_task_status(std::string_view id) const {
  auto data = engine_->find(id);
  if (!data) return std::nullopt;
  return TaskRecord(std::move(data));
}

TaskPage TaskStore::list_tasks(const TaskFilter& filter) const {
  return engine_->list(filter);
}
TaskCounts TaskStore::counts() const {
  return engine_->counts();
}

awaitable<TaskRecord> TaskStore::wait(std::string_view id, std::chrono::milliseconds timeout) {
  detail::check_id(id);
  if (timeout == std::chrono::milliseconds::max())
    return detail::wait_settled(engine_, std::string(id));
  return detail::wait_limited(engine_, std::string(id), timeout);
}

Watcher TaskStore::watch(WatchFilter filter, std::uint64_t since) {
  return Watcher(engine_->hub().subscribe(engine_, std::move(filter), since));
}

awaitable<std::size_t> TaskStore::cleanup_old_tasks(std::chrono::milliseconds max_age) {
  return detail::cleanup(engine_, max_age);
}

std::size_t TaskStore::remove_expired(std::size_t max) {
  return engine_->remove_expired(max);
}
awaitable<void> TaskStore::flush() {
  return detail::flush_all(engine_);
}
StoreHealth TaskStore::health() const {
  return engine_->health();
}
const StoreConfig& TaskStore::config() const noexcept {
  return engine_->config();
}
void TaskStore::close() noexcept {
  engine_->close();
}

}  // namespace reeve::tasks
