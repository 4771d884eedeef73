// The nine mechanisms that come with reeve, and what every mechanism has.
#include "inference/standard.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <reeve/base/error.hpp>
#include <reeve/inference/infer.hpp>
#include <set>

namespace reeve::inference {
namespace {

using mcmc::cauchy;
using mcmc::Dual;
using mcmc::lognormal;
using mcmc::normal;
using mcmc::where_greater;

// Branches by value, for doubles and for duals of packs.
REEVE_INLINE double choose(double key, double limit, double above, double below) {
  return key > limit ? above : below;
}
template <std::size_t N, class V>
REEVE_INLINE Dual<N, V> choose(const Dual<N, V>& key, double limit, const Dual<N, V>& above,
                               const Dual<N, V>& below) {
  return where_greater(key.value, V(limit), above, below);
}
template <class X>
REEVE_INLINE X log_of(const X& x) {
  using std::log;
  const X tiny(1e-12);
  return log(where_greater(x, tiny, x, tiny));
}
// 1 / (1 + exp(-z)); its slope comes from its value, so it is finite for every z.
REEVE_INLINE double logistic(double z) {
  return 1 / (1 + std::exp(-z));
}
template <std::size_t N, class V>
REEVE_INLINE Dual<N, V> logistic(const Dual<N, V>& z) {
  const V s = V(1.0) / (V(1.0) + exp(V(-z.value)));
  return mcmc::detail::chain(z, s, V(s * (V(1.0) - s)));
}

struct Null {
  static constexpr std::size_t parameters = 1;
  template <class X, class T>
  REEVE_INLINE static T f(const X&, std::span<const T> t) {
    return t[0];
  }
};
struct Line {
  static constexpr std::size_t parameters = 2;
  template <class X, class T>
  REEVE_INLINE static T f(const X& x, std::span<const T> t) {
    return t[0] + t[1] * (x - 0.5);
  }
};
struct Parabola {
  static constexpr std::size_t parameters = 3;
  template <class X, class T>
  REEVE_INLINE static T f(const X& x, std::span<const T> t) {
    const X v = x - 0.5;
    return t[0] + t[1] * v + t[2] * (v * v - 1.0 / 12);
  }
};
struct Emax {
  static constexpr std::size_t parameters = 3;
  template <class X, class T>
  REEVE_INLINE static T f(const X& x, std::span<const T> t) {
    return t[0] + t[1] * (1.0 + t[2]) * x / (x + t[2]);
  }
  static double derived(std::span<const double> t) { return t[1] * (1 + t[2]); }

  struct Prepared {
    double e0, change, ec50;
  };
  REEVE_INLINE static Prepared prepare(const double* t) { return {t[0], t[1], t[2]}; }
  template <class X>
  REEVE_INLINE static X value(const Prepared& p, const X& x, X* partial) {
    const X inverse = 1.0 / (x + p.ec50);
    const X share = (1 + p.ec50) * x * inverse;
    partial[0] = X(1.0);
    partial[1] = share;
    partial[2] = p.change * x * (x - 1.0) * inverse * inverse;
    return p.e0 + p.change * share;
  }
};
struct Hill {
  static constexpr std::size_t parameters = 4;
  template <class X, class T>
  REEVE_INLINE static T f(const X& x, std::span<const T> t) {
    using std::log;
    const T shift = -(t[3] * log(t[2]));
    return t[0] + t[1] * logistic(T(t[3] * log_of(x) + shift)) / logistic(shift);
  }
  static double derived(std::span<const double> t) { return t[1] * (1 + std::pow(t[2], t[3])); }
};
struct Threshold {
  static constexpr std::size_t parameters = 3;
  template <class X, class T>
  REEVE_INLINE static T f(const X& x, std::span<const T> t) {
    const T beyond = x - t[2];
    return t[0] + t[1] * choose(beyond, 0, beyond, T(0.0)) / (1.0 - t[2]);
  }
};
struct Sigmoid {
  static constexpr std::size_t parameters = 4;
  template <class X, class T>
  REEVE_INLINE static T f(const X& x, std::span<const T> t) {
    const T shift = -(t[3] * t[2]);
    const T low = logistic(shift);
    const T rise = t[1] / (logistic(T(t[3] + shift)) - low);
    return t[0] + rise * (logistic(T(t[3] * x + shift)) - low);
  }
  static double derived(std::span<const double> t) {
    return t[1] / (logistic(t[3] * (1 - t[2])) - logistic(-t[3] * t[2]));
  }

