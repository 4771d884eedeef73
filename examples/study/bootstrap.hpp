// Case-resampling bootstrap of a curve fit, in chunks that any process may compute.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "curves.hpp"

namespace study {

/// Hears the share done in percent, 0 to 100; returning false ends the chunk early.
using ProgressHook = bool (*)(double percent);

/// Estimates of the resamples [first, first + done), row by row, without those that could not be
/// fitted.
struct BootstrapChunk {
  int first = 0;
  int done = 0;
  int failures = 0;
  std::vector<double> estimates;
};

/// Refits the curve to `count` resamples of the points, numbered from `first`.
///
/// Resample i draws from the random stream (seed, i): how the resamples are split in chunks, and
/// where the chunks run, does not show in the result.
/// Errors: reeve::ConfigError for a negative count, columns of unequal length, or data that the
///         curve cannot be fitted to at all.
BootstrapChunk bootstrap_chunk(std::vector<double> x, std::vector<double> y, CurveKind kind,
                               std::uint64_t seed, int first, int count,
                               ProgressHook on_progress = nullptr);

/// One parameter of the curve, as the bootstrap sees it.
struct Interval {
  double estimate = 0;  // from all the data
  double error = 0;     // standard deviation of the resamples' estimates
  double lower = 0;     // percentile 2.5
  double upper = 0;     // percentile 97.5
};

struct BootstrapResult {
  std::vector<Interval> parameters;
  int done = 0;
  int failures = 0;
};

/// Puts chunks together, in whatever order they arrived.
/// Preconditions: `estimates` are those of the fit to all data.
BootstrapResult combine(std::span<const double> estimates, std::vector<BootstrapChunk> chunks);

/// The whole bootstrap in this process.
BootstrapResult bootstrap_fit(std::vector<double> x, std::vector<double> y, CurveKind kind,
                              int resamples, std::uint64_t seed,
                              ProgressHook on_progress = nullptr);

/// The quantile `q` in [0, 1] of sorted values, linear between neighbours (R's type 7).
double quantile(std::span<const double> sorted, double q);

}  // namespace study
