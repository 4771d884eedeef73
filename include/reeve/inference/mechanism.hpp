// Candidate mechanisms: how an effect may follow its cause, with priors in standard units.
#pragma once

#include <functional>
#include <reeve/codec/codec.hpp>
#include <reeve/codec/function_id.hpp>
#include <reeve/mcmc/observations.hpp>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace reeve::inference {

/// The scale that a mechanism sees its cause on. Priors are written for this scale, and reported
/// parameters are turned back to the data's units.
enum class CauseScale {
  range,  ///< (x - min) / (max - min): from 0 to 1, wherever the data lie
  ratio,  ///< x / max: zero stays zero; for mechanisms that need a cause that is not negative
  raw     ///< as in the data: priors in the data's units
};

/// What a parameter measures, so that it can be turned back to the data's units. With s the scale
/// of the effect (its standard deviation; 1 on log and log odds scales) and w that of the cause.
enum class Unit {
  none,       ///< a plain number
  level,      ///< of the effect: centre + s * value
  change,     ///< of the effect: s * value
  point,      ///< of the cause: min + w * value (range), w * value (ratio)
  slope,      ///< change per unit of the cause: s / w * value
  curvature,  ///< s / w^2 * value
  rate        ///< per unit of the cause: value / w
};

struct MechanismParameter {
  std::string name;
  mcmc::Prior prior;
  Unit unit = Unit::none;
};

/// The code of a mechanism, as addresses in this process.
struct MechanismCode {
  std::size_t parameters;
  double (*mean)(double x, std::span<const double> theta);
  double (*derived)(std::span<const double> theta);  ///< null: none
  mcmc::Density (*density)(mcmc::Parameters, mcmc::Columns, mcmc::Family, double student_nu,
                           const mcmc::LinearTerm&);
};
using MechanismCodeOf = const MechanismCode& (*)();

/// A mechanism as it travels: its parameters, and the identity of its code.
struct MechanismRecord {
  std::string name;
  std::vector<MechanismParameter> parameters;
  CauseScale scale = CauseScale::range;
  double weight = 1;
  bool effect = true;
  bool linear = false;
  bool through_zero = false;
  std::string derived;  ///< name of a quantity computed from the parameters; empty: none
  Unit derived_unit = Unit::none;
  std::uint64_t module = 0, offset = 0;
};

/// A way in which the effect may follow from the cause: a function f(x, theta), a prior for each
/// parameter, and a prior weight among the candidates. The noise parameter is added by the engine.
class Mechanism {
 public:
  /// Declares the next parameter. Errors: ConfigError for an empty or repeated name, or a flat
  /// prior: an improper prior has no marginal likelihood.
  Mechanism& parameter(std::string name, mcmc::Prior prior, Unit unit = Unit::none);
  Mechanism& scale(CauseScale scale) noexcept;
  /// Keeps the effect's zero where it is: the effect is only divided by its standard deviation, not
  /// centred. For mechanisms without a level of their own, such as Vm x / (x + K).
  Mechanism& through_zero() noexcept;
  /// Prior probability relative to the other candidates; default 1. Errors: ConfigError unless
  /// positive and finite.
  Mechanism& weight(double weight);
  /// Says that f is linear in its parameters and zero at zero: normal errors then cost
  /// O(parameters^2) per gradient.
  Mechanism& linear() noexcept;
  /// Names the quantity that `static double F::derived(std::span<const double> theta)` computes
  /// from the parameters, for the summaries. Errors: ConfigError when F has no such function.
  Mechanism& derived(std::string name, Unit unit = Unit::none);
  /// Says that f does not depend on x: the null hypothesis.
  Mechanism& no_effect() noexcept;

  const std::string& name() const noexcept { return record_.name; }
  const std::vector<MechanismParameter>& parameters() const noexcept { return record_.parameters; }
  const MechanismRecord& record() const noexcept { return record_; }
  const MechanismCode& code() const { return code_(); }
  /// f at one point, on the mechanism's scale of the cause.
  double mean(double x, std::span<const double> theta) const { return code_().mean(x, theta); }

  /// From its record, in a worker. Errors: codec::FunctionError for code of another program.
  static Mechanism from(MechanismRecord record);

 private:
  template <class F>
  friend Mechanism mechanism(std::string name);
  Mechanism(std::string name, MechanismCodeOf code);

  MechanismRecord record_;
  MechanismCodeOf code_;
};

namespace detail {

template <class F>
double mean_of(double x, std::span<const double> theta) {
  return F::f(x, theta);
}
template <class F>
mcmc::Density density_of(mcmc::Parameters parameters, mcmc::Columns data, mcmc::Family family,
                         double student_nu, const mcmc::LinearTerm& linear) {
  return mcmc::regression<F>(std::move(parameters), std::move(data), family, student_nu,
                             mcmc::best_isa(), linear);
}
template <class F>
const MechanismCode& code_of() {
  if constexpr (requires(std::span<const double> t) { F::derived(t); }) {
    static constexpr MechanismCode code{F::parameters, &mean_of<F>, &F::derived, &density_of<F>};
    return code;
  } else {
    static constexpr MechanismCode code{F::parameters, &mean_of<F>, nullptr, &density_of<F>};
    return code;
  }
}

template <std::size_t P, class L>
struct LambdaMechanism {
  static constexpr std::size_t parameters = P;
  template <class X, class T>
  REEVE_INLINE static T f(const X& x, std::span<const T> t) {
    return L{}(x, t);
  }
};

}  // namespace detail

/// A mechanism of your own: `struct F { static constexpr std::size_t parameters = P;
/// template <class X, class T> static T f(const X& x, std::span<const T> theta); }`. Branch with
/// where_greater, not with if. Declare its P parameters next.
template <class F>
Mechanism mechanism(std::string name) {
  return Mechanism(std::move(name), &detail::code_of<F>);
}
/// In one line, by a captureless lambda:
/// `mechanism<2>("root", [](const auto& x, auto t) { return t[0] + t[1] * sqrt(x); })`.
template <std::size_t P, class L>
  requires std::is_empty_v<L> && std::is_default_constructible_v<L>
Mechanism mechanism(std::string name, L) {
  return mechanism<detail::LambdaMechanism<P, L>>(std::move(name));
}

// Mechanisms that bend are written by the effect's change over the range of the data, not by
// asymptotes that may lie far outside of it: that keeps their parameters apart. With v = x - middle
// of the range, and low and high the ends of the range:

/// level
Mechanism null();
/// level + slope v
Mechanism linear();
/// level + slope v + curvature (v^2 - range^2 / 12)
Mechanism quadratic();
/// e0 + emax x / (x + ec50), Michaelis and Menten's saturation; `change` is what it adds at high
Mechanism emax();
/// e0 + emax x^h / (x^h + ec50^h); `change` is what it adds at high
Mechanism hill();
/// level up to a threshold, then a straight line that adds `change` at high
Mechanism threshold();
/// low + rise / (1 + exp(-rate (x - midpoint))); `start` and `change` are f(low), f(high) - f(low)
Mechanism sigmoid();
/// start + change (1 - exp(-rate (x - low))) / (1 - exp(-rate range)): saturates for a positive
/// rate, grows ever faster for a negative one
Mechanism exponential();
/// start + change (x / high)^exponent
Mechanism power();

/// null, linear, quadratic, emax, sigmoid
std::vector<Mechanism> default_mechanisms();
/// All nine.
std::vector<Mechanism> all_mechanisms();

}  // namespace reeve::inference

template <>
inline constexpr bool reeve::codec::is_plain<reeve::mcmc::Prior> = true;
