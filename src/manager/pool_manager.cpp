// The public face: each call goes to the shared state.
#include <reeve/manager/pool_manager.hpp>

#include "manager/defaults.hpp"
#include "manager/state.hpp"

namespace reeve {
namespace {

ManagerConfig checked(ManagerConfig config) {
  if (const auto fault = find_fault(config)) throw ConfigError(*fault);
  config.defaults = detail::resolved(std::move(config.defaults));
  return config;
}

}  // namespace

PoolManager::PoolManager(ManagerConfig config)
    : state_(std::make_shared<detail::ManagerState>(checked(std::move(config)))) {}

PoolManager::~PoolManager() {
  if (state_->foreign()) {
    detail::keep_for_ever(std::move(state_));
  } else {
    state_->close();
  }
}

ManagedPool PoolManager::get_pool(JobCount n_jobs, ExecutorType type, const GetOptions& options) {
  return state_->get(state_->key_for(n_jobs, type, options), options.force_new);
}

ManagedPool PoolManager::get_pool(JobCount n_jobs, std::string_view type,
                                  const GetOptions& options) {
  return get_pool(n_jobs, parse_executor_type(type), options);
}

ManagedPool PoolManager::get_pool(const ResourceConfig& config, std::string_view label,
                                  bool force_new) {
  return state_->get(detail::PoolKey{config, std::string(label)}, force_new);
}

ManagedPool PoolManager::get_preset(std::string_view name, bool force_new) {
  return state_->get_preset(name, force_new);
}

bool PoolManager::release_pool(JobCount n_jobs, ExecutorType type, const GetOptions& options) {
  return state_->touch(state_->key_for(n_jobs, type, options));
}

void PoolManager::clear() {
  state_->clear();
}

void PoolManager::shutdown(bool force) {
  state_->shutdown(force);
}

boost::asio::awaitable<void> PoolManager::async_shutdown(bool force) {
  return state_->async_shutdown(state_, force);
}

bool PoolManager::is_shutdown() const noexcept {
  return state_->is_shutdown();
}

ManagerStats PoolManager::stats() const {
  return state_->stats();
}

void PoolManager::warm_up() {
  state_->warm_presets_now();
}

boost::asio::awaitable<void> PoolManager::async_warm_up() {
  return state_->warm_presets(state_);
}

void PoolManager::reap_now() {
  state_->reap_now();
}

boost::asio::any_io_executor PoolManager::executor() {
  return state_->background()->context().get_executor();
}

const ManagerConfig& PoolManager::config() const noexcept {
  return state_->config();
}

}  // namespace reeve
