// Scopes over managers.
#include <reeve/manager/managed_scope.hpp>

namespace reeve {
namespace {

boost::asio::awaitable<ManagedScope> warmed(ManagedScope scope) {
  co_await scope->async_warm_up();
  co_return std::move(scope);
}

}  // namespace

ManagedScope managed_pool(JobCount n_jobs, ExecutorType type, PoolManager& manager,
                          const GetOptions& options) {
  return ManagedScope(nullptr, manager.get_pool(n_jobs, type, options));
}

ManagedScope managed_pool(JobCount n_jobs, ExecutorType type, PoolSource source,
                          const GetOptions& options) {
  if (source == PoolSource::global) {
    return managed_pool(n_jobs, type, global_pool_manager(), options);
  }
  auto own = std::make_unique<PoolManager>();
  ManagedPool pool = own->get_pool(n_jobs, type, options);
  return ManagedScope(std::move(own), std::move(pool));
}

boost::asio::awaitable<ManagedScope> async_managed_pool(JobCount n_jobs, ExecutorType type,
                                                        PoolManager& manager,
                                                        const GetOptions& options) {
  return warmed(managed_pool(n_jobs, type, manager, options));
}

boost::asio::awaitable<ManagedScope> async_managed_pool(JobCount n_jobs, ExecutorType type,
                                                        PoolSource source,
                                                        const GetOptions& options) {
  return warmed(managed_pool(n_jobs, type, source, options));
}

}  // namespace reeve
