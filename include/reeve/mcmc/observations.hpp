// Likelihoods written for one observation, evaluated for several at once with batched duals.
#pragma once

#include <reeve/mcmc/density.hpp>
#include <reeve/mcmc/pack.hpp>

#include <array>
#include <span>
#include <string>
#include <vector>

namespace reeve::mcmc {

/// Columns of equal length, padded so that whole packs can be loaded.
class Columns {
 public:
  Columns() = default;
  /// Errors: ConfigError for no columns, no rows, unequal lengths, or a value that is not finite
  ///         (names column and row).
  explicit Columns(std::vector<std::vector<double>> columns);

  std::size_t rows() const noexcept { return rows_; }
  std::size_t size() const noexcept { return data_.size(); }
  const double* column(std::size_t i) const noexcept { return data_[i].data(); }

 private:
  std::vector<std::vector<double>> data_;
  std::size_t rows_ = 0;
};

/// One batch of rows: row[i] is column i.
template <int W>
struct Row {
  const Columns* columns;
  std::size_t at;
  REEVE_INLINE Pack<W> operator[](std::size_t i) const noexcept {
    return Pack<W>::load(columns->column(i) + at);
  }
};

namespace detail {

/// Sums F::log_likelihood over all rows. One pass; the last batch masks what lies beyond the end.
template <class F, int W>
struct SumKernel {
  static constexpr std::size_t P = F::parameters;
  REEVE_INLINE static double run(const Columns& data, const double* theta, double* gradient,
                                 double* pointwise) {
    using D = Dual<P, Pack<W>>;
    D t[P];
    for (std::size_t i = 0; i < P; ++i) t[i] = D::variable(Pack<W>(theta[i]), i);
    D total(Pack<W>(0.0));
    const std::size_t n = data.rows();
    for (std::size_t at = 0; at < n; at += W) {
      const D one = F::log_likelihood(Row<W>{&data, at}, std::span<const D>(t, P));
      if (pointwise) one.value.store(pointwise + at);
      if (at + W <= n) {
        total += one;
      } else {
        for (int lane = 0; lane < static_cast<int>(n - at); ++lane) {
          total.value.v[lane] += one.value.v[lane];
          for (std::size_t i = 0; i < P; ++i) total.partial[i].v[lane] += one.partial[i].v[lane];
        }
      }
    }
    for (std::size_t i = 0; i < P; ++i) gradient[i] = total.partial[i].sum();
    return total.value.sum();
  }
};

/// The mean function F::f alone: sums of r^2 and of r dm for normal errors (`response` given), or
/// means and partials written out for any other family.
template <class F, int W>
struct MeanKernel {
  static constexpr std::size_t P = F::parameters;
  REEVE_INLINE static double run(const Columns& data, const double* theta, double* out,
                                 double* means) {
    const auto prepared = prepare(theta);
    const std::size_t n = data.rows(), y = data.size() - 1;
    const std::size_t stride = (n + 7) / 8 * 8;
    Pack<W> squares(0.0), cross[P];
    for (std::size_t i = 0; i < P; ++i) cross[i] = Pack<W>(0.0);
    for (std::size_t at = 0; at < n; at += W) {
      const Row<W> row{&data, at};
      Pack<W> partial[P];
      const Pack<W> value = mean(prepared, row, partial);
      if (means) {
        value.store(means + at);
        for (std::size_t i = 0; i < P; ++i) partial[i].store(means + (i + 1) * stride + at);
        continue;
      }
      Pack<W> r = row[y] - value;
      if (at + W > n)
        for (int lane = static_cast<int>(n - at); lane < W; ++lane) r.v[lane] = 0;
      squares = squares + r * r;
      for (std::size_t i = 0; i < P; ++i) cross[i] = cross[i] + r * partial[i];
    }
    if (!means)
      for (std::size_t i = 0; i < P; ++i) out[i] = cross[i].sum();
    return squares.sum();
  }
  using D = Dual<P, Pack<W>>;
  struct Variables {
    D t[P];
  };
  REEVE_INLINE static auto prepare(const double* theta) {
    if constexpr (requires { F::prepare(theta); }) {
      return F::prepare(theta);
    } else {
      Variables v;
      for (std::size_t i = 0; i < P; ++i) v.t[i] = D::variable(Pack<W>(theta[i]), i);
      return v;
    }
  }
  // f(x, theta) of one regressor takes its pack; of several, the row.
  template <class Prepared>
  REEVE_INLINE static Pack<W> mean(const Prepared& prepared, const Row<W>& row, Pack<W>* partial) {
    if constexpr (requires { F::prepare(static_cast<const double*>(nullptr)); }) {
      return F::value(prepared, row[0], partial);
    } else {
      const std::span<const D> t(prepared.t, P);
      D m;
      if constexpr (requires { F::f(row[0], t); })
        m = F::f(row[0], t);
      else
        m = F::f(row, t);
      for (std::size_t i = 0; i < P; ++i) partial[i] = m.partial[i];
      return m.value;
    }
  }
};

using KernelFunction = double (*)(const Columns&, const double*, double*, double*);

template <class K>
[[gnu::flatten]] double run_baseline(const Columns& d, const double* t, double* g, double* p) {
  return K::run(d, t, g, p);
}
#if defined(__x86_64__)
template <class K>
REEVE_TARGET_AVX2 double run_avx2(const Columns& d, const double* t, double* g, double* p) {
  return K::run(d, t, g, p);
}
template <class K>
REEVE_TARGET_AVX512 double run_avx512(const Columns& d, const double* t, double* g, double* p) {
  return K::run(d, t, g, p);
}
#endif

template <template <class, int> class K, class F>
KernelFunction select_kernel(Isa isa) noexcept {
#if defined(__x86_64__)
  if (isa == Isa::avx512) return &run_avx512<K<F, 8>>;
  if (isa == Isa::avx2) return &run_avx2<K<F, 4>>;
#endif
  (void)isa;
  return &run_baseline<K<F, 2>>;
}

}  // namespace detail

enum class Family { normal, student_t, bernoulli_logit, poisson_log, neg_binomial_log };

/// What is added to a mean function: a constant, and a slope times each of the covariates, which
/// are the columns just before the response.
struct LinearTerm {
  std::size_t covariates = 0;
  double offset = 0;
};

namespace detail {
std::shared_ptr<const Model> sum_model(Columns data, std::size_t parameters, KernelFunction kernel);
std::shared_ptr<const Model> mean_model(Columns data, std::size_t parameters, Family family,
                                        double student_nu, KernelFunction kernel,
                                        const LinearTerm& linear = {});
void check_model(const Parameters& parameters, std::size_t expected, const Columns& data,
                 Family family, bool has_family);
}  // namespace detail

/// The sum over rows of `F::log_likelihood(row, theta)`, where
/// `struct F { static constexpr std::size_t parameters = P;
///             template <class X, class T> static T log_likelihood(const X& row, std::span<const T>
///             theta); }`
/// and `row[i]` is the i-th column. Branch with where_greater, not with if.
///
/// Cost: near hand-written SIMD; measured in docs/mcmc.md.
template <class F>
Density observations(Parameters parameters, Columns data, Isa isa = best_isa()) {
  detail::check_model(parameters, F::parameters, data, Family::normal, false);
  return {std::move(parameters),
          detail::sum_model(std::move(data), F::parameters,
                            detail::select_kernel<detail::SumKernel, F>(isa))};
}

/// Errors around a mean function `F::f(x, theta)`; the last column is the response. The parameters
/// are F's, then: sigma (normal, student_t) or phi (neg_binomial_log). For the other families F is
/// the linear predictor on the logit or log scale. F may differentiate itself, for speed:
/// `static Prepared prepare(const double* theta)` computes what does not depend on x, and
/// `template <class X> static X value(const Prepared&, const X& x, X* partials)` the rest. With
/// `linear`, its slopes stand between F's parameters and the last one.
///
/// Errors: ConfigError for a wrong number of parameters or a response outside the family's range.
template <class F>
Density regression(Parameters parameters, Columns data, Family family, double student_nu = 4,
                   Isa isa = best_isa(), const LinearTerm& linear = {}) {
  detail::check_model(parameters, F::parameters + linear.covariates, data, family, true);
  return {std::move(parameters),
          detail::mean_model(std::move(data), F::parameters, family, student_nu,
                             detail::select_kernel<detail::MeanKernel, F>(isa), linear)};
}

/// A model whose log likelihood is a sum over observations, for PSIS-LOO: writes one term per row.
class PointwiseModel : public Model {
 public:
  virtual std::size_t rows() const noexcept = 0;
  virtual void pointwise(std::span<const double> theta, std::span<double> log_likelihood) const = 0;
};

}  // namespace reeve::mcmc
