// Parking: the handler lives in the spot, the spot is listed with its execution context.
#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/query.hpp>
#include <utility>

#include "async/parking_service.hpp"

namespace reeve::async {

namespace asio = boost::asio;

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
  if (!std::exchange(spot.listed_, false)) return;
  (spot.previous_ != nullptr ? spot.previous_->next_ : first_) = spot.next_;
  if (spot.next_ != nullptr) spot.next_->previous_ = spot.previous_;
}

void ParkingService::shutdown() noexcept {
  // A destroyed coroutine may wake others, which are then destroyed by the scheduler's own queue.
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

asio::awaitable<bool> ParkingSpot::park(CancelHook* hook) {
  co_await asio::async_initiate<const asio::use_awaitable_t<>&, void()>(
      [this, hook](Handler handler) { store(std::move(handler), hook); }, asio::use_awaitable);
  co_return !cancelled_;
}

void ParkingSpot::store(Handler handler, CancelHook* hook) {
  auto& context = asio::query(asio::get_associated_executor(handler), asio::execution::context);
  service_ = &asio::use_service<ParkingService>(context);
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
  auto executor = asio::get_associated_executor(woken);
  asio::post(executor, std::move(woken));
}

void ParkingSpot::unpark() noexcept {
  if (state_.exchange(State::woken, std::memory_order_acq_rel) != State::parked) return;
  service_->remove(*this);
  Handler handler = std::move(*handler_);
  handler_.reset();
  auto executor = asio::get_associated_executor(handler);
  asio::post(executor, std::move(handler));  // from here on the spot may be gone
}

void ParkingSpot::cancel(CancelHook* hook) noexcept {
  if (!hook->take_back()) return;
  cancelled_ = true;
  unpark();
}

}  // namespace reeve::async
