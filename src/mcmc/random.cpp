// Seeding, and the distributions that tests, initial points and simulations draw from.
#include <reeve/mcmc/random.hpp>

#include <cmath>
#include <numbers>

namespace reeve::mcmc {
namespace {

std::uint64_t split_mix(std::uint64_t& x) noexcept {
  x += 0x9e3779b97f4a7c15ULL;
  std::uint64_t z = x;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31);
}

constexpr int layer_count = 128;
constexpr double tail_start = 3.442619855899;
constexpr double layer_area = 9.91256303526217e-3;

struct Ziggurat {
  double x[layer_count + 1];
  double ratio[layer_count];
  Ziggurat() noexcept {
    double f = std::exp(-0.5 * tail_start * tail_start);
    x[0] = layer_area / f;
    x[1] = tail_start;
    x[layer_count] = 0;
    for (int i = 2; i < layer_count; ++i) {
      x[i] = std::sqrt(-2 * std::log(layer_area / x[i - 1] + f));
      f = std::exp(-0.5 * x[i] * x[i]);
    }
    for (int i = 0; i < layer_count; ++i) ratio[i] = x[i + 1] / x[i];
  }
};
const Ziggurat ziggurat;

}  // namespace

Random::Random(std::uint64_t seed, std::uint64_t stream) noexcept {
  std::uint64_t x = seed;
  std::uint64_t mixed = split_mix(x) ^ (stream * 0xd1342543de82ef95ULL + 0x2545f4914f6cdd1dULL);
  for (auto& word : s_) word = split_mix(mixed);
}

std::uint64_t Random::below(std::uint64_t bound) noexcept {
  const std::uint64_t reject = -bound % bound;  // 2^64 mod bound
  for (;;) {
    const std::uint64_t x = bits();
    if (x >= reject) return x % bound;
  }
}

double Random::normal() noexcept {
  for (;;) {
    const std::uint64_t r = bits();
    const auto i = static_cast<int>(r & (layer_count - 1));
    const double u = static_cast<double>(static_cast<std::int64_t>(r) >> 11) * 0x1p-52;
    if (std::abs(u) < ziggurat.ratio[i]) return u * ziggurat.x[i];
    if (i == 0) {
      double x = 0, y = 0;
      do {
        x = std::log1p(-uniform()) / tail_start;
        y = std::log1p(-uniform());
      } while (-2 * y < x * x);
      return u < 0 ? x - tail_start : tail_start - x;
    }
    const double x = u * ziggurat.x[i];
    const double f0 = std::exp(-0.5 * (ziggurat.x[i] * ziggurat.x[i] - x * x));
    const double f1 = std::exp(-0.5 * (ziggurat.x[i + 1] * ziggurat.x[i + 1] - x * x));
    if (f1 + uniform() * (f0 - f1) < 1) return x;
  }
}

double Random::exponential() noexcept {
  return -std::log1p(-uniform());
}

// Marsaglia and Tsang (2000); shapes below 1 by the power trick.
double Random::gamma(double shape, double scale) noexcept {
  if (shape < 1) return gamma(shape + 1, scale) * std::pow(1 - uniform(), 1 / shape);
  const double d = shape - 1.0 / 3;
  const double c = 1 / std::sqrt(9 * d);
  for (;;) {
    const double x = normal();
    const double v = std::pow(1 + c * x, 3);
    if (v <= 0) continue;
    if (std::log1p(-uniform()) < 0.5 * x * x + d - d * v + d * std::log(v)) return d * v * scale;
  }
}

double Random::beta(double a, double b) noexcept {
  const double x = gamma(a);
  return x / (x + gamma(b));
}

double Random::poisson(double mean) noexcept {
  if (!(mean < INFINITY)) return mean;
  double count = 0;
  // Halve large means by the gamma-binomial identity until direct counting is cheap.
  while (mean > 30) {
    const double k = std::floor(7 * mean / 8);
    const double x = gamma(k);
    if (x > mean) {
      double hits = 0;
      for (double i = 0; i < k - 1; ++i) hits += uniform() < mean / x ? 1 : 0;
      return count + hits;
    }
    count += k;
    mean -= x;
  }
  for (double t = exponential(); t < mean; t += exponential()) ++count;
  return count;
}

}  // namespace reeve::mcmc
