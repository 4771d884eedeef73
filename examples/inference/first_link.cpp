// From a CSV file to a mechanism: which one links speed to stopping distance?
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstdio>
#include <reeve/inference.hpp>
#include <reeve/pool.hpp>

namespace asio = boost::asio;
using namespace reeve::inference;

// [infer]
asio::awaitable<void> infer(reeve::ResourcePool pool) {
  CausalLink link;
  link.cause = "speed";
  link.effect = "dist";
  link.data = Table::read_csv(DATA_DIR "/cars.csv");
  BayesianInferenceEngine engine(pool);
  const InferenceResult result = co_await engine.infer_mechanism(link);
  // [/infer]
  // [read]
  for (const FitReport& fit : result.fits())
    std::printf("%-10s %.1f\n", fit.mechanism.c_str(), fit.probability.value_or(0));
  std::printf("best: %s\n", result.type().c_str());
  const Strength& s = result.strength();
  std::printf("the faster cars need %.0f ft more (%.0f to %.0f)\n", s.mean, s.low, s.high);
  std::printf("P(effect) > 0.999: %s\n", result.probability_effect() > 0.999 ? "yes" : "no");
  for (const Lack& lack : result.necessity().missing)
    std::printf("missing: %s\n", to_string(lack.evidence));
  // [/read]
  std::printf("done by worker %u on %s\n", result.worker.slot, result.device.c_str());
}

int main(int argc, char** argv) {
  reeve::init(argc, argv);
  using namespace reeve::literals;
  asio::io_context context;
  reeve::ResourceConfig config;
  config.max_workers = 2;
  config.worker_timeout = std::chrono::seconds(60);
  config.worker_memory = 256_MiB;
  reeve::ResourcePool pool(context.get_executor(), config);
  asio::co_spawn(context, infer(pool), [](std::exception_ptr failure) {
    if (failure) std::rethrow_exception(failure);
  });
  context.run();
}
// [output]
// null       0.0
// linear     0.6
// quadratic  0.4
// emax       0.0
// sigmoid    0.0
// best: linear
// the faster cars need ... ft more (... to ...)
// P(effect) > 0.999: yes
// missing: mechanism
// ...
// done by worker 0 on cpu
// [/output]
