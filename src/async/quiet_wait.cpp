// io_context and thread_pool both count work in Asio's scheduler service.
#include <reeve/async/quiet_wait.hpp>

#include <boost/asio/detail/scheduler.hpp>
#include <boost/asio/io_context.hpp>

namespace reeve::async {

using Scheduler = boost::asio::detail::scheduler;

QuietWait::QuietWait(boost::asio::execution_context& context) noexcept
    : scheduler_(boost::asio::has_service<Scheduler>(context)
                     ? &boost::asio::use_service<Scheduler>(context)
                     : nullptr) {}

void QuietWait::started() const noexcept {
  if (scheduler_ != nullptr) static_cast<Scheduler*>(scheduler_)->work_finished();
}

void QuietWait::resumed() const noexcept {
  if (scheduler_ != nullptr) static_cast<Scheduler*>(scheduler_)->work_started();
}

}  // namespace reeve::async
