// A pool for the length of a scope.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <memory>
#include <reeve/manager/pool_manager.hpp>

namespace reeve {

/// Where managed_pool takes its pool from, if not from a manager that is named.
enum class PoolSource {
  global,  ///< global_pool_manager(), which keeps it for the next one
  own,     ///< a manager of its own that ends with the scope
};

/// Holds a pool from `managed_pool` to the end of the scope. Its end counts as the pool's last use;
/// one of its own is closed, after calls that still run have ended.
class [[nodiscard]] ManagedScope {
 public:
  ManagedScope(std::unique_ptr<PoolManager> own, ManagedPool pool) noexcept
      : own_(std::move(own)), pool_(std::move(pool)) {}
  ManagedScope(ManagedScope&&) noexcept = default;
  ManagedScope& operator=(ManagedScope&&) = delete;

  const ManagedPool& operator*() const noexcept { return pool_; }
  const ManagedPool* operator->() const noexcept { return &pool_; }

 private:
  std::unique_ptr<PoolManager> own_;  // ends after the handle
  ManagedPool pool_;
};

/// Errors: those of PoolManager::get_pool.
ManagedScope managed_pool(JobCount n_jobs, ExecutorType type, PoolManager& manager,
                          const GetOptions& options = {});
ManagedScope managed_pool(JobCount n_jobs, ExecutorType type = ExecutorType::process,
                          PoolSource source = PoolSource::global, const GetOptions& options = {});

/// The same for coroutines, ready when all of its workers are.
/// Errors: those of get_pool; PoolDegradedError if workers cannot be started.
boost::asio::awaitable<ManagedScope> async_managed_pool(JobCount n_jobs, ExecutorType type,
                                                        PoolManager& manager,
                                                        const GetOptions& options = {});
boost::asio::awaitable<ManagedScope> async_managed_pool(JobCount n_jobs,
                                                        ExecutorType type = ExecutorType::process,
                                                        PoolSource source = PoolSource::global,
                                                        const GetOptions& options = {});

}  // namespace reeve