  // With s(x) the logistic curve, g(x) = (s(x) - s(0)) / (s(1) - s(0)) and f = start + change g.
  struct Prepared {
    double start, change, middle, rate, low, inverse;
    double rate_low, rate_span, middle_low, middle_span;  ///< slopes of s(0) and of s(1) - s(0)
  };
  REEVE_INLINE static Prepared prepare(const double* t) {
    const double low = logistic(-t[3] * t[2]), high = logistic(t[3] * (1 - t[2]));
    const double d_low = low * (1 - low), d_high = high * (1 - high);
    const double rate_low = -t[2] * d_low, middle_low = -t[3] * d_low;
    return {t[0],       t[1],
            t[2],       t[3],
            low,        1 / (high - low),
            rate_low,   (1 - t[2]) * d_high - rate_low,
            middle_low, -t[3] * d_high - middle_low};
  }
  template <class X>
  REEVE_INLINE static X value(const Prepared& p, const X& x, X* partial) {
    using std::exp;
    const X from_middle = x - p.middle;
    const X s = 1.0 / (1.0 + exp(X(-p.rate * from_middle)));
    const X slope = s * (1.0 - s);
    const X g = (s - p.low) * p.inverse;
    const double scale = p.change * p.inverse;
    partial[0] = X(1.0);
    partial[1] = g;
    partial[2] = scale * (-p.rate * slope - p.middle_low - p.middle_span * g);
    partial[3] = scale * (from_middle * slope - p.rate_low - p.rate_span * g);
    return p.start + p.change * g;
  }
};
struct Exponential {
  static constexpr std::size_t parameters = 3;
  template <class X, class T>
  REEVE_INLINE static T f(const X& x, std::span<const T> t) {
    using std::exp;
    // At a rate of zero the limit is a line; a rate beside it is used, so nothing is 0 / 0.
    const T k = choose(T(t[2] * t[2]), 1e-6, t[2], T(t[2] + 0.002));
    return t[0] + t[1] * (1.0 - exp(-(k * x))) / (1.0 - exp(-k));
  }
};
struct Power {
  static constexpr std::size_t parameters = 3;
  template <class X, class T>
  REEVE_INLINE static T f(const X& x, std::span<const T> t) {
    using std::exp;
    return t[0] + t[1] * exp(T(t[2] * log_of(x)));
  }
};

}  // namespace

Mechanism::Mechanism(std::string name, MechanismCodeOf code_of) : code_(code_of) {
  if (name.empty()) throw ConfigError("a mechanism has an empty name; name it for the reports");
  record_.name = std::move(name);
  const codec::FunctionId id = codec::identify_code(reinterpret_cast<const void*>(code_of));
  record_.module = id.module;
  record_.offset = id.offset;
}

Mechanism& Mechanism::parameter(std::string name, mcmc::Prior prior, Unit unit) {
  for (const auto& p : record_.parameters)
    if (p.name == name)
      throw ConfigError(
          fmt::format("mechanism '{}' declares the parameter '{}' twice", record_.name, name));
  if (name.empty() || name == "sigma" || name == "phi")
    throw ConfigError(
        fmt::format("mechanism '{}': '{}' is no name for a parameter; sigma and phi are the noise",
                    record_.name, name));
  if (!prior.proper())
    throw ConfigError(fmt::format(
        "mechanism '{}': the prior of '{}' is flat; only proper priors have a marginal likelihood",
        record_.name, name));
  record_.parameters.push_back({std::move(name), prior, unit});
  return *this;
}
Mechanism& Mechanism::scale(CauseScale scale) noexcept {
  record_.scale = scale;
  return *this;
}
Mechanism& Mechanism::through_zero() noexcept {
  record_.through_zero = true;
  return *this;
}
Mechanism& Mechanism::weight(double weight) {
  if (!(weight > 0) || !std::isfinite(weight))
    throw ConfigError(
        fmt::format("mechanism '{}': its weight is {}; it must be positive", record_.name, weight));
  record_.weight = weight;
  return *this;
}
Mechanism& Mechanism::linear() noexcept {
  record_.linear = true;
  return *this;
}
Mechanism& Mechanism::derived(std::string name, Unit unit) {
  if (!code().derived || name.empty())
    throw ConfigError(
        fmt::format("mechanism '{}' has no function derived(theta) for '{}'; add it to its struct",
                    record_.name, name));
  record_.derived = std::move(name);
  record_.derived_unit = unit;
  return *this;
}
Mechanism& Mechanism::no_effect() noexcept {
  record_.effect = false;
  return *this;
}

Mechanism Mechanism::from(MechanismRecord record) {
  const codec::FunctionId id{record.module, record.offset};
  const void* code = codec::resolve_code(id);
  Mechanism m(record.name,
              reinterpret_cast<MechanismCodeOf>(reinterpret_cast<std::uintptr_t>(code)));
  m.record_ = std::move(record);
  return m;
}

Mechanism null() {
  return mechanism<Null>("null").parameter("level", normal(0, 1), Unit::level).linear().no_effect();
}
Mechanism linear() {
  return mechanism<Line>("linear")
      .parameter("level", normal(0, 1), Unit::level)
      .parameter("slope", normal(0, 3), Unit::slope)
      .linear();
}
Mechanism quadratic() {
  return mechanism<Parabola>("quadratic")
      .parameter("level", normal(0, 1), Unit::level)
      .parameter("slope", normal(0, 3), Unit::slope)
      .parameter("curvature", normal(0, 6), Unit::curvature)
      .linear();
}
Mechanism emax() {
  return mechanism<Emax>("emax")
      .parameter("e0", normal(0, 2), Unit::level)
      .parameter("change", normal(0, 3), Unit::change)
      .parameter("ec50", lognormal(-1.2, 1), Unit::point)
      .derived("emax", Unit::change)
      .scale(CauseScale::ratio);
}
Mechanism hill() {
  return mechanism<Hill>("hill")
      .parameter("e0", normal(0, 2), Unit::level)
      .parameter("change", normal(0, 3), Unit::change)
      .parameter("ec50", lognormal(-1.2, 1), Unit::point)
      .parameter("h", lognormal(0.9, 0.5))
      .derived("emax", Unit::change)
      .scale(CauseScale::ratio);
}
Mechanism threshold() {
  return mechanism<Threshold>("threshold")
      .parameter("level", normal(0, 1.5), Unit::level)
      .parameter("change", normal(0, 3), Unit::change)
      .parameter("threshold", mcmc::beta(1.5, 1.5), Unit::point);
}
Mechanism sigmoid() {
  return mechanism<Sigmoid>("sigmoid")
      .parameter("start", normal(0, 2), Unit::level)
      .parameter("change", normal(0, 3), Unit::change)
      .parameter("midpoint", normal(0.5, 0.3), Unit::point)
      .parameter("rate", lognormal(2.1, 0.6), Unit::rate)
      .derived("rise", Unit::change);
}
Mechanism exponential() {
  return mechanism<Exponential>("exponential")
      .parameter("start", normal(0, 2), Unit::level)
      .parameter("change", normal(0, 3), Unit::change)
      .parameter("rate", normal(0, 4), Unit::rate);
}
Mechanism power() {
  return mechanism<Power>("power")
      .parameter("start", normal(0, 2), Unit::level)
      .parameter("change", normal(0, 3), Unit::change)
      .parameter("exponent", lognormal(0, 0.75))
      .scale(CauseScale::ratio);
}

std::vector<Mechanism> default_mechanisms() {
  return {null(), linear(), quadratic(), emax(), sigmoid()};
}
std::vector<Mechanism> all_mechanisms() {
  return {null(),      linear(),  quadratic(),   emax(), hill(),
          threshold(), sigmoid(), exponential(), power()};
}

std::vector<Mechanism> candidates_for(const LinkData& data, std::vector<Mechanism> asked) {
  const bool chosen = !asked.empty();
  if (!chosen) asked = default_mechanisms();
  const auto below = std::find_if(data.x.begin(), data.x.end(), [](double v) { return v < 0; });
  std::vector<Mechanism> kept;
  std::set<std::string> names;
  for (auto& m : asked) {
    const auto& r = m.record();
    if (!names.insert(r.name).second)
      throw ConfigError(fmt::format("mechanism '{}' is there twice; name each once", r.name));
    if (r.parameters.size() != m.code().parameters)
      throw ConfigError(fmt::format("mechanism '{}' declares {} parameters; its function has {}",
                                    r.name, r.parameters.size(), m.code().parameters));
    if (r.scale == CauseScale::ratio && below != data.x.end()) {
      if (!chosen) continue;
      throw ConfigError(fmt::format(
          "link '{}': column '{}', row {} is {}; mechanism '{}' needs a cause that is not negative",
          data.name, data.cause, below - data.x.begin() + 1, *below, r.name));
    }
    const std::size_t count =
        r.parameters.size() + data.confounders.size() + (has_noise(data.family) ? 1 : 0);
    if (data.x.size() < count) {
      if (!chosen) continue;
      throw ConfigError(fmt::format(
          "link '{}': column '{}' has {} rows; mechanism '{}' has {} parameters and needs as many",
          data.name, data.cause, data.x.size(), r.name, count));
    }
    kept.push_back(std::move(m));
  }
  if (kept.empty())
    throw ConfigError(fmt::format(
        "link '{}': column '{}' has {} rows, too few for any mechanism with {} confounders",
        data.name, data.cause, data.x.size(), data.confounders.size()));
  return kept;
}

}  // namespace reeve::inference
