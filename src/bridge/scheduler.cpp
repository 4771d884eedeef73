// The public handles, and the coroutine that waits for a turn and then for the pool.
#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/error.hpp>
#include <boost/system/system_error.hpp>

#include "bridge/sole_user.hpp"
#include "bridge/state.hpp"

namespace reeve::bridge {

namespace asio = boost::asio;

namespace detail {
namespace {

asio::awaitable<WorkerLease> hand_over(WorkerLease lease) {
  co_return std::move(lease);
}

void check_time(const char* name, std::chrono::milliseconds value) {
  if (value.count() >= 0) return;
  throw ConfigError(
      fmt::format("{} is {} ms; it must be 0 (the pool's) or more", name, value.count()));
}

}  // namespace

std::uint32_t State::find(std::string_view requester) const {
  const auto at = index_.find(requester);
  if (at != index_.end()) return at->second;
  std::string names;
  for (const Requester& r : config_.requesters) {
    names += fmt::format("{}'{}'", names.empty() ? "" : ", ", r.name);
  }
  throw ConfigError(fmt::format(
      "'{}' is no requester of this scheduler; it has {}; add it to SchedulerConfig::requesters",
      requester.substr(0, 120), names));
}

Ask State::check(std::string_view requester, const WorkerRequest& request) const {
  Ask ask;
  ask.wish.requester = find(requester);
  const Requester& who = config_.requesters[ask.wish.requester];
  check_time("timeout", request.timeout);
  check_time("time_limit", request.time_limit);
  ask.task = request.task != nullptr ? request.task : who.name;
  if (ask.task.empty() || ask.task.size() > 127) {
    throw ConfigError(fmt::format("a task id has 1 to 127 bytes; '{}' has {}",
                                  ask.task.substr(0, 40), ask.task.size()));
  }
  if (request.device != nullptr) {
    const std::lock_guard lock(mutex_);  // a resize may bring devices
    ask.wish.device = request.device;
    if (ask.wish.device.empty() || !books_.knows(ask.wish.device)) {
      throw ConfigError(fmt::format("no worker of this pool has a device '{}'; its workers have {}",
                                    ask.wish.device, fmt::join(books_.devices(), ", ")));
    }
  }
  const std::int64_t sum = std::int64_t{who.priority} + request.priority;
  ask.wish.priority = static_cast<int>(std::clamp<std::int64_t>(sum, INT32_MIN, INT32_MAX - 1));
  ask.wish.preemptible = request.preemptible;
  ask.wish.duration = lease_time_;
  if (request.time_limit.count() > 0 && request.time_limit < pool_.config().worker_timeout) {
    ask.wish.duration = std::chrono::nanoseconds(request.time_limit).count();
  }
  const auto timeout =
      request.timeout.count() > 0 ? request.timeout : pool_.config().acquire_timeout;
  constexpr std::chrono::milliseconds longest = std::chrono::hours(24 * 3660);
  ask.since = books_.now();
  ask.deadline = ask.since + std::chrono::nanoseconds(std::min(timeout, longest)).count();
  return ask;
}

// What the pool is asked for: the device that the books chose, and the time that they count on.
AcquireOptions State::options_of(BookingId id, const Ask& ask) {
  constexpr Time millisecond = 1'000'000;
  AcquireOptions options;
  const Time limit = books_.limit(id);
  if (limit < lease_time_) {
    options.time_limit = std::chrono::milliseconds(std::max<Time>(limit / millisecond, 1));
  }
  options.timeout =
      std::chrono::milliseconds(std::max<Time>((ask.deadline - books_.now()) / millisecond, 1));
  options.device = books_.device(id);
  return options;
}

// Nobody who waits has a use for a worker that is free, so only its own level goes before it.
std::optional<BookingId> State::open_in_turn(const Ask& ask) {
  if (closed_) return std::nullopt;
  books_.advance();
  const auto& levels = requesters_[ask.wish.requester].levels;
  if (!levels.empty()) {
    const auto level = levels.find({ask.wish.priority, ask.wish.device});
    if (level != levels.end() && !level->second.queue.empty()) return std::nullopt;
  }
  const auto id = books_.open(ask.wish);
  if (!id) return id;
  opened(*id);
  if (enlisted_ > 0) dispatch();  // shares have changed: somebody may be asked for a worker
  return id;
}

std::optional<WorkerLease> State::grab(const Ask& ask, Permit& permit) {
  const std::lock_guard lock(mutex_);
  const auto id = open_in_turn(ask);
  if (!id) return std::nullopt;
  permit = Permit(shared_from_this(), *id);
  try {
    auto lease = pool_.try_acquire(ask.task, options_of(*id, ask));
    if (lease && !activate(permit, *lease, ask)) lease.reset();
    return lease;
  } catch (const Error&) {
    return std::nullopt;  // the pool says it again to whoever waits
  }
}

std::optional<WorkerLease> State::try_acquire(const Ask& ask) {
  Permit permit;  // ends after the lock
  const std::lock_guard lock(mutex_);
  check_open();
  const auto id = open_in_turn(ask);
  if (!id) return std::nullopt;
  permit = Permit(shared_from_this(), *id);
  auto lease = pool_.try_acquire(ask.task, options_of(*id, ask));
  if (lease && !activate(permit, *lease, ask)) lease.reset();
  return lease;
}

/// Keeps the level of a waiting request, and takes leave of it wherever its coroutine ends.
class Enlisted {
 public:
  Enlisted(State& state, Ask ask) : state_(state) {
    request_.ask = std::move(ask);
    const Wish& wish = request_.ask.wish;
    const std::lock_guard lock(state_.mutex_);
    ++state_.enlisted_;
    RequesterState& requester = state_.requesters_[wish.requester];
    level_ = &requester.levels[{wish.priority, wish.device}];
    ++level_->users;
    request_.pending.ticket = ++state_.last_ticket_;
    request_.pending.user = wish.requester;
    request_.pending.priority = wish.priority;
    request_.pending.submitted = request_.ask.since;
    request_.pending.duration = wish.duration;
    request_.pending.quota = state_.books_.quota(wish.requester);
    request_.pending.amount = alloc::Amounts::of(workers_dim, 1);
  }
  Enlisted(const Enlisted&) = delete;
  ~Enlisted() {
    const std::lock_guard lock(state_.mutex_);
    state_.unlink(request_);
    --level_->users;
    --state_.enlisted_;
    const Wish& wish = request_.ask.wish;
    state_.requesters_[wish.requester].waits.cancelled += cancelled_;
    if (cancelled_) state_.dispatch();  // its victim may serve another
  }

