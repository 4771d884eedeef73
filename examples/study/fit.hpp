// Least squares by Levenberg and Marquardt for the small curves of the study.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "curves.hpp"

namespace study {

enum class FitStatus : std::uint8_t {
  converged,
  not_converged,   // iterations used up, or no step improves
  not_identified,  // too few distinct x, or the data do not tell the parameters apart
};

struct Fit {
  FitStatus status = FitStatus::not_converged;
  std::vector<double> estimates;
  std::vector<double> standard_errors;  // empty unless converged
  double residual_sum = 0;              // of squares
  int iterations = 0;
};

/// Fits from one starting point.
///
/// Converged means the relative offset of the residuals from the tangent plane is below 1e-8.
/// Preconditions: as many x as y; a start of the family's size.
/// Source:        Bates and Watts, Technometrics 23 (1981) 179-183, for the criterion.
Fit fit_curve_from(CurveKind kind, std::span<const double> x, std::span<const double> y,
                   std::span<const double> start);

/// Fits from `start` if one is given and, where that fails, from the guesses read off the data,
/// of which the best result is kept. A bad start costs time, never the fit.
Fit fit_curve(CurveKind kind, std::span<const double> x, std::span<const double> y,
              std::span<const double> start = {});

}  // namespace study
