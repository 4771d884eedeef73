// The public verbs: each copies its arguments into a private coroutine.
#include <fmt/format.h>

#include <boost/asio/error.hpp>
#include <reeve/async/with_timeout.hpp>
#include <reeve/tasks/task_store.hpp>

#include "tasks/engine.hpp"
#include "tasks/json_text.hpp"

namespace reeve::tasks {
namespace {

using boost::asio::awaitable;
using detail::Command;
using detail::Engine;
using detail::Submitted;
using detail::TicketPtr;
using detail::Verb;
using EnginePtr = std::shared_ptr<Engine>;

[[noreturn]] void throw_aborted() {
  throw boost::system::system_error(boost::asio::error::operation_aborted);
}

/// One coroutine's sleep until its ticket is decided.
class TicketWait final : private async::CancelHook {
 public:
  explicit TicketWait(TicketPtr ticket) : ticket_(std::move(ticket)) {}
  TicketWait(const TicketWait&) = delete;
  TicketWait& operator=(const TicketWait&) = delete;
  ~TicketWait() {
    const std::lock_guard lock(ticket_->mutex);
    ticket_->sleeper = nullptr;
  }

  awaitable<void> wait() {
    bool done = false;
    {
      const std::lock_guard lock(ticket_->mutex);
      done = ticket_->done;
      if (!done) ticket_->sleeper = &spot_;
    }
    if (!done) {
      co_await spot_.park(this);
      const bool woken = !spot_.cancelled();
      if (!woken) throw_aborted();
    }
    if (ticket_->failure) std::rethrow_exception(ticket_->failure);
  }

 private:
  bool take_back() noexcept override {
    const std::lock_guard lock(ticket_->mutex);
    return std::exchange(ticket_->sleeper, nullptr) != nullptr;
  }

