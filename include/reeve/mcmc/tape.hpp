// Reverse-mode automatic differentiation on an arena tape, for densities of many parameters.
#pragma once

#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

namespace reeve::mcmc {

/// The record of one evaluation: two parents and two local derivatives per operation. The memory is
/// kept between evaluations, so a steady state allocates nothing.
///
/// Threads: each thread has its own active tape.
class Tape {
 public:
  std::uint32_t record(std::uint32_t a, double da, std::uint32_t b, double db) {
    nodes_.push_back({a, b, da, db});
    return static_cast<std::uint32_t>(nodes_.size() - 1);
  }
  /// Forgets everything and makes `count` independent variables: nodes 1..count. Node 0 is
  /// "constant".
  void restart(std::size_t count) {
    nodes_.clear();
    nodes_.resize(count + 1);
  }
  /// Writes d(result)/d(variable i) to gradient[i].
  void differentiate(std::uint32_t result, std::span<double> gradient);

  static Tape*& active() noexcept;

 private:
  struct Node {
    std::uint32_t a = 0, b = 0;
    double da = 0, db = 0;
  };
  std::vector<Node> nodes_;
  std::vector<double> adjoint_;
};

/// A number whose operations are recorded on the thread's active tape.
struct Var {
  double value = 0;
  std::uint32_t node = 0;

  Var() = default;
  Var(double v) noexcept : value(v) {}  // NOLINT: constants are variables without a node
  Var(double v, std::uint32_t n) noexcept : value(v), node(n) {}
  Var& operator+=(Var b);
  Var& operator-=(Var b);
  Var& operator*=(Var b);
  Var& operator/=(Var b);
  friend auto operator<=>(Var a, Var b) noexcept { return a.value <=> b.value; }
  friend bool operator==(Var a, Var b) noexcept { return a.value == b.value; }
};

namespace detail {
inline Var unary(double value, Var a, double d) {
  return a.node == 0 ? Var(value) : Var(value, Tape::active()->record(a.node, d, 0, 0));
}
inline Var binary(double value, Var a, double da, Var b, double db) {
  if ((a.node | b.node) == 0) return Var(value);
  return Var(value, Tape::active()->record(a.node, da, b.node, db));
}
}  // namespace detail

// clang-format off
inline Var operator+(Var a, Var b) { return detail::binary(a.value + b.value, a, 1, b, 1); }
inline Var operator-(Var a, Var b) { return detail::binary(a.value - b.value, a, 1, b, -1); }
inline Var operator*(Var a, Var b) { return detail::binary(a.value * b.value, a, b.value, b, a.value); }
inline Var operator/(Var a, Var b) { const double q = a.value / b.value; return detail::binary(q, a, 1 / b.value, b, -q / b.value); }
inline Var operator-(Var a) { return detail::unary(-a.value, a, -1); }
inline Var& Var::operator+=(Var b) { return *this = *this + b; }
inline Var& Var::operator-=(Var b) { return *this = *this - b; }
inline Var& Var::operator*=(Var b) { return *this = *this * b; }
inline Var& Var::operator/=(Var b) { return *this = *this / b; }
inline Var exp(Var a) { const double e = std::exp(a.value); return detail::unary(e, a, e); }
inline Var log(Var a) { return detail::unary(std::log(a.value), a, 1 / a.value); }
inline Var log1p(Var a) { return detail::unary(std::log1p(a.value), a, 1 / (1 + a.value)); }
inline Var sqrt(Var a) { const double s = std::sqrt(a.value); return detail::unary(s, a, 0.5 / s); }
inline Var tanh(Var a) { const double t = std::tanh(a.value); return detail::unary(t, a, 1 - t * t); }
inline Var sin(Var a) { return detail::unary(std::sin(a.value), a, std::cos(a.value)); }
inline Var cos(Var a) { return detail::unary(std::cos(a.value), a, -std::sin(a.value)); }
inline Var pow(Var a, Var b) { return exp(b * log(a)); }
inline Var pow(Var a, double b) { const double p = std::pow(a.value, b - 1); return detail::unary(p * a.value, a, b * p); }
// clang-format on
Var lgamma(Var a);
inline double value_of(Var x) noexcept {
  return x.value;
}

}  // namespace reeve::mcmc
