// A counted handle to a pool of a manager, for coroutines and for callers that block.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <future>
#include <memory>
#include <reeve/manager/executor_type.hpp>
#include <reeve/pool/parallel_map.hpp>
#include <reeve/pool/resource_pool.hpp>
#include <reeve/pool/status.hpp>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace reeve {

class ManagedPool;

namespace detail {
class ManagerState;
struct ManagerEntry;
class Operation;
boost::asio::awaitable<void> warm_managed(ManagedPool pool, std::size_t count);
}  // namespace detail

/// A handle to a pool that a PoolManager keeps: copies share the pool, and it is in use as long as
/// one of them lives. The pool itself is made by the first call that needs it.
///
/// Calls of a handle whose manager was shut down or destroyed throw PoolClosedError.
/// Lifetime: may outlive the manager; what runs then ends in its own time (see ~PoolManager).
/// Threads:  calls from any; assignment and destruction one at a time, as for any value.
class ManagedPool {
 public:
  ManagedPool() noexcept = default;  ///< no pool: every call throws std::logic_error
  ManagedPool(const ManagedPool& other) noexcept;
  ManagedPool(ManagedPool&& other) noexcept = default;
  ManagedPool& operator=(ManagedPool other) noexcept;
  ~ManagedPool();

  /// f(item) for each item on all workers of the pool; blocks until the results are there, in the
  /// order of the items. `chunk`: items per message; 0: about 2 ms of work each.
  ///
  /// Errors:  those of parallel_map; std::logic_error on the manager's background thread, which
  ///          must not wait for itself: use async_map there.
  template <class F, class Range>
  auto map(F f, Range items, std::size_t chunk = 0) const;
  template <auto Fn, class Range>
  auto map(Range items, std::size_t chunk = 0) const {
    return map(codec::FunctionConstant<Fn>{}, std::move(items), chunk);
  }
  /// With fewer workers or a progress sink, which is called on the background thread.
  template <class F, class Range>
  auto map(F f, Range items, MapOptions options) const;

  /// Calls f(args...) on one worker, when one is free; the future has its result or its exception.
  /// Arguments are copied; what a span or view among them refers to must live until then. With
  /// RunLimits in front the call gets less time or memory than a lease may have.
  ///
  /// Errors: PoolClosedError at once; by the future: those of acquire_worker and of the lease.
  /// Cost:   one hop to the background thread and one back, beside the call itself.
  template <class F, class... Args>
    requires(!std::is_same_v<std::decay_t<F>, RunLimits>)
  auto submit(F f, Args&&... args) const {
    return submit(RunLimits(), f, std::forward<Args>(args)...);
  }
  template <class F, class... Args>
  auto submit(RunLimits limits, F f, Args&&... args) const;
  template <auto Fn, class... Args>
  auto submit(Args&&... args) const {
    return submit(RunLimits(), codec::FunctionConstant<Fn>{}, std::forward<Args>(args)...);
  }
  template <auto Fn, class... Args>
  auto submit(RunLimits limits, Args&&... args) const {
    return submit(std::move(limits), codec::FunctionConstant<Fn>{}, std::forward<Args>(args)...);
  }

  /// The same for coroutines: awaited on any executor. The handle is kept until the end.
  template <class F, class Range>
  auto async_map(F f, Range items, MapOptions options = {}) const;
  template <class F, class... Args>
    requires(!std::is_same_v<std::decay_t<F>, RunLimits>)
  auto async_submit(F f, Args&&... args) const {
    return async_submit(RunLimits(), f, std::forward<Args>(args)...);
  }
  template <class F, class... Args>
  auto async_submit(RunLimits limits, F f, Args&&... args) const;

  /// Blocks until `count` workers are ready; 0: all.
  void warm_up(std::size_t count = 0) const;
  boost::asio::awaitable<void> async_warm_up(std::size_t count = 0) const;

  /// Changes the number of workers of the living pool: n_jobs, the statistics and later get_pool
  /// calls know it by the new number, under which it belongs to the preset of that configuration,
  /// if there is one, and no more to that of the old. Surplus workers end when they are idle. On
  /// the manager's background thread the workers follow after the call.
  /// Errors: ConfigError for a number that no pool can have, or if the manager has another pool of
  ///         that number and the same options; PoolClosedError. Then nothing has changed.
  void resize(JobCount n_jobs) const;

  /// The pool behind it, for leases of one's own: `handle->acquire_worker("id")`. A lease counts as
  /// use, also when it outlives the handle.
  ResourcePool& resource_pool() const;
  ResourcePool* operator->() const { return &resource_pool(); }

  std::size_t n_jobs() const;
  ExecutorType type() const;
  PoolHealth health() const noexcept;  ///< `ready` before its first use

  explicit operator bool() const noexcept { return entry_ != nullptr; }
  /// The same pool?
  friend bool operator==(const ManagedPool& a, const ManagedPool& b) noexcept {
    return a.entry_ == b.entry_;
  }

 private:
  friend class detail::ManagerState;
  ManagedPool(std::shared_ptr<detail::ManagerState> state,
              std::shared_ptr<detail::ManagerEntry> entry) noexcept;
  detail::ManagerEntry& entry() const;
  detail::Operation begin_operation() const;
  void check_may_block() const;
  template <class R>
  std::future<R> start(boost::asio::awaitable<R> work) const;

  std::shared_ptr<detail::ManagerState> state_;
  std::shared_ptr<detail::ManagerEntry> entry_;
};

// ------------------------------------------------------------------------------------------------

