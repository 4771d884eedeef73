// The scoped form: acquire, run the body, give back.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/experimental/parallel_group.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <exception>
#include <optional>
#include <reeve/async/own_strand.hpp>
#include <reeve/pool/resource_pool.hpp>
#include <string>
#include <type_traits>
#include <utility>

namespace reeve {

namespace detail {

/// Waits until the lease is revoked and returns why; goes on waiting when it is given back.
boost::asio::awaitable<std::exception_ptr> watch_scope(const WorkerLease& lease);

/// Rethrows what ended a body that ran beside the watch over its lease.
void finish_scope(std::exception_ptr cause, std::exception_ptr body_failure);

template <class Body>
auto with_worker(ResourcePool pool, TaskName task, Body body)
    -> std::invoke_result_t<Body&, WorkerLease&> {
  namespace asio = boost::asio;
  using Result = typename std::invoke_result_t<Body&, WorkerLease&>::value_type;
  const auto executor = co_await asio::this_coro::executor;
  WorkerLease lease = co_await pool.acquire_worker(task.view());
  auto group = asio::experimental::make_parallel_group(
      asio::co_spawn(executor, body(lease), asio::deferred),
      asio::co_spawn(executor, watch_scope(lease), asio::deferred));
  if constexpr (std::is_void_v<Result>) {
    auto [order, failure, ignored, cause] =
        co_await group.async_wait(asio::experimental::wait_for_one(), asio::use_awaitable);
    finish_scope(order[0] == 1 ? cause : nullptr, failure);
  } else {
    auto [order, failure, result, ignored, cause] =
        co_await group.async_wait(asio::experimental::wait_for_one(), asio::use_awaitable);
    finish_scope(order[0] == 1 ? cause : nullptr, failure);
    co_return std::move(result);
  }
}

}  // namespace detail

/// Acquires a worker, awaits `body(lease)` and returns its result. When the lease is revoked
/// meanwhile, the body is cancelled (terminal) and the lease's cause is thrown, also if the body
/// was not waiting for the worker. A body that gives its lease back (`discard`) goes on without.
///
/// Threads:  the body runs on a strand over the calling coroutine's executor.
/// Lifetime: the body is moved in and lives until it has ended; name a closure with captures first
///           (g++ 12).
/// Errors:   those of acquire_worker and of the lease; whatever the body throws.
template <class Body>
auto with_worker(ResourcePool& pool, std::string_view task_id, Body body) {
  return async::on_own_strand(
      detail::with_worker(pool, detail::TaskName(task_id), std::move(body)));
}

}  // namespace reeve
