// A small set of prior distributions, and log densities to write likelihoods with.
#pragma once

#include <reeve/mcmc/dual.hpp>
#include <reeve/mcmc/random.hpp>

#include <limits>
#include <string>

namespace reeve::mcmc {

/// The prior of one parameter, normalised. Its support decides the transform that the sampler uses.
class Prior {
 public:
  enum class Kind {
    flat,
    normal,
    student_t,
    cauchy,
    half_normal,
    half_cauchy,
    lognormal,
    gamma,
    inverse_gamma,
    exponential,
    beta,
    uniform
  };

  Prior() = default;  ///< flat: contributes nothing
  Prior(Kind kind, double a, double b, double c = 0) noexcept;

  Kind kind() const noexcept { return kind_; }
  double lower() const noexcept;  ///< -infinity, 0, or the bound of uniform
  double upper() const noexcept;
  bool proper() const noexcept { return kind_ != Kind::flat; }

  /// log p(x) with its normalising constant; `slope` receives d/dx. x must be inside the support.
  double log_density(double x, double& slope) const noexcept;
  /// Preconditions: proper().
  double draw(Random& random) const;
  /// "normal(0, 2.5)"
  std::string text() const;

 private:
  Kind kind_ = Kind::flat;
  double a_ = 0, b_ = 0, c_ = 0;
  double constant_ = 0;  ///< the part of the log density that does not depend on x
};

/// Errors: ConfigError for a scale, shape or width that is not positive and finite.
Prior normal(double mean, double sd);
Prior student_t(double nu, double mean, double scale);
Prior cauchy(double location, double scale);
Prior half_normal(double sd);
Prior half_cauchy(double scale);
Prior lognormal(double log_mean, double log_sd);
Prior gamma(double shape, double rate);
Prior inverse_gamma(double shape, double scale);
Prior exponential(double rate);
Prior beta(double a, double b);
Prior uniform(double low, double high);

/// log N(x | mean, sd) for anything that differentiates: doubles, duals, packs, tape variables.
template <class X, class M, class S>
REEVE_INLINE auto normal_lpdf(const X& x, const M& mean, const S& sd) {
  using std::log;
  const auto z = (x - mean) / sd;
  return -0.5 * (z * z) - log(sd) - 0.91893853320467274178;
}
/// log(exp(a) + exp(b)) without overflow.
template <class T>
REEVE_INLINE T log_sum_exp(const T& a, const T& b) {
  using std::exp;
  using std::log1p;
  if (value_of(a) >= value_of(b)) return a + log1p(exp(b - a));
  return b + log1p(exp(a - b));
}
template <std::size_t N, class V>
  requires(!std::is_same_v<V, double>)
REEVE_INLINE Dual<N, V> log_sum_exp(const Dual<N, V>& a, const Dual<N, V>& b) {
  const Dual<N, V> high = where_greater(a.value, b.value, a, b);
  const Dual<N, V> low = where_greater(a.value, b.value, b, a);
  return high + log1p(exp(low - high));
}

/// log(1 + exp(x)) without overflow, by one exponential; its derivative is 1 / (1 + exp(-x)).
template <class T>
REEVE_INLINE T log1p_exp(const T& x) {
  using std::exp;
  using std::log1p;
  return value_of(x) > 0 ? T(x + log1p(exp(-x))) : T(log1p(exp(x)));
}
template <std::size_t N>
REEVE_INLINE Dual<N, double> log1p_exp(const Dual<N, double>& x) {
  const double e = std::exp(-std::abs(x.value)), u = 1 + e, inverse = 1 / u;
  const double value = std::log(u) + (e - (u - 1)) * inverse + (x.value > 0 ? x.value : 0.0);
  return detail::chain(x, value, x.value > 0 ? inverse : e * inverse);
}
template <std::size_t N, class V>
  requires(!std::is_same_v<V, double>)
REEVE_INLINE Dual<N, V> log1p_exp(const Dual<N, V>& x) {
  const V zero(0.0), one(1.0);
  const V positive = where_greater(x.value, zero, x.value, zero);
  const V e = exp(where_greater(x.value, zero, V(-x.value), x.value));
  const V inverse = one / (one + e);
  return detail::chain(x, V(positive + log1p(e)),
                       V(where_greater(x.value, zero, inverse, V(e * inverse))));
}
/// log of the probability of `y`, 0 or 1, whose log odds are `eta`.
template <class Y, class T>
REEVE_INLINE T bernoulli_logit_lpmf(const Y& y, const T& eta) {
  return eta * y - log1p_exp(eta);
}

}  // namespace reeve::mcmc
