// A fit that failed is left out by the highest likelihood there is, not by one its chains have met.
#include "inference/climb.hpp"

#include <reeve/inference/infer.hpp>
#include <reeve/mcmc/compare.hpp>

#include "inference/fit.hpp"
#include "inference/standard.hpp"
#include "tests/inference/inference_test_support.hpp"

namespace reeve::inference {
namespace {

using test::simulated;

Mechanism wave(mcmc::Prior omega) {
  auto m = mechanism<4>("wave", [](const auto& x, auto t) {
    using std::sin;
    return t[0] + t[1] * sin(t[2] * x + t[3]);
  });
  m.parameter("level", mcmc::normal(0, 1), Unit::level)
      .parameter("amplitude", mcmc::normal(0, 2), Unit::change)
      .parameter("omega", omega)
      .parameter("phase", mcmc::normal(0, 3));
  return m;
}

// sin(1500 x + 1) and a slope, in noise: a line holds, a wave explains far more.
CausalLink rows_of_a_wave(int rows) {
  mcmc::Random random(5);
  std::vector<double> x, y;
  for (int i = 0; i < rows; ++i) {
    x.push_back(double(i) / (rows - 1));
    y.push_back(std::sin(1500 * x.back() + 1) + 1.2 * (x.back() - 0.5) + 0.3 * random.normal());
  }
  Table data;
  data.add("x", x).add("y", y);
  return {"x", "y", data};
}

std::optional<double> climbed(const CausalLink& link, const Mechanism& m) {
  return highest_likelihood(density_of(checked(link), m));
}

TEST(Climb, FindsTheHighestOfTwoFlanks) {
  for (std::uint64_t seed = 0; seed < 8; ++seed) {
    const CausalLink link = simulated(2, seed);
    const auto sigmoids = climbed(link, sigmoid()), best = climbed(link, quadratic());
    ASSERT_TRUE(sigmoids && best);
    EXPECT_LT(*sigmoids, *best - 10);
    EXPECT_EQ(climbed(link, sigmoid()), sigmoids) << "the same climbs each time";
  }
}

TEST(Climb, SaysNothingWhenEachClimbEndsElsewhere) {
  EXPECT_FALSE(climbed(rows_of_a_wave(600), wave(mcmc::uniform(1, 3000))));
}

// Four chains, each near a point where the wave explains nothing.
TEST(Climb, ChainsThatMissedTheBestModeAreNotLeftOut) {
  const LinkData data = checked(rows_of_a_wave(600));
  const Mechanism line = linear(), waves = wave(mcmc::normal(1500, 1));
  std::vector<Fit> fits(2);
  fits[0].mechanism = &line;
  fits[0].run = std::make_unique<mcmc::Run>(mcmc::sample(density_of(data, line)));
  fits[0].of_data = mcmc::bridge_log_marginal(*fits[0].run);
  fits[0].of_data.value += Standard(data, line.record()).log_jacobian(data.x.size());
  mcmc::Random random(3);
  std::vector<mcmc::Chain> chains(4);
  for (std::size_t c = 0; c < 4; ++c) {
    chains[c].stats.resize(100);
    for (int i = 0; i < 100; ++i)
      for (const double at : {0.0, 0.1, 1520.0 + 7.0 * double(c), double(c), 0.0})
        chains[c].q.push_back(at + 0.01 * random.normal());
  }
  fits[1].mechanism = &waves;
  fits[1].run =
      std::make_unique<mcmc::Run>(density_of(data, waves), chains, mcmc::Run::Unassessed{});
  assess(data, fits);
  ASSERT_EQ(fits[0].run->status(), mcmc::Status::ok);
  EXPECT_EQ(fits[1].run->status(), mcmc::Status::not_converged);
  EXPECT_FALSE(fits[1].left_out);
  // Far behind in truth, however high one climbs.
  fits[0].of_data.value = 1e4;
  assess(data, fits);
  EXPECT_EQ(fits[1].left_out, fits[1].highest_likelihood.has_value());
}

TEST(ClimbFull, ChainsThatMissedTheBestModeDoNotDecideTheLink) {
  InferOptions options;
  options.candidates = {null(), linear(), wave(mcmc::normal(1500, 1))};
  options.loo = LooOf::none;
  options.rounds = 1;
  const auto result = infer_here(rows_of_a_wave(3000), options);
  EXPECT_FALSE(result.conclusive() && result.type() == "linear") << result.to_json();
}

}  // namespace
}  // namespace reeve::inference
