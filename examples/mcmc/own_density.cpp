// Samples a density of your own: eight schools, written as one templated function.
#include <reeve/mcmc.hpp>

#include <cstdio>

using namespace reeve::mcmc;

int main() {
  // [own_density]
  const double effect[] = {28, 8, -3, 7, -1, 1, 18, 12}, error[] = {15, 10, 16, 11, 9, 11, 10, 18};
  Parameters parameters;
  parameters.real("z", 8, normal(0, 1)).add("mu", normal(0, 5)).add("tau", half_cauchy(5));
  const Density schools = density<10>(parameters, [&](auto t) {
    typename decltype(t)::value_type lp = 0.0;
    for (std::size_t j = 0; j < 8; ++j) lp += normal_lpdf(effect[j], t[8] + t[9] * t[j], error[j]);
    return lp;
  });
  const Run run = sample(schools);
  // [own_density]
  std::printf("status %s\n", to_string(run.status()));
  for (const auto& row : run.summary())
    if (row.name == "mu" || row.name == "tau")
      std::printf("%s mean %.1f\n", row.name.c_str(), row.mean);
}
