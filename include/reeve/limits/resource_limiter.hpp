// Rations a machine: task slots, model locks, and the load under which either is given.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <reeve/base/error.hpp>
#include <reeve/limits/limiter_config.hpp>
#include <string>
#include <string_view>
#include <utility>

namespace reeve::limits {

/// Nothing was granted in time; `blocker()` says what stood in the way at that instant.
class LimitTimeoutError : public Error {
 public:
  LimitTimeoutError(const std::string& what, Blocker blocker) : Error(what), blocker_(blocker) {}
  Blocker blocker() const noexcept { return blocker_; }

 private:
  Blocker blocker_;
};

/// The same task asks for a model lock that it holds: waiting would never end.
class LimitDeadlockError : public Error {
 public:
  using Error::Error;
};

namespace detail {
struct LimiterState;
}

/// Permission to run one task; given back by the destructor, from any thread. Move-only.
class [[nodiscard]] TaskSlot {
 public:
  TaskSlot() noexcept = default;
  TaskSlot(std::shared_ptr<detail::LimiterState> state, std::uint64_t lease) noexcept
      : state_(std::move(state)), lease_(lease) {}
  TaskSlot(TaskSlot&& other) noexcept = default;
  TaskSlot& operator=(TaskSlot&& other) noexcept {
    std::swap(state_, other.state_);
    std::swap(lease_, other.lease_);
    return *this;
  }
  ~TaskSlot() { release(); }
  void release() noexcept;
  explicit operator bool() const noexcept { return state_ != nullptr; }
  std::uint64_t lease() const noexcept { return lease_; }

 private:
  std::shared_ptr<detail::LimiterState> state_;
  std::uint64_t lease_ = 0;
};

/// Sole use of one model; given back by the destructor. Move-only.
class [[nodiscard]] ModelLock {
 public:
  ModelLock() noexcept = default;
  ModelLock(std::shared_ptr<detail::LimiterState> state, std::string model) noexcept
      : state_(std::move(state)), model_(std::move(model)) {}
  ModelLock(ModelLock&& other) noexcept = default;
  ModelLock& operator=(ModelLock&& other) noexcept {
    std::swap(state_, other.state_);
    std::swap(model_, other.model_);
    return *this;
  }
  ~ModelLock() { release(); }
  void release() noexcept;
  explicit operator bool() const noexcept { return state_ != nullptr; }
  const std::string& model() const noexcept { return model_; }

 private:
  std::shared_ptr<detail::LimiterState> state_;
  std::string model_;
};

struct ResourceUsage {
  Sample sample;
  std::chrono::milliseconds sample_age{0};
  int tasks = 0;
  std::size_t waiting = 0;
  ByteSize reserved{};
  std::map<std::string, ByteSize> models;  ///< as registered
};

struct StartAdvice {
  bool can_start = false;
  Blocker blocker = Blocker::none;  ///< `queue`: a task would fit, and others wait in front
  ResourceUsage usage;
};

/// First come, first served. `can_start_task` is advice, `acquire_task_slot` decides: a slot is
/// granted, and declared memory reserved, in the same instant. Lowering limits delays what waits
/// and stops nothing. One thread, started by the first waiter, keeps deadlines and looks at the
/// load while somebody waits.
///
/// Lifetime:     slots, locks and waiters keep the state alive. The limiter's end ends every wait
///               with operation_aborted, also one that begins later.
/// Cancellation: a cancelled waiter leaves its place; a slot granted at that instant is given back.
/// Threads:      any, for every member.
class ResourceLimiter {
 public:
  /// Errors: ConfigError; what the probe's first look throws.
  explicit ResourceLimiter(boost::asio::any_io_executor executor, LimiterConfig config = {});
  ~ResourceLimiter();
  ResourceLimiter(ResourceLimiter&&) noexcept = default;
  ResourceLimiter& operator=(ResourceLimiter&&) = delete;

  /// Asking changes nothing: only a start that was stopped makes its limit lower for the next one.
  StartAdvice can_start_task(ByteSize memory = {}) const;
  /// True as soon as a task could start; false after `timeout`. Takes nothing.
  boost::asio::awaitable<bool> wait_for_resources(std::chrono::milliseconds timeout);

  /// Errors: LimitTimeoutError; ConfigError for memory that can never fit.
  boost::asio::awaitable<TaskSlot> acquire_task_slot(std::chrono::milliseconds timeout,
                                                     ByteSize memory = {});
  /// Empty when it would have to wait. Cost: about 100 ns.
  std::optional<TaskSlot> try_acquire_task_slot(ByteSize memory = {});
  /// `owner` (a task id) turns a lock that would wait for itself into LimitDeadlockError.
  /// Errors: LimitTimeoutError, LimitDeadlockError; ConfigError for a name that is not of 1 to 256
  ///         bytes.
  boost::asio::awaitable<ModelLock> acquire_model_lock(std::string_view model,
                                                       std::chrono::milliseconds timeout,
                                                       std::string_view owner = {});
  /// The same for callers without coroutines: they block the calling thread.
  bool wait_for_resources_blocking(std::chrono::milliseconds timeout);
  TaskSlot acquire_task_slot_blocking(std::chrono::milliseconds timeout, ByteSize memory = {});
  ModelLock acquire_model_lock_blocking(std::string_view model, std::chrono::milliseconds timeout,
                                        std::string_view owner = {});

  /// Notes what a model uses, for `resource_usage`; zero forgets it.
  /// Errors: ConfigError for a name that is not of 1 to 256 bytes.
  void register_model_usage(std::string_view model, ByteSize memory);
  ResourceUsage resource_usage() const;
  Limits limits() const;
  /// Errors: ConfigError; then nothing has changed.
  void set_limits(const Limits& limits);
  boost::asio::any_io_executor get_executor() const noexcept { return executor_; }

 private:
  boost::asio::any_io_executor executor_;
  std::shared_ptr<detail::LimiterState> state_;
};

}  // namespace reeve::limits
