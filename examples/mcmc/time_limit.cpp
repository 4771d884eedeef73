// Stops after a time limit, keeps the draws, and goes on later from the checkpoint to the same
// bytes.
#include <reeve/mcmc.hpp>

#include <cstdio>

using namespace reeve::mcmc;

int main() {
  const Density normal50 = density(50, [](std::span<const double> t, std::span<double> g) {
    double lp = 0;
    for (std::size_t i = 0; i < t.size(); ++i) lp -= 0.5 * t[i] * t[i], g[i] = -t[i];
    return lp;
  });
  // [time_limit]
  Sampler sampler(normal50, {});
  while (!sampler.advance(StopWhen(std::chrono::milliseconds(20)))) {
    const std::string bytes = sampler.checkpoint();  // store it, ship it, kill the process ...
    sampler = Sampler::resume(normal50, bytes);      // ... and go on
  }
  // [time_limit]
  const bool same = stan_csv(sampler.result(), 0) == stan_csv(sample(normal50), 0);
  std::printf("equal to an uninterrupted run: %s\n", same ? "yes" : "no");
  return same ? 0 : 1;
}
