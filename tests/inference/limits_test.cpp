// What draws take is known before a worker is asked for: memory and messages hold what is allowed.
#include <reeve/inference/engine.hpp>

#include "tests/inference/inference_test_support.hpp"
#include "tests/inference/roomy_config.hpp"

namespace reeve::inference {
namespace {

using namespace reeve::test;
using test::quick;
using test::roomy_config;
using test::simulated;

Mechanism flat(std::size_t i) {
  const std::string name = "flat " + std::to_string(i);
  auto m = mechanism<1>(name, [](const auto& x, auto t) { return t[0] + 0.0 * x; });
  m.parameter("a", mcmc::normal(0, 1));
  return m;
}

// Of a fit that is repeated, the first round's draws are there until the second round's are all.
TEST(EngineMemory, HoldsAsManyDrawsWhenAllIsRepeated) {
  REEVE_SKIP_UNDER_SANITIZERS();
  asio::io_context context;
  ResourceConfig config = small_config();
  config.worker_timeout = 100s;
  ResourcePool pool(context.get_executor(), config);
  BayesianInferenceEngine engine(pool);
  for (const Split split : {Split::never, Split::always}) {
    InferOptions options = quick();
    for (std::size_t i = 2; i < 40; ++i) options.candidates.push_back(flat(i));
    options.rounds = 2;
    options.se_limit = 1e-12;  // no fit is good enough
    options.draws = 10'000'000;
    options.loo = LooOf::none;
    options.deadline = 90s;
    options.memory = 96_MiB;
    options.split = split;
    const auto result = run_in(context, engine.infer_mechanism(simulated(0, 1), options));
    for (const auto& fit : result.fits()) {
      EXPECT_EQ(fit.rounds, 2);
      EXPECT_GT(fit.diagnostics.draws, 8 * 1'000u);
    }
  }
}

// Whatever the options allow, a message can hold: with deadline there are as many draws as that.
TEST(SplitMessage, HoldsTheDrawsThatTheOptionsAllow) {
  struct Case {
    ByteSize message;
    std::size_t rounds, chains, confounders;
  };
  for (const Case& c : {Case{512_KiB, 2, 2, 0}, Case{512_KiB, 1, 2, 0}, Case{2_MiB, 2, 8, 6}}) {
    asio::io_context context;
    ResourceConfig config = roomy_config();
    config.message_max = c.message;
    ResourcePool pool(context.get_executor(), config);
    BayesianInferenceEngine engine(pool);
    InferOptions options = quick();
    options.split = Split::always;
    options.keep = KeepDraws::all;
    options.rounds = c.rounds;
    options.chains = c.chains;
    options.se_limit = 1e-12;  // no fit is good enough: all are repeated, and not by weights
    options.draws = 10'000'000;
    options.deadline = 40s;
    CausalLink link = simulated(0, 1);
    mcmc::Random random(5, 0);
    for (std::size_t i = 0; i < c.confounders; ++i) {
      std::vector<double> column(100);
      for (double& value : column) value = random.normal();
      link.confounders.push_back("z" + std::to_string(i));
      link.data.add(link.confounders.back(), column);
    }
    const auto result = run_in(context, engine.infer_mechanism(link, options));
    EXPECT_FALSE(result.report().deadline_reached);
    for (const auto& fit : result.fits()) {
      EXPECT_EQ(fit.rounds, static_cast<int>(c.rounds)) << fit.mechanism;
      ASSERT_FALSE(fit.reasons.empty());
      EXPECT_NE(fit.reasons.back().find("of 10000000 draws per chain"), std::string::npos);
    }
  }
}

TEST(SplitMessage, HasNoDrawsOfALinkThatIsNotSplit) {
  asio::io_context context;
  ResourceConfig config = roomy_config();
  config.message_max = 64_KiB;
  ResourcePool pool(context.get_executor(), config);
  BayesianInferenceEngine engine(pool);
  InferOptions options = quick();
  options.keep = KeepDraws::none;
  options.draws = 2000;  // 912 KB in messages of a link that is split
  const CausalLink link = simulated(1, 1);
  EXPECT_THROW(run_in(context, engine.infer_mechanism(link, options)), ConfigError);
  options.split = Split::never;
  const auto result = run_in(context, engine.infer_mechanism(link, options));
  for (const auto& fit : result.fits()) EXPECT_EQ(fit.diagnostics.draws, 8000u);
}

}  // namespace
}  // namespace reeve::inference
