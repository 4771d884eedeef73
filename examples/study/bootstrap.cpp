// Keyed random streams make every resample independent of its chunk.
#include "bootstrap.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include <reeve/base/error.hpp>

#include "fit.hpp"

namespace study {
namespace {

// The finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
constexpr std::uint64_t mix(std::uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

constexpr std::uint64_t golden = 0x9e3779b97f4a7c15u;

// Draw number `draw` of the stream (seed, index), in [0, bound).
std::size_t pick(std::uint64_t seed, int index, std::size_t draw, std::size_t bound) {
  const std::uint64_t key =
      mix(mix(seed + golden) + golden * static_cast<std::uint64_t>(index + 1));
  const std::uint64_t bits = mix(key + golden * (draw + 1)) >> 32;
  return static_cast<std::size_t>((bits * bound) >> 32);
}

Fit fit_or_throw(CurveKind kind, std::span<const double> x, std::span<const double> y) {
  if (x.empty() || x.size() != y.size()) {
    throw reeve::ConfigError("the columns have " + std::to_string(x.size()) + " and " +
                             std::to_string(y.size()) +
                             " values; they need the same number, at least one");
  }
  auto fit = fit_curve(kind, x, y);
  if (fit.status == FitStatus::converged) return fit;
  throw reeve::ConfigError("the curve '" + std::string(family(kind).name) +
                           "' cannot be fitted to the " + std::to_string(x.size()) +
                           " points; choose one with fewer parameters");
}

}  // namespace

BootstrapChunk bootstrap_chunk(std::vector<double> x, std::vector<double> y, CurveKind kind,
                               std::uint64_t seed, int first, int count, ProgressHook on_progress) {
  if (first < 0 || count < 0 || count > std::numeric_limits<int>::max() - first) {
    throw reeve::ConfigError("the chunk starts at " + std::to_string(first) + " and has " +
                             std::to_string(count) + " resamples; neither may be negative");
  }
  const auto whole = fit_or_throw(kind, x, y);
  const int report_every = std::max(1, count / 100);
  BootstrapChunk chunk{.first = first, .done = 0, .failures = 0, .estimates = {}};
  std::vector<double> rx(x.size()), ry(y.size());
  while (chunk.done < count) {
    for (std::size_t i = 0; i < x.size(); ++i) {
      const auto chosen = pick(seed, first + chunk.done, i, x.size());
      rx[i] = x[chosen];
      ry[i] = y[chosen];
    }
    const auto fit = fit_curve(kind, rx, ry, whole.estimates);
    if (fit.status == FitStatus::converged) {
      chunk.estimates.insert(chunk.estimates.end(), fit.estimates.begin(), fit.estimates.end());
    } else {
      ++chunk.failures;
    }
    ++chunk.done;
    const bool report = on_progress && (chunk.done % report_every == 0 || chunk.done == count);
    if (report && !on_progress(100.0 * chunk.done / count)) break;
  }
  return chunk;
}

BootstrapResult combine(std::span<const double> estimates, std::vector<BootstrapChunk> chunks) {
  std::sort(chunks.begin(), chunks.end(),
            [](const auto& a, const auto& b) { return a.first < b.first; });
  const std::size_t n = estimates.size();
  BootstrapResult result;
  for (const auto& chunk : chunks) {
    result.done += chunk.done;
    result.failures += chunk.failures;
  }
  for (std::size_t parameter = 0; parameter < n; ++parameter) {
    std::vector<double> draws;
    for (const auto& chunk : chunks) {
      for (std::size_t i = parameter; i < chunk.estimates.size(); i += n)
        draws.push_back(chunk.estimates[i]);
    }
    double mean = 0, spread = 0;
    for (const double draw : draws) mean += draw / static_cast<double>(draws.size());
    for (const double draw : draws) spread += (draw - mean) * (draw - mean);
    std::sort(draws.begin(), draws.end());
    const double freedom = static_cast<double>(draws.size()) - 1;
    result.parameters.push_back({.estimate = estimates[parameter],
                                 .error = std::sqrt(spread / freedom),
                                 .lower = quantile(draws, 0.025),
                                 .upper = quantile(draws, 0.975)});
  }
  return result;
}

BootstrapResult bootstrap_fit(std::vector<double> x, std::vector<double> y, CurveKind kind,
                              int resamples, std::uint64_t seed, ProgressHook on_progress) {
  const auto whole = fit_or_throw(kind, x, y);
  std::vector<BootstrapChunk> chunks;
  chunks.push_back(
      bootstrap_chunk(std::move(x), std::move(y), kind, seed, 0, resamples, on_progress));
  return combine(whole.estimates, std::move(chunks));
}

double quantile(std::span<const double> sorted, double q) {
  if (sorted.empty()) return NAN;
  const double place = q * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(place);
  const auto above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (place - static_cast<double>(below)) * (sorted[above] - sorted[below]);
}

}  // namespace study
