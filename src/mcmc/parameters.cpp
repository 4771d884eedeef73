// Building the list of parameters, its names, and the inverse transforms.
#include <reeve/base/error.hpp>
#include <reeve/mcmc/parameters.hpp>

#include <fmt/format.h>

#include <cmath>
#include <limits>

namespace reeve::mcmc {
namespace {

using Kind = ParameterBlock::Kind;

ParameterBlock block(std::string name, Kind kind, std::size_t count, Prior prior) {
  ParameterBlock b;
  b.name = std::move(name);
  b.kind = kind;
  b.scalar = count == 0;
  b.free = b.constrained = b.scalar ? 1 : count;
  b.prior = prior;
  return b;
}

struct Range {
  double low, high;
};
Range range_of(const ParameterBlock& b) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  const bool below = b.kind == Kind::lower || b.kind == Kind::interval;
  const bool above = b.kind == Kind::upper || b.kind == Kind::interval;
  return {below ? b.low : -infinity, above ? b.high : infinity};
}

// Where the prior's density is not defined, its formula would go on as another prior.
void check_support(const ParameterBlock& b) {
  const double low = b.prior.lower(), high = b.prior.upper();
  const Range range = range_of(b);
  if (!b.prior.proper() || (low <= range.low && range.high <= high)) return;
  throw ConfigError(fmt::format(
      "the prior {0} of parameter {1} lives on [{2}, {3}], and the parameter on [{4}, {5}]; give "
      "the parameter a range inside [{2}, {3}], or choose a prior that covers [{4}, {5}]",
      b.prior.text(), b.name, low, high, range.low, range.high));
}

[[noreturn]] void outside(const ParameterBlock& b, double value) {
  throw ConfigError(fmt::format("{} is not a valid value of parameter {}", value, b.name));
}

}  // namespace

Parameters::Parameters(std::size_t count) {
  if (count > 0) real("q", count);
}

Parameters& Parameters::push(ParameterBlock b) {
  if (b.name.empty()) throw ConfigError("a parameter needs a name");
  for (const auto& other : blocks_)
    if (other.name == b.name)
      throw ConfigError(fmt::format("parameter {} is declared twice; rename one", b.name));
  check_support(b);
  trivial_ = trivial_ && b.kind == Kind::real;
  has_priors_ = has_priors_ || b.prior.proper();
  free_ += b.free;
  constrained_ += b.constrained;
  blocks_.push_back(std::move(b));
  return *this;
}

Parameters& Parameters::add(std::string name, Prior prior) {
  const double low = prior.lower(), high = prior.upper();
  if (std::isfinite(low) && std::isfinite(high))
    return interval(std::move(name), low, high, 0, prior);
  if (std::isfinite(low)) return lower(std::move(name), low, 0, prior);
  return real(std::move(name), 0, prior);
}
Parameters& Parameters::real(std::string name, std::size_t count, Prior prior) {
  return push(block(std::move(name), Kind::real, count, prior));
}
Parameters& Parameters::positive(std::string name, std::size_t count, Prior prior) {
  return lower(std::move(name), 0, count, prior);
}
Parameters& Parameters::lower(std::string name, double low, std::size_t count, Prior prior) {
  auto b = block(std::move(name), Kind::lower, count, prior);
  b.low = low;
  return push(std::move(b));
}
Parameters& Parameters::upper(std::string name, double high, std::size_t count, Prior prior) {
  auto b = block(std::move(name), Kind::upper, count, prior);
  b.high = high;
  return push(std::move(b));
}
Parameters& Parameters::interval(std::string name, double low, double high, std::size_t count,
                                 Prior prior) {
  if (!(low < high) || !std::isfinite(high - low))
    throw ConfigError(fmt::format("interval of parameter {} is [{}, {}]; low must be below high",
                                  name, low, high));
  auto b = block(std::move(name), Kind::interval, count, prior);
  b.low = low;
  b.high = high;
  return push(std::move(b));
}
Parameters& Parameters::simplex(std::string name, std::size_t size) {
  if (size < 2) throw ConfigError(fmt::format("simplex {} has size {}; it needs 2", name, size));
  auto b = block(std::move(name), Kind::simplex, size, {});
  b.free = size - 1;
  return push(std::move(b));
}
Parameters& Parameters::ordered(std::string name, std::size_t size, Prior prior) {
  if (size == 0) throw ConfigError(fmt::format("ordered {} has size 0; it needs 1", name));
  return push(block(std::move(name), Kind::ordered, size, prior));
}
Parameters& Parameters::correlation(std::string name, std::size_t size) {
  if (size < 2)
    throw ConfigError(fmt::format("correlation {} has size {}; it needs 2", name, size));
  auto b = block(std::move(name), Kind::correlation, size * size, {});
  b.free = size * (size - 1) / 2;
  return push(std::move(b));
}

