// One worker, hired for one task.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstddef>
#include <exception>
#include <memory>
#include <reeve/codec/task.hpp>
#include <reeve/pool/errors.hpp>
#include <reeve/pool/lease_control.hpp>
#include <reeve/pool/run_limits.hpp>
#include <reeve/process/this_worker.hpp>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace reeve {

class ResourcePool;
class WorkerLease;

namespace detail {
class Core;
struct Lease;
class Call;
boost::asio::awaitable<std::exception_ptr> watch_scope(const WorkerLease& lease);
}  // namespace detail

/// A lease of one worker: move-only, returned when it is destroyed. If a call is in flight then,
/// its worker is killed and replaced, and the call throws WorkerLostError.
///
/// A lease ends early ("is revoked") when its time or memory runs out, its worker dies, or a call
/// is cancelled or its progress sink throws; every later call rethrows the same cause. Calls are
/// made one at a time. A worker that dies before the lease's first call has begun is replaced under
/// the lease, twice at most.
///
/// Lifetime: keeps the pool's state alive; may outlive the pool's handles and be destroyed on any
/// thread. Threads:  one at a time; destruction and `memory_usage` from any.
class [[nodiscard]] WorkerLease {
 public:
  WorkerLease(WorkerLease&& other) noexcept
      : core_(other.core_), lease_(std::exchange(other.lease_, nullptr)) {}
  WorkerLease& operator=(WorkerLease&& other) noexcept;
  ~WorkerLease() {
    if (lease_ != nullptr) reset();
  }

  /// Calls Fn(args...) in the worker and returns its result. The arguments are written at once,
  /// before this returns: nothing is referenced afterwards, except spans and string views that lie
  /// in a buffer of `make_buffer`, which travel without a copy.
  ///
  /// Cancellation: terminal, partial and total kill the worker and end the lease.
  /// Errors:       WorkerTimeoutError, WorkerMemoryError, WorkerCrashedError, WorkerLostError; what
  ///               the task throws: standard exceptions as themselves, others as RemoteError;
  ///               codec::EncodeError at once for arguments, and when awaited for a result, that
  ///               is beyond message_max; codec::DecodeError; what the progress sink
  ///               throws; at once: ConfigError for limits that are zero or less or too small for
  ///               any worker, std::logic_error for a second call at a time.
  /// Cost:         2 us for small arguments on a worker that was busy of late, else 9; a copy of
  ///               what it carries.
  template <auto Fn, class... Args>
  auto run(Args&&... args);
  template <auto Fn, class... Args>
  auto run(RunLimits limits, Args&&... args);

  /// The same for a captureless function object, or for a function pointer, which is checked less
  /// strictly in the worker: prefer `run<&f>(...)`.
  template <class F, class... Args>
    requires(!std::is_same_v<std::decay_t<F>, RunLimits>)
  auto run(F f, Args&&... args);
  template <class F, class... Args>
  auto run(RunLimits limits, F f, Args&&... args);

  /// f(item) for each item, in order, on this worker; items travel in chunks. A throwing item fails
  /// the whole map with that exception, a chunk that is stopped between items with DecodeError.
  template <class F, class Range>
  auto map(F f, Range items, MapOptions options = {});

  /// A buffer in memory that the worker maps too: fill it, pass it (or a part of it) as a
  /// `std::span<const T>` argument, and nothing is copied. It lives until the lease ends. Thread
  /// workers: std::logic_error.
  template <class T>
  std::span<T> make_buffer(std::size_t count);

  WorkerId id() const noexcept;
  std::string_view task() const noexcept;
  std::string_view device() const noexcept;  ///< valid as long as the lease
  int pid() const noexcept;                  ///< 0 for a thread worker, and between two workers
  /// Private memory of the worker and of all that it has started, now; pages that a forked child
  /// still shares count for both. Thread workers: what came from this_worker::memory(). 0 when the
  /// lease was revoked. Cost: reads a few files of /proc for each process.
  ByteSize memory_usage() const;
  bool revoked() const noexcept;

  /// Returns when the lease is revoked (at once if it is) or given back, also if that was before
  /// the wait began; one waits at a time. For bodies that do other things while they hold a worker.
  /// Lifetime: this object may go meanwhile. Cancellation: throws operation_aborted.
  boost::asio::awaitable<void> wait_revoked();

