// Thread workers. A thread cannot be killed: one that oversteps is asked to stop and quarantined
// until it does.
#include "pool/thread_backend.hpp"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <condition_variable>
#include <memory_resource>
#include <optional>
#include <reeve/codec/exception_record.hpp>
#include <reeve/process/this_worker.hpp>
#include <thread>
#include <vector>

#include "pool/core.hpp"

namespace reeve::detail {
namespace {

namespace asio = boost::asio;

/// Ordinary heap up to a limit: more is a bad_alloc that the pool reports as WorkerMemoryError.
class LimitedMemory final : public std::pmr::memory_resource {
 public:
  explicit LimitedMemory(std::uint64_t limit) noexcept : standard_(limit), limit_(limit) {}

  void begin_call(std::uint64_t limit) noexcept {
    limit_ = limit != 0 && limit < standard_ ? limit : standard_;
    refused_ = false;
  }
  std::uint64_t used() const noexcept { return used_.load(std::memory_order_relaxed); }
  bool refused() const noexcept { return refused_.load(std::memory_order_relaxed); }

 private:
  void* do_allocate(std::size_t bytes, std::size_t alignment) override {
    if (used_.fetch_add(bytes, std::memory_order_relaxed) + bytes > limit_) {
      used_.fetch_sub(bytes, std::memory_order_relaxed);
      refused_.store(true, std::memory_order_relaxed);
      throw std::bad_alloc();
    }
    try {
      return std::pmr::new_delete_resource()->allocate(bytes, alignment);
    } catch (...) {
      used_.fetch_sub(bytes, std::memory_order_relaxed);
      throw;
    }
  }
  void do_deallocate(void* block, std::size_t bytes, std::size_t alignment) override {
    std::pmr::new_delete_resource()->deallocate(block, bytes, alignment);
    used_.fetch_sub(bytes, std::memory_order_relaxed);
  }
  bool do_is_equal(const memory_resource& other) const noexcept override { return this == &other; }

  std::uint64_t standard_;
  std::atomic<std::uint64_t> limit_;
  std::atomic<std::uint64_t> used_{0};
  std::atomic<bool> refused_{false};
};

/// One thread, its mailbox and its context. Shared by the pool and the thread itself, so that a
/// stuck thread keeps what it still uses.
class ThreadWorker final : public Worker, public process::TaskContext {
 public:
  using Notify = std::function<void()>;

  ThreadWorker(std::uint64_t memory_limit, std::string_view device, Notify ring, Notify ended)
      : memory_(memory_limit), device_(device), ring_(std::move(ring)), ended_(std::move(ended)) {}

  void run() {
    process::TaskContext::enter(static_cast<process::TaskContext*>(this));
    for (;;) {
      const codec::TaskDescriptor* task = nullptr;
      {
        std::unique_lock lock(mutex_);
        wake_.wait(lock,
                   [this] { return quit_ || number_ != done_.load(std::memory_order_relaxed); });
        if (quit_) break;  // what was submitted meanwhile belongs to a lease that is over
        task = task_;
      }
      result_.emplace();
      kind_ = call(*task);
      done_.store(number_, std::memory_order_release);
      tell(ring_);
    }
    process::TaskContext::enter(static_cast<process::TaskContext*>(nullptr));
    tell(ended_);
  }

  /// From here on nobody is told anything: the executor behind the callbacks may go.
  void cut_off() noexcept {
    const std::lock_guard lock(notify_mutex_);
    ring_ = nullptr;
    ended_ = nullptr;
  }

  void quit() noexcept {
    const std::lock_guard lock(mutex_);
    quit_ = true;
    stop_.store(true, std::memory_order_relaxed);
    wake_.notify_one();
  }

