// A countdown and a gate.
#include "manager/together.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/this_coro.hpp>
#include <exception>
#include <memory>
#include <mutex>
#include <reeve/async/gate.hpp>

namespace reeve::detail {
namespace {

struct Countdown {
  std::mutex mutex;
  std::size_t left = 0;
  std::exception_ptr failure;
  async::Gate ended;

  void count(std::exception_ptr reason) {
    const std::lock_guard lock(mutex);
    if (reason && !failure) failure = std::move(reason);
    if (--left == 0) ended.open();
  }
};

}  // namespace

boost::asio::awaitable<void> together(std::vector<boost::asio::awaitable<void>> works) {
  if (works.empty()) co_return;
  const auto executor = co_await boost::asio::this_coro::executor;
  auto countdown = std::make_shared<Countdown>();
  countdown->left = works.size();
  const auto finish = [countdown](std::exception_ptr failure) {
    countdown->count(std::move(failure));
  };
  for (auto& work : works) boost::asio::co_spawn(executor, std::move(work), finish);
  co_await countdown->ended.wait();
  const std::lock_guard lock(countdown->mutex);
  if (countdown->failure) std::rethrow_exception(countdown->failure);
}

}  // namespace reeve::detail
