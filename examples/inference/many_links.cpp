// Two hundred links over two workers, with progress and a bounded number in flight.
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstdio>
#include <reeve/inference.hpp>
#include <reeve/mcmc/random.hpp>
#include <reeve/pool.hpp>

namespace asio = boost::asio;
using namespace reeve::inference;

// Every fourth link has no effect.
CausalLink simulated(std::size_t number) {
  reeve::mcmc::Random random(number);
  std::vector<double> x, y;
  for (int i = 0; i < 100; ++i) {
    x.push_back(random.uniform(0, 1));
    y.push_back((number % 4 == 0 ? 0 : 2 * x.back()) + 0.5 * random.normal());
  }
  Table data;
  data.add("x", x).add("y", y);
  CausalLink link("x", "y", data);
  link.name = "link " + std::to_string(number);
  return link;
}

// [many]
asio::awaitable<void> infer(reeve::ResourcePool pool) {
  std::vector<CausalLink> links;
  for (std::size_t i = 0; i < 200; ++i) links.push_back(simulated(i));
  InferOptions options;
  options.keep = KeepDraws::none;
  options.progress = [](const LinkProgress& p) {
    if (p.done % 50 == 0) std::printf("%zu of %zu, %zu failed\n", p.done, p.total, p.failed);
  };
  BayesianInferenceEngine engine(pool);
  const auto outcomes = co_await engine.infer_mechanisms(links, options);
  std::size_t right = 0;
  for (std::size_t i = 0; i < outcomes.size(); ++i)
    right += (outcomes[i].value().type() != "null") == (i % 4 != 0);
  std::printf("effect or none, as it was: %s of 200\n", right >= 195 ? "at least 195" : "too few");
}
// [/many]

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
// 50 of 200, 0 failed
// 100 of 200, 0 failed
// 150 of 200, 0 failed
// 200 of 200, 0 failed
// effect or none, as it was: at least 195 of 200
// [/output]
