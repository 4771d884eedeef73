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
  /// Effect: takes the right to wake the coroutine in `spot`; the context stays until `has_woken`.
  /// Returns false when another has it, or everything that is parked is being destroyed.
  bool may_wake(ParkingSpot& spot) noexcept;
  void has_woken() noexcept { waking_.fetch_sub(1, std::memory_order_release); }

 private:
  void shutdown() noexcept override;
  void unlink(ParkingSpot& spot) noexcept;

  std::mutex mutex_;
  ParkingSpot* first_ = nullptr;
  bool ending_ = false;         // guarded by mutex_
  std::atomic<int> waking_{0};  // threads between may_wake and has_woken
};

}  // namespace reeve::async
