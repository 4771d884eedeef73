// The curve families that the study fits: their values, gradients and first guesses.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace study {

enum class CurveKind : std::uint8_t {
  linear,                  // a + b x
  quadratic,               // a + b x + c x^2
  saturating,              // Vm x / (K + x), Michaelis and Menten
  saturating_exponential,  // A (1 - exp(-k x))
  logistic,                // Asym / (1 + exp((xmid - x) / scal))
  logistic4,               // A + (B - A) / (1 + exp((xmid - x) / scal))
  asymptotic,              // Asym + (R0 - Asym) exp(-exp(lrc) x)
  power,                   // a x^b
};
inline constexpr std::size_t curve_kind_count = 8;
inline constexpr std::size_t curve_parameters_max = 4;

struct CurveFamily {
  std::string_view name;
  std::string_view formula;
  std::vector<std::string_view> parameters;
};

/// What a family is called, and its parameters in the order used everywhere.
const CurveFamily& family(CurveKind kind);

/// The curve at `x`. Preconditions: as many parameters as the family has.
double value(CurveKind kind, double x, std::span<const double> p);

/// The derivatives of `value` by each parameter, into `out`.
void gradient(CurveKind kind, double x, std::span<const double> p, std::span<double> out);

/// False where the parameters make no sense for the family (K <= 0, a rate <= 0, scal = 0).
bool in_domain(CurveKind kind, std::span<const double> p);

/// First guesses read off the data, best one first. Preconditions: at least one point.
std::vector<std::vector<double>> guesses(CurveKind kind, std::span<const double> x,
                                         std::span<const double> y);

}  // namespace study
