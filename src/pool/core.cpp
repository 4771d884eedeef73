// Making a pool.
#include "pool/core.hpp"

#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/query.hpp>
#include <reeve/process/init.hpp>

#include "pool/context_watch.hpp"
#include "pool/mechanisms.hpp"
#include "pool/process_backend.hpp"
#include "pool/thread_backend.hpp"

namespace reeve::detail {

namespace asio = boost::asio;

namespace {

std::atomic<unsigned> fork_generation{0};

unsigned current_generation() noexcept {
  static const int registered = pthread_atfork(nullptr, nullptr, [] { ++fork_generation; });
  (void)registered;
  return fork_generation.load(std::memory_order_relaxed);
}

}  // namespace

bool Core::foreign() const noexcept {
  return fork_generation.load(std::memory_order_relaxed) != fork_generation_;
}

void Core::check_owner() const {
  if (foreign()) {
    throw PoolClosedError(
        "this pool belongs to the process that made it, not to a child of its fork(); make a "
        "ResourcePool in the child");
  }
}

void Core::abandon() noexcept {
  static std::mutex mutex;
  static auto* const kept = new std::vector<std::shared_ptr<Core>>;
  const std::lock_guard lock(mutex);
  kept->push_back(shared_from_this());
}

Core::Core(asio::any_io_executor executor, ResourceConfig config)
    : fork_generation_(current_generation()),
      config_(std::move(config)),
      least_memory_(least_worker_memory()),
      executor_(std::move(executor)),
      quiet_(asio::query(executor_, asio::execution::context)),
      max_workers_(config_.max_workers),
      journal_(config_) {
  if (config_.isolation == Isolation::process) spin_time_ = spin_ns(config_);
  lease_time_ = std::chrono::nanoseconds(config_.worker_timeout).count();
  first_look_ =
      config_.watch_memory
          ? std::clamp<std::int64_t>(static_cast<std::int64_t>(config_.worker_memory.bytes() / 40),
                                     500'000, 100'000'000)
          : process::never / 2;
  alarm_.emplace(executor_);
}

Core::~Core() {
  if (!detached_ && backend_) backend_->detach();
  journal_.feed();
}

void Core::open() {
  asio::use_service<ContextWatch>(asio::query(executor_, asio::execution::context))
      .add(weak_from_this());
  if (config_.isolation == Isolation::process) {
    if (config_.gpu_memory.bytes() > 0) gpus_ = std::make_unique<GpuWatch>(config_);
    backend_ = make_process_backend(*this, weak_from_this(), executor_, quiet_, mutex_, config_);
  } else {
    backend_ = make_thread_backend(*this, weak_from_this(), executor_, mutex_, config_);
  }
  pinned_ = shared_from_this();
}

}  // namespace reeve::detail
