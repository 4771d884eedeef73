// Data columns, the choice of instruction set, and the response families around a mean function.
#include <reeve/base/error.hpp>
#include <reeve/mcmc/observations.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>

namespace reeve::mcmc {

Columns::Columns(std::vector<std::vector<double>> columns) : data_(std::move(columns)) {
  if (data_.empty()) throw ConfigError("a data set needs at least one column; it has 0");
  rows_ = data_[0].size();
  if (rows_ == 0) throw ConfigError("a data set needs at least one row; it has 0");
  for (std::size_t c = 0; c < data_.size(); ++c) {
    if (data_[c].size() != rows_)
      throw ConfigError(fmt::format("column {} has {} rows and column 0 has {}; make them equal", c,
                                    data_[c].size(), rows_));
    for (std::size_t r = 0; r < rows_; ++r)
      if (!std::isfinite(data_[c][r]))
        throw ConfigError(
            fmt::format("column {}, row {} is {}; every value must be finite", c, r, data_[c][r]));
    // The padding repeats the last row: valid input for any function, and masked out of the sums.
    const double last = data_[c].back();
    data_[c].resize((rows_ + 7) / 8 * 8, last);
  }
}

Isa best_isa() noexcept {
#if defined(__x86_64__)
  static const Isa best = [] {
    const char* wish = std::getenv("REEVE_MCMC_ISA");
    if (wish && std::strcmp(wish, "baseline") == 0) return Isa::baseline;
    const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") &&
                        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
                        __builtin_cpu_supports("avx512bw");
    if (wish && std::strcmp(wish, "avx2") == 0) return avx2 ? Isa::avx2 : Isa::baseline;
    return avx512 ? Isa::avx512 : avx2 ? Isa::avx2 : Isa::baseline;
  }();
  return best;
#else
  return Isa::baseline;
#endif
}

const char* to_string(Isa isa) noexcept {
  return isa == Isa::avx512 ? "avx512" : isa == Isa::avx2 ? "avx2" : "baseline";
}

namespace detail {
namespace {

double log_sigmoid(double x) noexcept {
  return x >= 0 ? -std::log1p(std::exp(-x)) : x - std::log1p(std::exp(x));
}

struct SumModel final : PointwiseModel {
  SumModel(Columns columns, std::size_t p, KernelFunction k)
      : data(std::move(columns)), parameters(p), kernel(k) {}
  double evaluate(std::span<const double> theta, std::span<double> gradient) const override {
    if (!gradient.empty()) return kernel(data, theta.data(), gradient.data(), nullptr);
    double unused[64];
    return kernel(data, theta.data(), unused, nullptr);
  }
  std::size_t rows() const noexcept override { return data.rows(); }
  void pointwise(std::span<const double> theta, std::span<double> out) const override {
    std::vector<double> padded(data.rows() + 8);
    double unused[64];
    kernel(data, theta.data(), unused, padded.data());
    std::copy_n(padded.begin(), data.rows(), out.begin());
  }
  Columns data;
  std::size_t parameters;
  KernelFunction kernel;
};

struct Term {
  double lp, d_mean, d_extra;
};

struct MeanModel final : PointwiseModel {
  MeanModel(Columns columns, std::size_t p, Family f, double nu_, KernelFunction k,
            const LinearTerm& linear)
      : data(std::move(columns)),
        parameters(p),
        covariates(linear.covariates),
        offset(linear.offset),
        family(f),
        nu(nu_),
        kernel(k) {
    const double* y = data.column(data.size() - 1);
    for (std::size_t i = 0; i < data.rows(); ++i) {
      if (family == Family::poisson_log || family == Family::neg_binomial_log)
        constant -= std::lgamma(y[i] + 1);
    }
    if (family == Family::student_t)
      constant = double(data.rows()) * (std::lgamma((nu + 1) / 2) - std::lgamma(nu / 2) -
                                        0.5 * std::log(nu * 3.14159265358979323846));
    if (family == Family::normal) constant = -0.91893853320467274178 * double(data.rows());
  }

  double evaluate(std::span<const double> theta, std::span<double> gradient) const override {
    double local[64];
    double* g = gradient.empty() ? local : gradient.data();
    if (family == Family::normal && covariates == 0 && offset == 0) {
      const double sigma = theta[parameters], inverse = 1 / (sigma * sigma);
      const double squares = kernel(data, theta.data(), g, nullptr);
      for (std::size_t i = 0; i < parameters; ++i) g[i] *= inverse;
      const auto n = double(data.rows());
      g[parameters] = -n / sigma + squares * inverse / sigma;
      return constant - n * std::log(sigma) - 0.5 * squares * inverse;
    }
    std::vector<double>& means = predict(theta);
    const std::size_t stride = (data.rows() + 7) / 8 * 8;
    const double* y = data.column(data.size() - 1);
    const std::size_t mean_parameters = parameters + covariates;
    const double extra = theta.size() > mean_parameters ? theta[mean_parameters] : 0;
    double lp = constant, extra_slope = 0;
    for (std::size_t i = 0; i < data.rows(); ++i) {
      const Term t = term(y[i], means[i], extra);
      lp += t.lp;
      extra_slope += t.d_extra;
      means[i] = t.d_mean;
    }
    for (std::size_t p = 0; p < mean_parameters; ++p) {
      const double* d =
          p < parameters ? means.data() + (p + 1) * stride : covariate(p - parameters);
      double sum = 0;
      for (std::size_t i = 0; i < data.rows(); ++i) sum += means[i] * d[i];
      g[p] = sum;
    }
    if (theta.size() > mean_parameters) g[mean_parameters] = extra_slope;
    return lp;
  }