  // Worker
  codec::Writer& begin_arguments() override { return arguments_.emplace().writer(); }
  void submit(const codec::TaskDescriptor& task, std::string_view, std::uint64_t memory,
              bool stop) override {
    memory_.begin_call(memory);
    stop_.store(stop, std::memory_order_relaxed);
    const std::lock_guard lock(mutex_);
    task_ = &task;
    ++number_;
    wake_.notify_one();
  }
  std::span<const std::byte> arguments() const noexcept override { return arguments_->bytes(); }
  bool untouched() const noexcept override { return false; }  // a thread never dies by itself
  bool replied() const noexcept override {
    return done_.load(std::memory_order_acquire) == number_;
  }
  Reply reply() override {
    Reply reply;
    reply.kind = kind_;
    reply.bytes = result_->bytes();
    reply.data_bytes = memory_.used();
    return reply;
  }
  void request_stop() noexcept override { stop_.store(true, std::memory_order_relaxed); }
  process::CrashNote crash_note() const noexcept override { return {}; }
  bool take_progress(Progress& progress) override {
    const std::lock_guard lock(progress_mutex_);
    if (!progress_) return false;
    progress = std::move(*progress_);
    progress_.reset();
    return true;
  }
  std::span<const std::byte> window() const noexcept override { return {}; }
  std::span<std::byte> allocate(std::size_t) override {
    throw std::logic_error(
        "make_buffer is for process workers; a thread worker reads the program's memory anyway");
  }
  void end_lease() noexcept override {}
  std::uint64_t memory_used() const noexcept override { return memory_.used(); }

  // TaskContext
  bool stop_requested() const noexcept override { return stop_.load(std::memory_order_relaxed); }
  void report_progress(double percent, std::string_view note) noexcept override {
    try {
      {
        const std::lock_guard lock(progress_mutex_);
        progress_.emplace(Progress{std::clamp(percent, 0.0, 100.0),
                                   std::string(note.substr(0, process::note_bytes))});
      }
      tell(ring_);
    } catch (...) {  // progress is never worth a failure
    }
  }
  std::pmr::memory_resource* memory() noexcept override { return &memory_; }
  std::string_view device() const noexcept override { return device_; }

 private:
  void tell(const Notify& whom) {
    const std::lock_guard lock(notify_mutex_);
    if (whom) whom();
  }

  ReplyKind call(const codec::TaskDescriptor& task) {
    codec::Writer& result = result_->writer();
    try {
      codec::Reader arguments(arguments_->bytes());
      task.call(arguments, result);
      return ReplyKind::value;
    } catch (...) {
      result.truncate(0);
      ReplyKind kind = ReplyKind::exception;
      try {
        throw;
      } catch (const std::bad_alloc&) {
        if (memory_.refused()) kind = ReplyKind::memory;
      } catch (...) {
      }
      codec::encode_exception(result, std::current_exception());
      return kind;
    }
  }

  LimitedMemory memory_;
  std::string device_;
  std::mutex notify_mutex_;
  Notify ring_;
  Notify ended_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool quit_ = false;
  std::uint64_t number_ = 0;
  std::atomic<std::uint64_t> done_{0};
  const codec::TaskDescriptor* task_ = nullptr;
  std::optional<codec::OwnedBuffer> arguments_;
  std::optional<codec::OwnedBuffer> result_;
  ReplyKind kind_ = ReplyKind::none;
  std::atomic<bool> stop_{false};
  std::mutex progress_mutex_;
  std::optional<Progress> progress_;
};

/// The way from a worker's thread to the pool: closed before the execution context can be gone, for
/// the threads may outlive both.
class Door {
 public:
  explicit Door(asio::any_io_executor executor) : executor_(std::move(executor)) {}
  template <class Event>
  void post(Event event) {
    const std::lock_guard lock(mutex_);
    if (executor_) asio::post(*executor_, std::move(event));
  }
  void close() noexcept {
    const std::lock_guard lock(mutex_);
    executor_.reset();
  }

 private:
  std::mutex mutex_;
  std::optional<asio::any_io_executor> executor_;
};

class ThreadBackend final : public Backend {
 public:
  ThreadBackend(BackendEvents& events, std::weak_ptr<Core> owner, asio::any_io_executor executor,
                std::mutex&, const ResourceConfig& config)
      : events_(events),
        owner_(std::move(owner)),
        executor_(executor),
        door_(std::make_shared<Door>(std::move(executor))),
        memory_limit_(config.worker_memory.bytes()) {}
  ~ThreadBackend() override { door_->close(); }

