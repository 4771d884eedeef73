// What a pool needs to know before it starts anything.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <reeve/base/byte_size.hpp>
#include <reeve/codec/task.hpp>
#include <string>
#include <utility>
#include <vector>

namespace reeve::audit {
class Sink;
}

namespace reeve {

/// Where a worker's work runs.
enum class Isolation {
  process,  ///< an own process: limits are enforced by the kernel, a crash hurts nobody else
  thread,   ///< a thread of this program: for trusted code; limits are promises, not walls
};

/// Which processors a worker may use.
enum class Bind { none, core, numa };

/// Where a process worker's stdout and stderr go.
enum class Output {
  inherit,  ///< to the program's own
  capture,  ///< nowhere; the last 2 KiB travel with the error when the worker dies
};

namespace detail {
/// A call that is written down once and made many times.
struct RecordedCall {
  const codec::TaskDescriptor* task = nullptr;
  codec::OwnedBuffer arguments;
};
}  // namespace detail

/// A function that runs in every new worker before its first lease, for what main sets up in the
/// program. Its arguments must fit message_max.
class Initializer {
 public:
  Initializer() = default;

  /// `f` is a captureless function object; the arguments travel by the codec, once.
  template <class F, class... Args>
  static Initializer make(F f, Args&&... args);
  template <auto Fn, class... Args>
  static Initializer make(Args&&... args);

  explicit operator bool() const noexcept { return call_ != nullptr; }
  const detail::RecordedCall* call() const noexcept { return call_.get(); }

 private:
  std::shared_ptr<const detail::RecordedCall> call_;
};

/// When a worker that did nothing wrong is replaced all the same.
struct RecyclePolicy {
  std::size_t tasks_max = 0;             ///< leases per worker; 0: no limit
  std::chrono::milliseconds age_max{0};  ///< 0: no limit
  ByteSize growth_max{0};  ///< private memory above its start; 0: half of worker_memory
};

/// Parameters of a ResourcePool. `find_fault` checks them all before anything is started.
struct ResourceConfig {
  std::size_t max_workers = 0;                  ///< required; 1 to 4096
  std::chrono::milliseconds worker_timeout{0};  ///< required, > 0: a lease's time, from its grant
  ByteSize worker_memory{0};                    ///< required: private memory of one worker in all
  std::vector<std::string> devices{"cpu"};      ///< worker i gets devices[i % size]
  Isolation isolation = Isolation::process;

  std::size_t min_workers = 0;                        ///< kept alive when idle; <= max_workers
  std::chrono::milliseconds idle_timeout{0};          ///< an idle worker above min ends; 0: never
  std::chrono::milliseconds acquire_timeout{30'000};  ///< default of every acquire; > 0
  std::size_t waiter_count_max = 100'000;             ///< more waiters get PoolSaturatedError
  ByteSize message_max{std::uint64_t{1} << 30};  ///< arguments, or result, of one call; >= 64 KiB
  bool hard_memory = true;   ///< RLIMIT_DATA: also refuses memory that is reserved but not touched
  bool watch_memory = true;  ///< look at resident memory of the worker's tree, too
  ByteSize gpu_memory{0};    ///< per worker on its cuda device, where NVML can tell; 0: no limit
  RecyclePolicy recycle;
  Bind bind = Bind::none;
  Initializer initializer;

  std::vector<std::pair<std::string, std::string>> environment;  ///< set in workers, besides ours
  std::string working_directory;                                 ///< empty: as the program's
  std::optional<unsigned> file_mask;                             ///< umask
  int nice = 0;                                                  ///< 0 to 19
  Output output = Output::inherit;
  bool keep_capabilities = false;  ///< workers of a root program drop all by default
  bool use_cgroup = false;         ///< a cgroup v2 group per worker: surer kills, slower starts
  bool exec_each_worker = false;   ///< start by exec instead of fork (0.5 ms instead of 0.05)
  /// Replies and calls that have come sooner of late are looked for as long as this, by program and
  /// worker, before they sleep; 0: never, for machines that have nothing to spare.
  std::chrono::microseconds spin_time{20};
  std::size_t quarantine_max = 2;  ///< stuck workers that may be replaced; + max_workers <= 4160

  std::size_t audit_ring = 4096;            ///< events kept in memory; 0: no audit
  std::shared_ptr<audit::Sink> audit_sink;  ///< gets every event, too
};

/// The first fault of `config` as a sentence with value, range and remedy; empty if there is none.
std::optional<std::string> find_fault(const ResourceConfig& config);

// ------------------------------------------------------------------------------------------------

template <class F, class... Args>
Initializer Initializer::make(F f, Args&&... args) {
  using Call = codec::CallTraits<F, Args...>;
  using Check = codec::detail::TaskCheck<std::decay_t<F>, codec::detail::EncodedArg<Args>...>;
  Initializer result;
  if constexpr (Check::passed) {
    auto call = std::make_shared<detail::RecordedCall>();
    call->task = &Call::descriptor();
    Call::encode_arguments(call->arguments.writer(), f, args...);
    result.call_ = std::move(call);
  }
  return result;
}

template <auto Fn, class... Args>
Initializer Initializer::make(Args&&... args) {
  return make(codec::FunctionConstant<Fn>{}, std::forward<Args>(args)...);
}

}  // namespace reeve
