// Metrics, step-size averaging and the Fisher-divergence estimate.
#include "mcmc/engine.hpp"

#include <Eigen/Cholesky>
#include <Eigen/Eigenvalues>

#include <algorithm>
#include <cmath>

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__SANITIZE_ADDRESS__) && \
    !defined(__clang__)
#define REEVE_CLONES __attribute__((target_clones("default", "avx2", "arch=x86-64-v4")))
#else
#define REEVE_CLONES
#endif

namespace reeve::mcmc::detail {
namespace {

using Matrix = Eigen::MatrixXd;
using Map = Eigen::Map<const Matrix>;

REEVE_CLONES void symmetric_product(const double* s, const double* x, double* out, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) out[i] = s[i] * x[0];
  for (std::size_t j = 1; j < n; ++j) {
    const double* column = s + j * n;
    const double factor = x[j];
    for (std::size_t i = 0; i < n; ++i) out[i] += column[i] * factor;
  }
}

}  // namespace

void MassMetric::set_unit(Metric k, std::size_t dimension) {
  kind = k;
  n = dimension;
  if (k == Metric::dense) {
    s.assign(n * n, 0.0);
    for (std::size_t i = 0; i < n; ++i) s[i * n + i] = 1;
  } else {
    s.assign(n, 1.0);
  }
  root = inverse = s;
}

void MassMetric::set_diagonal(const std::vector<double>& variances) {
  if (kind == Metric::dense) {
    std::vector<double> covariance(n * n, 0.0);
    for (std::size_t i = 0; i < n; ++i) covariance[i * n + i] = variances[i];
    set_dense(covariance);
    return;
  }
  for (std::size_t i = 0; i < n; ++i) {
    if (!(variances[i] > 0) || !std::isfinite(variances[i])) continue;
    s[i] = variances[i];
    root[i] = std::sqrt(variances[i]);
    inverse[i] = 1 / root[i];
  }
}

bool MassMetric::set_dense(const std::vector<double>& covariance) {
  const auto size = static_cast<Eigen::Index>(n);
  const Map c(covariance.data(), size, size);
  const Eigen::LLT<Matrix> factor(c);
  if (factor.info() != Eigen::Success || !c.allFinite()) return false;
  const Matrix l = factor.matrixL();
  if (!(l.diagonal().minCoeff() > 0)) return false;
  const Matrix u = l.transpose().triangularView<Eigen::Upper>().solve(Matrix::Identity(size, size));
  if (!u.allFinite()) return false;
  s = covariance;
  Eigen::Map<Matrix>(root.data(), size, size) = l;
  Eigen::Map<Matrix>(inverse.data(), size, size) = u;
  return true;
}

void MassMetric::multiply(const double* x, double* out) const noexcept {
  if (kind == Metric::dense) return symmetric_product(s.data(), x, out, n);
  for (std::size_t i = 0; i < n; ++i) out[i] = s[i] * x[i];
}

void MassMetric::draw_momentum(Random& random, double* p, double* v, double* z) const noexcept {
  for (std::size_t i = 0; i < n; ++i) z[i] = random.normal();
  if (kind != Metric::dense) {
    for (std::size_t i = 0; i < n; ++i) {
      p[i] = z[i] * inverse[i];
      v[i] = z[i] * root[i];
    }
    return;
  }
  std::fill(p, p + n, 0.0);
  std::fill(v, v + n, 0.0);
  for (std::size_t j = 0; j < n; ++j) {
    for (std::size_t i = j; i < n; ++i) v[i] += root[j * n + i] * z[j];
    for (std::size_t i = 0; i <= j; ++i) p[i] += inverse[j * n + i] * z[j];
  }
}

void StepSize::restart(double step, double aggressive) noexcept {
  eps = step;
  mu = std::log(aggressive * step);
  h_bar = count = 0;
  log_bar = std::log(step);
}

