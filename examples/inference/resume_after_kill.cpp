// kill -9 in the middle of a link: the next worker goes on from the checkpoint, to the same bytes.
#include <signal.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <reeve/inference.hpp>
#include <reeve/pool.hpp>

namespace asio = boost::asio;
using namespace reeve::inference;

asio::awaitable<void> kill_once(reeve::ResourcePool pool, std::filesystem::path folder) {
  asio::steady_timer timer(pool.get_executor());
  for (bool killed = false; !killed;) {
    timer.expires_after(std::chrono::milliseconds(5));
    co_await timer.async_wait(asio::use_awaitable);
    if (!std::filesystem::exists(folder) || std::filesystem::is_empty(folder)) continue;
    for (const auto& worker : pool.status().workers)
      if (worker.state == reeve::WorkerState::leased) killed = ::kill(worker.pid, SIGKILL) == 0;
  }
  std::printf("its worker was killed\n");
}

asio::awaitable<void> infer(reeve::ResourcePool pool) {
  const CausalLink link("speed", "dist", Table::read_csv(DATA_DIR "/cars.csv"));
  const auto folder =
      std::filesystem::temp_directory_path() / ("reeve-resume-" + std::to_string(::getpid()));
  // [resume]
  InferOptions options;
  options.draws = 20'000;
  options.loo = LooOf::none;
  options.candidates = {null(), linear()};
  options.checkpoint_folder = folder.string();
  options.checkpoint_every = 1000;  // transitions
  options.retries = 3;              // a lost worker is replaced, and goes on where it was
  BayesianInferenceEngine engine(pool);
  asio::co_spawn(pool.get_executor(), kill_once(pool, folder), asio::detached);
  const InferenceResult resumed = co_await engine.infer_mechanism(link, options);
  // [/resume]
  options.checkpoint_folder.clear();
  const InferenceResult whole = co_await engine.infer_mechanism(link, options);
  const bool same = reeve::mcmc::stan_csv(resumed.run("linear"), 0) ==
                    reeve::mcmc::stan_csv(whole.run("linear"), 0);
  std::printf("the same draws, byte for byte: %s\n", same ? "yes" : "no");
  std::printf("checkpoints left: %s\n", std::filesystem::is_empty(folder) ? "none" : "some");
  std::filesystem::remove_all(folder);
}

int main(int argc, char** argv) {
  reeve::init(argc, argv);
  using namespace reeve::literals;
  asio::io_context context;
  reeve::ResourceConfig config;
  config.max_workers = 1;
  config.worker_timeout = std::chrono::seconds(60);
  config.worker_memory = 512_MiB;
  reeve::ResourcePool pool(context.get_executor(), config);
  asio::co_spawn(context, infer(pool), [](std::exception_ptr failure) {
    if (failure) std::rethrow_exception(failure);
  });
  context.run();
}
// [output]
// its worker was killed
// the same draws, byte for byte: yes
// checkpoints left: none
// [/output]
