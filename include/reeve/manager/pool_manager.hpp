// Pools that are made once and reused everywhere.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <memory>
#include <reeve/base/error.hpp>
#include <reeve/manager/managed_pool.hpp>
#include <reeve/manager/manager_config.hpp>
#include <reeve/manager/stats.hpp>
#include <string_view>

namespace reeve {

/// `max_pools` exist and all are in use.
class PoolLimitError : public Error {
 public:
  using Error::Error;
};

/// Keeps pools by configuration and gives out handles to them. A pool is closed when nobody used it
/// for `idle_timeout`; in use means: a handle lives, a call runs, or a lease is out.
///
/// It has one thread of its own, started by the first get_pool, which runs `executor()`: the pools'
/// messages, the reaper and blocking calls. The work itself is done by workers.
///
/// Lifetime: the destructor closes every pool that nobody uses; calls that run on others end in
///           their own time (after shutdown_deadline they are killed), later calls on their handles
///           throw PoolClosedError. It does not wait for them: call `shutdown` for that.
/// Threads:  any.
/// Fork:     in a child, every call throws PoolClosedError and destructors do nothing.
class PoolManager {
 public:
  /// Starts nothing. Errors: ConfigError with `find_fault`'s text.
  explicit PoolManager(ManagerConfig config = {});
  PoolManager(const PoolManager&) = delete;
  PoolManager& operator=(const PoolManager&) = delete;
  ~PoolManager();

  /// A handle to the pool of this configuration, which is made if there is none or if its health is
  /// not `ready`. Workers start when they are first wanted.
  ///
  /// Errors: ConfigError for a configuration that no pool can have; PoolLimitError; PoolClosedError
  ///         after shutdown.
  /// Cost:   O(1), about 0.3 us for a known configuration; waits for no pool's start or end.
  ManagedPool get_pool(JobCount n_jobs, ExecutorType type = ExecutorType::process,
                       const GetOptions& options = {});
  /// The same with the executor type as text.
  ManagedPool get_pool(JobCount n_jobs, std::string_view type, const GetOptions& options = {});
  /// The same with everything that a pool can be told.
  ManagedPool get_pool(const ResourceConfig& config, std::string_view label = {},
                       bool force_new = false);
  /// The pool of a preset. Errors: ConfigError for an unknown name, which lists those there are.
  ManagedPool get_preset(std::string_view name, bool force_new = false);

  /// Counts as a use of that pool: its idle clock starts anew. False if there is no such pool.
  bool release_pool(JobCount n_jobs, ExecutorType type = ExecutorType::process,
                    const GetOptions& options = {});

  /// Lets go of every pool: those in use are retired, the others closed. The manager stays usable.
  /// After shutdown it does nothing.
  void clear();

  /// Ends every pool, the retired ones too, and waits for it: running calls end by themselves until
  /// shutdown_deadline, or are killed at once (`force`). Then the background thread ends, too.
  /// Idempotent; a second call with `force` hastens the first. On the background thread it does not
  /// wait.
  ///
  /// Cancellation: of async_shutdown, any: the shutdown goes on without its caller.
  void shutdown(bool force = false);
  boost::asio::awaitable<void> async_shutdown(bool force = false);

  bool is_shutdown() const noexcept;
  ManagerStats stats() const;

  /// Starts `warm_workers` of every preset and waits until they are ready.
  /// Errors: PoolDegradedError, and those of get_pool; the other presets are warmed all the same.
  void warm_up();
  boost::asio::awaitable<void> async_warm_up();

  /// Lets the reaper look now instead of at its next time, and waits for it: for tests with a
  /// manual clock, and for programs that want the memory of idle pools back.
  void reap_now();

  /// The background io_context's; it stops when the manager ends. Coroutines spawned on it must not
  /// block. Errors: PoolClosedError after shutdown.
  boost::asio::any_io_executor executor();

  const ManagerConfig& config() const noexcept;

 private:
  std::shared_ptr<detail::ManagerState> state_;
};

/// The program's manager, made at its first use (never before: static initialisers may ask for it,
/// too) with the default configuration.
///
/// Lifetime: never destroyed; a reference stays valid after shutdown_global_pool_manager, and says
///           that it is shut down. exit() needs no call: workers end with the program.
/// Fork:     a child has a new one.
/// Threads:  any.
PoolManager& global_pool_manager();

/// Shuts it down as `shutdown(force)` does; the next global_pool_manager() is a new one. Does
/// nothing if there is none.
void shutdown_global_pool_manager(bool force = false);

}  // namespace reeve