void StepSize::learn(double accept, double target) noexcept {
  constexpr double gamma = 0.05, kappa = 0.75, t0 = 10;
  if (!(accept <= 1)) accept = std::isnan(accept) ? 0 : 1;
  count += 1;
  const double eta = 1 / (count + t0);
  h_bar = (1 - eta) * h_bar + eta * (target - accept);
  const double x = std::clamp(mu - std::sqrt(count) / gamma * h_bar, -28.0, 16.0);
  const double weight = std::pow(count, -kappa);
  log_bar = (1 - weight) * log_bar + weight * x;
  eps = std::exp(x);
}

void StepSize::settle() noexcept {
  if (count > 0) eps = std::exp(log_bar);
}

void Welford::reset(std::size_t dimension, bool with_covariance) {
  n = 0;
  dense = with_covariance;
  mean.assign(dimension, 0.0);
  m2.assign(dense ? dimension * dimension : dimension, 0.0);
}

void Welford::add(const double* x) {
  const std::size_t d = mean.size();
  ++n;
  std::vector<double> before(d);
  for (std::size_t i = 0; i < d; ++i) {
    before[i] = x[i] - mean[i];
    mean[i] += before[i] / double(n);
  }
  for (std::size_t i = 0; i < d; ++i) {
    if (!dense)
      m2[i] += before[i] * (x[i] - mean[i]);
    else
      for (std::size_t j = 0; j < d; ++j) m2[i * d + j] += before[i] * (x[j] - mean[j]);
  }
}

// S G S = C has one positive definite solution, the geometric mean of C and G^-1. Coordinates are
// first scaled by (var x / var g)^(1/4), so that one relative ridge fits both.
bool fisher_metric(std::span<const double> draws, std::span<const double> gradients, std::size_t n,
                   MassMetric& metric) {
  const auto d = static_cast<Eigen::Index>(n);
  const auto count = static_cast<Eigen::Index>(draws.size() / n);
  if (count < 4) return false;
  using RowMajor = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  Matrix x = Eigen::Map<const RowMajor>(draws.data(), count, d);
  Matrix g = Eigen::Map<const RowMajor>(gradients.data(), count, d);
  x.rowwise() -= x.colwise().mean().eval();
  g.rowwise() -= g.colwise().mean().eval();
  const Eigen::ArrayXd var_x = x.colwise().squaredNorm().transpose().array() / double(count);
  const Eigen::ArrayXd var_g = g.colwise().squaredNorm().transpose().array() / double(count);
  if (!(var_x.minCoeff() > 1e-300) || !(var_g.minCoeff() > 1e-300)) return false;
  if (!var_x.allFinite() || !var_g.allFinite()) return false;
  const Eigen::ArrayXd scale = (var_x / var_g).sqrt().sqrt();
  if (metric.kind == Metric::diagonal || count < 2 * d) {
    const Eigen::ArrayXd variances = scale.square();
    metric.set_diagonal(std::vector<double>(variances.data(), variances.data() + d));
    return true;
  }
  x.array().rowwise() /= scale.transpose();
  g.array().rowwise() *= scale.transpose();
  Matrix c = x.transpose() * x / double(count);
  Matrix f = g.transpose() * g / double(count);
  const double ridge = 1e-5;
  c.diagonal().array() += ridge * c.trace() / double(d);
  f.diagonal().array() += ridge * f.trace() / double(d);
  const Eigen::SelfAdjointEigenSolver<Matrix> of_f(f);
  if (of_f.info() != Eigen::Success || !(of_f.eigenvalues().minCoeff() > 0)) return false;
  const Matrix root = of_f.operatorSqrt(), inverse_root = of_f.operatorInverseSqrt();
  const Eigen::SelfAdjointEigenSolver<Matrix> middle(root * c * root);
  if (middle.info() != Eigen::Success || !(middle.eigenvalues().minCoeff() > 0)) return false;
  Matrix s = inverse_root * middle.operatorSqrt() * inverse_root;
  s = (scale.matrix().asDiagonal() * s * scale.matrix().asDiagonal()).eval();
  s = (0.5 * (s + s.transpose())).eval();
  return metric.set_dense(std::vector<double>(s.data(), s.data() + s.size()));
}

}  // namespace reeve::mcmc::detail
