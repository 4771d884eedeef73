// Files: CSV that reads back bit by bit, zarr layout, valid JSON, well-formed SVG.
#include <reeve/base/error.hpp>
#include <reeve/mcmc.hpp>

#include <boost/json.hpp>

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "tests/support/pch.hpp"

namespace reeve::mcmc {
namespace {

namespace fs = std::filesystem;

mcmc::Run small_run() {
  Parameters p;
  p.real("mu", 2, normal(0, 1)).positive("tau", 0, half_normal(1));
  SampleOptions o;
  o.draws = 40;
  return sample(density<3>(p, [](auto t) { return -0.5 * square(t[0] - t[1]) / t[2]; }), o);
}

std::string read(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

class Output : public ::testing::Test {
 protected:
  Output() : folder(fs::temp_directory_path() / ("reeve_out_" + std::to_string(::getpid()))) {}
  ~Output() override { fs::remove_all(folder); }
  fs::path folder;
};

TEST_F(Output, stan_csv_reads_back_bit_by_bit) {
  const auto run = small_run();
  const auto paths = write_stan_csv(run, folder, "x");
  ASSERT_EQ(paths.size(), 4u);
  std::istringstream text(read(paths[1]));
  std::string line;
  std::size_t row = 0;
  bool header = false, adaptation = false;
  while (std::getline(text, line)) {
    adaptation = adaptation || line == "# Adaptation terminated";
    if (line[0] == '#') continue;
    if (!header) {
      EXPECT_EQ(line,
                "lp__,accept_stat__,stepsize__,treedepth__,n_leapfrog__,divergent__,energy__,mu.1,"
                "mu.2,tau");
      header = true;
      continue;
    }
    std::istringstream fields(line);
    std::vector<double> v;
    for (std::string f; std::getline(fields, f, ',');) v.push_back(std::strtod(f.c_str(), nullptr));
    ASSERT_EQ(v.size(), 10u);
    EXPECT_EQ(v[0], run.chains()[1].stats[row].lp);
    for (std::size_t p = 0; p < 3; ++p) EXPECT_EQ(v[7 + p], run.values(p)[1][row]);
    ++row;
  }
  EXPECT_EQ(row, 40u);
  EXPECT_TRUE(adaptation);
  EXPECT_EQ(stan_csv(run, 1), stan_csv(small_run(), 1)) << "equal runs, equal bytes";
}

TEST_F(Output, zarr_has_the_inference_data_layout) {
  const auto run = small_run();
  write_inference_data(run, folder / "run.zarr");
  const fs::path posterior = folder / "run.zarr" / "posterior";
  const auto meta = boost::json::parse(read(posterior / "mu" / ".zarray")).as_object();
  EXPECT_EQ(meta.at("shape"), (boost::json::array{4, 40, 2}));
  EXPECT_EQ(meta.at("dtype").as_string(), "<f8");
  const auto attributes = boost::json::parse(read(posterior / "mu" / ".zattrs")).as_object();
  EXPECT_EQ(attributes.at("_ARRAY_DIMENSIONS"), (boost::json::array{"chain", "draw", "mu_dim_0"}));
  const std::string bytes = read(posterior / "mu" / "0.0.0");
  ASSERT_EQ(bytes.size(), 4 * 40 * 2 * sizeof(double));
  double v = 0;
  std::memcpy(&v, bytes.data() + sizeof(double) * ((2 * 40 + 7) * 2 + 1), sizeof v);
  EXPECT_EQ(v, run.values(1)[2][7]);
  for (const char* name :
       {"lp", "acceptance_rate", "step_size", "energy", "tree_depth", "n_steps", "diverging"})
    EXPECT_TRUE(fs::exists(folder / "run.zarr" / "sample_stats" / name / "0.0")) << name;
  EXPECT_EQ(read(folder / "run.zarr" / "sample_stats" / "diverging" / "0.0").size(), 160u);
}

TEST_F(Output, summary_is_json_also_without_draws) {
  const auto full = boost::json::parse(summary_json(small_run())).as_object();
  EXPECT_EQ(full.at("parameters").as_array().size(), 3u);
  const auto empty =
      boost::json::parse(summary_json(mcmc::Run(density<1>([](auto t) { return t[0]; }), {})))
          .as_object();
  EXPECT_EQ(empty.at("status").as_string(), "not_converged");
}

TEST_F(Output, plots_are_closed_svg_documents) {
  const auto run = small_run();
  PredictiveBand band{{0, 1, 2}, {0, 1, 2}, {1, 2, 3}, {2, 3, 4}};
  for (const auto& svg : {trace_svg(run, 0), rank_svg(run, 0), density_svg(run, 2),
                          predictive_svg(band, {0.5, 1.5}, {1, 2}, "a < b & c")}) {
    EXPECT_TRUE(svg.starts_with("<svg "));
    EXPECT_TRUE(svg.ends_with("</svg>\n"));
    EXPECT_EQ(svg.find("nan"), std::string::npos);
    EXPECT_EQ(svg.find("a < b"), std::string::npos);
  }
}

TEST_F(Output, every_axis_has_a_name) {
  const auto run = small_run();
  const PredictiveBand band{{0, 1, 2}, {0, 1, 2}, {1, 2, 3}, {2, 3, 4}};
  const auto named = [](const std::string& svg, const std::string& axis) {
    const auto from = svg.find("<text class=\"" + axis + "\"");
    const auto open = svg.find('>', from), close = svg.find("</text>", open);
    return from == std::string::npos ? "" : svg.substr(open + 1, close - open - 1);
  };
  const auto expect = [&](const std::string& svg, const char* x, const char* y) {
    EXPECT_EQ(named(svg, "x-axis"), x);
    EXPECT_EQ(named(svg, "y-axis"), y);
  };
  expect(trace_svg(run, 2), "draw", "tau");
  expect(trace_svg(run, 2, "ms"), "draw", "tau [ms]");
  expect(rank_svg(run, 0), "rank among all draws", "draws per bin");
  expect(density_svg(run, 1), "mu.2", "density");
  expect(density_svg(run, 1, "kg"), "mu.2 [kg]", "density [1/kg]");
  expect(predictive_svg(band, {0.5}, {1}, "t", "dose [mg]", "rate < 1"), "dose [mg]",
         "rate &lt; 1");
}

TEST_F(Output, a_legend_names_the_colours) {
  const auto run = small_run();
  const auto count = [](const std::string& svg) {
    std::size_t n = 0;
    for (auto at = svg.find("class=\"legend\""); at != std::string::npos; ++n)
      at = svg.find("class=\"legend\"", at + 1);
    return n;
  };
  for (const auto& svg : {trace_svg(run, 0), rank_svg(run, 0), density_svg(run, 0)}) {
    EXPECT_EQ(count(svg), 4u);
    EXPECT_NE(svg.find(">chain 4</text>"), std::string::npos);
  }
  PredictiveBand band{{0, 1, 2}, {0, 1, 2}, {1, 2, 3}, {2, 3, 4}};
  band.label = "90 % interval";
  const auto svg = predictive_svg(band, {0.5}, {1}, "t");
  EXPECT_EQ(count(svg), 3u);
  EXPECT_NE(svg.find(">90 % interval</text>"), std::string::npos);
  const mcmc::Run many(density<1>([](auto t) { return -0.5 * t[0] * t[0]; }),
                       std::vector<Chain>(9, Chain{{0.1, 0.2}, std::vector<DrawStats>(2)}));
  EXPECT_EQ(count(trace_svg(many, 0)), 6u) << "as many as there are colours";
}

TEST_F(Output, a_run_is_shown_under_other_names_and_values) {
  const auto run = small_run();
  ChainDraws doubled = run.values(2);
  for (auto& chain : doubled)
    for (double& v : chain) v *= 2;
  const auto shown = run.shown_as({"twice tau"}, {doubled});
  ASSERT_EQ(shown.size(), 1u);
  EXPECT_NEAR(shown.summary()[0].mean, 2 * run.summary()[2].mean, 1e-12);
  EXPECT_NE(stan_csv(shown, 0).find("energy__,twice tau\n"), std::string::npos);
  EXPECT_NE(trace_svg(shown, 0, "s").find("twice tau [s]"), std::string::npos);
  write_inference_data(shown, folder);
  EXPECT_TRUE(fs::exists(folder / "posterior" / "twice tau" / "0.0"));
  EXPECT_FALSE(fs::exists(folder / "posterior" / "mu"));
  EXPECT_EQ(shown.chains()[1].q, run.chains()[1].q);
  EXPECT_THROW(run.shown_as({"a", "b"}, {doubled}), ConfigError);
  doubled.pop_back();
  EXPECT_THROW(run.shown_as({"a"}, {doubled}), ConfigError);
}

TEST_F(Output, a_folder_that_cannot_be_written_is_an_error) {
  EXPECT_THROW(write_file("/proc/reeve/none", "x"), Error);
}

}  // namespace
}  // namespace reeve::mcmc
