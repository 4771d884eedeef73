// The transforms from R^n to constrained values, and their reverse-mode derivatives.
#include <reeve/mcmc/parameters.hpp>

#include <cmath>

namespace reeve::mcmc {
namespace {

using Kind = ParameterBlock::Kind;

double inverse_logit(double x) noexcept {
  if (x >= 0) return 1 / (1 + std::exp(-x));
  const double e = std::exp(x);
  return e / (1 + e);
}
double log_sigmoid(double x) noexcept {
  return x >= 0 ? -std::log1p(std::exp(-x)) : x - std::log1p(std::exp(x));
}

std::size_t side_of(const ParameterBlock& b) noexcept {
  return static_cast<std::size_t>(std::lround(std::sqrt(double(b.constrained))));
}

double constrain_simplex(std::size_t n, const double* q, double* t) noexcept {
  double rest = 1, log_det = 0;
  for (std::size_t i = 0; i + 1 < n; ++i) {
    const double x = q[i] - std::log(double(n - 1 - i));
    const double z = inverse_logit(x);
    t[i] = rest * z;
    log_det += std::log(rest) + log_sigmoid(x) + log_sigmoid(-x);
    rest *= inverse_logit(-x);
  }
  t[n - 1] = rest;
  return log_det;
}

// rest_{i+1} = rest_i (1 - z_i), t_i = rest_i z_i, log_det += log rest_i + log z_i + log(1 - z_i).
void pull_back_simplex(std::size_t n, const double* q, const double* g, double* out) noexcept {
  double rest_bar = g[n - 1], log_rest_bar = 0;  // adjoints of rest, and of log rest
  double rest[64];
  double* r = rest;
  std::vector<double> heap;
  if (n > 64) {
    heap.resize(n);
    r = heap.data();
  }
  r[0] = 1;
  for (std::size_t i = 0; i + 1 < n; ++i)
    r[i + 1 < n ? i + 1 : i] = r[i] * inverse_logit(-(q[i] - std::log(double(n - 1 - i))));
  for (std::size_t i = n - 1; i-- > 0;) {
    const double z = inverse_logit(q[i] - std::log(double(n - 1 - i)));
    const double z_bar = (g[i] - rest_bar) * r[i];
    // d log rest_{i+1} / dx = -z
    out[i] = z_bar * z * (1 - z) - log_rest_bar * z + (1 - 2 * z);
    rest_bar = rest_bar * (1 - z) + g[i] * z;
    log_rest_bar += 1;
  }
}

double constrain_correlation(std::size_t k, const double* q, double* t) noexcept {
  double log_det = 0;
  for (std::size_t i = 0; i < k * k; ++i) t[i] = 0;
  t[0] = 1;
  std::size_t at = 0;
  for (std::size_t i = 1; i < k; ++i) {
    double log_rest = 0;
    for (std::size_t j = 0; j < i; ++j) {
      const double z = std::tanh(q[at++]);
      t[i * k + j] = z * std::exp(0.5 * log_rest);
      const double shrink = std::log1p(-z * z);
      log_det += shrink + 0.5 * log_rest;
      log_rest += shrink;
    }
    t[i * k + i] = std::exp(0.5 * log_rest);
    // Density of a flat correlation matrix on its Cholesky factor: L_ii^(k - i) with i from 1.
    log_det += 0.5 * log_rest * double(k - 1 - i);
  }
  return log_det;
}

void pull_back_correlation(std::size_t k, const double* q, const double* t, const double* g,
                           double* out) noexcept {
  std::size_t row = 0;
  for (std::size_t i = 1; i < k; ++i) {
    double bar = 0.5 * g[i * k + i] * t[i * k + i] + 0.5 * double(k - 1 - i);  // of log_rest
    for (std::size_t j = i; j-- > 0;) {
      const double z = std::tanh(q[row + j]);
      const double scale = z != 0 ? t[i * k + j] / z : 0;
      // z's own effect: t_ij = z e^{rest/2}; shrink enters log_det once and log_rest of all later.
      double e = scale;
      if (z == 0) {
        double rest = 1;
        for (std::size_t m = 0; m < j; ++m) rest -= t[i * k + m] * t[i * k + m];
        e = std::sqrt(rest);
      }
      out[row + j] = g[i * k + j] * e * (1 - z * z) - 2 * z * (1 + bar);
      bar += 0.5 * g[i * k + j] * t[i * k + j] + 0.5;
    }
    row += i;
  }
}

}  // namespace

double Parameters::constrain(std::span<const double> q, std::span<double> theta) const noexcept {
  const double* u = q.data();
  double* t = theta.data();
  double log_det = 0;
  for (const auto& b : blocks_) {
    switch (b.kind) {
      case Kind::real:
        for (std::size_t i = 0; i < b.free; ++i) t[i] = u[i];
        break;
      case Kind::lower:
        for (std::size_t i = 0; i < b.free; ++i) t[i] = b.low + std::exp(u[i]), log_det += u[i];
        break;
      case Kind::upper:
        for (std::size_t i = 0; i < b.free; ++i) t[i] = b.high - std::exp(u[i]), log_det += u[i];
        break;
      case Kind::interval:
        for (std::size_t i = 0; i < b.free; ++i) {
          t[i] = b.low + (b.high - b.low) * inverse_logit(u[i]);
          log_det += std::log(b.high - b.low) + log_sigmoid(u[i]) + log_sigmoid(-u[i]);
        }
        break;
      case Kind::ordered:
        t[0] = u[0];
        for (std::size_t i = 1; i < b.free; ++i) t[i] = t[i - 1] + std::exp(u[i]), log_det += u[i];
        break;
      case Kind::simplex:
        log_det += constrain_simplex(b.constrained, u, t);
        break;
      case Kind::correlation:
        log_det += constrain_correlation(side_of(b), u, t);
        break;
    }
    u += b.free;
    t += b.constrained;
  }
  return log_det;
}

void Parameters::pull_back(std::span<const double> q, std::span<const double> theta,
                           std::span<const double> theta_gradient,
                           std::span<double> q_gradient) const noexcept {
  const double* u = q.data();
  const double* t = theta.data();
  const double* g = theta_gradient.data();
  double* out = q_gradient.data();
  for (const auto& b : blocks_) {
    switch (b.kind) {
      case Kind::real:
        for (std::size_t i = 0; i < b.free; ++i) out[i] = g[i];
        break;
      case Kind::lower:
        for (std::size_t i = 0; i < b.free; ++i) out[i] = g[i] * (t[i] - b.low) + 1;
        break;
      case Kind::upper:
        for (std::size_t i = 0; i < b.free; ++i) out[i] = g[i] * (t[i] - b.high) + 1;
        break;
      case Kind::interval:
        for (std::size_t i = 0; i < b.free; ++i) {
          const double p = inverse_logit(u[i]);
          out[i] = g[i] * (b.high - b.low) * p * (1 - p) + 1 - 2 * p;
        }
        break;
      case Kind::ordered: {
        double tail = 0;
        for (std::size_t i = b.free; i-- > 1;) {
          tail += g[i];
          out[i] = tail * (t[i] - t[i - 1]) + 1;
        }
        out[0] = tail + g[0];
        break;
      }
      case Kind::simplex:
        pull_back_simplex(b.constrained, u, g, out);
        break;
      case Kind::correlation:
        pull_back_correlation(side_of(b), u, t, g, out);
        break;
    }
    u += b.free;
    t += b.constrained;
    g += b.constrained;
    out += b.free;
  }
}

}  // namespace reeve::mcmc
