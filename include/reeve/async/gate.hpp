// A door that coroutines wait at until it is opened, for good.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <mutex>
#include <reeve/async/waiter_queue.hpp>

namespace reeve::async {

/// Closed at first; `open` lets everyone through, now and ever after. For "started", "stopped", "done".
///
/// Cancellation: a cancelled `wait` throws operation_aborted.
/// Threads:      any.
class Gate {
 public:
  bool is_open() const noexcept {
    const std::lock_guard lock(mutex_);
    return open_;
  }

  void open() noexcept {
    const std::lock_guard lock(mutex_);
    open_ = true;
    while (!waiters_.empty()) waiters_.grant(*waiters_.front(), Passage{});
  }

  boost::asio::awaitable<void> wait();

 private:
  struct Passage {};

  mutable std::mutex mutex_;
  WaiterQueue<Passage> waiters_;
  bool open_ = false;
};

}  // namespace reeve::async
