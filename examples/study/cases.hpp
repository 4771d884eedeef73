// What the study fits: each data set with its curve and the figures that R finds for it.
#pragma once

#include <string>
#include <vector>

#include "curves.hpp"

namespace study {

/// R's figures for one parameter; reference.R prints them.
struct Reference {
  double estimate = 0;
  double error = 0;  // standard error of the least squares fit
  double lower = 0;  // 95 % percentile interval of 10,000 case resamples
  double upper = 0;
};

struct Case {
  std::string name;
  CurveKind kind = CurveKind::linear;
  std::vector<double> x;
  std::vector<double> y;
  std::vector<Reference> reference;
};

/// Reads every case from the CSV files of a folder. Errors: DataError.
std::vector<Case> read_cases(const std::string& folder);

}  // namespace study
