// Normalised log densities of the priors with their slopes.
#include <reeve/base/error.hpp>
#include <reeve/mcmc/prior.hpp>

#include <fmt/format.h>

#include <cmath>
#include <numbers>

namespace reeve::mcmc {
namespace {

using Kind = Prior::Kind;
constexpr double half_log_two_pi = 0.91893853320467274178;
constexpr double infinity = std::numeric_limits<double>::infinity();

double positive(double value, const char* what, const char* prior) {
  if (!(value > 0) || !std::isfinite(value))
    throw ConfigError(
        fmt::format("{} of {} is {}; it must be positive and finite", what, prior, value));
  return value;
}
double finite(double value, const char* what, const char* prior) {
  if (!std::isfinite(value))
    throw ConfigError(fmt::format("{} of {} is {}; it must be finite", what, prior, value));
  return value;
}

}  // namespace

Prior normal(double mean, double sd) {
  return {Kind::normal, finite(mean, "mean", "normal"), positive(sd, "sd", "normal")};
}
Prior student_t(double nu, double mean, double scale) {
  return {Kind::student_t, finite(mean, "mean", "student_t"), positive(scale, "scale", "student_t"),
          positive(nu, "nu", "student_t")};
}
Prior cauchy(double location, double scale) {
  return {Kind::cauchy, finite(location, "location", "cauchy"), positive(scale, "scale", "cauchy")};
}
Prior half_normal(double sd) {
  return {Kind::half_normal, 0, positive(sd, "sd", "half_normal")};
}
Prior half_cauchy(double scale) {
  return {Kind::half_cauchy, 0, positive(scale, "scale", "half_cauchy")};
}
Prior lognormal(double log_mean, double log_sd) {
  return {Kind::lognormal, finite(log_mean, "log_mean", "lognormal"),
          positive(log_sd, "log_sd", "lognormal")};
}
Prior gamma(double shape, double rate) {
  return {Kind::gamma, positive(shape, "shape", "gamma"), positive(rate, "rate", "gamma")};
}
Prior inverse_gamma(double shape, double scale) {
  return {Kind::inverse_gamma, positive(shape, "shape", "inverse_gamma"),
          positive(scale, "scale", "inverse_gamma")};
}
Prior exponential(double rate) {
  return {Kind::exponential, positive(rate, "rate", "exponential"), 0};
}
Prior beta(double a, double b) {
  return {Kind::beta, positive(a, "a", "beta"), positive(b, "b", "beta")};
}
Prior uniform(double low, double high) {
  positive(finite(high, "high", "uniform") - finite(low, "low", "uniform"), "width", "uniform");
  return {Kind::uniform, low, high};
}

double Prior::lower() const noexcept {
  switch (kind_) {
    case Kind::half_normal:
    case Kind::half_cauchy:
    case Kind::lognormal:
    case Kind::gamma:
    case Kind::inverse_gamma:
    case Kind::exponential:
    case Kind::beta:
      return 0;
    case Kind::uniform:
      return a_;
    default:
      return -infinity;
  }
}

double Prior::upper() const noexcept {
  if (kind_ == Kind::beta) return 1;
  return kind_ == Kind::uniform ? b_ : infinity;
}

Prior::Prior(Kind kind, double a, double b, double c) noexcept : kind_(kind), a_(a), b_(b), c_(c) {
  switch (kind_) {
    case Kind::flat:
      break;
    case Kind::normal:
    case Kind::lognormal:
      constant_ = -std::log(b_) - half_log_two_pi;
      break;
    case Kind::half_normal:
      constant_ = std::numbers::ln2 - std::log(b_) - half_log_two_pi;
      break;
    case Kind::student_t:
      constant_ = std::lgamma((c_ + 1) / 2) - std::lgamma(c_ / 2) -
                  0.5 * std::log(c_ * std::numbers::pi) - std::log(b_);
      break;
    case Kind::cauchy:
      constant_ = -std::log(std::numbers::pi * b_);
      break;
    case Kind::half_cauchy:
      constant_ = std::numbers::ln2 - std::log(std::numbers::pi * b_);
      break;
    case Kind::gamma:
    case Kind::inverse_gamma:
      constant_ = a_ * std::log(b_) - std::lgamma(a_);
      break;
    case Kind::exponential:
      constant_ = std::log(a_);
      break;
    case Kind::beta:
      constant_ = std::lgamma(a_ + b_) - std::lgamma(a_) - std::lgamma(b_);
      break;
    case Kind::uniform:
      constant_ = -std::log(b_ - a_);
      break;
  }
}

double Prior::log_density(double x, double& slope) const noexcept {
  const double z = (x - a_) / b_;  // of the location-scale families
  switch (kind_) {
    case Kind::flat:
    case Kind::uniform:
      slope = 0;
      return constant_;
    case Kind::normal:
    case Kind::half_normal:
      slope = -z / b_;
      return constant_ - 0.5 * z * z;
    case Kind::student_t:
      slope = -(c_ + 1) * z / (c_ + z * z) / b_;
      return constant_ - (c_ + 1) / 2 * std::log1p(z * z / c_);
    case Kind::cauchy:
    case Kind::half_cauchy:
      slope = -2 * z / (1 + z * z) / b_;
      return constant_ - std::log1p(z * z);
    case Kind::lognormal: {
      const double lx = std::log(x), t = (lx - a_) / b_;
      slope = -(1 + t / b_) / x;
      return constant_ - 0.5 * t * t - lx;
    }
    case Kind::gamma:
      slope = (a_ - 1) / x - b_;
      return constant_ + (a_ - 1) * std::log(x) - b_ * x;
    case Kind::inverse_gamma:
      slope = -(a_ + 1) / x + b_ / (x * x);
      return constant_ - (a_ + 1) * std::log(x) - b_ / x;
    case Kind::exponential:
      slope = -a_;
      return constant_ - a_ * x;
    case Kind::beta:
      slope = (a_ - 1) / x - (b_ - 1) / (1 - x);
      return constant_ + (a_ - 1) * std::log(x) + (b_ - 1) * std::log1p(-x);
  }
  return 0;
}

double Prior::draw(Random& random) const {
  const double quarter = std::numbers::pi * (random.uniform() - 0.5);
  switch (kind_) {
    case Kind::flat:
      throw ConfigError("a flat prior is improper: it has no draws");
    case Kind::normal:
      return a_ + b_ * random.normal();
    case Kind::half_normal:
      return std::abs(b_ * random.normal());
    case Kind::student_t:
      return a_ + b_ * random.normal() / std::sqrt(random.gamma(c_ / 2, 2 / c_));
    case Kind::cauchy:
      return a_ + b_ * std::tan(quarter);
    case Kind::half_cauchy:
      return std::abs(b_ * std::tan(quarter));
    case Kind::lognormal:
      return std::exp(a_ + b_ * random.normal());
    case Kind::gamma:
      return random.gamma(a_, 1 / b_);
    case Kind::inverse_gamma:
      return b_ / random.gamma(a_);
    case Kind::exponential:
      return random.exponential() / a_;
    case Kind::beta:
      return random.beta(a_, b_);
    case Kind::uniform:
      return random.uniform(a_, b_);
  }
  return 0;
}

std::string Prior::text() const {
  static constexpr const char* names[] = {"flat",          "normal",      "student_t", "cauchy",
                                          "half_normal",   "half_cauchy", "lognormal", "gamma",
                                          "inverse_gamma", "exponential", "beta",      "uniform"};
  const char* name = names[static_cast<int>(kind_)];
  switch (kind_) {
    case Kind::flat:
      return name;
    case Kind::half_normal:
    case Kind::half_cauchy:
      return fmt::format("{}({})", name, b_);
    case Kind::exponential:
      return fmt::format("{}({})", name, a_);
    case Kind::student_t:
      return fmt::format("{}({}, {}, {})", name, c_, a_, b_);
    default:
      return fmt::format("{}({}, {})", name, a_, b_);
  }
}

}  // namespace reeve::mcmc
