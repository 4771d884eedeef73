// Scaling advisors: pure functions from a window of measurements to advice.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "reeve/alloc/result.hpp"

namespace reeve::alloc {

/// One measurement of a pool.
struct LoadSample {
  Time at = 0;
  double utilisation = 0;             ///< used / capacity, 0 to 1 (above 1 under debt)
  double contentions_per_minute = 0;  ///< events opened
  double longest_wait_s = 0;          ///< of those that wait now
};

/// Why capacity should change; none when it should not.
enum class ScalingTrigger : std::uint8_t {
  none,
  utilisation,  ///< of the threshold advisor
  contention,
  waiting,
  predicted,  ///< of the predictive advisor
  rate,       ///< of the rate advisor
};

const char* to_string(ScalingTrigger) noexcept;

/// Add (or remove) that many resources; 0 says stay.
struct ScalingAdvice {
  std::int32_t change = 0;
  ScalingTrigger trigger = ScalingTrigger::none;
  friend bool operator==(const ScalingAdvice&, const ScalingAdvice&) = default;
};

/// Steps and pauses that all advisors share.
struct ScalingLimits {
  std::int32_t size_min = 1;
  std::int32_t size_max = 1 << 20;
  std::int32_t step = 1;
  Time cooldown = 300'000'000'000;  ///< ns after a change in which nothing is advised
};

struct ThresholdRule {
  double up = 0.8;
  double down = 0.2;  ///< below `up`: the band between is the hysteresis
  double contentions_per_minute = 5;
  double wait_s = 10;
};

/// Up at `up` utilisation, contentions or waits; down at `down` with neither of them.
/// An empty window advises nothing.
ScalingAdvice advise_by_threshold(std::span<const LoadSample> window, std::int32_t size,
                                  const ThresholdRule& rule = {}, const ScalingLimits& limits = {});

struct RateRule {
  double up_per_minute = 0.05;    ///< rise of utilisation, by least squares over the window
  double down_per_minute = 0.05;  ///< fall; between is the dead band
  std::size_t samples_min = 3;
};

/// Up while utilisation rises fast, down while it falls fast.
ScalingAdvice advise_by_rate(std::span<const LoadSample> window, std::int32_t size,
                             const RateRule& rule = {}, const ScalingLimits& limits = {});

struct PredictiveRule {
  double level = 0.5;      ///< smoothing of the level, 0 to 1
  double trend = 0.2;      ///< of the trend
  double season = 0.3;     ///< of the seasonal part
  std::size_t period = 0;  ///< samples of a season; 0: none
  std::size_t ahead = 1;   ///< samples to look ahead
  double target = 0.6;     ///< utilisation that the change should bring
  double up = 0.8;         ///< predicted utilisation from which to grow
  double down = 0.2;       ///< and to shrink
};

/// A forecast with the evidence for it.
struct Forecast {
  double value = 0;              ///< `ahead` samples after the last
  double error = 0;              ///< mean absolute error of such forecasts inside the window
  double persistence_error = 0;  ///< the same, had one predicted "as now"
  bool trusted = false;          ///< error < persistence_error, over a season and 4 samples or more
};

/// Holt-Winters (additive) over equally spaced values.
/// Source: Holt 1957; Winters 1960.
Forecast forecast(std::span<const double> values, const PredictiveRule& rule = {});

/// Grows or shrinks to what the forecast needs, in one step; advises nothing while the forecast
/// does not beat persistence.
ScalingAdvice advise_by_forecast(std::span<const LoadSample> window, std::int32_t size,
                                 const PredictiveRule& rule = {}, const ScalingLimits& limits = {});

}  // namespace reeve::alloc