std::vector<std::string> Parameters::names() const {
  std::vector<std::string> names;
  for (const auto& b : blocks_) {
    const auto side = static_cast<std::size_t>(std::lround(std::sqrt(double(b.constrained))));
    for (std::size_t i = 0; i < b.constrained; ++i) {
      if (b.kind == Kind::correlation)
        names.push_back(fmt::format("{}.{}.{}", b.name, i / side + 1, i % side + 1));
      else
        names.push_back(b.scalar ? b.name : fmt::format("{}.{}", b.name, i + 1));
    }
  }
  return names;
}

namespace {

void unconstrain_block(const ParameterBlock& b, const double* t, double* q) {
  const std::size_t n = b.constrained;
  switch (b.kind) {
    case Kind::real:
      for (std::size_t i = 0; i < n; ++i) q[i] = t[i];
      break;
    case Kind::lower:
      for (std::size_t i = 0; i < n; ++i) {
        if (!(t[i] > b.low)) outside(b, t[i]);
        q[i] = std::log(t[i] - b.low);
      }
      break;
    case Kind::upper:
      for (std::size_t i = 0; i < n; ++i) {
        if (!(t[i] < b.high)) outside(b, t[i]);
        q[i] = std::log(b.high - t[i]);
      }
      break;
    case Kind::interval:
      for (std::size_t i = 0; i < n; ++i) {
        if (!(t[i] > b.low && t[i] < b.high)) outside(b, t[i]);
        q[i] = std::log((t[i] - b.low) / (b.high - t[i]));
      }
      break;
    case Kind::ordered:
      q[0] = t[0];
      for (std::size_t i = 1; i < n; ++i) {
        if (!(t[i] > t[i - 1])) outside(b, t[i]);
        q[i] = std::log(t[i] - t[i - 1]);
      }
      break;
    case Kind::simplex: {
      double rest = 1;
      for (std::size_t i = 0; i + 1 < n; ++i) {
        const double z = t[i] / rest;
        if (!(z > 0 && z < 1)) outside(b, t[i]);
        q[i] = std::log(z / (1 - z)) + std::log(double(n - 1 - i));
        rest -= t[i];
      }
      break;
    }
    case Kind::correlation: {
      const auto k = static_cast<std::size_t>(std::lround(std::sqrt(double(n))));
      std::size_t at = 0;
      for (std::size_t i = 1; i < k; ++i) {
        double rest = 1;
        for (std::size_t j = 0; j < i; ++j) {
          const double z = t[i * k + j] / std::sqrt(rest);
          if (!(std::abs(z) < 1)) outside(b, t[i * k + j]);
          q[at++] = std::atanh(z);
          rest -= t[i * k + j] * t[i * k + j];
        }
      }
      break;
    }
  }
}

}  // namespace

void Parameters::unconstrain(std::span<const double> theta, std::span<double> q) const {
  const double* t = theta.data();
  double* u = q.data();
  for (const auto& b : blocks_) {
    unconstrain_block(b, t, u);
    t += b.constrained;
    u += b.free;
  }
}

double Parameters::add_priors(std::span<const double> theta,
                              std::span<double> gradient) const noexcept {
  double lp = 0;
  std::size_t at = 0;
  for (const auto& b : blocks_) {
    if (b.prior.proper()) {
      for (std::size_t i = 0; i < b.constrained; ++i) {
        double slope = 0;
        lp += b.prior.log_density(theta[at + i], slope);
        gradient[at + i] += slope;
      }
    }
    at += b.constrained;
  }
  return lp;
}

}  // namespace reeve::mcmc
