// Simulated data sets whose mechanism is known, for tests and benchmarks.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <reeve/inference/causal_link.hpp>
#include <reeve/mcmc/random.hpp>
#include <string>
#include <utility>
#include <vector>

namespace reeve::inference::test {

inline const std::vector<std::string>& truths() {
  static const std::vector<std::string> all{"null", "linear", "quadratic", "emax", "sigmoid"};
  return all;
}

/// The expected effect at x in (0, 2).
inline double truth_at(std::size_t truth, double x) {
  switch (truth) {
    case 1:
      return 0.3 + 0.5 * x;
    case 2:
      return 0.2 + 1.6 * x - 0.8 * x * x;
    case 3:
      return 0.2 + 1.5 * x / (x + 0.2);
    case 4:
      return 0.2 + 1.2 / (1 + std::exp(-8 * (x - 1)));
    default:
      return 0.5;
  }
}

/// `rows` rows of truths()[truth] with normal noise (R^2 of about 0.7 to 0.9), columns "x", "y".
inline CausalLink simulated(std::size_t truth, std::uint64_t seed, std::size_t rows = 100,
                            double x_scale = 1, double y_scale = 1, double noise = 0.15) {
  mcmc::Random random(1000 + seed, truth);
  std::vector<double> x, y;
  for (std::size_t i = 0; i < rows; ++i) {
    const double at = random.uniform(0.02, 2);
    x.push_back(at * x_scale);
    y.push_back((truth_at(truth, at) + noise * random.normal()) * y_scale);
  }
  Table data;
  data.add("x", x).add("y", y);
  CausalLink link("x", "y", std::move(data));
  link.name = truths()[truth];
  link.name += ' ';
  link.name += std::to_string(seed);
  return link;
}

}  // namespace reeve::inference::test