  Request& request() noexcept { return request_; }
  Level& level() noexcept { return *level_; }
  void leave() noexcept { cancelled_ = false; }

  void enqueue(async::Waiter<Permit>& waiter) {
    const std::lock_guard lock(state_.mutex_);
    if (state_.closed_) leave();
    state_.check_open();
    const std::size_t most = state_.config_.waiter_count_max;
    if (!request_.was_queued && state_.enlisted_ > most) {
      leave();
      throw PoolSaturatedError(
          fmt::format("{} requests wait already (waiter_count_max = {}); {}; slow the callers down "
                      "or raise the limit",
                      state_.enlisted_ - 1, most, state_.busy_text()));
    }
    waiter.note = &request_;
    request_.waiter = &waiter;
    state_.enqueue(request_, *level_);
    state_.dispatch();
    state_.need_alarm(request_.ask.deadline);
  }

  [[noreturn]] void throw_refusal() {
    leave();
    switch (request_.refused) {
      case Request::Refused::time:
        throw AcquireTimeoutError(request_.text);
      case Request::Refused::closed:
        throw PoolClosedError(request_.text);
      case Request::Refused::none:
        break;
    }
    cancelled_ = true;
    throw boost::system::system_error(asio::error::operation_aborted);
  }

  AcquireOptions options(const Permit& permit) {
    const std::lock_guard lock(state_.mutex_);
    return state_.options_of(permit.id(), request_.ask);
  }

  bool activate(Permit& permit, WorkerLease& lease) {
    const std::lock_guard lock(state_.mutex_);
    return state_.activate(permit, lease, request_.ask);
  }

