// Waiting at a gate.
#include <reeve/async/gate.hpp>

#include <boost/asio/error.hpp>
#include <boost/system/system_error.hpp>

namespace reeve::async {

boost::asio::awaitable<void> Gate::wait() {
  Waiter<Passage> waiter(mutex_, waiters_);
  {
    const std::lock_guard lock(mutex_);
    if (open_) co_return;
    waiters_.push_back(waiter);
  }
  co_await waiter.wait();
  const auto passage = waiter.take();
  if (!passage) throw boost::system::system_error(boost::asio::error::operation_aborted);
}

}  // namespace reeve::async
