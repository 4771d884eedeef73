// Links with five mechanisms at n = 100: CPU time of one, links per second on two workers, and what
// the pool adds to the work itself.
#include <sys/resource.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstdio>
#include <reeve/inference.hpp>
#include <reeve/pool.hpp>
#include <string>
#include <vector>

#include "benchmarks/support/report.hpp"
#include "tests/support/simulated_links.hpp"

namespace {

namespace asio = boost::asio;
using namespace reeve::inference;
using reeve::bench::Figure;
using reeve::bench::percentile;
using Time = std::chrono::steady_clock;

constexpr std::size_t link_count = 200;

double process_cpu(int who) {
  rusage usage{};
  ::getrusage(who, &usage);
  const auto seconds = [](timeval t) { return double(t.tv_sec) + 1e-6 * double(t.tv_usec); };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

double since(Time::time_point from) {
  return std::chrono::duration<double>(Time::now() - from).count();
}

// Milliseconds of CPU per link, in this process.
std::vector<double> alone(const std::vector<CausalLink>& links, const InferOptions& options) {
  std::vector<double> spent;
  for (const auto& link : links)
    spent.push_back(1e3 * infer_here(link, options).report().cpu_seconds);
  return spent;
}

struct InPool {
  double seconds = 0, worker_seconds = 0, host_cpu = 0;
};

asio::awaitable<void> run(reeve::ResourcePool pool, std::vector<CausalLink> links,
                          InferOptions options, InPool* out) {
  co_await pool.warm_up(pool.config().max_workers);
  BayesianInferenceEngine engine(pool);
  const double cpu = process_cpu(RUSAGE_SELF);
  const auto from = Time::now();
  const auto outcomes = co_await engine.infer_mechanisms(links, options);
  out->seconds = since(from);
  out->host_cpu = process_cpu(RUSAGE_SELF) - cpu;
  for (const auto& o : outcomes) out->worker_seconds += o.value().report().seconds;
}

InPool through_pool(const std::vector<CausalLink>& links, const InferOptions& options,
                    std::size_t workers) {
  using namespace reeve::literals;
  asio::io_context context;
  reeve::ResourceConfig config;
  config.max_workers = workers;
  config.worker_timeout = std::chrono::seconds(600);
  config.worker_memory = 512_MiB;
  reeve::ResourcePool pool(context.get_executor(), config);
  InPool result;
  std::exception_ptr failure;
  asio::co_spawn(context, run(pool, links, options, &result),
                 [&](std::exception_ptr e) { failure = e; });
  context.run();
  if (failure) std::rethrow_exception(failure);
  return result;
}

double mean(const std::vector<double>& values) {
  double sum = 0;
  for (const double v : values) sum += v / double(values.size());
  return sum;
}

}  // namespace

int main(int argc, char** argv) {
  reeve::init(argc, argv);
  std::vector<CausalLink> links;
  for (std::size_t i = 0; i < link_count; ++i) links.push_back(test::simulated(i % 5, i));
  InferOptions options;
  InferOptions plain;
  plain.loo = LooOf::none;
  const auto whole = alone(links, options), without = alone(links, plain);
  Figure("inference", "CPU per link, 5 mechanisms, n = 100, LOO of two", mean(whole), "ms").print();
  Figure("inference", "CPU per link, 5 mechanisms, n = 100", mean(without), "ms")
      .at_most(20)
      .print();
  Figure("inference", "CPU per link, median", percentile(without, 0.5), "ms").print();
  const InPool two = through_pool(links, plain, 2);
  Figure("inference", "links per second, two workers", double(link_count) / two.seconds, "1/s")
      .at_least(80)
      .print();
  // What one worker does not spend on links: calls, codec, and the host's share.
  const InPool one = through_pool(links, plain, 1);
  Figure("inference", "pool overhead, one worker", 100 * (one.seconds / one.worker_seconds - 1),
         "%")
      .at_most(5)
      .print();
  Figure("inference", "host CPU per link", 1e3 * one.host_cpu / double(link_count), "ms").print();
}
