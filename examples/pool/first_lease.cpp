// The smallest program: a worker is leased, computes, and is ended when it does not stop by itself.
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <cstdio>
#include <reeve/pool.hpp>

namespace asio = boost::asio;
using namespace std::chrono_literals;
using namespace reeve::literals;

double simulate(double x, int steps) {  // any C++ function: it may crash, leak or never return
  for (int i = 0; i < steps; ++i) x = 3.7 * x * (1 - x);
  return x;
}

void never_return() {
  for (volatile bool go = true; go;) continue;
}

asio::awaitable<void> study(reeve::ResourcePool pool) {
  auto worker = co_await pool.acquire_worker("study-1");  // a lease: given back when it goes
  const double x = co_await worker.run<&simulate>(0.5, 1'000'000);
  std::printf("the simulation ended at a value between 0 and 1: %s\n",
              x > 0 && x < 1 ? "yes" : "no");
  try {
    co_await worker.run<&never_return>();
  } catch (const reeve::WorkerTimeoutError& error) {  // the worker and all it started are dead;
    std::printf("%s\n", error.what());                // the pool has a new one already
  }
}

int main(int argc, char** argv) {
  reeve::init(argc, argv);  // one line: in a worker it does not return
  asio::io_context context;
  reeve::ResourceConfig config;
  config.max_workers = 2;
  config.worker_timeout = 500ms;   // of a lease, from its grant
  config.worker_memory = 256_MiB;  // of a worker
  reeve::ResourcePool pool(context.get_executor(), config);
  asio::co_spawn(context, study(pool), [](std::exception_ptr failure) {
    if (failure) std::rethrow_exception(failure);
  });
  context.run();
}
// [output]
// the simulation ended at a value between 0 and 1: yes
// task 'study-1' on worker w0#1 used its 0.500 s and was ended after 0.50... s...
// [/output]
