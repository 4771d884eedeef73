// Parking: the handler lives in the spot, the spot is listed with its execution context.
#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/defer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/query.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/thread_pool.hpp>
#include <thread>
#include <utility>

#include "async/parking_service.hpp"

namespace reeve::async {

namespace asio = boost::asio;

namespace {

void service_ended() noexcept;

/// What is queued to run a coroutine on: it names no executor, so that Asio does not send it on.
struct Resume {
  ParkingSpot::Handler handler;
  void operator()() { std::move(handler)(); }
};

template <class Context>
bool resume_on(const asio::any_io_executor& executor, ParkingSpot::Handler& handler, bool later) {
  const auto* plain = executor.target<typename Context::executor_type>();
  if (plain == nullptr) return false;
  if (later)
    asio::defer(*plain, Resume{std::move(handler)});
  else
    asio::post(*plain, Resume{std::move(handler)});
  return true;
}

/// A context's own executor is called as what it is: through `any_io_executor` a wake-up is
/// wrapped, allocated and dispatched twice.
void resume(ParkingSpot::Handler handler, bool later) {
  const auto executor = asio::get_associated_executor(handler);
  if (resume_on<asio::io_context>(executor, handler, later) ||
      resume_on<asio::thread_pool>(executor, handler, later))
    return;
  asio::post(executor, std::move(handler));
}

}  // namespace

void ParkingService::add(ParkingSpot& spot) noexcept {
  const std::lock_guard lock(mutex_);
  spot.listed_ = true;
  spot.previous_ = nullptr;
  spot.next_ = first_;
  if (first_ != nullptr) first_->previous_ = &spot;
  first_ = &spot;
}

void ParkingService::remove(ParkingSpot& spot) noexcept {
  const std::lock_guard lock(mutex_);
  unlink(spot);
}

void ParkingService::unlink(ParkingSpot& spot) noexcept {
  if (!std::exchange(spot.listed_, false)) return;
  (spot.previous_ != nullptr ? spot.previous_->next_ : first_) = spot.next_;
  if (spot.next_ != nullptr) spot.next_->previous_ = spot.previous_;
}

bool ParkingService::may_wake(ParkingSpot& spot) noexcept {
  const std::lock_guard lock(mutex_);
  auto expected = ParkingSpot::State::parked;
  if (ending_ || !spot.state_.compare_exchange_strong(expected, ParkingSpot::State::woken))
    return false;
  unlink(spot);
  waking_.fetch_add(1, std::memory_order_relaxed);
  return true;
}

void ParkingService::shutdown() noexcept {
  service_ended();
  {
    // A destroyed coroutine may wake others: those stay parked and are destroyed in their turn.
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  // Who was woken may have run already and let its context end, while the waker is in `post`.
  while (waking_.load(std::memory_order_acquire) != 0) std::this_thread::yield();
  for (;;) {
    std::optional<ParkingSpot::Handler> handler;
    {
      const std::lock_guard lock(mutex_);
      if (first_ == nullptr) return;
      ParkingSpot& spot = *first_;
      first_ = spot.next_;
      if (first_ != nullptr) first_->previous_ = nullptr;
      spot.listed_ = false;
      auto expected = ParkingSpot::State::parked;
      if (!spot.state_.compare_exchange_strong(expected, ParkingSpot::State::woken)) continue;
      handler.emplace(std::move(*spot.handler_));
      spot.handler_.reset();
    }
  }
}

ParkingSpot::~ParkingSpot() {
  if (service_ != nullptr) service_->remove(*this);
}

asio::awaitable<void> ParkingSpot::park(CancelHook* hook) {
  return asio::async_initiate<const asio::use_awaitable_t<>&, void()>(
      [this, hook](Handler handler) { store(std::move(handler), hook); }, asio::use_awaitable);
}

namespace {

// Looking a service up takes a lock and a search; a thread mostly waits on one context.
std::atomic<unsigned> service_ends{0};  // caches of services that are gone are stale
void service_ended() noexcept {
  service_ends.fetch_add(1, std::memory_order_acq_rel);
}

ParkingService& service_of(const asio::any_io_executor& executor) {
  auto& context = asio::query(executor, asio::execution::context);
  static thread_local asio::execution_context* last_context = nullptr;
  static thread_local ParkingService* last_service = nullptr;
  static thread_local unsigned last_ends = 0;
  const unsigned ends = service_ends.load(std::memory_order_acquire);
  if (last_context != &context || last_ends != ends) {
    // Services end in the reverse order of their making. Strands must end after this one: what is
    // posted to a strand that has ended is destroyed at once, under the locks of whoever posts.
    if (!asio::has_service<ParkingService>(context)) (void)asio::make_strand(executor);
    last_service = &asio::use_service<ParkingService>(context);
    last_context = &context;
    last_ends = ends;
  }
  return *last_service;
}

}  // namespace

void ParkingSpot::store(Handler handler, CancelHook* hook) {
  service_ = &service_of(asio::get_associated_executor(handler));
  service_->add(*this);
  auto slot = asio::get_associated_cancellation_slot(handler);
  handler_.emplace(std::move(handler));
  if (hook != nullptr && slot.is_connected()) {
    slot.assign([this, hook](asio::cancellation_type type) {
      if (type != asio::cancellation_type::none) cancel(hook);
    });
  }
  auto expected = State::empty;
  if (state_.compare_exchange_strong(expected, State::parked, std::memory_order_acq_rel)) return;
  // Woken before it slept: never complete inside the initiation, the stack would grow without end.
  service_->remove(*this);
  Handler woken = std::move(*handler_);
  handler_.reset();
  resume(std::move(woken), false);
}

void ParkingSpot::wake(bool later) noexcept {
  State state = State::empty;
  if (state_.compare_exchange_strong(state, State::woken, std::memory_order_acq_rel)) return;
  if (state == State::woken || !service_->may_wake(*this)) return;
  ParkingService& service = *service_;
  {
    Handler handler = std::move(*handler_);
    handler_.reset();
    resume(std::move(handler), later);  // from here on the spot may be gone
  }
  service.has_woken();
}

void ParkingSpot::cancel(CancelHook* hook) noexcept {
  if (!hook->take_back()) return;
  cancelled_ = true;
  unpark();
}

}  // namespace reeve::async
