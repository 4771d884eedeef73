// Questions to a result, and its files.
#include <filesystem>
#include <fstream>
#include <reeve/inference/result.hpp>
#include <reeve/mcmc/diagnostics.hpp>

#include "tests/inference/inference_test_support.hpp"

namespace reeve::inference {
namespace {

using test::simulated;
using test::text_of;

const InferenceResult& result() {
  static const InferenceResult r = [] {
    InferOptions options;
    options.candidates = {null(), linear(), emax()};
    return infer_here(simulated(3, 1), options);
  }();
  return r;
}

TEST(InferenceResult, AnswersByName) {
  EXPECT_EQ(result().type(), "emax");
  EXPECT_EQ(result().link(), "emax 1");
  EXPECT_TRUE(result().conclusive());
  double total = 0;
  for (const auto& fit : result().fits()) total += result().posterior_probability(fit.mechanism);
  EXPECT_NEAR(total, 1, 1e-12);
  EXPECT_GT(result().log_marginal("emax").value, result().log_marginal("null").value);
  const std::string text = text_of<ConfigError>([] { result().fit("hill"); });
  EXPECT_NE(text.find("null, linear, emax"), std::string::npos) << text;
}

TEST(InferenceResult, SaysWhatWasNotKept) {
  EXPECT_EQ(result().run("emax").draws(), 250u);
  EXPECT_NE(text_of<ConfigError>([] { result().run("linear"); }).find("KeepDraws::all"),
            std::string::npos);
  EXPECT_NE(text_of<ConfigError>([] { result().loo("linear"); }).find("LooOf::all"),
            std::string::npos);
}

TEST(InferenceResult, BandFollowsTheTruth) {
  const auto band = result().band("emax", 20);
  ASSERT_EQ(band.x.size(), 20u);
  for (std::size_t i = 0; i < band.x.size(); ++i) {
    EXPECT_LT(band.low[i], band.middle[i]);
    EXPECT_LT(band.middle[i], band.high[i]);
    EXPECT_NEAR(band.middle[i], test::truth_at(3, band.x[i]), 0.15) << band.x[i];
  }
}

TEST(InferenceResult, WritesFiles) {
  const auto folder =
      std::filesystem::temp_directory_path() / ("reeve-result-" + std::to_string(::getpid()));
  const auto files = result().write_stan_csv(folder);
  ASSERT_EQ(files.size(), 4u);
  std::ifstream in(files[0]);
  std::string line;
  while (std::getline(in, line) && line.starts_with('#')) {
  }
  EXPECT_NE(line.find("ec50"), std::string::npos) << line;
  result().write_inference_data(folder);
  EXPECT_TRUE(std::filesystem::exists(folder / "emax.zarr" / ".zgroup"));
  std::filesystem::remove_all(folder);
}

// Plots and files show what the summaries say: the data's units, and the derived quantity.
TEST(InferenceResult, DrawsInUnitsAreThoseOfTheSummary) {
  auto bent =
      mechanism<2>("bent: a / b", [](const auto& x, auto t) { return t[0] * x / (x + t[1]); });
  bent.parameter("top", mcmc::normal(0, 5), Unit::change)
      .parameter("half", mcmc::lognormal(-1.2, 1), Unit::point)
      .scale(CauseScale::ratio)
      .through_zero();
  InferOptions options;
  options.candidates = {null(), linear(), sigmoid(), bent};
  options.keep = KeepDraws::all;
  options.warmup = 170;
  options.seed = 5;
  CausalLink link = simulated(4, 1, 100, 1000, 1e-3);
  link.cause_unit = "ng/ml";
  link.effect_unit = "V";
  const auto r = infer_here(link, options);
  for (const auto& fit : r.fits()) {
    const auto run = r.run_in_units(fit.mechanism);
    ASSERT_EQ(run.size(), fit.summary.size());
    for (std::size_t i = 0; i < run.size(); ++i) {
      const auto& row = fit.summary[i];
      EXPECT_EQ(run.names()[i], row.name);
      EXPECT_NEAR(mcmc::mean(run.values(i)), row.mean, 1e-9 * std::abs(row.mean) + 1e-12 * row.sd);
      EXPECT_NEAR(run.summary()[i].sd, row.sd, 1e-9 * row.sd);
    }
    EXPECT_EQ(r.run(fit.mechanism).chains()[0].q, run.chains()[0].q);
    EXPECT_NE(mcmc::stan_csv(run, 0).find("num_warmup = 170\n"), std::string::npos);
    EXPECT_NE(mcmc::stan_csv(run, 0).find("units of the data"), std::string::npos);
    EXPECT_EQ(mcmc::stan_csv(run, 0).find("seed = 0\n"), std::string::npos);
  }
  EXPECT_EQ(r.run("null").seed, 5u);
  EXPECT_EQ(r.run_in_units("sigmoid").names().back(), "rise");
  EXPECT_EQ(r.unit("sigmoid", "rise"), "V");
  EXPECT_EQ(r.unit("sigmoid", "midpoint"), "ng/ml");
  EXPECT_EQ(r.unit("sigmoid", "rate"), "1/(ng/ml)");
  EXPECT_EQ(r.unit("linear", "slope"), "V/(ng/ml)");
  EXPECT_EQ(r.unit("linear", "sigma"), "V");
  const auto folder =
      std::filesystem::temp_directory_path() / ("reeve-units-" + std::to_string(::getpid()));
  for (const auto& file : r.write_stan_csv(folder))
    EXPECT_EQ(file.filename().string().find_first_of(" :/"), std::string::npos) << file;
  r.write_inference_data(folder);
  EXPECT_TRUE(std::filesystem::exists(folder / "sigmoid.zarr" / "posterior" / "rise" / "0.0"));
  EXPECT_TRUE(std::filesystem::exists(folder / "bent--a---b.zarr" / "posterior"));
  std::filesystem::remove_all(folder);
}

TEST(InferenceResult, JsonHasEveryField) {
  const std::string json = result().to_json();
  for (const char* key : {"\"type\":\"emax\"", "\"strength\"", "\"probability_effect\"",
                          "\"probability_direction\"", "\"necessity\"", "\"fits\"", "\"rhat\"",
                          "\"log_marginal\"", "\"loo\":null", "\"worker\":\"\""})
    EXPECT_NE(json.find(key), std::string::npos) << key;
  EXPECT_EQ(json.find("nan"), std::string::npos);
}

TEST(Evidence, HasWords) {
  for (const Evidence e :
       {Evidence::convergence, Evidence::effect, Evidence::direction, Evidence::mechanism,
        Evidence::identifiability, Evidence::data, Evidence::prediction})
    EXPECT_STRNE(to_string(e), "unknown");
}

}  // namespace
}  // namespace reeve::inference
