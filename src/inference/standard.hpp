// A link's numbers on the standard scale, and the way back to the data's units. Internal.
#pragma once

#include <reeve/inference/causal_link.hpp>
#include <reeve/inference/mechanism.hpp>
#include <reeve/mcmc/run.hpp>

namespace reeve::inference {

/// Centre and scale of the effect as one mechanism sees it, and of its cause: mechanisms get
/// (x - from) / width and, for normal and student errors, (y - centre) / scale.
struct Standard {
  double centre = 0, scale = 1, from = 0, width = 1;
  bool shifts_effect = false;  ///< the effect is standardised; else `centre` is an offset

  Standard() = default;  ///< data that are on the standard scale already
  Standard(const LinkData& data, const MechanismRecord& mechanism);
  double cause(double x) const noexcept { return (x - from) / width; }
  double level(double value) const noexcept { return centre + scale * value; }
  /// What turns a parameter of this unit back: value * factor + shift.
  double factor(Unit unit) const noexcept;
  double shift(Unit unit) const noexcept;
  /// What is added to a log marginal likelihood for it to be one of the data as they are.
  double log_jacobian(std::size_t rows) const noexcept;
};

/// The density of a candidate with this scale; `spread` is the scale of noise and confounders'
/// slopes.
mcmc::Density density_on(const Standard& standard, double spread, const LinkData& data,
                         const Mechanism& mechanism);

double mean_of(const std::vector<double>& values) noexcept;
double deviation_of(const std::vector<double>& values) noexcept;

/// The prior of the parameter that the family adds ("sigma", "phi"), if it adds one.
bool has_noise(Family family) noexcept;
mcmc::Family sampler_family(Family family) noexcept;

/// The run in the data's units, and the unit of a row of it.
mcmc::Run in_units(const mcmc::Run& run, const LinkData& data, const Mechanism& mechanism);
std::string unit_of(std::string_view parameter, const LinkData& data, const Mechanism& mechanism);

/// Summaries in the data's units.
std::vector<mcmc::ParameterSummary> summary_of(const mcmc::Run& run, const LinkData& data,
                                               const Mechanism& mechanism);

}  // namespace reeve::inference
