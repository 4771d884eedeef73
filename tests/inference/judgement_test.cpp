// What the fits of a link are allowed to say: weights, chains that disagree, time, files, LOO.
#include <filesystem>
#include <reeve/base/clock.hpp>
#include <reeve/inference/infer.hpp>

#include "inference/fit.hpp"
#include "tests/inference/inference_test_support.hpp"

namespace reeve::inference {
namespace {

using namespace std::chrono_literals;
using test::quick;
using test::simulated;
using test::text_of;

Fit fit_with(const Mechanism& mechanism, double log_marginal, double se) {
  Fit fit;
  fit.mechanism = &mechanism;
  fit.of_data.value = log_marginal;
  fit.of_data.se = se;
  fit.of_data.converged = true;
  return fit;
}

TEST(Judgement, PriorWeightsDecideWhoIsBehind) {
  const Mechanism plain = linear(), heavy = linear().weight(1e6), light = linear().weight(1e-6);
  EXPECT_TRUE(is_behind(fit_with(plain, -12, 0), 0, 10));
  EXPECT_FALSE(is_behind(fit_with(heavy, -12, 0), 0, 10));
  EXPECT_FALSE(is_behind(fit_with(plain, -1, 0), 0, 10));
  EXPECT_TRUE(is_behind(fit_with(light, -1, 0), 0, 10));
  EXPECT_FALSE(is_behind(fit_with(light, -1, 1.5), 0, 10)) << "an error that large says nothing";
}

// Four chains that stand at four points.
std::unique_ptr<mcmc::Run> stuck(const mcmc::Density& density, const mcmc::Run& around,
                                 double apart) {
  mcmc::Random random(3);
  std::vector<mcmc::Chain> chains = around.chains();
  for (std::size_t c = 0; c < chains.size(); ++c)
    for (double& v : chains[c].q) v += apart * double(c);
  return std::make_unique<mcmc::Run>(density, std::move(chains), mcmc::Run::Unassessed{});
}

// The bridge of chains that disagree may be anything: too high it must not push others aside, too
// low it must not leave the fit out.
TEST(Judgement, ChainsThatDisagreeSayNothingAboutOthers) {
  const LinkData data = checked(simulated(1, 1));
  const Mechanism good = linear(), bad = quadratic();
  const mcmc::Density good_density = density_of(data, good), bad_density = density_of(data, bad);
  for (const double bogus : {500.0, -500.0}) {
    std::vector<Fit> fits;
    fits.push_back(fit_with(good, 40, 0.01));
    fits.back().run = std::make_unique<mcmc::Run>(mcmc::sample(good_density));
    fits.push_back(fit_with(bad, bogus, 0.01));
    fits.back().run = stuck(bad_density, mcmc::sample(bad_density), 0.3);
    assess(data, fits);
    EXPECT_EQ(fits[0].run->status(), mcmc::Status::ok);
    EXPECT_FALSE(fits[0].dominated) << "by chains that disagree";
    EXPECT_EQ(fits[1].run->status(), mcmc::Status::not_converged);
    EXPECT_FALSE(fits[1].left_out) << "its likelihood reaches as far as the best fit's";
    // Far behind in truth: the same chains against a fit that explains the data much better.
    fits[0].of_data.value = 400;
    assess(data, fits);
    EXPECT_TRUE(fits[1].left_out);
  }
}

TEST(Judgement, TimeThatEndsBetweenTwoRoundsIsSaid) {
  const LinkData data = checked(simulated(1, 1));
  FitSettings settings;
  settings.se_limit = 1e-9;  // asks for a second round
  settings.rounds = 2;
  settings.loo = LooOf::none;
  ManualClock clock;
  Watch watch;
  watch.until = mcmc::StopWhen(1h, clock);
  watch.progress = [&](double percent, std::string_view) {
    if (percent >= 80) clock.advance(2h);
  };
  const LinkReport report = infer_watched(data, {null(), linear()}, settings, watch);
  EXPECT_TRUE(report.deadline_reached);
  for (const auto& fit : report.fits) EXPECT_EQ(fit.rounds, 1) << fit.mechanism;
  watch.progress = nullptr;
  watch.until = mcmc::StopWhen(1h, clock);
  settings.se_limit = 0.1;
  EXPECT_FALSE(infer_watched(data, {null(), linear()}, settings, watch).deadline_reached);
}

struct Folder {
  std::filesystem::path path =
      std::filesystem::temp_directory_path() / ("reeve-judgement-" + std::to_string(::getpid()));
  ~Folder() { std::filesystem::remove_all(path); }
};

TEST(Judgement, CheckpointsOfOtherOptionsAreRefusedByName) {
  const Folder folder;
  InferOptions options = quick();
  options.draws = 1'000'000;
  options.deadline = 30ms;
  options.checkpoint_folder = folder.path.string();
  ASSERT_TRUE(infer_here(simulated(1, 1), options).report().deadline_reached);
  struct Change {
    const char* name;
    void (*change)(InferOptions&);
  };
  for (const Change& c :
       {Change{"draws", [](InferOptions& o) { o.draws = 200'000; }},
        Change{"chains", [](InferOptions& o) { o.chains = 3; }},
        Change{"warmup", [](InferOptions& o) { o.warmup = 500; }},
        Change{"seed", [](InferOptions& o) { o.seed = 9; }},
        Change{"target_ess", [](InferOptions& o) { o.target_ess = 400; }},
        Change{"target_accept", [](InferOptions& o) { o.target_accept = 0.7; }}}) {
    InferOptions other = options;
    c.change(other);
    const std::string text = text_of<ConfigError>([&] { infer_here(simulated(1, 1), other); });
    EXPECT_NE(text.find(c.name), std::string::npos) << text;
    EXPECT_NE(text.find(".checkpoint"), std::string::npos) << text;
  }
  CausalLink other_data = simulated(1, 2);
  other_data.name = name_of(simulated(1, 1));
  const std::string text = text_of<ConfigError>([&] { infer_here(other_data, options); });
  EXPECT_NE(text.find("other data"), std::string::npos) << text;
  EXPECT_NE(text.find(folder.path.string() + "/linear%201.linear.1.checkpoint"), std::string::npos)
      << text;
  // What says nothing about the draws may change.
  options.interval = 0.5;
  options.keep = KeepDraws::none;
  EXPECT_NO_THROW(infer_here(simulated(1, 1), options));
  // Each candidate has a seed of its own; what is told is the user's.
  std::filesystem::remove(folder.path / "linear%201.null.1.checkpoint");
  options.seed = 9;
  const std::string of_linear = text_of<ConfigError>([&] { infer_here(simulated(1, 1), options); });
  EXPECT_NE(of_linear.find("seed = 1, and now it is 9"), std::string::npos) << of_linear;
}

std::string lack_of_prediction(const InferenceResult& result) {
  for (const Lack& lack : result.necessity().missing)
    if (lack.evidence == Evidence::prediction) return lack.text;
  return "";
}

TEST(Judgement, NecessityNeedsALooThatCanBeTrusted) {
  InferOptions options = quick();
  EXPECT_TRUE(infer_here(simulated(1, 5), options).necessity().passed);
  options.loo = LooOf::none;
  const auto without = infer_here(simulated(1, 5), options);
  EXPECT_FALSE(without.necessity().passed);
  EXPECT_NE(lack_of_prediction(without).find("options.loo"), std::string::npos);

  options.loo = LooOf::best_and_null;
  CausalLink link = simulated(1, 5, 12);
  std::vector<double> x = link.data.numbers("x"), y = link.data.numbers("y");
  x.push_back(20), y.push_back(0.3 + 0.5 * 20);  // one row decides everything
  link.data = Table();
  link.data.add("x", x).add("y", y);
  const auto fragile = infer_here(link, options);
  ASSERT_EQ(fragile.type(), "linear");
  ASSERT_GT(fragile.loo("linear").bad_k + fragile.loo("null").bad_k, 0u);
  EXPECT_NE(lack_of_prediction(fragile).find("cannot be trusted"), std::string::npos)
      << fragile.to_json();
}

TEST(Judgement, NoMechanismIsAnError) {
  const LinkData data = checked(simulated(1, 1));
  const std::string text = text_of<ConfigError>([&] { (void)infer_link(data, {}, FitSettings{}); });
  EXPECT_NE(text.find("linear 1"), std::string::npos) << text;
  EXPECT_NE(text.find("no mechanism"), std::string::npos) << text;
}

}  // namespace
}  // namespace reeve::inference
