// One link on several workers: the same bytes, limits and files that survive, as on one.
#include <reeve/inference/engine.hpp>

#include <signal.h>
#include <sys/inotify.h>

#include <array>
#include <atomic>
#include <filesystem>
#include <reeve/os/fd.hpp>
#include <set>

#include "inference/fit.hpp"
#include "tests/inference/inference_test_support.hpp"
#include "tests/inference/roomy_config.hpp"

namespace reeve::inference {
namespace {

using namespace reeve::test;
using test::quick;
using test::roomy_config;
using test::simulated;
using test::text_of;

struct SplitTest : ::testing::Test {
  asio::io_context context;
  ResourcePool pool{context.get_executor(), roomy_config()};
  BayesianInferenceEngine engine{pool};
};

std::string draws_of(const InferenceResult& result) {
  std::string all;
  for (const auto& fit : result.fits())
    for (std::size_t chain = 0; chain < 4; ++chain)
      all += mcmc::stan_csv(result.run(fit.mechanism), chain);
  return all;
}

TEST_F(SplitTest, GivesTheBytesOfOneWorker) {
  InferOptions options;
  options.keep = KeepDraws::all;
  options.split = Split::always;
  // Of these links the second one needs another round for its sigmoid.
  for (const auto& link : {simulated(1, 1), simulated(2, 0, 100, 1, 1, 0.35)}) {
    const auto whole = infer_here(link, options);
    const auto split = run_in(context, engine.infer_mechanism(link, options));
    EXPECT_EQ(draws_of(split), draws_of(whole));
    for (const auto& fit : whole.fits()) {
      EXPECT_EQ(split.fit(fit.mechanism).log_marginal.value, fit.log_marginal.value);
      EXPECT_EQ(split.fit(fit.mechanism).method, fit.method);
      EXPECT_EQ(split.posterior_probability(fit.mechanism), fit.probability);
    }
    EXPECT_GT(split.report().cpu_seconds, 0);
    EXPECT_EQ(split.device, "cpu");
  }
  EXPECT_GE(pool.status().grants, 2u * (1 + 5 * 5 + 1)) << "judge, 5 warm-ups with 4 chains, judge";
}

// About a millisecond for a gradient of 100 rows.
Mechanism slow_line() {
  auto m = mechanism<2>("slow", [](const auto& x, auto t) {
    const double from = cpu_seconds();
    while (cpu_seconds() - from < 1.2e-4) {
    }
    return t[0] + t[1] * x;
  });
  m.parameter("a", mcmc::normal(0, 1)).parameter("b", mcmc::normal(0, 1));
  return m;
}

TEST_F(SplitTest, HappensByItselfWhenAGradientIsSlow) {
  InferOptions options;
  options.candidates = {slow_line()};
  options.rounds = 1;
  options.chains = 2;
  options.warmup = 30;
  options.draws = 100;
  options.loo = LooOf::none;
  options.deadline = 10s;
  const CausalLink link = simulated(1, 1);
  run_in(context, engine.infer_mechanism(link, options));
  EXPECT_EQ(pool.status().grants, 1u + 1 + 1 + 2 + 1) << "try, judge, warm-up, chains, judge";
  options.split = Split::never;
  run_in(context, engine.infer_mechanism(link, options));
  EXPECT_EQ(pool.status().grants, 7u);
}

TEST_F(SplitTest, AnEarlyStopNeedsAllChainsTogether) {
  InferOptions options = quick();
  options.split = Split::always;
  options.target_ess = 400;
  run_in(context, engine.infer_mechanism(simulated(1, 1), options));
  EXPECT_EQ(pool.status().grants, 1u);
}

TEST_F(SplitTest, TimeLimitKeepsTheDraws) {
  InferOptions options = quick();
  options.split = Split::always;
  options.draws = 5'000'000;
  options.deadline = 600ms;
  const auto result = run_in(context, engine.infer_mechanism(simulated(1, 1), options));
  EXPECT_TRUE(result.report().deadline_reached);
  for (const auto& fit : result.fits()) {
    EXPECT_EQ(fit.status, mcmc::Status::deadline);
    EXPECT_GT(fit.diagnostics.draws, 50u) << fit.mechanism;
  }
  EXPECT_EQ(pool.status().deaths.timeout, 0u) << "nobody had to be killed";
}

// The judge has every chain of every candidate: once, not as message, bytes, sampler and run.
TEST(SplitMemory, OfTheJudgeIsThatOfItsDraws) {
  REEVE_SKIP_UNDER_SANITIZERS();
  asio::io_context context;
  ResourceConfig config = small_config();
  config.worker_memory = 160_MiB;
  ResourcePool pool(context.get_executor(), config);
  BayesianInferenceEngine engine(pool);
  InferOptions options = quick();
  options.split = Split::always;
  options.draws = 100'000;  // 4 chains of 2 candidates: 77 MB
  const auto result = run_in(context, engine.infer_mechanism(simulated(1, 1), options));
  for (const auto& fit : result.fits()) EXPECT_EQ(fit.diagnostics.draws, 400'000u);
  EXPECT_EQ(pool.status().deaths.memory, 0u);
}

TEST_F(SplitTest, KilledPiecesGoOnToTheSameBytes) {
  const auto folder =
      std::filesystem::temp_directory_path() / ("reeve-split-" + std::to_string(::getpid()));
  InferOptions options = quick();
  options.draws = 12'000;
  options.keep = KeepDraws::all;
  options.loo = LooOf::none;
  const CausalLink link = simulated(1, 7);
  const std::string whole = draws_of(infer_here(link, options));
  options.split = Split::always;
  options.checkpoint_folder = folder.string();
  options.checkpoint_every = 500;
  options.retries = 100;
  std::set<pid_t> killed;
  std::optional<InferenceResult> result;
  std::exception_ptr failure;
  asio::co_spawn(context, engine.infer_mechanism(link, options),
                 [&](std::exception_ptr e, InferenceResult r) {
                   failure = e;
                   result.emplace(std::move(r));
                 });
  std::size_t looks = 0;
  const bool ended = run_until(
      context,
      [&] {
        if (result || failure) return true;
        for (const auto& worker : pool.status().workers)
          if (killed.size() < 6 && ++looks % 20 == 0 && worker.state == WorkerState::leased &&
              worker.pid > 0 && killed.insert(worker.pid).second)
            ::kill(worker.pid, SIGKILL);
        return false;
      },
      60s);
  ASSERT_TRUE(ended && !failure);
  EXPECT_GT(killed.size(), 0u);
  EXPECT_TRUE(draws_of(*result) == whole) << killed.size() << " kills";
  EXPECT_TRUE(std::filesystem::is_empty(folder)) << "a link that is done leaves no checkpoints";
  std::filesystem::remove_all(folder);
}

struct Folder {
  explicit Folder(const char* name)
      : path(std::filesystem::temp_directory_path() / (name + std::to_string(::getpid()))) {
    std::filesystem::create_directories(path);
  }
  Folder(const Folder&) = delete;
  ~Folder() { std::filesystem::remove_all(path); }
  std::filesystem::path path;
};

bool is_of_a_chain(const std::string& file) {
  return file.find("%23") != std::string::npos;
}

// What the user removes when the warm-up's file is refused leaves the files of its chains.
TEST_F(SplitTest, ChainsOfOtherOptionsAreRefusedByName) {
  const Folder folder("reeve-split-options-");
  InferOptions options = quick();
  options.split = Split::always;
  options.draws = 200'000;
  options.deadline = 1s;
  options.checkpoint_folder = folder.path.string();
  const CausalLink link = simulated(1, 1);
  ASSERT_TRUE(run_in(context, engine.infer_mechanism(link, options)).report().deadline_reached);
  std::size_t of_chains = 0;
  for (const auto& file : std::filesystem::directory_iterator(folder.path)) {
    const bool chain = is_of_a_chain(file.path().string());
    of_chains += chain;
    if (!chain) std::filesystem::remove(file);
  }
  EXPECT_EQ(of_chains, 2u * 4);
  options.deadline = 20s;
  struct Change {
    const char* name;
    void (*change)(InferOptions&);
  };
  for (const Change& c : {Change{"seed = 1, and now it is 9", [](InferOptions& o) { o.seed = 9; }},
                          Change{"draws = 200000", [](InferOptions& o) { o.draws = 100'000; }},
                          Change{"warmup = 0", [](InferOptions& o) { o.warmup = 500; }}}) {
    InferOptions other = options;
    c.change(other);
    const std::string text =
        text_of<ConfigError>([&] { run_in(context, engine.infer_mechanism(link, other)); });
    EXPECT_NE(text.find(c.name), std::string::npos) << text;
    EXPECT_TRUE(is_of_a_chain(text)) << text;
    EXPECT_NE(text.find(folder.path.string() + "/linear%201.*.checkpoint"), std::string::npos)
        << "it says which files to remove: " << text;
    for (const auto& file : std::filesystem::directory_iterator(folder.path))
      if (!is_of_a_chain(file.path().string())) std::filesystem::remove(file);
  }
}

// Chains without their warm-up would be begun anew by whoever goes on; a warm-up alone is no harm.
TEST_F(SplitTest, AWarmUpIsForgottenAfterItsChains) {
  const Folder folder("reeve-split-order-");
  const os::UniqueFd watch(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  ASSERT_GE(::inotify_add_watch(watch.get(), folder.path.c_str(), IN_DELETE), 0);
  InferOptions options = quick();
  options.split = Split::always;
  options.checkpoint_folder = folder.path.string();
  run_in(context, engine.infer_mechanism(simulated(1, 1), options));
  EXPECT_TRUE(std::filesystem::is_empty(folder.path));
  alignas(inotify_event) std::array<char, 1 << 14> bytes{};
  const ssize_t count = ::read(watch.get(), bytes.data(), bytes.size());
  std::vector<bool> of_chains;
  for (ssize_t at = 0; at < count;) {
    const auto* event = reinterpret_cast<const inotify_event*>(bytes.data() + at);
    of_chains.push_back(is_of_a_chain(event->name));
    at += static_cast<ssize_t>(sizeof *event + event->len);
  }
  const std::vector<bool> each{true, true, true, true, false};
  std::vector<bool> expected = each;
  expected.insert(expected.end(), each.begin(), each.end());
  EXPECT_EQ(of_chains, expected);
}

TEST_F(SplitTest, WhatAPieceThrowsEndsTheLink) {
  auto throwing = mechanism<1>("throwing", [](const auto& x, auto t) {
    static int calls = 0;
    if (++calls > 20'000) throw std::runtime_error("of the user");
    return t[0] + 0.0 * x;
  });
  throwing.parameter("a", mcmc::normal(0, 1));
  InferOptions options = quick();
  options.split = Split::always;
  options.candidates.push_back(throwing);
  const CausalLink link = simulated(1, 1);
  const std::string text =
      text_of<std::exception>([&] { run_in(context, engine.infer_mechanism(link, options)); });
  EXPECT_NE(text.find("of the user"), std::string::npos) << text;
  expect_pool_works(context, pool);
}

}  // namespace
}  // namespace reeve::inference
