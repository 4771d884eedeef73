// Quasi-Newton climbs (BFGS) from draws of the priors.
#include "inference/climb.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <reeve/base/error.hpp>
#include <reeve/mcmc/sbc.hpp>
#include <vector>

namespace reeve::inference {
namespace {

using Point = std::vector<double>;

constexpr std::size_t starts = 16, most_alone = 2;
constexpr int most_steps = 150;
constexpr double same = 0.05;  // nats

double dot(const Point& a, const Point& b) {
  return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
}

class Climb {
 public:
  Climb(const mcmc::Density& density, Point from)
      : density_(density), q_(std::move(from)), g_(q_.size()) {
    value_ = density_.evaluate(q_, g_);
    forget();
  }

  /// False when it does not arrive.
  bool run() {
    double before = -INFINITY;
    for (int i = 0; i < most_steps && std::isfinite(value_); ++i) {
      Point step = ahead();
      double gain = dot(step, g_);  // twice what a parabola has left
      if (!(gain > 0)) {
        forget();
        step = ahead();
        gain = dot(step, g_);
      }
      if (gain < 1e-4) {  // as far as the curvature learnt so far is right: once more without it
        if (value_ < before + 1e-3) return true;
        before = value_;
        forget();
        step = ahead();
        gain = dot(step, g_);
      }
      if (move(step, gain)) continue;
      if (fresh_) return gain < 1e-4;
      forget();
    }
    return false;
  }

  double value() const noexcept { return value_; }
  const Point& at() const noexcept { return q_; }

 private:
  // Steepest ascent, no further than a unit.
  void forget() {
    const std::size_t d = q_.size();
    const double scale = 1 / std::max(1.0, std::sqrt(dot(g_, g_)));
    inverse_.assign(d * d, 0);
    for (std::size_t i = 0; i < d; ++i) inverse_[i * d + i] = scale;
    fresh_ = true;
  }
  Point times_inverse(const Point& v) const {
    const std::size_t d = v.size();
    Point out(d);
    for (std::size_t i = 0; i < d; ++i)
      for (std::size_t j = 0; j < d; ++j) out[i] += inverse_[i * d + j] * v[j];
    return out;
  }
  Point ahead() const { return times_inverse(g_); }

  bool move(Point step, double gain) {
    Point next(q_.size()), slope(q_.size());
    for (double t = 1; t > 1e-8; t *= 0.4) {
      for (std::size_t i = 0; i < next.size(); ++i) next[i] = q_[i] + t * step[i];
      const double value = density_.evaluate(next, slope);
      if (!(value >= value_ + 1e-4 * t * gain)) continue;
      for (double& s : step) s *= t;
      learn(step, slope);
      value_ = value;
      q_ = next;
      g_ = slope;
      return true;
    }
    return false;
  }

  void learn(const Point& s, const Point& slope) {
    const std::size_t d = s.size();
    Point y(d);
    for (std::size_t i = 0; i < d; ++i) y[i] = g_[i] - slope[i];
    const double sy = dot(s, y);
    if (!(sy > 1e-12 * dot(y, y))) return;
    if (fresh_)
      for (std::size_t i = 0; i < d; ++i) inverse_[i * d + i] = sy / dot(y, y);
    fresh_ = false;
    const Point hy = times_inverse(y);
    const double a = (1 + dot(y, hy) / sy) / sy;
    for (std::size_t i = 0; i < d; ++i)
      for (std::size_t j = 0; j < d; ++j)
        inverse_[i * d + j] += a * s[i] * s[j] - (hy[i] * s[j] + s[i] * hy[j]) / sy;
  }

  const mcmc::Density& density_;
  Point q_, g_, inverse_;
  double value_ = 0;
  bool fresh_ = true;
};

// Two points at one maximum: equally high, and no valley between them.
bool at_one_maximum(const mcmc::Density& density, const Climb& a, const Climb& b) {
  if (!(std::abs(a.value() - b.value()) < same)) return false;
  Point between(a.at().size());
  for (std::size_t i = 0; i < between.size(); ++i) between[i] = 0.5 * (a.at()[i] + b.at()[i]);
  return density.value(between) > std::min(a.value(), b.value()) - same;
}

}  // namespace

std::optional<double> highest_likelihood(const mcmc::Density& density) {
  if (!density.has_gradient()) return std::nullopt;
  mcmc::Random random(1, 9000);
  Point theta(density.parameters().size()), q(density.dimension());
  std::vector<Climb> climbs;
  try {
    const auto draw = mcmc::prior_of(density.parameters());
    for (std::size_t i = 0; i < starts; ++i) {
      draw(random, theta);
      density.parameters().unconstrain(theta, q);
      climbs.emplace_back(density, q);
    }
  } catch (const ConfigError&) {  // improper, or a draw on the border of its support
    return std::nullopt;
  }
  std::vector<char> arrived;
  for (Climb& climb : climbs) arrived.push_back(climb.run());
  std::size_t alone = 0;
  double largest = -INFINITY;
  for (std::size_t i = 0; i < starts; ++i) {
    bool met = false;
    for (std::size_t j = 0; j < starts && arrived[i] && !met; ++j)
      met = j != i && arrived[j] && at_one_maximum(density, climbs[i], climbs[j]);
    if (!met && ++alone > most_alone) return std::nullopt;
    if (!std::isfinite(climbs[i].value())) continue;
    density.constrain(climbs[i].at(), theta);
    largest = std::max(largest, density.model().evaluate(theta, {}));
  }
  return largest;
}

}  // namespace reeve::inference
