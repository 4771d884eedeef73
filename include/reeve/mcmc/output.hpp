// Draws as files: Stan CSV, InferenceData in zarr, summary JSON, SVG plots.
#pragma once

#include <reeve/mcmc/run.hpp>

#include <filesystem>
#include <string>
#include <vector>

namespace reeve::mcmc {

/// One file per chain, `name-1.csv` ..., in the layout that rstan::read_stan_csv and posterior
/// read. 17 digits: what is read back is what was drawn. Equal runs give equal bytes (no times, no
/// dates).
///
/// Errors: Error when the folder or a file cannot be written.
std::vector<std::filesystem::path> write_stan_csv(const Run& run,
                                                  const std::filesystem::path& folder,
                                                  const std::string& name = "chain");
/// The text of one chain's file.
std::string stan_csv(const Run& run, std::size_t chain);

/// An InferenceData-like zarr v2 folder: groups posterior and sample_stats, arrays (chain, draw[,
/// dim]), uncompressed little-endian doubles. Read with zarr.open or xarray.open_zarr(path,
/// group=...).
void write_inference_data(const Run& run, const std::filesystem::path& path);

/// Status, reasons, diagnostics and one row per parameter. NaN and infinity become null.
std::string summary_json(const Run& run);

/// Plots without scripts, fonts or network: the same draws give the same bytes. Every axis has a
/// name, that of a parameter's values is the parameter, with `unit` in brackets when there is one;
/// a legend says what each colour is.
std::string trace_svg(const Run& run, std::size_t parameter, const std::string& unit = "");
/// Ranks of each chain's draws among all: flat histograms when chains agree.
std::string rank_svg(const Run& run, std::size_t parameter);
std::string density_svg(const Run& run, std::size_t parameter, const std::string& unit = "");

struct PredictiveBand {
  std::vector<double> x, low, middle, high;  ///< sorted by x
  std::string label = "interval";            ///< of low to high, for the legend: "90 % interval"
};
/// Posterior predictive band with the data on top; `x_name` and `y_name` say what they are, with
/// their units.
std::string predictive_svg(const PredictiveBand& band, const std::vector<double>& x,
                           const std::vector<double>& y, const std::string& title,
                           const std::string& x_name = "x", const std::string& y_name = "y");

/// Writes `text` to `path`, creating folders. Errors: Error.
void write_file(const std::filesystem::path& path, const std::string& text);

}  // namespace reeve::mcmc
