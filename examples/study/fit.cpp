// Levenberg and Marquardt on scaled normal equations; at most four parameters.
#include "fit.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <set>

namespace study {
namespace {

constexpr int iterations_max = 200;
constexpr double offset_max = 1e-8;
constexpr double pivot_min = 1e-11;  // below it two parameters cannot be told apart

using Vector = std::array<double, curve_parameters_max>;
using Matrix = std::array<Vector, curve_parameters_max>;

// J'J and J'r with columns scaled to length one, at some parameters.
struct Normal {
  Matrix a{};
  Vector g{};
  Vector scale{};
};

double residual_sum(CurveKind kind, std::span<const double> x, std::span<const double> y,
                    std::span<const double> p) {
  if (!in_domain(kind, p)) return INFINITY;
  double sum = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double r = y[i] - value(kind, x[i], p);
    sum += r * r;
  }
  return std::isfinite(sum) ? sum : INFINITY;
}

std::optional<Normal> normal_equations(CurveKind kind, std::span<const double> x,
                                       std::span<const double> y, std::span<const double> p) {
  const std::size_t n = p.size();
  Normal normal;
  Vector slope{};
  for (std::size_t k = 0; k < x.size(); ++k) {
    gradient(kind, x[k], p, slope);
    const double r = y[k] - value(kind, x[k], p);
    for (std::size_t i = 0; i < n; ++i) {
      normal.g[i] += slope[i] * r;
      for (std::size_t j = 0; j <= i; ++j) normal.a[i][j] += slope[i] * slope[j];
    }
  }
  for (std::size_t i = 0; i < n; ++i) {
    normal.scale[i] = std::sqrt(normal.a[i][i]);
    if (!(normal.scale[i] > 0) || !std::isfinite(normal.scale[i])) return std::nullopt;
  }
  for (std::size_t i = 0; i < n; ++i) {
    normal.g[i] /= normal.scale[i];
    for (std::size_t j = 0; j <= i; ++j) {
      normal.a[i][j] /= normal.scale[i] * normal.scale[j];
      normal.a[j][i] = normal.a[i][j];
    }
  }
  return normal;
}

// The lower Cholesky factor of a + damping * identity.
std::optional<Matrix> factor(const Matrix& a, std::size_t n, double damping) {
  Matrix l{};
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j <= i; ++j) {
      double sum = a[i][j] + (i == j ? damping : 0);
      for (std::size_t k = 0; k < j; ++k) sum -= l[i][k] * l[j][k];
      if (i != j) {
        l[i][j] = sum / l[j][j];
      } else if (sum > pivot_min) {
        l[i][i] = std::sqrt(sum);
      } else {
        return std::nullopt;
      }
    }
  }
  return l;
}

Vector solve(const Matrix& l, std::size_t n, Vector b) {
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t k = 0; k < i; ++k) b[i] -= l[i][k] * b[k];
    b[i] /= l[i][i];
  }
  for (std::size_t i = n; i-- > 0;) {
    for (std::size_t k = i + 1; k < n; ++k) b[i] -= l[k][i] * b[k];
    b[i] /= l[i][i];
  }
  return b;
}

// How far the residuals lean into the tangent plane, relative to what stays outside of it.
double relative_offset(const Normal& normal, const Matrix& l, std::size_t n, std::size_t points,
                       double sum) {
  const Vector step = solve(l, n, normal.g);
  double inside = 0;
  for (std::size_t i = 0; i < n; ++i) inside += normal.g[i] * step[i];
  const double freedom = static_cast<double>(points > n ? points - n : 1);
  const double outside = std::max(sum - inside, 0.0) / freedom;
  return std::sqrt(std::max(inside, 0.0) / static_cast<double>(n) / std::max(outside, 1e-300));
}

std::vector<double> standard_errors(const Normal& normal, const Matrix& l, std::size_t n,
                                    std::size_t points, double sum) {
  std::vector<double> errors(n, INFINITY);
  for (std::size_t i = 0; i < n && points > n; ++i) {
    Vector unit{};
    unit[i] = 1;
    const double variance = solve(l, n, unit)[i] * sum / static_cast<double>(points - n);
    errors[i] = std::sqrt(variance) / normal.scale[i];
  }
  return errors;
}

// Moves `fit` downhill by one step, raising the damping until a step helps. False when none does.
bool improve(Fit& fit, CurveKind kind, std::span<const double> x, std::span<const double> y,
             const Normal& normal, double& damping) {
  const std::size_t n = fit.estimates.size();
  for (; damping < 1e12; damping *= 10) {
    const auto l = factor(normal.a, n, damping);
    if (!l) continue;
    const Vector step = solve(*l, n, normal.g);
    auto trial = fit.estimates;
    for (std::size_t i = 0; i < n; ++i) trial[i] += step[i] / normal.scale[i];
    const double sum = residual_sum(kind, x, y, trial);
    if (sum < fit.residual_sum) {
      fit.estimates = std::move(trial);
      fit.residual_sum = sum;
      damping = std::max(damping / 10, 1e-12);
      return true;
    }
  }
  return false;
}

bool better(const Fit& a, const Fit& b) {
  const bool a_done = a.status == FitStatus::converged;
  const bool b_done = b.status == FitStatus::converged;
  return a_done != b_done ? a_done : a.residual_sum < b.residual_sum;
}

}  // namespace

Fit fit_curve_from(CurveKind kind, std::span<const double> x, std::span<const double> y,
                   std::span<const double> start) {
  const std::size_t n = start.size();
  Fit fit;
  fit.estimates.assign(start.begin(), start.end());
  fit.residual_sum = residual_sum(kind, x, y, fit.estimates);
  fit.status = FitStatus::not_identified;
  if (std::set<double>(x.begin(), x.end()).size() < n) return fit;
  double size = 0;
  for (const double v : y) size += v * v;

  for (double damping = 1e-3; fit.iterations < iterations_max; ++fit.iterations) {
    const auto normal = normal_equations(kind, x, y, fit.estimates);
    if (!normal) return fit;
    const auto l = factor(normal->a, n, 0);
    fit.status = l ? FitStatus::not_converged : FitStatus::not_identified;
    const auto offset = [&] { return relative_offset(*normal, *l, n, x.size(), fit.residual_sum); };
    const bool exact = fit.residual_sum <= 1e-24 * size;
    if (l && (exact || offset() < offset_max || !improve(fit, kind, x, y, *normal, damping))) {
      // Rounding may stop the descent a little before the strict criterion is met.
      if (!exact && offset() > 1e3 * offset_max) return fit;
      fit.status = FitStatus::converged;
      fit.standard_errors = standard_errors(*normal, *l, n, x.size(), fit.residual_sum);
      return fit;
    }
    if (!l && !improve(fit, kind, x, y, *normal, damping)) return fit;
  }
  return fit;
}

Fit fit_curve(CurveKind kind, std::span<const double> x, std::span<const double> y,
              std::span<const double> start) {
  Fit best;
  best.residual_sum = INFINITY;
  if (!start.empty()) best = fit_curve_from(kind, x, y, start);
  if (best.status == FitStatus::converged) return best;
  for (const auto& guess : guesses(kind, x, y)) {
    auto fit = fit_curve_from(kind, x, y, guess);
    if (best.estimates.empty() || better(fit, best)) best = std::move(fit);
  }
  return best;
}

}  // namespace study