  /// Throws why the lease was revoked; does nothing if it was not.
  void rethrow_cause() const;

  /// Gives the worker up for good: it is ended and replaced, not reused.
  void discard() && noexcept;

  /// What this lease is called where others govern it.
  LeaseKey key() const noexcept;

  /// Has `observer` told with `token` when this lease ends; it replaces the one before. False: it
  /// has ended already, and nobody will be told.
  bool observe(std::shared_ptr<LeaseObserver> observer, std::uint64_t token);

 private:
  friend class detail::Core;
  friend class detail::Call;
  friend class ResourcePool;
  friend boost::asio::awaitable<std::exception_ptr> detail::watch_scope(const WorkerLease& lease);
  WorkerLease(detail::Core& core, detail::Lease& lease) noexcept : core_(&core), lease_(&lease) {}
  void reset() noexcept;
  boost::asio::awaitable<std::exception_ptr> watch(bool scoped) const;
  std::span<std::byte> allocate(std::size_t bytes);

  detail::Core* core_;  // lives as long as a lease of it does
  detail::Lease* lease_ = nullptr;
};

namespace detail {

/// A call from its arguments to its reply; ends the call when it is destroyed, sent or not.
class Call {
 public:
  Call(const WorkerLease& lease, RunLimits limits);  // throws the lease's cause, or logic_error
  Call(Call&& other) noexcept;
  Call& operator=(Call&&) = delete;
  ~Call();

  codec::Writer& arguments();
  void set_task(const codec::TaskDescriptor& task) noexcept { task_ = &task; }

  boost::asio::awaitable<void> complete();
  /// What came back, with the window that views refer to. Throws the task's exception.
  struct Result {
    std::span<const std::byte> bytes;
    std::span<const std::byte> window;
  };
  Result result();

 private:
  Core* core_;
  Lease* lease_;  // owned in part: this keeps the pool's state alive
  RunLimits limits_;
  const codec::TaskDescriptor* task_ = nullptr;
};

template <class T>
inline constexpr bool is_safe_temporary =
    std::is_lvalue_reference_v<T> || std::is_trivially_copyable_v<std::remove_cvref_t<T>> ||
    !std::is_aggregate_v<std::remove_cvref_t<T>> || std::is_array_v<std::remove_cvref_t<T>>;

#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ < 13
#define REEVE_CHECK_TEMPORARIES(Args)                                                     \
  static_assert(                                                                          \
      (::reeve::detail::is_safe_temporary<Args> && ...),                                  \
      "reeve: g++ 12 copies an aggregate temporary bitwise when the expression contains " \
      "co_await (double free). Name it first: Params p{...}; co_await lease.run<&f>(p);")
#else
#define REEVE_CHECK_TEMPORARIES(Args) static_assert(true)
#endif

template <class Traits>
boost::asio::awaitable<typename Traits::result> finish(Call call) {
  co_await call.complete();
  const auto result = call.result();
  codec::Reader reader(result.bytes);
  reader.set_shared(result.window);
  if constexpr (std::is_void_v<typename Traits::result>) {
    Traits::decode_result(reader);
  } else {
    co_return Traits::decode_result(reader);
  }
}

template <class F, class... Args>
auto start_call(const WorkerLease& lease, RunLimits limits, const F& f, Args&&... args) {
  using Traits = codec::CallTraits<F, Args...>;
  using Check = codec::detail::TaskCheck<std::decay_t<F>, codec::detail::EncodedArg<Args>...>;
  if constexpr (Check::passed) {
    Call call(lease, std::move(limits));
    call.set_task(Traits::descriptor());
    Traits::encode_arguments(call.arguments(), f, args...);
    return finish<Traits>(std::move(call));
  } else {
    return boost::asio::awaitable<codec::detail::Refused>();
  }
}

/// The next chunk length for items that took `elapsed` per `done`: about 2 ms, growing at most
/// fourfold.
std::size_t next_chunk(std::size_t last, std::chrono::nanoseconds elapsed,
                       std::size_t left) noexcept;

[[noreturn]] void throw_incomplete(std::size_t results, std::size_t items);

/// Appends the results of a chunk of `count` items. A reply with fewer is broken, too: what follows
/// counts on one result for each item.
template <class Traits, class Results>
void decode_chunk(const Call::Result& reply, std::size_t count, Results& results) {
  codec::Reader reader(reply.bytes);
  reader.set_shared(reply.window);
  const std::size_t decoded = Traits::decode_results(reader, count, results);
  if (decoded != count) throw_incomplete(decoded, count);
}

template <class F, class Range>
boost::asio::awaitable<
    std::vector<typename codec::ChunkTraits<F, std::ranges::range_value_t<Range>>::result>>
map_items(const WorkerLease& lease, F f, Range items, MapOptions options);

}  // namespace detail

