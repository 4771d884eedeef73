// Coroutines that run side by side, each on a strand, and end together. Internal.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/this_coro.hpp>
#include <exception>
#include <memory>
#include <mutex>
#include <reeve/async/gate.hpp>
#include <utility>
#include <vector>

namespace reeve::inference {

/// Lives until its last coroutine has ended; its strands make a cancellation from anywhere safe.
///
/// Threads: any.
class SideBySide : public std::enable_shared_from_this<SideBySide> {
 public:
  using Work = boost::asio::awaitable<void>;

  /// Runs all of `works` to their ends. The first failure cancels the others, and is thrown when
  /// they have ended. Cancellation: cancels them, and does not wait.
  Work run(std::vector<Work> works) {
    const auto self = shared_from_this();
    const auto executor = co_await boost::asio::this_coro::executor;
    left_ = works.size();
    if (works.empty()) co_return;
    for (std::size_t i = 0; i < works.size(); ++i)
      lanes_.push_back(std::make_shared<Lane>(executor));
    for (std::size_t i = 0; i < works.size(); ++i)
      boost::asio::co_spawn(lanes_[i]->strand, std::move(works[i]),
                            boost::asio::bind_cancellation_slot(
                                lanes_[i]->signal.slot(),
                                [self](std::exception_ptr failure) { self->end(failure); }));
    try {
      co_await ended_.wait();
    } catch (...) {
      cancel();
      throw;
    }
    if (failure_) std::rethrow_exception(failure_);
  }

  void cancel() {
    for (const auto& lane : lanes_)
      boost::asio::post(lane->strand,
                        [lane] { lane->signal.emit(boost::asio::cancellation_type::terminal); });
  }

 private:
  struct Lane {
    explicit Lane(const boost::asio::any_io_executor& executor)
        : strand(boost::asio::make_strand(executor)) {}
    boost::asio::strand<boost::asio::any_io_executor> strand;
    boost::asio::cancellation_signal signal;
  };

  void end(std::exception_ptr failure) {
    bool first = false, last = false;
    {
      const std::lock_guard lock(mutex_);
      first = failure && !failure_;
      if (first) failure_ = failure;
      last = --left_ == 0;
    }
    if (first) cancel();
    if (last) ended_.open();
  }

  std::vector<std::shared_ptr<Lane>> lanes_;
  std::mutex mutex_;
  std::exception_ptr failure_;
  std::size_t left_ = 0;
  async::Gate ended_;
};

}  // namespace reeve::inference
