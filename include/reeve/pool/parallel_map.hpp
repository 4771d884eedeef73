// f over a range, on as many workers as the pool gives.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/strand.hpp>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <ranges>
#include <reeve/async/gate.hpp>
#include <reeve/pool/progress_gate.hpp>
#include <reeve/pool/resource_pool.hpp>
#include <vector>

namespace reeve {

namespace detail {

/// One worker's part of a map. While it waits for its lease it can be dismissed.
struct MapLane {
  explicit MapLane(const boost::asio::any_io_executor& executor)
      : strand(boost::asio::make_strand(executor)) {}

  bool started = false;                                      // guarded by the job's mutex
  boost::asio::strand<boost::asio::any_io_executor> strand;  // guards the two below
  boost::asio::cancellation_signal signal;                   // connected before `started`
  bool waiting = true;
};

/// Closes a gate at the end of the coroutine that has it, whichever way it ends.
class GateCloser {
 public:
  explicit GateCloser(ProgressGate& gate) noexcept : gate_(gate) {}
  GateCloser(const GateCloser&) = delete;
  GateCloser& operator=(const GateCloser&) = delete;
  ~GateCloser() { gate_.close(); }

 private:
  ProgressGate& gate_;
};

/// What the lanes of one parallel_map share.
template <class F, class Range>
struct MapJob {
  using Traits = codec::ChunkTraits<F, std::ranges::range_value_t<Range>>;
  using Result = typename Traits::result;

  MapJob(F f_, Range items_, MapOptions options_)
      : f(f_),
        items(std::move(items_)),
        options(std::move(options_)),
        total(static_cast<std::size_t>(std::ranges::distance(items))),
        results(total),
        progress(std::move(options.progress)) {}

  /// False: everything was handed out before this lane began.
  bool may_start(MapLane& lane) {
    const std::lock_guard lock(mutex);
    lane.started = !dismissed;
    return lane.started;
  }

  /// Nothing is left to hand out: lanes that still wait for a worker need none, and those that have
  /// not begun (on another thread they may not even be connected to their signal) see it then.
  static void dismiss_waiting(const std::shared_ptr<MapJob>& job) {
    const std::lock_guard lock(job->mutex);
    if (std::exchange(job->dismissed, true)) return;
    for (MapLane& lane : job->lanes) {
      if (!lane.started) continue;
      boost::asio::post(lane.strand, [job, &lane] {
        if (lane.waiting) lane.signal.emit(boost::asio::cancellation_type::terminal);
      });
    }
  }

  /// A lane without a worker is no failure as long as another does its work.
  void note(const MapLane& lane, std::exception_ptr reason) {
    const std::lock_guard lock(mutex);
    std::exception_ptr& place = lane.waiting ? no_worker : failure;
    if (!place) place = std::move(reason);
  }

