// The place where one coroutine sleeps until another thread wakes it, once.
#pragma once

#include <atomic>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <optional>

namespace reeve::async {

/// Called when the cancellation slot of a parked coroutine fires. `take_back` must remove the spot
/// from whatever queue holds it and answer true, or answer false when the wake-up is already
/// decided.
class CancelHook {
 public:
  virtual bool take_back() noexcept = 0;

 protected:
  ~CancelHook() = default;
};

/// A one-shot wake-up between a coroutine and any thread: `unpark` may come before or after `park`.
/// It lives in the coroutine's own frame, so that waiting allocates nothing. It is the base of
/// every wait in reeve; use WaiterQueue, Gate or Event unless you build such a thing.
///
/// Lifetime:     must outlive the `park` it serves; the frame that owns it guarantees that. When
/// the
///               execution context is destroyed first, the sleeping coroutine is destroyed with it.
/// Cancellation: terminal, partial and total call `hook->take_back()`; if that says true, `park`
/// returns
///               false.
/// Threads:      `unpark` from any thread; one coroutine parks.
/// Cost:         no allocation; one post to the coroutine's executor per wake-up.
class ParkingSpot {
 public:
  using Handler = boost::asio::async_result<boost::asio::use_awaitable_t<>, void()>::handler_type;

  ParkingSpot() noexcept = default;
  ParkingSpot(const ParkingSpot&) = delete;
  ParkingSpot& operator=(const ParkingSpot&) = delete;
  ~ParkingSpot();

  /// Sleeps until `unpark`, or until it is cancelled and taken back: `cancelled` tells.
  boost::asio::awaitable<void> park(CancelHook* hook = nullptr);
  bool cancelled() const noexcept { return cancelled_; }

  /// Wakes the coroutine that sleeps here, or the next one to come. Only the first call counts.
  void unpark() noexcept { wake(false); }
  /// The same as the last thing that a handler does which wakes many: they are queued when it
  /// returns, behind one lock instead of one each.
  void unpark_when_returning() noexcept { wake(true); }

 private:
  friend class ParkingService;
  enum class State { empty, parked, woken };

  void store(Handler handler, CancelHook* hook);
  void wake(bool later) noexcept;
  void cancel(CancelHook* hook) noexcept;

  std::atomic<State> state_{State::empty};
  bool cancelled_ = false;
  std::optional<Handler> handler_;
  class ParkingService* service_ = nullptr;
  bool listed_ = false;  // guarded by the service
  ParkingSpot* previous_ = nullptr;
  ParkingSpot* next_ = nullptr;
};

}  // namespace reeve::async
