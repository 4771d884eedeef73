// A pool of thread workers under a scheduler with a manual clock, and requests that can be watched.
#pragma once

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <reeve/bridge.hpp>

#include "tests/pool/pool_test_support.hpp"

namespace reeve::test {

using bridge::Requester;
using bridge::SchedulerConfig;
using bridge::SchedulingPolicy;
using bridge::WorkerQuota;
using bridge::WorkerRequest;
using bridge::WorkerScheduler;

/// One request, from its acquire to the end of its lease.
struct Turn {
  std::optional<WorkerLease> lease;
  std::exception_ptr failure;
  bool done = false;
  asio::cancellation_signal signal;

  bool waits() const { return !done; }
  bool has() const { return lease.has_value(); }
  void give_back() { lease.reset(); }
  void cancel() { signal.emit(asio::cancellation_type::terminal); }
  template <class E>
  std::optional<E> error() const {
    try {
      if (failure) std::rethrow_exception(failure);
    } catch (const E& e) {
      return e;
    } catch (...) {
    }
    return std::nullopt;
  }
};
using TurnPtr = std::shared_ptr<Turn>;

inline ResourceConfig thread_config(std::size_t workers) {
  ResourceConfig config = small_config();
  config.max_workers = workers;
  config.isolation = Isolation::thread;
  config.worker_timeout = 1h;
  config.quarantine_max = 1000;
  config.acquire_timeout = 24h;
  return config;
}

inline SchedulerConfig of(std::vector<Requester> requesters,
                          SchedulingPolicy policy = SchedulingPolicy::fair_share) {
  SchedulerConfig config;
  config.requesters = std::move(requesters);
  config.policy = policy;
  return config;
}

inline asio::awaitable<void> take(asio::awaitable<WorkerLease> acquiring, TurnPtr turn) {
  turn->lease.emplace(co_await std::move(acquiring));
}

/// A warm pool; its workers are idle, so whatever can be granted is granted at once.
class Shop {
 public:
  Shop(std::size_t workers, SchedulerConfig config)
      : Shop(thread_config(workers), std::move(config)) {}
  Shop(const ResourceConfig& pool_config, SchedulerConfig config)
      : pool(context.get_executor(), pool_config) {
    config.clock = &clock;
    scheduler.emplace(pool, std::move(config));
    run_in(context, pool.warm_up(pool_config.max_workers));
  }

  TurnPtr ask(std::string requester, WorkerRequest request = {}) {
    const auto turn = std::make_shared<Turn>();
    const auto finish = [turn](std::exception_ptr e) {
      turn->failure = e;
      turn->done = true;
    };
    asio::co_spawn(context, take(scheduler->acquire_worker(requester, request), turn),
                   asio::bind_cancellation_slot(turn->signal.slot(), finish));
    settle();
    return turn;
  }

  /// Lets everything happen that can happen without the clock.
  void settle() {
    const auto until = std::chrono::steady_clock::now() + 20s;
    for (;;) {
      context.restart();
      while (context.poll() > 0) context.restart();
      if (!scheduler || scheduler->status().coming == 0) return;
      if (std::chrono::steady_clock::now() > until) throw std::runtime_error("it never settles");
      const auto work = asio::make_work_guard(context);
      context.restart();
      context.run_for(1ms);
    }
  }

  void advance(Clock::duration step) {
    clock.advance(step);
    scheduler->poll();
    settle();
  }

  bridge::RequesterStatus of(std::string_view name) const {
    for (auto& r : scheduler->status().requesters) {
      if (r.name == name) return r;
    }
    throw std::runtime_error("no such requester");
  }
  Clock::time_point in(Clock::duration ahead) const { return clock.now() + ahead; }

  asio::io_context context;
  ManualClock clock;
  ResourcePool pool;
  std::optional<WorkerScheduler> scheduler;
};

}  // namespace reeve::test