// ------------------------------------------------------------------------------------------------

template <auto Fn, class... Args>
auto WorkerLease::run(Args&&... args) {
  REEVE_CHECK_TEMPORARIES(Args);
  return detail::start_call(*this, RunLimits(), codec::FunctionConstant<Fn>{},
                            std::forward<Args>(args)...);
}

template <auto Fn, class... Args>
auto WorkerLease::run(RunLimits limits, Args&&... args) {
  REEVE_CHECK_TEMPORARIES(Args);
  return detail::start_call(*this, std::move(limits), codec::FunctionConstant<Fn>{},
                            std::forward<Args>(args)...);
}

template <class F, class... Args>
  requires(!std::is_same_v<std::decay_t<F>, RunLimits>)
auto WorkerLease::run(F f, Args&&... args) {
  REEVE_CHECK_TEMPORARIES(Args);
  return detail::start_call(*this, RunLimits(), f, std::forward<Args>(args)...);
}

template <class F, class... Args>
auto WorkerLease::run(RunLimits limits, F f, Args&&... args) {
  REEVE_CHECK_TEMPORARIES(Args);
  return detail::start_call(*this, std::move(limits), f, std::forward<Args>(args)...);
}

template <class F, class Range>
auto WorkerLease::map(F f, Range items, MapOptions options) {
  if constexpr (codec::detail::MapCheck<F, Range>::passed) {
    return detail::map_items(*this, f, std::move(items), std::move(options));
  } else {
    return boost::asio::awaitable<codec::detail::Refused>();
  }
}

template <class T>
std::span<T> WorkerLease::make_buffer(std::size_t count) {
  static_assert(std::is_trivially_copyable_v<T>, "reeve: a shared buffer holds plain values only");
  if (count > static_cast<std::size_t>(-1) / sizeof(T)) throw std::bad_array_new_length();
  const std::span<std::byte> bytes = allocate(count * sizeof(T));
  return {reinterpret_cast<T*>(bytes.data()), count};
}

namespace detail {

template <class F, class Range>
boost::asio::awaitable<
    std::vector<typename codec::ChunkTraits<F, std::ranges::range_value_t<Range>>::result>>
map_items(const WorkerLease& lease, F f, Range items, MapOptions options) {
  using Traits = codec::ChunkTraits<F, std::ranges::range_value_t<Range>>;
  const auto total = static_cast<std::size_t>(std::ranges::distance(items));
  std::vector<typename Traits::result> results;
  results.reserve(total);
  auto next = std::ranges::begin(items);
  std::size_t chunk = options.chunk != 0 ? options.chunk : 1;
  while (results.size() < total) {
    const std::size_t count = std::min(chunk, total - results.size());
    const auto started = std::chrono::steady_clock::now();
    Call call(lease, RunLimits());
    call.set_task(Traits::descriptor());
    Traits::encode_items(call.arguments(), f, next, count);
    co_await call.complete();
    decode_chunk<Traits>(call.result(), count, results);
    std::ranges::advance(next, static_cast<std::ptrdiff_t>(count));
    if (options.progress) {
      options.progress(100.0 * static_cast<double>(results.size()) / static_cast<double>(total),
                       {});
    }
    if (options.chunk == 0) {
      chunk = next_chunk(count, std::chrono::steady_clock::now() - started, total - results.size());
    }
  }
  co_return results;
}

}  // namespace detail
}  // namespace reeve
