// Mechanisms are found again, evidence is judged, limits keep the draws.
#include <filesystem>
#include <numeric>
#include <reeve/inference/infer.hpp>

#include "tests/inference/inference_test_support.hpp"

namespace reeve::inference {
namespace {

using namespace std::chrono_literals;
using test::simulated;
using test::text_of;
using test::truths;

// How often each true mechanism is picked, of `sets` data sets each.
std::vector<int> recovered(std::size_t sets, int& inconclusive) {
  std::vector<int> right(truths().size(), 0);
  inconclusive = 0;
  for (std::size_t truth = 0; truth < truths().size(); ++truth)
    for (std::size_t set = 0; set < sets; ++set) {
      InferOptions options;
      options.loo = LooOf::none;
      options.keep = KeepDraws::none;
      options.seed = set + 1;
      const InferenceResult result = infer_here(simulated(truth, set), options);
      right[truth] += result.type() == truths()[truth];
      inconclusive += !result.conclusive();
      for (const FitReport& fit : result.fits())
        if (fit.status != mcmc::Status::ok) {
          EXPECT_FALSE(fit.probability) << fit.mechanism;
        }
    }
  return right;
}

TEST(InferRecovery, MechanismsAreFoundAgain) {
  int inconclusive = 0;
  const auto right = recovered(4, inconclusive);
  EXPECT_GE(std::accumulate(right.begin(), right.end(), 0), 18) << ::testing::PrintToString(right);
  EXPECT_LE(inconclusive, 1);
}

TEST(InferRecoveryFull, NinetyFiveOfAHundredAreFoundAgain) {
  int inconclusive = 0;
  const auto right = recovered(40, inconclusive);
  const int total = std::accumulate(right.begin(), right.end(), 0);
  RecordProperty("right", total);
  RecordProperty("inconclusive", inconclusive);
  std::cout << ::testing::PrintToString(right) << ", inconclusive " << inconclusive << "\n";
  EXPECT_GE(total, 190) << ::testing::PrintToString(right);
  EXPECT_LE(inconclusive, 4);
}

TEST(Infer, ANecessaryLinkPassesAndANullOneSaysWhatIsMissing) {
  const auto necessary = infer_here(simulated(1, 5));
  EXPECT_TRUE(necessary.necessity().passed) << necessary.to_json();
  EXPECT_GT(necessary.probability_effect(), 0.999);
  EXPECT_GT(necessary.probability_direction(), 0.999);
  EXPECT_NEAR(necessary.strength().mean, 0.99, 0.2);  // 0.5 per unit over about 1.98
  EXPECT_LT(necessary.strength().low, necessary.strength().mean);
  EXPECT_TRUE(necessary.loo("linear").elpd > necessary.loo("null").elpd);
  EXPECT_EQ(necessary.device, "");

  const auto none = infer_here(simulated(0, 5));
  EXPECT_EQ(none.type(), "null");
  EXPECT_FALSE(none.necessity().passed);
  bool effect = false, direction = false;
  for (const Lack& lack : none.necessity().missing) {
    effect |= lack.evidence == Evidence::effect;
    direction |= lack.evidence == Evidence::direction;
    EXPECT_FALSE(lack.text.empty());
  }
  EXPECT_TRUE(effect && direction) << none.to_json();
}

TEST(Infer, ScaleOfTheDataChangesNothing) {
  InferOptions options;
  options.loo = LooOf::none;
  const auto plain = infer_here(simulated(3, 2), options);
  for (const double scale : {1e-6, 1e6}) {
    const auto scaled = infer_here(simulated(3, 2, 100, scale, 1 / scale), options);
    ASSERT_EQ(scaled.type(), "emax");
    const auto &a = plain.fit("emax").summary, &b = scaled.fit("emax").summary;
    EXPECT_NEAR(b[2].mean / scale, a[2].mean, 0.1 * a[2].sd) << a[2].name;
    EXPECT_NEAR(b.back().mean * scale, a.back().mean, 0.1 * a.back().sd);
    EXPECT_NEAR(scaled.strength().mean * scale, plain.strength().mean, 0.1 * plain.strength().sd);
    EXPECT_NEAR(scaled.posterior_probability("emax"), plain.posterior_probability("emax"), 0.02);
  }
}

// The emax truth: e0 = 0.2, emax = 1.5, ec50 = 0.2, sigma = 0.15, in the data's units.
TEST(Infer, ParametersAreInTheUnitsOfTheData) {
  InferOptions options;
  options.candidates = {null(), emax()};
  const auto result = infer_here(simulated(3, 4, 400), options);
  const double expected[] = {0.2, 1.5 * 2 / 2.2, 0.2, 0.15, 1.5};
  const auto& rows = result.best().summary;
  ASSERT_EQ(rows.size(), 5u);
  for (std::size_t i = 0; i < rows.size(); ++i)
    EXPECT_LT(std::abs(rows[i].mean - expected[i]), 4 * rows[i].sd) << rows[i].name;
  EXPECT_EQ(rows.back().name, "emax");
}

TEST(Infer, ZeroStaysZeroWhereAMechanismSaysSo) {
  auto menten = mechanism<2>("menten", [](const auto& x, auto t) { return t[0] * x / (x + t[1]); });
  menten.parameter("Vm", mcmc::normal(0, 5), Unit::change)
      .parameter("K", mcmc::lognormal(-1.2, 1), Unit::point)
      .scale(CauseScale::ratio)
      .through_zero();
  mcmc::Random random(4);
  std::vector<double> x, y;
  for (int i = 0; i < 100; ++i) {
    x.push_back(random.uniform(1, 300));
    y.push_back(7000 * x.back() / (x.back() + 40) + 300 * random.normal());
  }
  CausalLink link;
  link.cause = "x";
  link.effect = "y";
  link.data.add("x", x).add("y", y);
  InferOptions options;
  options.candidates = {null(), linear(), emax(), menten};
  const auto result = infer_here(link, options);
  EXPECT_EQ(result.type(), "menten") << result.to_json();
  const auto& rows = result.best().summary;
  EXPECT_LT(std::abs(rows[0].mean - 7000), 4 * rows[0].sd);
  EXPECT_LT(std::abs(rows[1].mean - 40), 4 * rows[1].sd);
  EXPECT_LT(std::abs(rows[2].mean - 300), 4 * rows[2].sd);
}

// Evidence of the linear model by quadrature over level, slope and log sigma.
TEST(Infer, LogMarginalsEqualQuadrature) {
  InferOptions options;
  options.candidates = {null(), linear(), emax()};
  const CausalLink link = simulated(3, 9, 30, 1, 1, 0.3);
  const auto result = infer_here(link, options);
  const LinkData data = checked(link);
  for (const auto& m : options.candidates) {
    const mcmc::Density d = density_of(data, m);
    const std::size_t n = d.dimension();
    // Around the draws' moments, on a grid of the unconstrained space, +-7 sd.
    InferOptions keep = options;
    keep.candidates = {m};
    const mcmc::Run run = infer_here(link, keep).run(m.name());
    std::vector<double> mean(n, 0), sd(n, 0);
    std::size_t count = 0;
    for (const auto& chain : run.chains())
      for (std::size_t i = 0; i < chain.stats.size(); ++i, ++count)
        for (std::size_t p = 0; p < n; ++p) mean[p] += chain.q[i * n + p];
    for (double& v : mean) v /= double(count);
    for (const auto& chain : run.chains())
      for (std::size_t i = 0; i < chain.stats.size(); ++i)
        for (std::size_t p = 0; p < n; ++p) sd[p] += std::pow(chain.q[i * n + p] - mean[p], 2);
    for (double& v : sd) v = std::sqrt(v / double(count));
    const int half = n == 4 ? 16 : 40;
    const double step = 7.0 / half, top = d.value(mean);
    std::vector<int> at(n, -half);
    std::vector<double> q(n);
    double sum = 0;
    for (bool more = true; more;) {
      for (std::size_t p = 0; p < n; ++p) q[p] = mean[p] + sd[p] * step * at[p];
      sum += std::exp(d.value(q) - top);
      more = false;
      for (std::size_t p = 0; p < n && !more; ++p) {
        more = ++at[p] <= half;
        if (!more) at[p] = -half;
      }
    }
    double exact = std::log(sum) + top;
    for (const double s : sd) exact += std::log(step * s);
    const double y_mean = std::accumulate(data.y.begin(), data.y.end(), 0.0) / 30;
    double squares = 0;
    for (const double y : data.y) squares += (y - y_mean) * (y - y_mean);
    exact -= 30 * std::log(std::sqrt(squares / 29));
    const auto& marginal = result.log_marginal(m.name());
    EXPECT_LT(std::abs(marginal.value - exact), 4 * marginal.se + 0.01)
        << m.name() << ": " << marginal.value << " +- " << marginal.se << ", exact " << exact;
  }
}

TEST(Infer, ConfoundersAreAccountedFor) {
  mcmc::Random random(3);
  std::vector<double> x, y, z;
  for (int i = 0; i < 200; ++i) {
    z.push_back(random.normal());
    x.push_back(z.back() + 0.5 * random.normal());
    y.push_back(2 * z.back() + 0.5 * random.normal());
  }
  CausalLink link;
  link.cause = "x";
  link.effect = "y";
  link.data.add("x", x).add("y", y).add("z", z);
  InferOptions options;
  options.candidates = {null(), linear(), sigmoid()};
  EXPECT_GT(infer_here(link, options).probability_effect(), 0.99);
  link.confounders = {"z"};
  const auto adjusted = infer_here(link, options);
  EXPECT_EQ(adjusted.type(), "null") << adjusted.to_json();
  const auto& rows = adjusted.best().summary;
  EXPECT_EQ(rows[1].name, "slope.z");
  EXPECT_NEAR(rows[1].mean, 2, 0.2);
}

TEST(Infer, EveryFamilyFindsItsMechanism) {
  mcmc::Random random(8);
  std::vector<double> x, bits, counts, tailed;
  for (int i = 0; i < 300; ++i) {
    x.push_back(random.uniform(0.1, 2));
    const double eta = -2 + 2.5 * x.back();
    bits.push_back(random.uniform() < 1 / (1 + std::exp(-eta)));
    counts.push_back(random.poisson(std::exp(0.5 * eta)));
    tailed.push_back(eta + random.normal() / std::sqrt(random.gamma(2, 0.5)));
  }
  CausalLink link;
  link.cause = "x";
  link.data.add("x", x).add("bits", bits).add("counts", counts).add("tailed", tailed);
  InferOptions options;
  options.candidates = {null(), linear()};
  struct Row {
    Family family;
    const char* effect;
    double slope;
  };
  for (const Row& row :
       {Row{Family::bernoulli, "bits", 2.5}, Row{Family::poisson, "counts", 1.25},
        Row{Family::negative_binomial, "counts", 1.25}, Row{Family::student, "tailed", 2.5}}) {
    link.family = row.family;
    link.effect = row.effect;
    const auto result = infer_here(link, options);
    EXPECT_EQ(result.type(), "linear") << to_string(row.family);
    const auto& slope = result.fit("linear").summary[1];
    EXPECT_LT(std::abs(slope.mean - row.slope), 4 * slope.sd) << to_string(row.family);
  }
}

// Real time: a busy machine needs more of it until each fit has had its share.
TEST(Infer, DeadlineKeepsTheDraws) {
  InferOptions options;
  options.draws = 1'000'000;
  options.keep = KeepDraws::all;
  std::size_t fewest = 0;
  for (auto deadline = 300ms; fewest <= 20 && deadline < 10s; deadline *= 3) {
    options.deadline = deadline;
    const auto started = std::chrono::steady_clock::now();
    const auto result = infer_here(simulated(1, 1), options);
    EXPECT_LT(std::chrono::steady_clock::now() - started, deadline + 10s);
    EXPECT_TRUE(result.report().deadline_reached);
    EXPECT_FALSE(result.conclusive());
    EXPECT_FALSE(result.necessity().passed);
    fewest = SIZE_MAX;
    for (const auto& fit : result.fits()) {
      EXPECT_EQ(fit.status, mcmc::Status::deadline) << fit.mechanism;
      EXPECT_FALSE(fit.probability);
      fewest = std::min(fewest, fit.diagnostics.draws);
      EXPECT_EQ(result.run(fit.mechanism).draws() * 4, fit.diagnostics.draws);
    }
  }
  EXPECT_GT(fewest, 20u) << "each mechanism has its share of the time";
}

TEST(Infer, StopTokenCancels) {
  std::stop_source source;
  source.request_stop();
  const LinkData data = checked(simulated(1, 1));
  const auto report = infer_link(data, candidates_for(data, {}), FitSettings{}, source.get_token());
  for (const auto& fit : report.fits) EXPECT_EQ(fit.status, mcmc::Status::cancelled);
  EXPECT_FALSE(report.conclusive);
}

// A bump: the sigmoid may explain either flank, and its chains sit on different ones.
TEST(Infer, ModesFarApartGetTheirShareWithoutChains) {
  bool weighed = false;
  for (std::uint64_t seed = 0; seed < 8; ++seed) {
    const auto result = infer_here(simulated(2, seed, 100, 1, 1, 0.35));
    EXPECT_EQ(result.type(), "quadratic");
    const auto& fit = result.fit("sigmoid");
    if (fit.method != "importance" || !fit.probability) continue;
    EXPECT_EQ(fit.status, mcmc::Status::ok);
    weighed = true;
  }
  EXPECT_TRUE(weighed);
}

TEST(Infer, AFitThatFailedButIsFarBehindIsLeftOutAloud) {
  bool seen = false;
  for (std::uint64_t seed = 0; seed < 8; ++seed) {
    const auto result = infer_here(simulated(2, seed));
    EXPECT_EQ(result.type(), "quadratic");
    EXPECT_TRUE(result.conclusive());
    const auto& fit = result.fit("sigmoid");
    if (fit.status == mcmc::Status::ok) continue;
    seen = true;
    EXPECT_FALSE(fit.probability);
    EXPECT_NE(fit.reasons.back().find("left out"), std::string::npos);
    EXPECT_LT(fit.log_marginal.value, result.best().log_marginal.value - 15);
  }
  EXPECT_TRUE(seen);
}

TEST(Infer, AMechanismWithoutAFiniteValueSaysSo) {
  InferOptions options;
  options.candidates = {
      null(), mechanism<2>("pole", [](const auto& x, auto t) { return t[0] + t[1] / (x - x); })
                  .parameter("a", mcmc::normal(0, 1))
                  .parameter("b", mcmc::normal(0, 1))};
  const std::string text = text_of<Error>([&] { infer_here(simulated(1, 1), options); });
  EXPECT_NE(text.find("no starting point"), std::string::npos) << text;
}

TEST(Infer, EqualSeedsGiveEqualBytes) {
  const auto a = infer_here(simulated(1, 3)), b = infer_here(simulated(1, 3));
  EXPECT_EQ(mcmc::stan_csv(a.run("linear"), 2), mcmc::stan_csv(b.run("linear"), 2));
  InferOptions other;
  other.seed = 2;
  const auto c = infer_here(simulated(1, 3), other);
  EXPECT_NE(mcmc::stan_csv(a.run("linear"), 2), mcmc::stan_csv(c.run("linear"), 2));
}

TEST(Infer, GoesOnFromItsCheckpoints) {
  const auto folder =
      std::filesystem::temp_directory_path() / ("reeve-checkpoint-" + std::to_string(::getpid()));
  InferOptions options;
  options.candidates = {null(), linear(), emax()};
  options.keep = KeepDraws::all;
  options.rounds = 1;
  options.draws = 6000;
  const auto whole = infer_here(simulated(1, 3), options);
  options.checkpoint_folder = folder.string();
  options.checkpoint_every = 500;
  options.deadline = 60ms;
  int rounds = 0;
  std::optional<InferenceResult> result;
  do {
    result.emplace(infer_here(simulated(1, 3), options));
    options.deadline += 20ms;  // reading what there is takes time, too: much of it under sanitizers
  } while (result->report().deadline_reached && ++rounds < 500);
  EXPECT_GT(rounds, 0);
  for (const auto& fit : whole.fits()) {
    EXPECT_TRUE(mcmc::stan_csv(result->run(fit.mechanism), 1) ==
                mcmc::stan_csv(whole.run(fit.mechanism), 1))
        << fit.mechanism;
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder)) << "a link that is done leaves no checkpoints";
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace reeve::inference
