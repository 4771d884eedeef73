// A loop that looks at a pool while it works.
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cstdio>
#include <reeve/pool.hpp>
#include <thread>

namespace asio = boost::asio;
using namespace std::chrono_literals;
using namespace reeve::literals;

void render(int milliseconds) {
  std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
}

asio::awaitable<void> render_on(reeve::WorkerLease worker, int& left) {
  co_await worker.run<&render>(250);
  --left;
}

void rethrow(std::exception_ptr failure) {
  if (failure) std::rethrow_exception(failure);
}

// One after the other, so that the first scene has the first worker.
asio::awaitable<void> hire(reeve::ResourcePool pool, int& left) {
  const auto executor = co_await asio::this_coro::executor;
  for (const char* scene : {"scene-1", "scene-2", "scene-3"}) {
    auto worker = co_await pool.acquire_worker(scene);
    asio::co_spawn(executor, render_on(std::move(worker), left), &rethrow);
  }
}

// [monitor]
asio::awaitable<void> watch(reeve::ResourcePool pool, const int& left) {
  asio::steady_timer timer(co_await asio::this_coro::executor);
  while (left > 0) {
    const reeve::PoolStatus status = pool.status();
    std::printf("%zu of %zu workers leased, %zu waiting\n", status.active_tasks,
                status.total_workers, status.waiting);
    for (const reeve::WorkerStatus& worker : status.workers) {
      std::printf("  %s %s %s, resident %s, cpu %.3f s, %llu tasks before\n",
                  to_string(worker.id).c_str(), std::string(to_string(worker.state)).c_str(),
                  worker.task.c_str(), to_string(worker.rss).c_str(), worker.cpu_time.count() / 1e9,
                  static_cast<unsigned long long>(worker.tasks_done));
    }
    timer.expires_after(100ms);
    co_await timer.async_wait(asio::use_awaitable);
  }
  std::printf("done: %llu leases\n", static_cast<unsigned long long>(pool.status().grants));
}
// [/monitor]

int main(int argc, char** argv) {
  reeve::init(argc, argv);
  asio::io_context context;
  reeve::ResourceConfig config;
  config.max_workers = 2;
  config.worker_timeout = 30s;
  config.worker_memory = 256_MiB;
  reeve::ResourcePool pool(context.get_executor(), config);
  int left = 3;
  asio::co_spawn(context, hire(pool, left), &rethrow);
  asio::co_spawn(context, watch(pool, left), &rethrow);
  context.run();
}
// [output]
// ...
// 2 of 2 workers leased, 1 waiting
//   w0#1 leased scene-1, resident ..., cpu ... s, 0 tasks before
//   w1#2 leased scene-2, resident ..., cpu ... s, 0 tasks before
// ...
// done: 3 leases
// [/output]
