// Forward-mode automatic differentiation: a value with N partial derivatives.
#pragma once

#include <reeve/mcmc/partials.hpp>

#include <cmath>
#include <compare>
#include <cstddef>
#include <type_traits>

namespace reeve::mcmc {

/// A value and its N partial derivatives. V is double, or a Pack of several observations.
/// Mixed arithmetic with V and double costs no derivative work.
///
/// Cost: N multiply-adds per operation; everything inlines.
template <std::size_t N, class V = double>
struct Dual {
  V value;
  detail::Partials<N, V> partial;  ///< partial[i] is a V

  Dual() = default;
  REEVE_INLINE Dual(const V& v) noexcept : value(v) {  // NOLINT: constants are duals
    partial.set_zero();
  }
  template <class S>
    requires(std::is_arithmetic_v<S> && !std::is_same_v<S, V>)
  REEVE_INLINE Dual(S v) noexcept : Dual(V(static_cast<double>(v))) {}  // NOLINT

  /// The i-th independent variable.
  REEVE_INLINE static Dual variable(const V& v, std::size_t i) noexcept {
    Dual x;
    x.value = v;
    x.partial.set_unit(i);
    return x;
  }

  REEVE_INLINE Dual& operator+=(const Dual& b) noexcept { return *this = *this + b; }
  REEVE_INLINE Dual& operator-=(const Dual& b) noexcept { return *this = *this - b; }
  REEVE_INLINE Dual& operator*=(const Dual& b) noexcept { return *this = *this * b; }
  REEVE_INLINE Dual& operator/=(const Dual& b) noexcept { return *this = *this / b; }
};

namespace detail {
/// f(a) with derivative d: the chain rule for every function of one argument.
template <std::size_t N, class V>
REEVE_INLINE Dual<N, V> chain(const Dual<N, V>& a, const V& value, const V& d) noexcept {
  Dual<N, V> r;
  r.value = value;
  r.partial.set_scaled(a.partial, d);
  return r;
}
template <class S, class V>
concept ConstantOf = std::is_arithmetic_v<S> || std::is_same_v<S, V>;
}  // namespace detail

// clang-format off
#define REEVE_DUAL template <std::size_t N, class V> REEVE_INLINE Dual<N, V>
#define REEVE_DUAL_S template <std::size_t N, class V, detail::ConstantOf<V> S> REEVE_INLINE Dual<N, V>
REEVE_DUAL operator+(const Dual<N, V>& a, const Dual<N, V>& b) noexcept {
  Dual<N, V> r; r.value = a.value + b.value;
  r.partial.set_sum(a.partial, b.partial);
  return r;
}
REEVE_DUAL operator-(const Dual<N, V>& a, const Dual<N, V>& b) noexcept {
  Dual<N, V> r; r.value = a.value - b.value;
  r.partial.set_difference(a.partial, b.partial);
  return r;
}
REEVE_DUAL operator*(const Dual<N, V>& a, const Dual<N, V>& b) noexcept {
  Dual<N, V> r; r.value = a.value * b.value;
  r.partial.set_combined(a.partial, b.value, b.partial, a.value);
  return r;
}
REEVE_DUAL operator/(const Dual<N, V>& a, const Dual<N, V>& b) noexcept {
  const V inverse = V(1.0) / b.value;
  Dual<N, V> r; r.value = a.value * inverse;
  r.partial.set_quotient(a.partial, r.value, b.partial, inverse);
  return r;
}
REEVE_DUAL operator-(const Dual<N, V>& a) noexcept {
  Dual<N, V> r; r.value = -a.value;
  r.partial.set_negated(a.partial);
  return r;
}
REEVE_DUAL_S operator+(Dual<N, V> a, const S& b) noexcept { a.value = a.value + V(b); return a; }
REEVE_DUAL_S operator+(const S& b, Dual<N, V> a) noexcept { a.value = a.value + V(b); return a; }
REEVE_DUAL_S operator-(Dual<N, V> a, const S& b) noexcept { a.value = a.value - V(b); return a; }
REEVE_DUAL_S operator-(const S& b, const Dual<N, V>& a) noexcept { return -a + b; }
REEVE_DUAL_S operator*(const Dual<N, V>& a, const S& b) noexcept { return detail::chain(a, V(a.value * V(b)), V(b)); }
REEVE_DUAL_S operator*(const S& b, const Dual<N, V>& a) noexcept { return a * b; }
REEVE_DUAL_S operator/(const Dual<N, V>& a, const S& b) noexcept { return a * V(V(1.0) / V(b)); }
REEVE_DUAL_S operator/(const S& b, const Dual<N, V>& a) noexcept {
  const V q = V(b) / a.value;
  return detail::chain(a, q, V(-q / a.value));
}
REEVE_DUAL exp(const Dual<N, V>& a) noexcept { using std::exp; const V e = exp(a.value); return detail::chain(a, e, e); }
REEVE_DUAL log(const Dual<N, V>& a) noexcept { using std::log; return detail::chain(a, V(log(a.value)), V(V(1.0) / a.value)); }
REEVE_DUAL log1p(const Dual<N, V>& a) noexcept { using std::log1p; return detail::chain(a, V(log1p(a.value)), V(V(1.0) / (V(1.0) + a.value))); }
REEVE_DUAL sqrt(const Dual<N, V>& a) noexcept { using std::sqrt; const V s = sqrt(a.value); return detail::chain(a, s, V(V(0.5) / s)); }
REEVE_DUAL tanh(const Dual<N, V>& a) noexcept { using std::tanh; const V t = tanh(a.value); return detail::chain(a, t, V(V(1.0) - t * t)); }
REEVE_DUAL sin(const Dual<N, V>& a) noexcept { using std::sin; using std::cos; return detail::chain(a, V(sin(a.value)), V(cos(a.value))); }
REEVE_DUAL cos(const Dual<N, V>& a) noexcept { using std::sin; using std::cos; return detail::chain(a, V(cos(a.value)), V(-sin(a.value))); }
REEVE_DUAL lgamma(const Dual<N, V>& a) noexcept;
REEVE_DUAL pow(const Dual<N, V>& a, const Dual<N, V>& b) noexcept { return exp(b * log(a)); }
REEVE_DUAL pow(const Dual<N, V>& a, double b) noexcept {
  using std::pow; const V p = pow(a.value, b - 1); return detail::chain(a, V(p * a.value), V(p * V(b)));
}
template <std::size_t N, class V> REEVE_INLINE auto operator<=>(const Dual<N, V>& a, const Dual<N, V>& b) noexcept { return a.value <=> b.value; }
template <std::size_t N, class V> REEVE_INLINE bool operator==(const Dual<N, V>& a, const Dual<N, V>& b) noexcept { return a.value == b.value; }
template <std::size_t N> REEVE_INLINE auto operator<=>(const Dual<N, double>& a, double b) noexcept { return a.value <=> b; }
template <std::size_t N> REEVE_INLINE bool operator==(const Dual<N, double>& a, double b) noexcept { return a.value == b; }
#undef REEVE_DUAL_S
// clang-format on

/// x squared, for anything that multiplies.
template <class T>
REEVE_INLINE T square(const T& x) noexcept {
  return x * x;
}

/// The value without its derivatives.
REEVE_INLINE double value_of(double x) noexcept {
  return x;
}
template <std::size_t N>
REEVE_INLINE double value_of(const Dual<N, double>& x) noexcept {
  return x.value;
}

/// d/dx log Gamma(x), x > 0. Relative error about 1e-15.
double digamma(double x) noexcept;

REEVE_DUAL lgamma(const Dual<N, V>& a) noexcept {
  using std::lgamma;
  return detail::chain(a, V(lgamma(a.value)), V(digamma(a.value)));
}
#undef REEVE_DUAL

}  // namespace reeve::mcmc