  const double* covariate(std::size_t i) const noexcept {
    return data.column(data.size() - 1 - covariates + i);
  }
  // Means (and, behind them, their partials): the kernel's, the offset and the covariates' terms.
  std::vector<double>& predict(std::span<const double> theta) const {
    std::vector<double>& means = buffer();
    kernel(data, theta.data(), nullptr, means.data());
    if (offset != 0)
      for (std::size_t i = 0; i < data.rows(); ++i) means[i] += offset;
    for (std::size_t c = 0; c < covariates; ++c) {
      const double* z = covariate(c);
      const double slope = theta[parameters + c];
      for (std::size_t i = 0; i < data.rows(); ++i) means[i] += slope * z[i];
    }
    return means;
  }

  std::size_t rows() const noexcept override { return data.rows(); }
  void pointwise(std::span<const double> theta, std::span<double> out) const override {
    const std::vector<double>& means = predict(theta);
    const double* y = data.column(data.size() - 1);
    const std::size_t at = parameters + covariates;
    const double extra = theta.size() > at ? theta[at] : 0;
    if (family == Family::normal) {
      const double inverse = 1 / extra, shift = constant / double(data.rows()) - std::log(extra);
      for (std::size_t i = 0; i < data.rows(); ++i) {
        const double z = (y[i] - means[i]) * inverse;
        out[i] = shift - 0.5 * z * z;
      }
      return;
    }
    for (std::size_t i = 0; i < data.rows(); ++i) {
      out[i] = term(y[i], means[i], extra).lp;
      if (family == Family::normal || family == Family::student_t)
        out[i] += constant / double(data.rows());
      else if (family != Family::bernoulli_logit)
        out[i] -= std::lgamma(y[i] + 1);
    }
  }

  Term term(double y, double m, double extra) const noexcept {
    switch (family) {
      case Family::normal: {
        const double z = (y - m) / extra;
        return {-0.5 * z * z - std::log(extra), z / extra, (z * z - 1) / extra};
      }
      case Family::student_t: {
        const double z = (y - m) / extra, w = (nu + 1) / (nu + z * z);
        return {-0.5 * (nu + 1) * std::log1p(z * z / nu) - std::log(extra), w * z / extra,
                (w * z * z - 1) / extra};
      }
      case Family::bernoulli_logit: {
        const double p = m >= 0 ? 1 / (1 + std::exp(-m)) : std::exp(m) / (1 + std::exp(m));
        return {y > 0 ? log_sigmoid(m) : log_sigmoid(-m), y - p, 0};
      }
      case Family::poisson_log: {
        const double rate = std::exp(m);
        return {y * m - rate, y - rate, 0};
      }
      case Family::neg_binomial_log: {
        // log(phi + mu) without overflow
        const double mu = std::exp(m), sum = std::log(extra) + std::log1p(mu / extra);
        const double share = mu / (mu + extra);
        const double lp = std::lgamma(y + extra) - std::lgamma(extra) +
                          extra * (std::log(extra) - sum) + y * (m - sum);
        const double d_phi = digamma(y + extra) - digamma(extra) + std::log(extra) - sum + 1 -
                             (extra + y) / (extra + mu);
        return {lp, y - (y + extra) * share, d_phi};
      }
    }
    return {0, 0, 0};
  }

  std::vector<double>& buffer() const {
    static thread_local std::vector<double> means;
    means.resize((data.rows() + 8) * (parameters + 1));
    return means;
  }

  Columns data;
  std::size_t parameters, covariates;
  double offset;
  Family family;
  double nu;
  KernelFunction kernel;
  double constant = 0;
};

}  // namespace

std::shared_ptr<const Model> sum_model(Columns data, std::size_t parameters,
                                       KernelFunction kernel) {
  return std::make_shared<SumModel>(std::move(data), parameters, kernel);
}

std::shared_ptr<const Model> mean_model(Columns data, std::size_t parameters, Family family,
                                        double student_nu, KernelFunction kernel,
                                        const LinearTerm& linear) {
  if (!(student_nu > 0))
    throw ConfigError(fmt::format("student_nu is {}; it must be positive", student_nu));
  return std::make_shared<MeanModel>(std::move(data), parameters, family, student_nu, kernel,
                                     linear);
}

void check_model(const Parameters& parameters, std::size_t expected, const Columns& data,
                 Family family, bool has_family) {
  if (expected > 62)
    throw ConfigError(fmt::format("a model of {} parameters; use density() above 62", expected));
  const bool extra = has_family && (family == Family::normal || family == Family::student_t ||
                                    family == Family::neg_binomial_log);
  const std::size_t wanted = expected + (extra ? 1 : 0);
  if (parameters.size() != wanted)
    throw ConfigError(fmt::format("the model takes {} parameter values and {} are declared", wanted,
                                  parameters.size()));
  if (!has_family) return;
  const double* y = data.column(data.size() - 1);
  for (std::size_t i = 0; i < data.rows(); ++i) {
    const bool count = family == Family::poisson_log || family == Family::neg_binomial_log;
    if (count && (y[i] < 0 || y[i] != std::floor(y[i])))
      throw ConfigError(
          fmt::format("the response in row {} is {}; counts are whole and not negative", i, y[i]));
    if (family == Family::bernoulli_logit && y[i] != 0 && y[i] != 1)
      throw ConfigError(
          fmt::format("the response in row {} is {}; Bernoulli data are 0 or 1", i, y[i]));
  }
}

}  // namespace detail
}  // namespace reeve::mcmc
