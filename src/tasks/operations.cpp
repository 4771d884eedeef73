// How a verb becomes durable: one sleep per ticket, room in the queue, waits with a limit.
#include "tasks/operations.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/error.hpp>
#include <boost/asio/this_coro.hpp>
#include <reeve/async/with_timeout.hpp>

namespace reeve::tasks::detail {

using boost::asio::awaitable;

namespace {

[[noreturn]] void throw_aborted() {
  throw boost::system::system_error(boost::asio::error::operation_aborted);
}

/// One coroutine's sleep until its ticket is decided, in that coroutine's own frame:
///   TicketWait wait(std::move(ticket));
///   const auto here = co_await boost::asio::this_coro::executor;
///   if (wait.begin(here)) co_await wait.sleep();
///   wait.end();
class TicketWait final : private async::CancelHook {
 public:
  explicit TicketWait(TicketPtr ticket) : ticket_(std::move(ticket)) {}
  TicketWait(const TicketWait&) = delete;
  TicketWait& operator=(const TicketWait&) = delete;
  ~TicketWait() {
    const std::lock_guard lock(ticket_->mutex);
    ticket_->sleeper = nullptr;
    ticket_->home = {};  // a strand must not outlive its context, and the ticket may
  }

  /// False: it is decided already.
  bool begin(const boost::asio::any_io_executor& here) {
    const std::lock_guard lock(ticket_->mutex);
    if (ticket_->done) return false;
    ticket_->sleeper = &spot_;
    ticket_->home = here;
    return true;
  }
  awaitable<void> sleep() { return spot_.park(this); }
  void end() const {
    if (spot_.cancelled()) throw_aborted();
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
  const auto here = co_await boost::asio::this_coro::executor;
  if (wait.begin(here)) co_await wait.sleep();
  wait.end();
}

awaitable<void> room(EnginePtr engine) {
  async::Waiter<char> waiter(engine->space_mutex, engine->space_waiters);
  {
    const std::lock_guard lock(engine->space_mutex);
    // After a close nobody wakes whoever sleeps here, and the write is refused.
    if (!engine->over_budget() || engine->closed()) co_return;
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

}  // namespace

awaitable<TaskRecord> perform(EnginePtr engine, std::string id, Command command,
                              Durability durability) {
  check_id(id);
  Submitted s = engine->over_budget() ? Submitted{} : engine->submit(id, command, durability);
  if (!s.data) {
    if (s.ticket) co_await durable(std::move(s.ticket));
    auto again = submit_when_free(engine, id, std::move(command), durability);
    s = co_await std::move(again);
  }
  if (s.ticket) {
    // As `durable` does, without its frame: this is every write's way.
    TicketWait wait(std::move(s.ticket));
    const auto here = co_await boost::asio::this_coro::executor;
    if (wait.begin(here)) co_await wait.sleep();
    wait.end();
  }
  co_return TaskRecord(std::move(s.data));
}

awaitable<bool> perform_delete(EnginePtr engine, std::string id, bool force) {
  check_id(id);
  for (;;) {
    Submitted s = engine->submit_delete(id, force);
    const bool busy = s.busy;
    const bool there = s.data != nullptr;
    if (s.ticket) co_await durable(std::move(s.ticket));
    if (!busy) co_return there;
  }
}

awaitable<TaskRecord> refuse(EnginePtr engine, std::string id, TaskError error) {
  const RecordPtr now = engine->find(id);
  if (!now) throw error;
  throw TaskError(error.code(), error.what(),
                  TaskError::Current{now->state, now->attempt, now->revision});
  co_return TaskRecord();
}

awaitable<TaskRecord> wait_settled(EnginePtr engine, std::string id) {
  EntryPtr entry;
  WaitQueuePtr queue;  // declared before the waiter, which points into it
  std::optional<async::Waiter<RecordPtr>> waiter;
  RecordPtr answer;
  std::mutex& mutex = engine->mutex_of(id);
  {
    const std::lock_guard lock(mutex);
    answer = engine->wait_or_answer(id, entry, queue);
    if (!answer) {
      waiter.emplace(mutex, *queue);
      queue->push_back(*waiter);
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
    if (entry->visible || entry->in_flight != 0) throw_aborted();  // it is there, or about to be
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

awaitable<void> all_durable(std::vector<TicketPtr> tickets) {
  std::exception_ptr failure;
  for (TicketPtr& ticket : tickets) {
    try {
      co_await durable(std::move(ticket));
    } catch (const TaskError&) {
      if (!failure) failure = std::current_exception();
    }
  }
  if (failure) std::rethrow_exception(failure);
}

awaitable<std::size_t> cleanup(EnginePtr engine, std::chrono::milliseconds max_age) {
  constexpr std::size_t step = 1000;
  if (max_age.count() < 0)
    throw TaskError(TaskErrc::invalid_argument,
                    fmt::format("max_age is {} ms; give 0 (everything that has ended) or more",
                                max_age.count()));
  const std::int64_t before = engine->now_ms() - max_age.count();
  auto due = [before](const RecordData& r) {
    return is_settled(r.state) && r.finished_ms <= before;
  };
  std::size_t removed = 0;
  std::uint64_t after = 0;
  for (;;) {
    const auto found = engine->settled_entries(after, step);
    if (found.empty()) co_return removed;
    after = found.back()->rid;
    std::vector<TicketPtr> tickets;
    for (const auto& entry : found) {
      const Submitted s = engine->submit_delete(*entry->id, false, due);
      if (!s.data) continue;
      ++removed;
      if (s.ticket) tickets.push_back(s.ticket);
    }
    auto written = all_durable(std::move(tickets));
    co_await std::move(written);
  }
}

awaitable<void> flush_all(EnginePtr engine) {
  auto ticket = engine->submit_flush();
  if (ticket) co_await durable(std::move(ticket));
  // Progress that stood behind a transition of that batch goes with the next one.
  ticket = engine->submit_flush();
  if (ticket) co_await durable(std::move(ticket));
}

}  // namespace reeve::tasks::detail
