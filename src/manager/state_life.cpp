// The background thread, the reaper, and the end.
#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <future>
#include <reeve/async/with_timeout.hpp>

#include "manager/state.hpp"
#include "manager/together.hpp"

namespace reeve::detail {

namespace asio = boost::asio;

namespace {

constexpr std::chrono::nanoseconds longest_sleep = std::chrono::hours(24);

// Looks, sleeps until the next look is due or somebody plans an earlier one, and looks again.
asio::awaitable<void> reap(std::weak_ptr<ManagerState> owner,
                           std::shared_ptr<asio::steady_timer> alarm) {
  for (;;) {
    std::chrono::nanoseconds wait = longest_sleep;
    {
      const auto state = owner.lock();
      if (!state) co_return;
      try {
        wait = std::clamp(state->sweep(), std::chrono::nanoseconds(0), longest_sleep);
      } catch (const std::exception&) {  // no memory: it looks again soon
        wait = std::chrono::seconds(1);
      }
    }
    alarm->expires_after(wait);
    boost::system::error_code ignored;
    co_await alarm->async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
}

asio::awaitable<void> end_pool(ManagerState::EntryPtr entry, ShutdownMode mode,
                               std::chrono::milliseconds deadline) {
  co_await entry->pool->shutdown(mode, deadline);
}

}  // namespace

std::shared_ptr<Background> ManagerState::background_or_null() const noexcept {
  const std::lock_guard lock(mutex_);
  return background_;
}

std::shared_ptr<Background> ManagerState::background() {
  check_owner();
  {
    const std::lock_guard lock(mutex_);
    check_open();
    if (background_) return background_;
  }
  start_background();
  const std::lock_guard lock(mutex_);
  check_open();
  return background_;
}

void ManagerState::start_background() {
  const std::lock_guard start_lock(start_mutex_);
  if (background_or_null()) return;
  auto fresh = std::make_shared<Background>();
  {
    const std::lock_guard lock(mutex_);
    if (config_.health_interval.count() > 0) {
      planned_ = next_health_ = config_.clock->now() + config_.health_interval;
    }
  }
  asio::co_spawn(fresh->context(), reap(weak_from_this(), fresh->alarm()), asio::detached);
  const std::lock_guard lock(mutex_);
  if (!is_shutdown()) background_ = std::move(fresh);
}

Operation ManagerState::begin_operation(const Entry& entry) {
  check_owner();
  const std::lock_guard lock(mutex_);
  if (is_shutdown() || !background_) {
    throw PoolClosedError("the manager of this pool of " + std::to_string(entry.n_jobs) +
                          " workers was shut down or destroyed; get a pool from another one");
  }
  ++operations_;
  return Operation(shared_from_this(), background_);
}

void ManagerState::end_operation() noexcept {
  const std::lock_guard lock(mutex_);
  if (--operations_ != 0) return;
  for (const auto& gate : std::exchange(operation_gates_, {})) gate->open();
}

// ------------------------------------------------------------------------------------------------
// The reaper

std::chrono::nanoseconds ManagerState::linger_step() const noexcept {
  const std::chrono::nanoseconds least = std::chrono::milliseconds(10);
  if (!config_.idle_timeout) return std::chrono::milliseconds(100);
  return std::clamp(std::chrono::nanoseconds(*config_.idle_timeout) / 8, least,
                    std::chrono::nanoseconds(std::chrono::seconds(10)));
}

// The reaper sleeps until `planned_`. Idle times only grow, so it is woken once per idle_timeout.
void ManagerState::plan(Clock::time_point when, Leaving& leaving) noexcept {
  if (when >= planned_) return;
  planned_ = when;
  leaving.wake_reaper();
}

std::chrono::nanoseconds ManagerState::sweep() {
  std::vector<std::pair<EntryPtr, std::uint64_t>> lingering;
  {
    const std::lock_guard lock(mutex_);
    for (Entry& entry : lingering_) lingering.emplace_back(entry.shared_from_this(), entry.uses);
  }
  std::erase_if(lingering, [](const auto& item) { return item.first->load() > 0; });
  std::vector<EntryPtr> to_warm;
  Leaving leaving(*this);
  std::unique_lock lock(mutex_);
  if (is_shutdown()) return longest_sleep;
  for (const auto& [entry, uses] : lingering) {
    if (!entry->lingering || entry->uses != uses) continue;
    unlist(*entry);
    become_idle(*entry, leaving);
  }
  const Clock::time_point now = config_.clock->now();
  while (config_.idle_timeout && !idle_.empty() &&
         idle_.front().idle_since + *config_.idle_timeout <= now) {
    remove_idle(idle_.front(), leaving);
    ++reaped_;
  }
  if (now >= next_health_) {
    check_health(leaving, to_warm);
    next_health_ = now + config_.health_interval;
  }
  planned_ = next_health_;
  if (config_.idle_timeout && !idle_.empty()) {
    planned_ = std::min(planned_, idle_.front().idle_since + *config_.idle_timeout);
  }
  if (!lingering_.empty()) planned_ = std::min(planned_, now + linger_step());
  const auto wait = planned_ == Clock::time_point::max() ? longest_sleep : planned_ - now;
  lock.unlock();
  for (const EntryPtr& entry : to_warm) warm_again(entry);
  return wait;
}

// Dead pools that nobody uses go now; those of presets that are kept come back at once.
void ManagerState::check_health(Leaving& leaving, std::vector<EntryPtr>& to_warm) {
  std::vector<EntryPtr> dead;
  for (const EntryPtr& entry : pools_) {
    if (entry->health() != PoolHealth::ready) dead.push_back(entry);
  }
  for (const EntryPtr& entry : dead) {
    const bool again = entry->care.keep;
    if (!again && !entry->unused) continue;  // its users see the error; get_pool replaces it
    retire(pools_.find(KeyView{entry->key, entry->hash}), true, leaving);
    if (!again) continue;
    auto fresh = std::make_shared<Entry>(entry->key, entry->hash, entry->care);
    fresh->unused = true;
    fresh->idle_since = config_.clock->now();
    pools_.insert(fresh);
    ++creations_;
    if (fresh->care.warm_workers > 0) to_warm.push_back(std::move(fresh));
  }
}

void ManagerState::warm_again(const EntryPtr& entry) {
  ManagedPool handle;
  std::size_t count = 0;
  {
    const std::lock_guard lock(mutex_);
    if (entry->place != Entry::Place::active) return;
    handle = take(entry);
    count = entry->care.warm_workers;
  }
  const auto thread = background_or_null();
  if (!thread) return;
  asio::co_spawn(thread->context(), warm_managed(std::move(handle), count), asio::detached);
}

void ManagerState::reap_now() {
  check_owner();
  const auto thread = background_or_null();
  if (!thread) return;  // nothing was ever started
  if (thread->is_here()) {
    sweep();
    return;
  }
  auto done = std::make_shared<std::promise<void>>();
  auto ended = done->get_future();
  asio::post(thread->context(), [this, done] {
    try {
      sweep();
      done->set_value();
    } catch (...) {
      done->set_exception(std::current_exception());
    }
  });
  ended.get();
}

// ------------------------------------------------------------------------------------------------
// The end

std::vector<ManagerState::EntryPtr> ManagerState::begin_shutdown() {
  std::vector<EntryPtr> entries;
  {
    const std::lock_guard lock(mutex_);
    ending_.reserve(ending_.size() + pools_.size() + retired_.size());
    shut_down_.store(true, std::memory_order_release);
    idle_.clear();
    lingering_.clear();
    for (const EntryPtr& entry : pools_) ending_.push_back(entry);
    for (const EntryPtr& entry : retired_) ending_.push_back(entry);
    for (const EntryPtr& entry : ending_) entry->place = Entry::Place::gone;
    pools_.clear();
    retired_.clear();
    entries = ending_;
  }
  for (const EntryPtr& entry : entries) {
    const std::lock_guard lock(entry->build);
    entry->closed = true;
  }
  return entries;
}

// On the background thread: ends the pools, then waits for the calls that were made on them.
asio::awaitable<void> ManagerState::end_pools(std::vector<EntryPtr> entries, ShutdownMode mode,
                                              [[maybe_unused]] std::shared_ptr<void> kept) {
  std::vector<asio::awaitable<void>> works;
  for (const EntryPtr& entry : entries) {
    if (entry->pool) works.push_back(end_pool(entry, mode, config_.shutdown_deadline));
  }
  try {
    co_await together(std::move(works));
  } catch (const std::exception&) {  // a pool that its user has ended already
  }
  auto gate = std::make_shared<async::Gate>();
  {
    const std::lock_guard lock(mutex_);
    if (operations_ == 0) co_return;
    operation_gates_.push_back(gate);
  }
  try {
    co_await async::with_timeout(gate->wait(), std::chrono::seconds(5));
  } catch (const async::TimeoutError&) {  // a progress sink that does not return; it is left alone
  }
}

void ManagerState::finish_shutdown() noexcept {
  std::shared_ptr<Background> thread;  // ended after the lock
  std::vector<EntryPtr> entries;
  const std::lock_guard lock(mutex_);
  if (--closers_ != 0) return;
  entries = std::move(ending_);
  ending_.clear();
  if (operations_ == 0) thread = std::move(background_);
}

std::shared_ptr<ManagerState::Closing> ManagerState::begin_closing() {
  check_owner();
  auto entries = begin_shutdown();
  auto closing = std::make_shared<Closing>();
  const std::lock_guard lock(mutex_);
  if (!background_) return nullptr;
  ++closers_;
  closing->state = shared_from_this();
  closing->thread = background_;
  closing->entries = std::move(entries);
  return closing;
}

// On the background thread; `done` comes last, when the work's share is gone.
template <class Done>
void ManagerState::close_then(std::shared_ptr<Closing> closing, bool force, Done done) {
  auto& context = closing->thread->context();
  auto work = closing->state->end_pools(closing->entries,
                                        force ? ShutdownMode::kill : ShutdownMode::drain, nullptr);
  asio::co_spawn(
      context, std::move(work),
      [closing = std::move(closing), done = std::move(done)](std::exception_ptr) mutable {
        closing.reset();
        done();
      });
}

void ManagerState::shutdown(bool force) {
  const auto closing = begin_closing();
  if (!closing) return;
  auto done = std::make_shared<std::promise<void>>();
  auto ended = done->get_future();
  close_then(closing, force, [done] { done->set_value(); });
  if (!closing->thread->is_here()) ended.wait();
}

asio::awaitable<void> ManagerState::async_shutdown(
    [[maybe_unused]] std::shared_ptr<ManagerState> self, bool force) {
  const auto closing = begin_closing();
  if (!closing) co_return;
  const auto ended = std::make_shared<async::Gate>();
  close_then(closing, force, [ended] { ended->open(); });
  co_await ended->wait();
}

void ManagerState::close() noexcept {
  try {
    auto entries = begin_shutdown();
    std::shared_ptr<Background> thread;
    std::vector<EntryPtr> kept;
    {
      const std::lock_guard lock(mutex_);
      thread = std::move(background_);
      kept = std::move(ending_);
      ending_.clear();
    }
    if (!thread) return;
    const bool used = std::any_of(entries.begin(), entries.end(), [](const EntryPtr& entry) {
      return entry->handles.load(std::memory_order_acquire) != 0 || entry->load() != 0;
    });
    if (!used) return entries.clear();  // the pools end with `kept`, then the thread
    auto work = end_pools(
        std::move(entries), ShutdownMode::drain,
        std::make_shared<std::pair<std::shared_ptr<ManagerState>, std::shared_ptr<Background>>>(
            shared_from_this(), thread));
    asio::co_spawn(thread->context(), std::move(work), asio::detached);
  } catch (...) {  // no memory: the pools are freed with their handles
  }
}

// ------------------------------------------------------------------------------------------------

asio::awaitable<void> ManagerState::warm_presets(
    [[maybe_unused]] std::shared_ptr<ManagerState> self) {
  std::vector<asio::awaitable<void>> works;
  std::exception_ptr failure;
  for (const Preset& preset : config_.presets) {
    if (preset.warm_workers == 0) continue;
    try {
      works.push_back(warm_managed(get_preset(preset.name, false), preset.warm_workers));
    } catch (...) {
      if (!failure) failure = std::current_exception();
    }
  }
  co_await together(std::move(works));
  if (failure) std::rethrow_exception(failure);
}

void ManagerState::check_may_block() const {
  check_owner();
  const auto thread = background_or_null();
  if (thread && thread->is_here()) {
    throw std::logic_error(
        "a blocking call on the manager's background thread would wait for itself; use the async_ "
        "form there");
  }
}

void ManagerState::warm_presets_now() {
  check_may_block();
  const auto thread = background();
  auto done = std::make_shared<std::promise<void>>();
  auto ended = done->get_future();
  asio::co_spawn(thread->context(), warm_presets(shared_from_this()),
                 [done](std::exception_ptr failure) {
                   if (failure) {
                     done->set_exception(std::move(failure));
                   } else {
                     done->set_value();
                   }
                 });
  ended.get();
}

Operation::Operation(std::shared_ptr<ManagerState> state,
                     std::shared_ptr<Background> background) noexcept
    : state_(std::move(state)), background_(std::move(background)) {}

void Operation::end() noexcept {
  if (!state_) return;
  state_->end_operation();
  background_.reset();
  state_.reset();
}

asio::any_io_executor Operation::executor() const {
  return background_->context().get_executor();
}

}  // namespace reeve::detail
