// Background waits that do not keep an io_context running.
#pragma once

#include <boost/asio/execution_context.hpp>

namespace reeve::async {

/// A pool waits for its workers' bells all its life; that alone must not keep `io_context::run`
/// from returning when the user's own work is done. Call `started` right after the initiation of
/// such a wait, and `resumed` first thing in its handler.
///
/// Precondition of `started`: called from a handler of the context. Elsewhere the count could reach
/// zero and
///          stop a context that has not even run; post the initiation instead.
/// Effect:  takes the wait out of the context's count of outstanding work, and puts it back for the
/// time
///          that its handler runs. For contexts other than io_context and thread_pool: no effect,
///          the waits then count as work until the pool is shut down.
/// Threads: any.
class QuietWait {
 public:
  explicit QuietWait(boost::asio::execution_context& context) noexcept;
  void started() const noexcept;
  void resumed() const noexcept;

 private:
  void* scheduler_;  // Asio's counter of outstanding work, or null
};

}  // namespace reeve::async
