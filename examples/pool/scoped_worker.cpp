// A worker for the length of a function body, and what every new worker does first.
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cstdio>
#include <reeve/pool.hpp>

namespace asio = boost::asio;
using namespace std::chrono_literals;
using namespace reeve::literals;

// [initializer]
std::vector<double> model;  // main does not set it: nothing below reeve::init runs in a worker

void load_model(std::size_t size) {
  model.assign(size, 0.5);
}

double predict(double x) {
  return x * static_cast<double>(model.size());
}
// [/initializer]

// [body]
asio::awaitable<double> predict_twice(reeve::WorkerLease& worker) {
  const double first = co_await worker.run<&predict>(1.0);
  co_return co_await worker.run<&predict>(first);
}

asio::awaitable<void> wait_too_long(reeve::WorkerLease&) {
  asio::steady_timer timer(co_await asio::this_coro::executor, 1h);
  co_await timer.async_wait(asio::use_awaitable);  // cancelled when the lease is over
}

asio::awaitable<void> work(reeve::ResourcePool pool) {
  const double result = co_await with_worker(pool, "predict", predict_twice);
  std::printf("predicted: %g\n", result);
  try {
    co_await with_worker(pool, "dawdle", wait_too_long);
  } catch (const reeve::WorkerTimeoutError&) {
    std::printf("the lease ended, and the body with it\n");
  }
}
// [/body]

int main(int argc, char** argv) {
  reeve::init(argc, argv);
  asio::io_context context;
  reeve::ResourceConfig config;
  config.max_workers = 1;
  config.worker_timeout = 400ms;
  config.worker_memory = 256_MiB;
  config.initializer = reeve::Initializer::make<&load_model>(std::size_t{10});
  reeve::ResourcePool pool(context.get_executor(), config);
  asio::co_spawn(context, work(pool), [](std::exception_ptr failure) {
    if (failure) std::rethrow_exception(failure);
  });
  context.run();
}
// [output]
// predicted: 100
// the lease ended, and the body with it
// [/output]
