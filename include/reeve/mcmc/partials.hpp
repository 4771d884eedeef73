// The partial derivatives of a dual number: of doubles, in pairs.
#pragma once

#include <cstddef>

#define REEVE_INLINE [[gnu::always_inline]] inline

namespace reeve::mcmc::detail {

/// N partials of type V, with the five forms that derivatives take. Every form is one pass.
template <std::size_t N, class V>
struct Partials {
  V v[N];

  REEVE_INLINE V& operator[](std::size_t i) noexcept { return v[i]; }
  REEVE_INLINE const V& operator[](std::size_t i) const noexcept { return v[i]; }
  REEVE_INLINE void set_zero() noexcept {
    for (std::size_t i = 0; i < N; ++i) v[i] = V(0.0);
  }
  /// 1 for the i-th, 0 for all others; for i >= N all are 0.
  REEVE_INLINE void set_unit(std::size_t i) noexcept {
    for (std::size_t k = 0; k < N; ++k) v[k] = V(k == i ? 1.0 : 0.0);
  }
  REEVE_INLINE void set_scaled(const Partials& a, const V& s) noexcept {
    for (std::size_t i = 0; i < N; ++i) v[i] = s * a.v[i];
  }
  REEVE_INLINE void set_sum(const Partials& a, const Partials& b) noexcept {
    for (std::size_t i = 0; i < N; ++i) v[i] = a.v[i] + b.v[i];
  }
  REEVE_INLINE void set_difference(const Partials& a, const Partials& b) noexcept {
    for (std::size_t i = 0; i < N; ++i) v[i] = a.v[i] - b.v[i];
  }
  REEVE_INLINE void set_negated(const Partials& a) noexcept {
    for (std::size_t i = 0; i < N; ++i) v[i] = -a.v[i];
  }
  /// a s + b t
  REEVE_INLINE void set_combined(const Partials& a, const V& s, const Partials& b,
                                 const V& t) noexcept {
    for (std::size_t i = 0; i < N; ++i) v[i] = a.v[i] * s + t * b.v[i];
  }
  /// (a - s b) t
  REEVE_INLINE void set_quotient(const Partials& a, const V& s, const Partials& b,
                                 const V& t) noexcept {
    for (std::size_t i = 0; i < N; ++i) v[i] = (a.v[i] - s * b.v[i]) * t;
  }
};

// g++ 12 works on an array of doubles one by one; pairs stay in registers. Wider vectors gain
// another 10 % where the machine has them, and cost a factor of four where it has not.
typedef double PairOfDoubles __attribute__((vector_size(16), aligned(8)));

template <>
struct Partials<2, double> {
  PairOfDoubles v;

  REEVE_INLINE double& operator[](std::size_t i) noexcept {
    return reinterpret_cast<double*>(&v)[i];
  }
  REEVE_INLINE const double& operator[](std::size_t i) const noexcept {
    return reinterpret_cast<const double*>(&v)[i];
  }
  REEVE_INLINE void set_zero() noexcept { v = PairOfDoubles{}; }
  // Both lanes at once: a load of the pair need not wait for two stores.
  REEVE_INLINE void set_unit(std::size_t i) noexcept {
    v = PairOfDoubles{i == 0 ? 1.0 : 0.0, i == 1 ? 1.0 : 0.0};
  }
  REEVE_INLINE void set_scaled(const Partials& a, double s) noexcept { v = s * a.v; }
  REEVE_INLINE void set_sum(const Partials& a, const Partials& b) noexcept { v = a.v + b.v; }
  REEVE_INLINE void set_difference(const Partials& a, const Partials& b) noexcept { v = a.v - b.v; }
  REEVE_INLINE void set_negated(const Partials& a) noexcept { v = -a.v; }
  REEVE_INLINE void set_combined(const Partials& a, double s, const Partials& b,
                                 double t) noexcept {
    v = a.v * s + t * b.v;
  }
  REEVE_INLINE void set_quotient(const Partials& a, double s, const Partials& b,
                                 double t) noexcept {
    v = (a.v - s * b.v) * t;
  }
};

/// More than 2: a pair, and the rest directly behind it.
template <std::size_t N>
  requires(N > 2)
struct Partials<N, double> {
  Partials<2, double> head;
  Partials<N - 2, double> rest;

  REEVE_INLINE double& operator[](std::size_t i) noexcept { return i < 2 ? head[i] : rest[i - 2]; }
  REEVE_INLINE const double& operator[](std::size_t i) const noexcept {
    return i < 2 ? head[i] : rest[i - 2];
  }
  REEVE_INLINE void set_zero() noexcept { head.set_zero(), rest.set_zero(); }
  REEVE_INLINE void set_unit(std::size_t i) noexcept {
    head.set_unit(i), rest.set_unit(i - 2);  // of i < 2 the difference wraps: no lane has it
  }
  REEVE_INLINE void set_scaled(const Partials& a, double s) noexcept {
    head.set_scaled(a.head, s), rest.set_scaled(a.rest, s);
  }
  REEVE_INLINE void set_sum(const Partials& a, const Partials& b) noexcept {
    head.set_sum(a.head, b.head), rest.set_sum(a.rest, b.rest);
  }
  REEVE_INLINE void set_difference(const Partials& a, const Partials& b) noexcept {
    head.set_difference(a.head, b.head), rest.set_difference(a.rest, b.rest);
  }
  REEVE_INLINE void set_negated(const Partials& a) noexcept {
    head.set_negated(a.head), rest.set_negated(a.rest);
  }
  REEVE_INLINE void set_combined(const Partials& a, double s, const Partials& b,
                                 double t) noexcept {
    head.set_combined(a.head, s, b.head, t), rest.set_combined(a.rest, s, b.rest, t);
  }
  REEVE_INLINE void set_quotient(const Partials& a, double s, const Partials& b,
                                 double t) noexcept {
    head.set_quotient(a.head, s, b.head, t), rest.set_quotient(a.rest, s, b.rest, t);
  }
};

}  // namespace reeve::mcmc::detail