  F f;
  Range items;
  MapOptions options;
  std::size_t total;
  std::vector<std::optional<Result>> results;
  ProgressGate progress;
  std::mutex mutex;
  std::size_t next = 0;
  std::size_t done = 0;
  std::deque<MapLane> lanes;
  bool dismissed = false;
  std::exception_ptr failure;
  std::exception_ptr no_worker;
  async::Gate ended;
};

template <class F, class Range>
boost::asio::awaitable<void> map_lane(ResourcePool pool, TaskName task,
                                      std::shared_ptr<MapJob<F, Range>> job, MapLane& lane) {
  using Job = MapJob<F, Range>;
  using Traits = typename Job::Traits;
  if (!job->may_start(lane)) co_return;
  WorkerLease lease = co_await pool.acquire_worker(task.view());
  lane.waiting = false;
  std::size_t chunk = job->options.chunk != 0 ? job->options.chunk : 1;
  std::vector<typename Job::Result> part;
  for (;;) {
    std::size_t first = 0;
    std::size_t count = 0;
    bool last = false;
    {
      const std::lock_guard lock(job->mutex);
      if (job->failure || job->next == job->total) co_return;
      first = job->next;
      // The last chunks get smaller, so that the lanes end together.
      const std::size_t fair =
          std::max<std::size_t>(1, (job->total - first) / (2 * job->lanes.size()));
      count = std::min(job->options.chunk != 0 ? std::min(chunk, job->total - first) : chunk,
                       job->options.chunk != 0 ? job->total : fair);
      job->next += count;
      last = job->next == job->total;
    }
    if (last) Job::dismiss_waiting(job);
    const auto started = std::chrono::steady_clock::now();
    Call call(lease, RunLimits());
    call.set_task(Traits::descriptor());
    auto begin = std::ranges::begin(job->items);
    std::ranges::advance(begin, static_cast<std::ptrdiff_t>(first));
    Traits::encode_items(call.arguments(), job->f, begin, count);
    co_await call.complete();
    part.clear();
    decode_chunk<Traits>(call.result(), count, part);
    std::size_t done = 0;
    {
      const std::lock_guard lock(job->mutex);
      for (std::size_t i = 0; i < part.size(); ++i)
        job->results[first + i].emplace(std::move(part[i]));
      done = job->done += part.size();
    }
    job->progress.tell(done, 100.0 * static_cast<double>(done) / static_cast<double>(job->total),
                       {});
    if (job->options.chunk == 0) {
      chunk = next_chunk(count, std::chrono::steady_clock::now() - started, job->total);
    }
  }
}

template <class F, class Range>
auto parallel_map(ResourcePool pool, TaskName task, F f, Range items, MapOptions options)
    -> boost::asio::awaitable<std::vector<typename MapJob<F, Range>::Result>> {
  using Job = MapJob<F, Range>;
  auto job = std::make_shared<Job>(f, std::move(items), std::move(options));
  const GateCloser closer(job->progress);
  std::vector<typename Job::Result> results;
  if (job->total == 0) co_return results;
  const std::size_t wanted = job->options.workers != 0 ? job->options.workers : pool.max_workers();
  const std::size_t lanes = std::min(wanted, job->total);
  const auto executor = co_await boost::asio::this_coro::executor;
  for (std::size_t i = 0; i < lanes; ++i) job->lanes.emplace_back(executor);
  auto running = std::make_shared<std::atomic<std::size_t>>(lanes);
  for (MapLane& lane : job->lanes) {
    const auto finish_lane = [job, running, &lane](std::exception_ptr failure) {
      if (failure) job->note(lane, failure);
      if (failure && !lane.waiting) Job::dismiss_waiting(job);
      if (running->fetch_sub(1) == 1) job->ended.open();
    };
    boost::asio::co_spawn(lane.strand, map_lane<F, Range>(pool, task, job, lane),
                          boost::asio::bind_cancellation_slot(lane.signal.slot(), finish_lane));
  }
  std::exception_ptr cancelled;
  try {
    co_await job->ended.wait();
  } catch (...) {  // cancelled: chunks in flight finish, no more are sent
    cancelled = std::current_exception();
  }
  if (cancelled) {
    {
      const std::lock_guard lock(job->mutex);
      if (!job->failure) job->failure = cancelled;
    }
    Job::dismiss_waiting(job);
    std::rethrow_exception(cancelled);
  }
  if (job->failure) std::rethrow_exception(job->failure);
  if (job->done < job->total) {
    if (job->no_worker) std::rethrow_exception(job->no_worker);
    throw_incomplete(job->done, job->total);
  }
  results.reserve(job->total);
  for (auto& result : job->results) results.push_back(std::move(*result));
  co_return results;
}

}  // namespace detail

/// f(item) for each item over several workers, one lease each; results keep the order of the items.
/// The first failure ends the map: chunks in flight finish, no more are sent, and that exception is
/// thrown. It starts with the first worker that is free, and does not wait for workers that it has
/// no items left for.
///
/// Cancellation: terminal; as a failure, but without waiting for the chunks in flight.
/// Errors:       those of the leases and of f; those of acquire_worker if no worker was had at all.
/// Cost:         one message per chunk; chunks of about 2 ms unless options.chunk is set.
template <class F, class Range>
auto parallel_map(ResourcePool& pool, std::string_view task_id, F f, Range items,
                  MapOptions options = {}) {
  if constexpr (codec::detail::MapCheck<F, Range>::passed) {
    return detail::parallel_map(pool, detail::TaskName(task_id), f, std::move(items),
                                std::move(options));
  } else {
    return boost::asio::awaitable<codec::detail::Refused>();
  }
}

}  // namespace reeve
