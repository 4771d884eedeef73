// Thresholds, slopes and forecasts.
#include "reeve/alloc/scaling.hpp"

#include <algorithm>
#include <cmath>

namespace reeve::alloc {

namespace {

ScalingAdvice within(std::int32_t change, ScalingTrigger trigger, std::int32_t size,
                     const ScalingLimits& limits) {
  const auto to = std::clamp<std::int64_t>(std::int64_t{size} + change, limits.size_min,
                                           std::max(limits.size_min, limits.size_max));
  const auto allowed = static_cast<std::int32_t>(to - size);
  // Limits bring a pool back into its range, but never turn an advice round.
  if (allowed == 0 || (allowed > 0) != (change > 0)) return {};
  return {allowed, trigger};
}

}  // namespace

const char* to_string(ScalingTrigger t) noexcept {
  static constexpr const char* names[] = {"none",    "utilisation", "contention",
                                          "waiting", "predicted",   "rate"};
  return names[static_cast<int>(t)];
}

ScalingAdvice advise_by_threshold(std::span<const LoadSample> window, std::int32_t size,
                                  const ThresholdRule& rule, const ScalingLimits& limits) {
  if (window.empty()) return {};
  const LoadSample& now = window.back();
  if (now.utilisation >= rule.up)
    return within(limits.step, ScalingTrigger::utilisation, size, limits);
  if (now.contentions_per_minute >= rule.contentions_per_minute)
    return within(limits.step, ScalingTrigger::contention, size, limits);
  if (now.longest_wait_s >= rule.wait_s)
    return within(limits.step, ScalingTrigger::waiting, size, limits);
  if (now.utilisation <= rule.down && now.longest_wait_s == 0)
    return within(-limits.step, ScalingTrigger::utilisation, size, limits);
  return {};
}

ScalingAdvice advise_by_rate(std::span<const LoadSample> window, std::int32_t size,
                             const RateRule& rule, const ScalingLimits& limits) {
  if (window.size() < std::max<std::size_t>(2, rule.samples_min)) return {};
  double mean_t = 0;
  double mean_u = 0;
  const auto minutes = [&](const LoadSample& s) { return double(s.at - window[0].at) / 60e9; };
  for (const auto& s : window) {
    mean_t += minutes(s);
    mean_u += s.utilisation;
  }
  mean_t /= double(window.size());
  mean_u /= double(window.size());
  double cross = 0;
  double square = 0;
  for (const auto& s : window) {
    cross += (minutes(s) - mean_t) * (s.utilisation - mean_u);
    square += (minutes(s) - mean_t) * (minutes(s) - mean_t);
  }
  if (square <= 0) return {};
  const double slope = cross / square;
  if (slope >= rule.up_per_minute) return within(limits.step, ScalingTrigger::rate, size, limits);
  if (slope <= -rule.down_per_minute)
    return within(-limits.step, ScalingTrigger::rate, size, limits);
  return {};
}

Forecast forecast(std::span<const double> values, const PredictiveRule& rule) {
  Forecast f;
  if (values.empty()) return f;
  const std::size_t n = values.size();
  const std::size_t period = n >= 2 * rule.period ? rule.period : 0;
  const std::size_t ahead = std::max<std::size_t>(1, rule.ahead);
  double level = values[0];
  double trend = 0;
  std::vector<double> season(period, 0);
  if (period > 0) {
    double first = 0;
    double second = 0;
    for (std::size_t i = 0; i < period; ++i) {
      first += values[i] / double(period);
      second += values[period + i] / double(period);
    }
    level = first;
    trend = (second - first) / double(period);
    for (std::size_t i = 0; i < period; ++i) season[i] = values[i] - first;
  }
  const auto seasonal = [&](std::size_t i) { return period > 0 ? season[i % period] : 0.0; };
  std::size_t judged = 0;
  for (std::size_t i = period > 0 ? 0 : 1; i < n; ++i) {
    const double before = level;
    level = rule.level * (values[i] - seasonal(i)) + (1 - rule.level) * (level + trend);
    trend = rule.trend * (level - before) + (1 - rule.trend) * trend;
    if (period > 0)
      season[i % period] =
          rule.season * (values[i] - level) + (1 - rule.season) * season[i % period];
    if (i + ahead >= n || i < period) continue;
    const double guess = level + double(ahead) * trend + seasonal(i + ahead);
    f.error += std::abs(values[i + ahead] - guess);
    f.persistence_error += std::abs(values[i + ahead] - values[i]);
    ++judged;
  }
  f.value = level + double(ahead) * trend + seasonal(n - 1 + ahead);
  if (judged == 0) return f;
  f.error /= double(judged);
  f.persistence_error /= double(judged);
  f.trusted = judged >= 4 && f.error < f.persistence_error;
  return f;
}

ScalingAdvice advise_by_forecast(std::span<const LoadSample> window, std::int32_t size,
                                 const PredictiveRule& rule, const ScalingLimits& limits) {
  std::vector<double> values;
  values.reserve(window.size());
  for (const auto& s : window) values.push_back(s.utilisation);
  const auto f = forecast(values, rule);
  if (!f.trusted || (f.value < rule.up && f.value > rule.down)) return {};
  const double wanted = std::ceil(std::max(0.0, f.value) * size / rule.target - 1e-9);
  const auto change = static_cast<std::int32_t>(std::clamp(wanted - size, -1e6, 1e6));
  return within(change, ScalingTrigger::predicted, size, limits);
}

}  // namespace reeve::alloc