  std::shared_ptr<Worker> start(std::uint32_t slot, std::uint64_t incarnation,
                                std::string_view device) override {
    // The callbacks run on the worker's thread: they only post.
    const auto post_event = [weak = owner_, door = door_](auto event) {
      door->post([weak, event] {
        if (const auto owner = weak.lock()) {
          const std::lock_guard lock(owner->mutex());
          event();
        }
      });
    };
    auto worker = std::make_shared<ThreadWorker>(
        memory_limit_, device, [post_event, this] { post_event([this] { events_.on_bell(); }); },
        [post_event, this, slot, incarnation] {
          post_event([this, slot, incarnation] { ended(slot, incarnation); });
        });
    std::thread([worker] { worker->run(); }).detach();
    if (slot >= workers_.size()) {
      workers_.resize(slot + 1);
      while (cells_.size() <= slot) cells_.push_back(std::make_unique<process::BoardSlot>());
    }
    workers_[slot] = {worker, incarnation, Cause::none, 0};
    post_event([this, slot, incarnation] { events_.on_started(slot, incarnation, 0); });
    return worker;
  }

  void kill(std::uint32_t slot, std::uint64_t incarnation, Cause cause) override {
    if (slot >= workers_.size() || workers_[slot].incarnation != incarnation) return;
    Member& member = workers_[slot];
    const bool idle = member.worker->replied();
    member.cause = cause;
    member.decided_at = now_ns();
    member.worker->quit();
    if (idle) return;
    // It is running: the lease is over now, the thread is waited for by nobody.
    asio::post(executor_, [weak = owner_, this, slot, incarnation] {
      if (const auto owner = weak.lock()) {
        const std::lock_guard lock(owner->mutex());
        if (slot < workers_.size() && workers_[slot].incarnation == incarnation) {
          events_.on_stuck(slot, incarnation);  // else it was let go meanwhile
        }
      }
    });
  }

  process::BoardSlot& cell(std::uint32_t slot) override {
    while (cells_.size() <= slot) cells_.push_back(std::make_unique<process::BoardSlot>());
    return *cells_[slot];
  }
  bool watch(std::int64_t) override { return false; }
  bool watches() const noexcept override { return false; }
  void set_sleeping(bool) noexcept override {}

  void detach() noexcept override {
    door_->close();
    for (Member& member : workers_) {
      if (!member.worker) continue;
      member.worker->cut_off();
      member.worker->quit();
    }
    workers_.clear();
  }

  Capabilities capabilities() const override {
    Capabilities result;
    result.mechanisms = {
        {"deadline", true,
         "the lease ends in time; a thread that does not heed stop_requested() is quarantined"},
        {"pmr_limit", true,
         "memory taken from this_worker::memory() is limited, other memory is not"},
        {"kill", false,
         "threads cannot be killed: use process isolation for code you do not trust"}};
    return result;
  }

 private:
  struct Member {
    std::shared_ptr<ThreadWorker> worker;
    std::uint64_t incarnation = 0;
    Cause cause = Cause::none;
    std::int64_t decided_at = 0;
  };

  void ended(std::uint32_t slot, std::uint64_t incarnation) {
    if (slot >= workers_.size() || workers_[slot].incarnation != incarnation) return;
    Death death;
    death.cause = workers_[slot].cause;
    death.decided_at = workers_[slot].decided_at;
    death.dead_at = now_ns();
    if (death.cause == Cause::timeout)
      death.limit = static_cast<std::uint64_t>(cells_[slot]->deadline.load());
    workers_[slot] = {};
    events_.on_died(slot, incarnation, std::move(death));
  }

  BackendEvents& events_;
  std::weak_ptr<Core> owner_;
  asio::any_io_executor executor_;
  std::shared_ptr<Door> door_;
  std::uint64_t memory_limit_;
  std::vector<Member> workers_;
  std::vector<std::unique_ptr<process::BoardSlot>> cells_;
};

}  // namespace

std::unique_ptr<Backend> make_thread_backend(BackendEvents& events, std::weak_ptr<Core> owner,
                                             asio::any_io_executor executor, std::mutex& mutex,
                                             const ResourceConfig& config) {
  return std::make_unique<ThreadBackend>(events, std::move(owner), std::move(executor), mutex,
                                         config);
}

}  // namespace reeve::detail
