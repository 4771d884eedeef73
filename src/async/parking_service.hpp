// Knows every parked coroutine of an execution context, so that its destruction destroys them too.
#pragma once

#include <atomic>
#include <boost/asio/execution_context.hpp>
#include <mutex>
#include <reeve/async/parking_spot.hpp>

namespace reeve::async {

class ParkingService : public boost::asio::execution_context::service {
 public:
  using key_type = ParkingService;
  static inline boost::asio::execution_context::id id;

  explicit ParkingService(boost::asio::execution_context& context) : service(context) {}

  void add(ParkingSpot& spot) noexcept;
  void remove(ParkingSpot& spot) noexcept;
  /// Everything that is parked is being destroyed: nothing may be posted any more.
  bool ending() const noexcept { return ending_.load(std::memory_order_acquire); }

 private:
  void shutdown() noexcept override;

  std::mutex mutex_;
  ParkingSpot* first_ = nullptr;
  std::atomic<bool> ending_{false};
};

}  // namespace reeve::async
