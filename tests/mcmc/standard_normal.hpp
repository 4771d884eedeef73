// The density that many tests sample from.
#pragma once

#include <reeve/mcmc/density.hpp>

#include <span>

namespace reeve::mcmc {

inline Density standard_normal(std::size_t d) {
  return density(d, [](std::span<const double> t, std::span<double> g) {
    double lp = 0;
    for (std::size_t i = 0; i < t.size(); ++i) {
      lp -= 0.5 * t[i] * t[i];
      g[i] = -t[i];
    }
    return lp;
  });
}

}  // namespace reeve::mcmc
