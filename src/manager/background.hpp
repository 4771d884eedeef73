// One io_context with one thread, and what a fork does to both.
#pragma once

#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <memory>
#include <thread>

namespace reeve::detail {

/// Raised in every child of a fork().
unsigned fork_generation() noexcept;

/// What must not be destroyed in a child of a fork() is kept reachable here.
void keep(std::shared_ptr<void> value);
template <class T>
void keep_for_ever(T value) {
  keep(std::make_shared<T>(std::move(value)));
}

/// Runs an io_context on a thread of its own, with every signal blocked. Destroyed on another
/// thread it waits until the thread has ended; on its own thread it lets it end by itself. In a
/// child of a fork() it is left as it is: its epoll set is the parent's.
class Background {
 public:
  Background();
  Background(const Background&) = delete;
  ~Background();

  boost::asio::io_context& context() noexcept { return *context_; }
  bool is_here() const noexcept { return std::this_thread::get_id() == thread_.get_id(); }
  /// Of the reaper; used on this thread only.
  const std::shared_ptr<boost::asio::steady_timer>& alarm() const noexcept { return alarm_; }

 private:
  using Guard = boost::asio::executor_work_guard<boost::asio::io_context::executor_type>;

  const unsigned generation_;
  std::shared_ptr<boost::asio::io_context> context_;  // the thread has a share of it
  Guard guard_;
  std::shared_ptr<boost::asio::steady_timer> alarm_;
  std::thread thread_;
};

}  // namespace reeve::detail
