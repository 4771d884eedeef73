// GLM kernels, compiled for three instruction sets.
#include <reeve/base/error.hpp>
#include <reeve/mcmc/glm.hpp>

#include <Eigen/QR>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace reeve::mcmc {
namespace {

// |y - X b|^2 = |Q'y - R b|^2 + rest: no cancellation, unlike X'X and X'y.
struct LinearModel final : PointwiseModel {
  LinearModel(Columns columns, std::vector<double> response)
      : x(std::move(columns)), y(std::move(response)) {
    const auto n = static_cast<Eigen::Index>(x.rows());
    p = x.size();
    Eigen::MatrixXd m(n, static_cast<Eigen::Index>(p));
    for (std::size_t c = 0; c < p; ++c)
      m.col(static_cast<Eigen::Index>(c)) = Eigen::Map<const Eigen::VectorXd>(x.column(c), n);
    const Eigen::HouseholderQR<Eigen::MatrixXd> qr(m);
    const Eigen::VectorXd z =
        qr.householderQ().transpose() * Eigen::Map<const Eigen::VectorXd>(y.data(), n);
    const std::size_t rank = std::min(x.rows(), p);
    r.assign(p * p, 0.0);
    target.assign(p, 0.0);
    for (std::size_t i = 0; i < rank; ++i) {
      target[i] = z[static_cast<Eigen::Index>(i)];
      for (std::size_t j = i; j < p; ++j)
        r[j * p + i] = qr.matrixQR()(static_cast<Eigen::Index>(i), static_cast<Eigen::Index>(j));
    }
    rest = z.tail(n - static_cast<Eigen::Index>(rank)).squaredNorm();
  }
  double evaluate(std::span<const double> t, std::span<double> g) const override {
    double e[64];
    for (std::size_t i = 0; i < p; ++i) e[i] = target[i];
    for (std::size_t j = 0; j < p; ++j)
      for (std::size_t i = 0; i <= j; ++i) e[i] -= r[j * p + i] * t[j];
    double squares = rest;
    for (std::size_t i = 0; i < p; ++i) squares += e[i] * e[i];
    const double sigma = t[p], inverse = 1 / (sigma * sigma), n = static_cast<double>(y.size());
    if (!g.empty()) {
      for (std::size_t j = 0; j < p; ++j) {
        double s = 0;
        for (std::size_t i = 0; i <= j; ++i) s += r[j * p + i] * e[i];
        g[j] = s * inverse;
      }
      g[p] = (squares * inverse - n) / sigma;
    }
    return -n * (std::log(sigma) + 0.91893853320467274178) - 0.5 * squares * inverse;
  }
  std::size_t rows() const noexcept override { return y.size(); }
  void pointwise(std::span<const double> t, std::span<double> out) const override {
    const double inverse = 1 / t[p], shift = -std::log(t[p]) - 0.91893853320467274178;
    for (std::size_t i = 0; i < y.size(); ++i) {
      double m = y[i];
      for (std::size_t c = 0; c < p; ++c) m -= x.column(c)[i] * t[c];
      m *= inverse;
      out[i] = shift - 0.5 * m * m;
    }
  }
  Columns x;
  std::vector<double> y, r, target;
  double rest = 0;
  std::size_t p = 0;
};

constexpr std::size_t block = 64;  // rows whose predictor stays in the first-level cache

/// Bernoulli or Poisson term of a pack: log likelihood and residual.
template <Family family, int W>
REEVE_INLINE void term(const Pack<W>& y, const Pack<W>& m, Pack<W>& lp,
                       Pack<W>& residual) noexcept {
  if constexpr (family == Family::bernoulli_logit) {
    // With s = +-m so that s should be positive: log sigmoid(s) = min(s, 0) - log1p(exp(-|s|)).
    const Pack<W> magnitude = where_greater(m, Pack<W>(0.0), m, -m);
    const Pack<W> e = exp(-magnitude);
    const Pack<W> p = where_greater(m, Pack<W>(0.0), Pack<W>(1.0), e) / (1.0 + e);
    lp = y * m - where_greater(m, Pack<W>(0.0), m, Pack<W>(0.0)) - log(1.0 + e);
    residual = y - p;
  } else {
    const Pack<W> rate = exp(m);
    lp = y * m - rate;
    residual = y - rate;
  }
}

template <Family family>
struct GlmKernel {
  template <class, int W>
  struct Of {
    // `data`: the regressors, then y. `theta`: beta. `gradient`: columns, to be filled.
    REEVE_INLINE static double run(const Columns& data, const double* theta, double* gradient,
                                   double* pointwise) noexcept {
      const std::size_t n = data.rows(), p = data.size() - 1;
      const double* y = data.column(p);
      for (std::size_t c = 0; c < p; ++c) gradient[c] = 0;
      Pack<W> total(0.0);
      Pack<W> residuals[block / W];
      for (std::size_t from = 0; from < n; from += block) {
        const std::size_t packs = (std::min(n - from, block) + W - 1) / W;
        for (std::size_t k = 0; k < packs; ++k) residuals[k] = Pack<W>(0.0);
        for (std::size_t c = 0; c < p; ++c) {
          const double* x = data.column(c) + from;
          const Pack<W> beta(theta[c]);
          for (std::size_t k = 0; k < packs; ++k)
            residuals[k] = residuals[k] + beta * Pack<W>::load(x + k * W);
        }
        for (std::size_t k = 0; k < packs; ++k) {
          const std::size_t at = from + k * W;
          Pack<W> lp, residual;
          term<family, W>(Pack<W>::load(y + at), residuals[k], lp, residual);
          if (pointwise) lp.store(pointwise + at);
          if (at + W > n)
            for (int lane = static_cast<int>(n - at); lane < W; ++lane)
              lp.v[lane] = residual.v[lane] = 0;
          total = total + lp;
          residuals[k] = residual;
        }
        for (std::size_t c = 0; c < p; ++c) {
          const double* x = data.column(c) + from;
          Pack<W> sum(0.0);
          for (std::size_t k = 0; k < packs; ++k)
            sum = sum + residuals[k] * Pack<W>::load(x + k * W);
          gradient[c] += sum.sum();
        }
      }
      return total.sum();
    }
  };
};

template <Family family>
detail::KernelFunction kernel_of(Isa isa) {
  return detail::select_kernel<GlmKernel<family>::template Of, void>(isa);
}

struct GlmModel final : PointwiseModel {
  GlmModel(Columns d, Family f, Isa isa) : data(std::move(d)), family(f), p(data.size() - 1) {
    kernel = f == Family::bernoulli_logit ? kernel_of<Family::bernoulli_logit>(isa)
                                          : kernel_of<Family::poisson_log>(isa);
    const double* y = data.column(p);
    for (std::size_t i = 0; i < data.rows(); ++i)
      if (f != Family::bernoulli_logit) constant -= std::lgamma(y[i] + 1);
  }
  double evaluate(std::span<const double> t, std::span<double> g) const override {
    double unused[64];
    double* out = g.empty() ? unused : g.data();
    if (family != Family::neg_binomial_log) return constant + kernel(data, t.data(), out, nullptr);
    const double phi = t[p];
    double lp = constant, d_phi = 0;
    std::fill(out, out + p, 0.0);
    const double base = std::lgamma(phi), digamma_phi = digamma(phi), log_phi = std::log(phi);
    for (std::size_t i = 0; i < data.rows(); ++i) {
      double m = 0;
      for (std::size_t c = 0; c < p; ++c) m += data.column(c)[i] * t[c];
      const double y = data.column(p)[i], mu = std::exp(m), sum = log_phi + std::log1p(mu / phi);
      lp += std::lgamma(y + phi) - base + phi * (log_phi - sum) + y * (m - sum);
      d_phi += digamma(y + phi) - digamma_phi + log_phi - sum + 1 - (phi + y) / (phi + mu);
      const double residual = y - (y + phi) * mu / (mu + phi);
      for (std::size_t c = 0; c < p; ++c) out[c] += residual * data.column(c)[i];
    }
    if (!g.empty()) g[p] = d_phi;
    return lp;
  }
  std::size_t rows() const noexcept override { return data.rows(); }
  void pointwise(std::span<const double> t, std::span<double> out) const override {
    const double* y = data.column(p);
    if (family == Family::neg_binomial_log) {
      for (std::size_t i = 0; i < rows(); ++i) {
        double m = 0;
        for (std::size_t c = 0; c < p; ++c) m += data.column(c)[i] * t[c];
        const double phi = t[p], sum = std::log(phi) + std::log1p(std::exp(m) / phi);
        out[i] = std::lgamma(y[i] + phi) - std::lgamma(phi) - std::lgamma(y[i] + 1) +
                 phi * (std::log(phi) - sum) + y[i] * (m - sum);
      }
      return;
    }
    std::vector<double> padded(rows() + 8);
    double unused[64];
    kernel(data, t.data(), unused, padded.data());
    for (std::size_t i = 0; i < rows(); ++i)
      out[i] = padded[i] - (family == Family::poisson_log ? std::lgamma(y[i] + 1) : 0);
  }
  Columns data;
  Family family;
  std::size_t p;
  detail::KernelFunction kernel;
  double constant = 0;
};

Columns with_response(const Columns& x, std::vector<double> y) {
  std::vector<std::vector<double>> all;
  for (std::size_t c = 0; c < x.size(); ++c) all.emplace_back(x.column(c), x.column(c) + x.rows());
  all.push_back(std::move(y));
  return Columns(std::move(all));
}

}  // namespace

Density linear_regression(Parameters parameters, Columns x, std::vector<double> y) {
  if (x.size() > 62)
    throw ConfigError(fmt::format("{} regressors; the kernel takes at most 62", x.size()));
  const Columns all = with_response(x, y);
  detail::check_model(parameters, x.size(), all, Family::normal, true);
  return {std::move(parameters), std::make_shared<LinearModel>(std::move(x), std::move(y))};
}

Density glm(Parameters parameters, Columns x, std::vector<double> y, Family family, Isa isa) {
  if (family == Family::normal || family == Family::student_t)
    throw ConfigError(
        "glm takes bernoulli_logit, poisson_log or neg_binomial_log; use linear_regression or "
        "regression for normal and Student errors");
  if (x.size() > 62)
    throw ConfigError(fmt::format("{} regressors; the kernel takes at most 62", x.size()));
  Columns all = with_response(x, std::move(y));
  detail::check_model(parameters, x.size(), all, family, true);
  return {std::move(parameters), std::make_shared<GlmModel>(std::move(all), family, isa)};
}

}  // namespace reeve::mcmc
