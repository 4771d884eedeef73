// f over a range, on as many workers as the pool gives.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <exception>
#include <memory>
#include <mutex>
#include <ranges>
#include <reeve/async/gate.hpp>
#include <reeve/pool/resource_pool.hpp>
#include <vector>

namespace reeve {

namespace detail {

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
        results(total) {}

  F f;
  Range items;
  MapOptions options;
  std::size_t total;
  std::vector<std::optional<Result>> results;
  std::mutex mutex;
  std::size_t next = 0;
  std::size_t done = 0;
  std::size_t lanes = 0;
  std::exception_ptr failure;
  async::Gate ended;
};

template <class F, class Range>
boost::asio::awaitable<void> map_lane(ResourcePool pool, TaskName task,
                                      std::shared_ptr<MapJob<F, Range>> job) {
  using Job = MapJob<F, Range>;
  using Traits = typename Job::Traits;
  WorkerLease lease = co_await pool.acquire_worker(task.view());
  std::size_t chunk = job->options.chunk != 0 ? job->options.chunk : 1;
  std::vector<typename Job::Result> part;
  for (;;) {
    std::size_t first = 0;
    std::size_t count = 0;
    {
      const std::lock_guard lock(job->mutex);
      if (job->failure || job->next == job->total) co_return;
      first = job->next;
      // The last chunks get smaller, so that the lanes end together.
      const std::size_t fair = std::max<std::size_t>(1, (job->total - first) / (2 * job->lanes));
      count = std::min(job->options.chunk != 0 ? std::min(chunk, job->total - first) : chunk,
                       job->options.chunk != 0 ? job->total : fair);
      job->next += count;
    }
    const auto started = std::chrono::steady_clock::now();
    Call call(lease, RunLimits());
    call.set_task(Traits::descriptor());
    auto begin = std::ranges::begin(job->items);
    std::ranges::advance(begin, static_cast<std::ptrdiff_t>(first));
    Traits::encode_items(call.arguments(), job->f, begin, count);
    co_await call.complete();
    const auto reply = call.result();
    codec::Reader reader(reply.bytes);
    reader.set_shared(reply.window);
    part.clear();
    Traits::decode_results(reader, count, part);
    std::size_t done = 0;
    {
      const std::lock_guard lock(job->mutex);
      for (std::size_t i = 0; i < part.size(); ++i)
        job->results[first + i].emplace(std::move(part[i]));
      done = job->done += part.size();
    }
    if (job->options.progress) {
      job->options.progress(100.0 * static_cast<double>(done) / static_cast<double>(job->total),
                            {});
    }
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
  std::vector<typename Job::Result> results;
  if (job->total == 0) co_return results;
  const std::size_t wanted =
      job->options.workers != 0 ? job->options.workers : pool.config().max_workers;
  job->lanes = std::min(wanted, job->total);
  const std::size_t lanes = job->lanes;
  const auto executor = co_await boost::asio::this_coro::executor;
  auto running = std::make_shared<std::atomic<std::size_t>>(lanes);
  const auto finish_lane = [job, running](std::exception_ptr failure) {
    {
      const std::lock_guard lock(job->mutex);
      if (failure && !job->failure) job->failure = failure;
    }
    if (running->fetch_sub(1) == 1) job->ended.open();
  };
  for (std::size_t lane = 0; lane < lanes; ++lane) {
    boost::asio::co_spawn(executor, map_lane<F, Range>(pool, task, job), finish_lane);
  }
  co_await job->ended.wait();
  if (job->failure) std::rethrow_exception(job->failure);
  results.reserve(job->total);
  for (auto& result : job->results) results.push_back(std::move(*result));
  co_return results;
}

}  // namespace detail

/// f(item) for each item over several workers, one lease each; results keep the order of the items.
/// The first failure ends the map: chunks in flight finish, no more are sent, and that exception is
/// thrown.
///
/// Errors: those of acquire_worker, of the leases, and of f.
/// Cost:   one message per chunk; chunks of about 2 ms unless options.chunk is set.
template <class F, class Range>
auto parallel_map(ResourcePool& pool, std::string_view task_id, F f, Range items,
                  MapOptions options = {}) {
  return detail::parallel_map(pool, detail::TaskName(task_id), f, std::move(items),
                              std::move(options));
}

}  // namespace reeve
