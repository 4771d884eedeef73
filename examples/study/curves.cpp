// Formulas of the curve families.
#include "curves.hpp"

#include <algorithm>
#include <array>
#include <cmath>

namespace study {
namespace {

double sigmoid(double t) {
  return 1 / (1 + std::exp(-t));
}

// d/dp of `height * sigmoid((x - xmid) / scal)`: by height, by xmid, by scal.
std::array<double, 3> sigmoid_slopes(double x, double height, double xmid, double scal) {
  const double t = (x - xmid) / scal;
  const double s = sigmoid(t);
  const double slope = height * s * (1 - s) / scal;
  return {s, -slope, -slope * t};
}

// The x whose y comes nearest to half of the highest: where a saturating curve bends.
double half_way(std::span<const double> x, std::span<const double> y) {
  const double half = *std::max_element(y.begin(), y.end()) / 2;
  std::size_t best = 0;
  for (std::size_t i = 1; i < y.size(); ++i) {
    if (std::abs(y[i] - half) < std::abs(y[best] - half)) best = i;
  }
  return x[best];
}

bool falls(std::span<const double> x, std::span<const double> y) {
  double mean = 0, covariance = 0;
  for (const double value : x) mean += value / static_cast<double>(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) covariance += (x[i] - mean) * y[i];
  return covariance < 0;
}

}  // namespace

const CurveFamily& family(CurveKind kind) {
  static const std::array<CurveFamily, curve_kind_count> families{{
      {"linear", "a + b x", {"a", "b"}},
      {"quadratic", "a + b x + c x^2", {"a", "b", "c"}},
      {"saturating", "Vm x / (K + x)", {"Vm", "K"}},
      {"saturating exponential", "A (1 - exp(-k x))", {"A", "k"}},
      {"logistic", "Asym / (1 + exp((xmid - x) / scal))", {"Asym", "xmid", "scal"}},
      {"logistic, 4 parameters",
       "A + (B - A) / (1 + exp((xmid - x) / scal))",
       {"A", "B", "xmid", "scal"}},
      {"asymptotic", "Asym + (R0 - Asym) exp(-exp(lrc) x)", {"Asym", "R0", "lrc"}},
      {"power", "a x^b", {"a", "b"}},
  }};
  return families.at(static_cast<std::size_t>(kind));
}

double value(CurveKind kind, double x, std::span<const double> p) {
  switch (kind) {
    case CurveKind::linear:
      return p[0] + p[1] * x;
    case CurveKind::quadratic:
      return p[0] + (p[1] + p[2] * x) * x;
    case CurveKind::saturating:
      return p[0] * x / (p[1] + x);
    case CurveKind::saturating_exponential:
      return -p[0] * std::expm1(-p[1] * x);
    case CurveKind::logistic:
      return p[0] * sigmoid((x - p[1]) / p[2]);
    case CurveKind::logistic4:
      return p[0] + (p[1] - p[0]) * sigmoid((x - p[2]) / p[3]);
    case CurveKind::asymptotic:
      return p[0] + (p[1] - p[0]) * std::exp(-std::exp(p[2]) * x);
    case CurveKind::power:
      return p[0] * std::pow(x, p[1]);
  }
  return 0;
}

void gradient(CurveKind kind, double x, std::span<const double> p, std::span<double> out) {
  const auto set = [&](auto... slopes) {
    std::size_t i = 0;
    ((out[i++] = slopes), ...);
  };
  switch (kind) {
    case CurveKind::linear:
      return set(1.0, x);
    case CurveKind::quadratic:
      return set(1.0, x, x * x);
    case CurveKind::saturating: {
      const double share = x / (p[1] + x);
      return set(share, -p[0] * share / (p[1] + x));
    }
    case CurveKind::saturating_exponential:
      return set(-std::expm1(-p[1] * x), p[0] * x * std::exp(-p[1] * x));
    case CurveKind::logistic: {
      const auto slopes = sigmoid_slopes(x, p[0], p[1], p[2]);
      return set(slopes[0], slopes[1], slopes[2]);
    }
    case CurveKind::logistic4: {
      const auto slopes = sigmoid_slopes(x, p[1] - p[0], p[2], p[3]);
      return set(1 - slopes[0], slopes[0], slopes[1], slopes[2]);
    }
    case CurveKind::asymptotic: {
      const double rate = std::exp(p[2]);
      const double decay = std::exp(-rate * x);
      return set(1 - decay, decay, -(p[1] - p[0]) * decay * rate * x);
    }
    case CurveKind::power: {
      const double power = std::pow(x, p[1]);
      return set(power, x > 0 ? p[0] * power * std::log(x) : 0.0);
    }
  }
}

bool in_domain(CurveKind kind, std::span<const double> p) {
  switch (kind) {
    case CurveKind::saturating:
    case CurveKind::saturating_exponential:
      return p[1] > 0;
    case CurveKind::logistic:
      return p[2] != 0;
    case CurveKind::logistic4:
      return p[3] != 0;
    default:
      return true;
  }
}

std::vector<std::vector<double>> guesses(CurveKind kind, std::span<const double> x,
                                         std::span<const double> y) {
  const auto [low_x, high_x] = std::minmax_element(x.begin(), x.end());
  const auto [low_y, high_y] = std::minmax_element(y.begin(), y.end());
  const double width = *high_x > *low_x ? *high_x - *low_x : 1;
  const double height = *high_y - *low_y;
  const double bend = half_way(x, y);
  std::vector<std::vector<double>> list;
  for (const double stretch : {1.0, 0.2, 5.0}) {  // of the one parameter that matters most
    const double scal = (falls(x, y) ? -1 : 1) * stretch * width / 6;
    const double rate = 2 / (stretch * width);
    switch (kind) {
      case CurveKind::linear:
        return {{0, 0}};
      case CurveKind::quadratic:
        return {{0, 0, 0}};
      case CurveKind::saturating:
        list.push_back({1.1 * *high_y, stretch * (bend > 0 ? bend : width / 4)});
        break;
      case CurveKind::saturating_exponential:
        list.push_back({1.1 * *high_y, rate});
        break;
      case CurveKind::logistic:
        list.push_back({1.1 * *high_y, bend, scal});
        break;
      case CurveKind::logistic4:
        list.push_back({*low_y - 0.05 * height, *high_y + 0.05 * height, bend, std::abs(scal)});
        if (scal < 0) std::swap(list.back()[0], list.back()[1]);
        break;
      case CurveKind::asymptotic:
        list.push_back({*high_y + 0.1 * height, *low_y - 0.1 * height, std::log(rate)});
        if (falls(x, y)) std::swap(list.back()[0], list.back()[1]);
        break;
      case CurveKind::power:
        list.push_back({*high_y / std::pow(std::max(*high_x, 1e-300), stretch), stretch});
        break;
    }
  }
  return list;
}

}  // namespace study
