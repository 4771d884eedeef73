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

}  // namespace reeve::mcmc
