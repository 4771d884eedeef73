// Two kinds of work, two pools: what one does to its workers, the other never feels.
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <cstdio>
#include <reeve/pool.hpp>

namespace asio = boost::asio;
using namespace std::chrono_literals;
using namespace reeve::literals;

std::vector<double> decode(std::string text) {
  std::vector<double> values;
  for (std::size_t at = 0, used = 0; at < text.size(); at += used + 1)
    values.push_back(std::stod(text.substr(at), &used));
  return values;
}

double solve(std::vector<double> values) {
  double sum = 0;
  for (const double value : values) sum += value * value;
  return sum;
}

void spin(std::string) {
  for (volatile bool go = true; go;) continue;
}

reeve::ResourceConfig limits(std::size_t workers, std::chrono::milliseconds time,
                             reeve::ByteSize memory) {
  reeve::ResourceConfig config;
  config.max_workers = workers;
  config.worker_timeout = time;
  config.worker_memory = memory;
  return config;
}

asio::awaitable<void> serve(reeve::ResourcePool decoders, reeve::ResourcePool solvers) {
  auto solver = co_await solvers.acquire_worker("job");  // held all the while
  auto decoder = co_await decoders.acquire_worker("job");
  const auto values = co_await decoder.run<&decode>("3;4");
  const double sum = co_await solver.run<&solve>(values);
  std::printf("the sum of squares: %g\n", sum);
  try {
    co_await decoder.run<&spin>("a text that sends the decoder astray");
  } catch (const reeve::WorkerTimeoutError&) {
    std::printf("a decoder ran out of time\n");
  }
  const double again = co_await solver.run<&solve>(values);
  std::printf("the solver does not notice: %g\n", again);
}

int main(int argc, char** argv) {
  reeve::init(argc, argv);  // once, however many pools there are
  asio::io_context context;
  reeve::ResourcePool decoders(context.get_executor(), limits(2, 300ms, 64_MiB));
  reeve::ResourcePool solvers(context.get_executor(), limits(1, 60s, 1_GiB));
  asio::co_spawn(context, serve(decoders, solvers), [](std::exception_ptr failure) {
    if (failure) std::rethrow_exception(failure);
  });
  context.run();
}
// [output]
// the sum of squares: 25
// a decoder ran out of time
// the solver does not notice: 25
// [/output]
