// The list of the study's cases; figures from reference.R with R 4.2.2.
#include "cases.hpp"

#include <cmath>

#include "dataset.hpp"

namespace study {
namespace {

std::vector<double> logarithms(std::vector<double> values) {
  for (double& value : values) value = std::log(value);
  return values;
}

// A fixed permutation: it keeps both columns as they are and breaks their link.
std::vector<double> unlink(const std::vector<double>& values) {
  std::vector<double> moved;
  for (std::size_t i = 0; i < values.size(); ++i) {
    moved.push_back(values[(19 * i + 11) % values.size()]);
  }
  return moved;
}

}  // namespace

std::vector<Case> read_cases(const std::string& folder) {
  const auto puromycin = read_csv(folder + "/puromycin.csv");
  const auto treated = rows_where(puromycin, "state", "treated");
  const auto untreated = rows_where(puromycin, "state", "untreated");
  const auto dnase = rows_where(read_csv(folder + "/dnase.csv"), "Run", "1");
  const auto bod = read_csv(folder + "/bod.csv");
  const auto cars = read_csv(folder + "/cars.csv");
  const auto trees = read_csv(folder + "/loblolly.csv");
  return {
      {"Puromycin, treated",
       CurveKind::saturating,
       numbers(treated, "conc"),
       numbers(treated, "rate"),
       {{212.68358, 6.947146, 196.1018, 222.1767},
        {0.06412103, 0.008280922, 0.0445096, 0.0819677}}},
      {"Puromycin, untreated",
       CurveKind::saturating,
       numbers(untreated, "conc"),
       numbers(untreated, "rate"),
       {{160.28007, 6.480247, 142.8877, 170.7783},
        {0.04770823, 0.007781881, 0.0301272, 0.0666021}}},
      {"DNase, run 1",
       CurveKind::logistic,
       logarithms(numbers(dnase, "conc")),
       numbers(dnase, "density"),
       {{2.345180, 0.07815392, 2.081972, 2.582385},
        {1.483090, 0.08135319, 1.227690, 1.744917},
        {1.041455, 0.03227080, 0.965680, 1.113119}}},
      {"BOD",
       CurveKind::saturating_exponential,
       numbers(bod, "Time"),
       numbers(bod, "demand"),
       {{19.142577, 2.495918, 16.51094, 23.57294}, {0.5310912, 0.2030820, 0.287524, 0.857714}}},
      {"cars, linear",
       CurveKind::linear,
       numbers(cars, "speed"),
       numbers(cars, "dist"),
       {{-17.579095, 6.758440, -29.60162, -6.976223}, {3.932409, 0.4155128, 3.156274, 4.758128}}},
      {"cars, power",
       CurveKind::power,
       numbers(cars, "speed"),
       numbers(cars, "dist"),
       {{0.5896564, 0.3356582, 0.1751943, 1.722626}, {1.549301, 0.1920294, 1.175766, 1.962823}}},
      {"Loblolly",
       CurveKind::asymptotic,
       numbers(trees, "age"),
       numbers(trees, "height"),
       {{102.26211, 5.420507, 92.43341, 115.4186},
        {-8.533058, 0.7441206, -9.691560, -7.546399},
        {-3.246130, 0.08145671, -3.417864, -3.093311}}},
      {"null pair",
       CurveKind::linear,
       numbers(cars, "speed"),
       unlink(numbers(cars, "dist")),
       {{49.371562, 11.399940, 29.04497, 71.04380}, {-0.4150365, 0.7008748, -1.762953, 0.8794059}}},
  };
}

}  // namespace study
