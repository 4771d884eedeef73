// The two distribution functions that diagnostics need: chi-squared and normal.
#include <reeve/mcmc/diagnostics.hpp>

#include <cmath>
#include <limits>
#include <numbers>
#include <numeric>

namespace reeve::mcmc {

// Upper tail of chi-squared by the regularised incomplete gamma function.
double uniformity_p_value(std::span<const std::size_t> counts) {
  const double total =
      static_cast<double>(std::accumulate(counts.begin(), counts.end(), std::size_t{0}));
  const double expected = total / static_cast<double>(counts.size());
  double chi2 = 0;
  for (const auto c : counts) chi2 += (double(c) - expected) * (double(c) - expected) / expected;
  const double a = 0.5 * static_cast<double>(counts.size() - 1), x = 0.5 * chi2;
  if (x <= 0) return 1;
  double term = 1 / a, sum = term;
  for (int k = 1; k < 10000 && term > sum * 1e-16; ++k) sum += term *= x / (a + k);
  const double lower = sum * std::exp(-x + a * std::log(x) - std::lgamma(a));
  if (lower < 0.999) return 1 - lower;
  // Far in the tail: Legendre's continued fraction keeps the digits.
  double f = 0;
  for (int k = 200; k > 0; --k) f = k * (a - k) / (x + 2 * k + 1 - a + f);
  return std::exp(-x + a * std::log(x) - std::lgamma(a)) / (x + 1 - a + f);
}

// Acklam's rational approximation, then one step of Halley with erfc: full precision.
double normal_quantile(double p) {
  if (!(p > 0 && p < 1))
    return p == 0   ? -std::numeric_limits<double>::infinity()
           : p == 1 ? std::numeric_limits<double>::infinity()
                    : std::numeric_limits<double>::quiet_NaN();
  static constexpr double a[] = {-3.969683028665376e+01, 2.209460984245205e+02,
                                 -2.759285104469687e+02, 1.383577518672690e+02,
                                 -3.066479806614716e+01, 2.506628277459239e+00};
  static constexpr double b[] = {-5.447609879822406e+01, 1.615858368580409e+02,
                                 -1.556989798598866e+02, 6.680131188771972e+01,
                                 -1.328068155288572e+01};
  static constexpr double c[] = {-7.784894002430293e-03, -3.223964580411365e-01,
                                 -2.400758277161838e+00, -2.549732539343734e+00,
                                 4.374664141464968e+00,  2.938163982698783e+00};
  static constexpr double d[] = {7.784695709041462e-03, 3.224671290700398e-01,
                                 2.445134137142996e+00, 3.754408661907416e+00};
  double x = 0;
  if (p < 0.02425 || p > 1 - 0.02425) {
    const double q = std::sqrt(-2 * std::log(p < 0.5 ? p : 1 - p));
    x = (((((c[0] * q + c[1]) * q + c[2]) * q + c[3]) * q + c[4]) * q + c[5]) /
        ((((d[0] * q + d[1]) * q + d[2]) * q + d[3]) * q + 1);
    if (p > 0.5) x = -x;
  } else {
    const double q = p - 0.5, r = q * q;
    x = (((((a[0] * r + a[1]) * r + a[2]) * r + a[3]) * r + a[4]) * r + a[5]) * q /
        (((((b[0] * r + b[1]) * r + b[2]) * r + b[3]) * r + b[4]) * r + 1);
  }
  for (int i = 0; i < 2; ++i) {
    const double error = x < 0 ? 0.5 * std::erfc(-x / std::numbers::sqrt2) - p
                               : (1 - p) - 0.5 * std::erfc(x / std::numbers::sqrt2);
    const double u = error * std::sqrt(2 * std::numbers::pi) * std::exp(x * x / 2);
    x -= u / (1 + x * u / 2);
  }
  return x;
}

}  // namespace reeve::mcmc