 private:
  State& state_;
  Level* level_ = nullptr;
  Request request_;
  bool cancelled_ = true;
};

asio::awaitable<WorkerLease> State::wait([[maybe_unused]] std::shared_ptr<State> self, Ask ask,
                                         Permit permit) {
  Enlisted place(*this, std::move(ask));
  for (;;) {
    if (!permit) {
      async::Waiter<Permit> waiter(mutex_, place.level().queue);
      place.enqueue(waiter);
      co_await waiter.wait();
      auto granted = waiter.take();
      if (!granted) place.throw_refusal();
      permit = std::move(*granted);
    }
    const AcquireOptions options = place.options(permit);
    std::optional<WorkerLease> lease;
    try {
      auto hiring = pool_.acquire_worker(place.request().ask.task, options);
      lease.emplace(co_await std::move(hiring));
    } catch (const Error&) {
      place.leave();
      throw;
    }
    if (place.activate(permit, *lease)) {
      place.leave();
      co_return std::move(*lease);
    }
    // It started too late to end before what is promised behind it: back, and another try.
    lease.reset();
    permit.reset();
  }
}

asio::awaitable<void> State::resize([[maybe_unused]] std::shared_ptr<State> self,
                                    std::size_t max_workers) {
  {
    const std::lock_guard lock(mutex_);
    check_open();
    if (max_workers < books_.owned()) {
      throw ConfigError(
          fmt::format("a pool of {} workers cannot keep what quotas promise, {} workers in all; "
                      "give it as many, "
                      "or make a scheduler with smaller quotas",
                      max_workers, books_.owned()));
    }
  }
  auto resizing = pool_.resize(max_workers);
  co_await std::move(resizing);
  const std::lock_guard lock(mutex_);
  books_.resize(pool_.config(), max_workers);
  dispatch();
}

}  // namespace detail

// ------------------------------------------------------------------------------------------------

struct WorkerScheduler::Handle {
  explicit Handle(const ResourcePool& pool) : only(pool) {}
  Handle(const Handle&) = delete;
  ~Handle() {
    if (state) state->close();
  }
  std::shared_ptr<detail::State> state;  // keeps the pool
  detail::SoleUser only;
};

WorkerScheduler::WorkerScheduler(ResourcePool pool, SchedulerConfig config) {
  if (const auto fault = find_fault(config, pool.config())) throw ConfigError(*fault);
  handle_ = std::make_shared<Handle>(pool);
  handle_->state = std::make_shared<detail::State>(std::move(pool), std::move(config));
  state_ = handle_->state;
}

asio::awaitable<WorkerLease> WorkerScheduler::acquire_worker(std::string_view requester,
                                                             const WorkerRequest& request) {
  detail::Ask ask = state_->check(requester, request);
  detail::Permit permit;
  if (auto lease = state_->grab(ask, permit)) return detail::hand_over(std::move(*lease));
  return state_->wait(state_, std::move(ask), std::move(permit));
}

std::optional<WorkerLease> WorkerScheduler::try_acquire(std::string_view requester,
                                                        const WorkerRequest& request) {
  return state_->try_acquire(state_->check(requester, request));
}

WorkerReservation WorkerScheduler::reserve(std::string_view requester, std::size_t workers,
                                           Clock::time_point start,
                                           std::chrono::nanoseconds duration, const char* device) {
  const std::uint64_t id = state_->reserve(requester, workers, start, duration, device);
  return WorkerReservation(state_, id);
}

asio::awaitable<void> WorkerScheduler::resize(std::size_t max_workers) {
  return state_->resize(state_, max_workers);
}

SchedulerStatus WorkerScheduler::status() const {
  return state_->status();
}

void WorkerScheduler::poll() {
  state_->poll();
}

// ------------------------------------------------------------------------------------------------

WorkerReservation& WorkerReservation::operator=(WorkerReservation&& other) noexcept {
  if (this != &other) {
    cancel();
    state_ = std::exchange(other.state_, nullptr);
    id_ = other.id_;
  }
  return *this;
}

WorkerReservation::~WorkerReservation() {
  cancel();
}

void WorkerReservation::cancel() noexcept {
  if (const auto state = std::exchange(state_, nullptr)) state->cancel_reservation(id_);
}

std::optional<ReservationStatus> WorkerReservation::status() const {
  return state_ != nullptr ? state_->status_of(id_) : std::nullopt;
}

}  // namespace reeve::bridge
