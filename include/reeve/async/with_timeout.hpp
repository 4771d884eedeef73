// Bounds a coroutine's time without ever losing its result or its exception.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/cancellation_type.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/system/system_error.hpp>
#include <chrono>
#include <memory>
#include <reeve/async/own_strand.hpp>
#include <reeve/base/error.hpp>
#include <utility>

namespace reeve::async {

/// The work did not finish in time; it was cancelled and has ended.
class TimeoutError : public Error {
 public:
  using Error::Error;
};

/// Runs `work` for `limit` at most.
///
/// Effect:       the result of `work`, or its exception, whichever way the race goes: a result that
/// was
///               ready when the time ran out is returned, not thrown away.
/// Cancellation: passes on to `work`. When time runs out `work` gets a terminal cancellation and
/// this
///               waits until it has ended, so nothing runs on behind the caller's back.
/// Errors:       TimeoutError; whatever `work` throws.
/// Threads:      `work` runs on a strand over the calling coroutine's executor.
/// Cost:         about 5 us. Use a component's own limit (acquire_timeout, RunLimits) where it has
/// one.
template <class T>
boost::asio::awaitable<T> with_timeout(boost::asio::awaitable<T> work,
                                       std::chrono::nanoseconds limit);

// ------------------------------------------------------------------------------------------------

[[noreturn]] void throw_timeout(std::chrono::nanoseconds limit);

namespace detail {

struct TimeoutControl : StrandControl {
  explicit TimeoutControl(const boost::asio::any_io_executor& executor)
      : StrandControl(executor), timer(strand) {}

  boost::asio::steady_timer timer;
  bool ended = false;
  bool rung = false;  // in time
};

/// Rings once, unless it is destroyed before.
class Alarm {
 public:
  Alarm(std::shared_ptr<TimeoutControl> control, std::chrono::nanoseconds limit)
      : control_(std::move(control)) {
    control_->timer.expires_after(limit);
    control_->timer.async_wait([kept = control_](const boost::system::error_code& error) {
      if (error || kept->ended) return;
      kept->rung = true;
      kept->cancel(boost::asio::cancellation_type::terminal);
    });
  }
  Alarm(const Alarm&) = delete;
  ~Alarm() {
    control_->ended = true;
    control_->timer.cancel();
  }
  bool rung() const noexcept { return control_->rung; }

 private:
  std::shared_ptr<TimeoutControl> control_;
};

template <class T>
boost::asio::awaitable<T> run_limited(std::shared_ptr<TimeoutControl> control,
                                      boost::asio::awaitable<T> work,
                                      std::chrono::nanoseconds limit) {
  const Alarm alarm(std::move(control), limit);
  try {
    co_return co_await std::move(work);
  } catch (const boost::system::system_error& e) {
    // An exception other than our own cancellation is the work's and is not eaten.
    if (!alarm.rung() || e.code() != boost::asio::error::operation_aborted) throw;
  }
  throw_timeout(limit);
}

}  // namespace detail

template <class T>
boost::asio::awaitable<T> with_timeout(boost::asio::awaitable<T> work,
                                       std::chrono::nanoseconds limit) {
  const auto executor = co_await boost::asio::this_coro::executor;
  auto control = std::make_shared<detail::TimeoutControl>(executor);
  auto limited = detail::run_limited(control, std::move(work), limit);
  auto running = detail::run_on_strand<T>(std::move(control), std::move(limited));
  co_return co_await std::move(running);
}

}  // namespace reeve::async