namespace detail {

class Background;

/// One call on the background thread, counted by the manager: its thread stays until the call ends.
class Operation {
 public:
  Operation(std::shared_ptr<ManagerState> state, std::shared_ptr<Background> background) noexcept;
  Operation(Operation&& other) noexcept = default;
  Operation& operator=(Operation&&) = delete;
  ~Operation() { end(); }
  void end() noexcept;
  boost::asio::any_io_executor executor() const;

 private:
  std::shared_ptr<ManagerState> state_;
  std::shared_ptr<Background> background_;
};

/// What a future waits for: it gets an error when the call is dropped unanswered.
template <class R>
class Answer {
 public:
  Answer() = default;
  Answer(const Answer&) = delete;
  ~Answer() {
    if (!given_)
      fail(
          std::make_exception_ptr(PoolClosedError("the call was dropped unanswered: "
                                                  "its manager has ended")));
  }
  std::future<R> future() { return promise_.get_future(); }
  template <class... Value>
  void give(Value&&... value) {
    given_ = true;
    try {
      promise_.set_value(std::forward<Value>(value)...);
    } catch (...) {  // of the value's own move
      promise_.set_exception(std::current_exception());
    }
  }
  void fail(std::exception_ptr failure) noexcept {
    given_ = true;
    promise_.set_exception(std::move(failure));
  }

 private:
  std::promise<R> promise_;
  bool given_ = false;
};

/// The work's frame and the operation are gone before the answer is given: who has it finds no
/// trace of the call in the statistics.
template <class R>
boost::asio::awaitable<void> answer_with(boost::asio::awaitable<R> work,
                                         std::shared_ptr<Answer<R>> answer, Operation operation) {
  std::exception_ptr failure;
  if constexpr (std::is_void_v<R>) {
    try {
      co_await std::move(work);
    } catch (...) {
      failure = std::current_exception();
    }
    operation.end();
    if (!failure) answer->give();
  } else {
    std::optional<R> result;
    try {
      result.emplace(co_await std::move(work));
    } catch (...) {
      failure = std::current_exception();
    }
    operation.end();
    if (!failure) answer->give(std::move(*result));
  }
  if (failure) answer->fail(std::move(failure));
}

template <class F, class Range>
auto map_managed(ManagedPool pool, F f, Range items, MapOptions options)
    -> boost::asio::awaitable<std::vector<typename MapJob<F, Range>::Result>> {
  auto work =
      reeve::parallel_map(pool.resource_pool(), "map", f, std::move(items), std::move(options));
  co_return co_await std::move(work);
}

template <class R, class F, class... Args>
boost::asio::awaitable<R> call_managed(ManagedPool pool, RunLimits limits, F f,
                                       std::tuple<Args...> arguments) {
  WorkerLease lease = co_await pool->acquire_worker("submit");
  auto call =
      std::apply([&](auto&... values) { return lease.run(limits, f, values...); }, arguments);
  if constexpr (std::is_void_v<R>) {
    co_await std::move(call);
  } else {
    co_return co_await std::move(call);
  }
}

}  // namespace detail

template <class R>
std::future<R> ManagedPool::start(boost::asio::awaitable<R> work) const {
  detail::Operation operation = begin_operation();
  auto answer = std::make_shared<detail::Answer<R>>();
  std::future<R> future = answer->future();
  const auto executor = operation.executor();
  boost::asio::co_spawn(
      executor, detail::answer_with<R>(std::move(work), std::move(answer), std::move(operation)),
      boost::asio::detached);
  return future;
}

template <class F, class Range>
auto ManagedPool::map(F f, Range items, std::size_t chunk) const {
  MapOptions options;
  options.chunk = chunk;
  return map(f, std::move(items), std::move(options));
}

template <class F, class Range>
auto ManagedPool::map(F f, Range items, MapOptions options) const {
  if constexpr (codec::detail::MapCheck<F, Range>::passed) {
    check_may_block();
    return start(async_map(f, std::move(items), std::move(options))).get();
  } else {
    return codec::detail::Refused();
  }
}

template <class F, class Range>
auto ManagedPool::async_map(F f, Range items, MapOptions options) const {
  if constexpr (codec::detail::MapCheck<F, Range>::passed) {
    if (options.workers == 0) options.workers = n_jobs();
    return detail::map_managed<F, Range>(*this, f, std::move(items), std::move(options));
  } else {
    return boost::asio::awaitable<codec::detail::Refused>();
  }
}

template <class F, class... Args>
auto ManagedPool::submit(RunLimits limits, F f, Args&&... args) const {
  using Check = codec::detail::TaskCheck<std::decay_t<F>, codec::detail::EncodedArg<Args>...>;
  if constexpr (Check::passed) {
    return start(async_submit(std::move(limits), f, std::forward<Args>(args)...));
  } else {
    return std::future<codec::detail::Refused>();
  }
}

template <class F, class... Args>
auto ManagedPool::async_submit(RunLimits limits, F f, Args&&... args) const {
  using Check = codec::detail::TaskCheck<std::decay_t<F>, codec::detail::EncodedArg<Args>...>;
  if constexpr (Check::passed) {
    using Result = typename codec::CallTraits<F, Args...>::result;
    using Kept = std::tuple<codec::detail::EncodedArg<Args>...>;
    entry();
    return detail::call_managed<Result>(*this, std::move(limits), f,
                                        Kept(std::forward<Args>(args)...));
  } else {
    return boost::asio::awaitable<codec::detail::Refused>();
  }
}

}  // namespace reeve