  TicketPtr ticket_;
  async::ParkingSpot spot_;
};

awaitable<void> durable(TicketPtr ticket) {
  TicketWait wait(std::move(ticket));
  co_await wait.wait();
}

awaitable<void> room(EnginePtr engine) {
  async::Waiter<char> waiter(engine->space_mutex, engine->space_waiters);
  {
    const std::lock_guard lock(engine->space_mutex);
    if (!engine->over_budget()) co_return;
    engine->space_waiters.push_back(waiter);
  }
  co_await waiter.wait();
  const auto granted = waiter.take();
  if (!granted && !engine->closed()) throw_aborted();
}

awaitable<Submitted> submit_when_free(EnginePtr engine, std::string id, Command command,
                                      Durability durability) {
  for (;;) {
    if (engine->over_budget()) co_await room(engine);
    Submitted s = engine->submit(id, command, durability);
    if (!s.busy) co_return s;
    co_await durable(std::move(s.ticket));
  }
}

awaitable<TaskRecord> perform(EnginePtr engine, std::string id, Command command,
                              Durability durability) {
  detail::check_id(id);
  Submitted s = engine->over_budget() ? Submitted{} : engine->submit(id, command, durability);
  if (!s.data) {
    if (s.ticket) co_await durable(std::move(s.ticket));
    auto again = submit_when_free(engine, id, std::move(command), durability);
    s = co_await std::move(again);
  }
  if (s.ticket) co_await durable(std::move(s.ticket));
  co_return TaskRecord(std::move(s.data));
}

awaitable<bool> perform_delete(EnginePtr engine, std::string id, bool force) {
  detail::check_id(id);
  for (;;) {
    Submitted s = engine->submit_delete(id, force);
    const bool busy = s.busy;
    const bool there = s.data != nullptr;
    if (s.ticket) co_await durable(std::move(s.ticket));
    if (!busy) co_return there;
  }
}

awaitable<TaskRecord> wait_settled(EnginePtr engine, std::string id) {
  detail::EntryPtr entry;
  // Declared before the waiter, which points into the entry's queue.
  std::optional<async::Waiter<detail::RecordPtr>> waiter;
  detail::RecordPtr answer;
  std::mutex& mutex = engine->mutex_of(id);
  {
    const std::lock_guard lock(mutex);
    answer = engine->wait_or_answer(id, entry);
    if (!answer) {
      waiter.emplace(mutex, *entry->waiters);
      entry->waiters->push_back(*waiter);
    }
  }
  if (!answer) {
    co_await waiter->wait();
    auto granted = waiter->take();
    if (granted) answer = std::move(*granted);
  }
  if (answer) co_return TaskRecord(std::move(answer));
  if (engine->closed())
    throw TaskError(TaskErrc::closed, "the task store was closed during a wait");
  {
    const std::lock_guard lock(mutex);
    if (entry->visible) throw_aborted();
  }
  throw TaskError(TaskErrc::not_found, fmt::format("task '{}' was deleted during a wait", id));
}

awaitable<TaskRecord> wait_limited(EnginePtr engine, std::string id,
                                   std::chrono::milliseconds timeout) {
  try {
    auto work = wait_settled(engine, id);
    co_return co_await async::with_timeout(std::move(work), timeout);
  } catch (const async::TimeoutError&) {
    throw TaskError(TaskErrc::timed_out,
                    fmt::format("task '{}' did not end within {} ms", id, timeout.count()));
  }
}

awaitable<std::size_t> cleanup(EnginePtr engine, std::chrono::milliseconds max_age) {
  constexpr std::size_t step = 1000;
  const std::int64_t before = engine->now_ms() - max_age.count();
  auto due = [before](const detail::RecordData& r) {
    return is_settled(r.state) && r.finished_ms <= before;
  };
  std::size_t removed = 0;
  std::uint64_t after = 0;
  for (;;) {
    const auto found = engine->settled_entries(after, step);
    if (found.empty()) co_return removed;
    after = found.back()->rid;
    TicketPtr last;
    for (const auto& entry : found) {
      const Submitted s = engine->submit_delete(*entry->id, false, due);
      if (!s.data) continue;
      ++removed;
      if (s.ticket) last = s.ticket;
    }
    // Writes reach the disk in order: the last one's answer is everyone's, or an error.
    if (last) co_await durable(std::move(last));
  }
}

awaitable<void> flush_all(EnginePtr engine) {
  auto ticket = engine->submit_flush();
  if (ticket) co_await durable(std::move(ticket));
  // Progress that stood behind a transition of that batch goes with the next one.
  ticket = engine->submit_flush();
  if (ticket) co_await durable(std::move(ticket));
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
      c.outcome.error = text ? detail::unquote(member.value) : std::string(member.value);
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

std::string checked_text(std::string_view text, const char* what) {
  if (!detail::is_valid_utf8(text) || text.size() > detail::fields_bytes_max)
    throw TaskError(TaskErrc::invalid_argument,
                    fmt::format("the {} has {} bytes or is not UTF-8; it may have at most {}", what,
                                text.size(), detail::fields_bytes_max));
  return std::string(text);
}

}  // namespace

TaskStore::TaskStore(boost::asio::any_io_executor executor, StoreConfig config)
    : executor_(std::move(executor)), engine_(std::make_shared<Engine>(config)) {}

TaskStore::~TaskStore() {
  if (engine_) engine_->close();
}

awaitable<TaskRecord> TaskStore::create_task(std::string_view id, Fields fields,
                                             CreateOptions options) {
  detail::check_field_names(fields);
  Command c(Verb::create);
  c.fields = std::move(fields);
  c.retry_after_crash = options.retry_after_crash;
  if (options.ttl.count() > 0) c.ttl_ms = options.ttl.count();
  return perform(engine_, std::string(id), std::move(c), options.durability);
}

awaitable<TaskRecord> TaskStore::set_task_status(std::string_view id, Fields fields,
                                                 UpdateOptions options) {
  Command c(Verb::set);
  c.fields = std::move(fields);
  c.may_create = true;
  c.attempt = options.attempt;
  c.allow_regress = options.allow_regress;
  take_own_fields(c);
  return perform(engine_, std::string(id), std::move(c), options.durability);
}

awaitable<TaskRecord> TaskStore::set_task_status(std::string_view id, TaskState state,
                                                 Fields fields, UpdateOptions options) {
  detail::check_field_names(fields);
  Command c = to_state(state, options);
  c.fields = std::move(fields);
  c.may_create = true;
  if (state == TaskState::completed) c.outcome.result = "null";
  return perform(engine_, std::string(id), std::move(c), options.durability);
}

awaitable<TaskRecord> TaskStore::start_task(std::string_view id, UpdateOptions options) {
  Command c = to_state(TaskState::running, options);
  c.starts = true;
  return perform(engine_, std::string(id), std::move(c), options.durability);
}

awaitable<TaskRecord> TaskStore::update_task_progress(std::string_view id, double percent,
                                                      Fields fields, UpdateOptions options) {
  detail::check_field_names(fields);
  Command c(Verb::progress);
  c.percent = percent;
  c.fields = std::move(fields);
  c.attempt = options.attempt;
  c.allow_regress = options.allow_regress;
  return perform(engine_, std::string(id), std::move(c), options.durability);
}

bool TaskStore::post_progress(std::string_view id, double percent, UpdateOptions options) noexcept {
  Command c(Verb::progress);
  c.percent = percent;
  c.attempt = options.attempt;
  c.allow_regress = options.allow_regress;
  try {
    const Submitted s = engine_->submit(std::string(id), c, Durability::relaxed);
    return s.data != nullptr;
  } catch (const std::exception&) {
    return false;
  }
}

awaitable<TaskRecord> TaskStore::complete_task(std::string_view id, Json result,
                                               UpdateOptions options) {
  Command c = to_state(TaskState::completed, options);
  c.outcome.result = result.text();
  return perform(engine_, std::string(id), std::move(c), options.durability);
}

awaitable<TaskRecord> TaskStore::fail_task(std::string_view id, std::string_view error,
                                           std::string_view reason, UpdateOptions options) {
  Command c = to_state(TaskState::failed, options);
  c.outcome.error = checked_text(error, "error text");
  c.outcome.reason = checked_text(reason, "reason");
  return perform(engine_, std::string(id), std::move(c), options.durability);
}

awaitable<TaskRecord> TaskStore::schedule_retry(std::string_view id, WallTime at,
                                                std::string_view error, UpdateOptions options) {
  Command c = to_state(TaskState::retry_wait, options);
  c.retry_at_ms = at.time_since_epoch().count();
  c.outcome.error = checked_text(error, "error text");
  return perform(engine_, std::string(id), std::move(c), options.durability);
}

awaitable<TaskRecord> TaskStore::cancel_task(std::string_view id, UpdateOptions options) {
  Command c(Verb::cancel);
  c.attempt = options.attempt;
  return perform(engine_, std::string(id), std::move(c), options.durability);
}

awaitable<TaskRecord> TaskStore::acknowledge_cancel(std::string_view id, std::string_view reason,
                                                    UpdateOptions options) {
  Command c = to_state(TaskState::cancelled, options);
  c.outcome.reason = checked_text(reason, "reason");
  return perform(engine_, std::string(id), std::move(c), options.durability);
}

awaitable<TaskRecord> TaskStore::retry_task(std::string_view id, UpdateOptions options) {
  Command c(Verb::retry);
  c.attempt = options.attempt;
  c.retry_at_ms = engine_->now_ms();
  return perform(engine_, std::string(id), std::move(c), options.durability);
}

awaitable<bool> TaskStore::delete_task_status(std::string_view id, bool force) {
  return perform_delete(engine_, std::string(id), force);
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
  if (timeout == std::chrono::milliseconds::max()) return wait_settled(engine_, std::string(id));
  return wait_limited(engine_, std::string(id), timeout);
}

Watcher TaskStore::watch(WatchFilter filter, std::uint64_t since) {
  return Watcher(engine_->hub().subscribe(engine_, std::move(filter), since));
}

awaitable<std::size_t> TaskStore::cleanup_old_tasks(std::chrono::milliseconds max_age) {
  return cleanup(engine_, max_age);
}

std::size_t TaskStore::remove_expired(std::size_t max) {
  return engine_->remove_expired(max);
}
awaitable<void> TaskStore::flush() {
  return flush_all(engine_);
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
