// Runs a coroutine on a strand of its own, so that what it starts side by side never meets.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>
#include <memory>
#include <utility>

namespace reeve::async {

/// Runs `work` on a strand over the calling coroutine's executor.
///
/// A parallel group cancels its losers on the thread where the winner ended. On a context with
/// several threads that is a race with a loser that runs at that moment. On a strand it is none.
///
/// Cancellation: what the calling coroutine lets through reaches `work`, on the strand.
/// Errors:       whatever `work` throws.
/// Threads:      the calling coroutine's executor may have several; whoever cancels it does so on
///               that executor, as Asio demands.
/// Cost:         about 1 us; three allocations.
template <class T>
boost::asio::awaitable<T> on_own_strand(boost::asio::awaitable<T> work);

// ------------------------------------------------------------------------------------------------

namespace detail {

/// Shared with the cancellations under way: one may arrive when the work has ended.
struct StrandControl {
  explicit StrandControl(const boost::asio::any_io_executor& executor) : strand(executor) {}

  void cancel(boost::asio::cancellation_type type) {
    if (started) {
      signal.emit(type);
    } else {
      cancelled = true;
    }
  }

  boost::asio::strand<boost::asio::any_io_executor> strand;
  boost::asio::cancellation_signal signal;  // used on the strand, as the rest
  bool started = false;
  bool cancelled = false;  // before it had started: Asio 1.81 would throw that out of run()
};

template <class T>
boost::asio::awaitable<T> begin_on_strand(std::shared_ptr<StrandControl> control,
                                          boost::asio::awaitable<T> work) {
  namespace asio = boost::asio;
  control->started = true;
  if (control->cancelled) throw boost::system::system_error(asio::error::operation_aborted);
  // The caller's filter has decided already.
  co_await asio::this_coro::reset_cancellation_state(asio::enable_total_cancellation());
  co_return co_await std::move(work);
}

template <class T>
boost::asio::awaitable<T> run_on_strand(std::shared_ptr<StrandControl> control,
                                        boost::asio::awaitable<T> work) {
  namespace asio = boost::asio;
  const auto state = co_await asio::this_coro::cancellation_state;
  auto slot = state.slot();
  if (slot.is_connected()) {
    slot.assign([control](asio::cancellation_type type) {
      asio::dispatch(control->strand, [control, type] { control->cancel(type); });
    });
  }
  auto running =
      asio::co_spawn(control->strand, begin_on_strand(control, std::move(work)),
                     asio::bind_cancellation_slot(control->signal.slot(), asio::use_awaitable));
  co_return co_await std::move(running);
}

}  // namespace detail

template <class T>
boost::asio::awaitable<T> on_own_strand(boost::asio::awaitable<T> work) {
  const auto executor = co_await boost::asio::this_coro::executor;
  auto control = std::make_shared<detail::StrandControl>(executor);
  auto running = detail::run_on_strand(std::move(control), std::move(work));
  co_return co_await std::move(running);
}

}  // namespace reeve::async
