// Transforms, priors and the rule for values that are not numbers, around a user's model.
#include <reeve/base/error.hpp>
#include <reeve/mcmc/density.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <stdexcept>

namespace reeve::mcmc {
namespace {

constexpr double outside = -std::numeric_limits<double>::infinity();

struct ValueModel final : Model {
  explicit ValueModel(std::function<double(std::span<const double>)> fn) : f(std::move(fn)) {}
  double evaluate(std::span<const double> theta, std::span<double> gradient) const override {
    if (!gradient.empty())
      throw ConfigError(
          "this density has no gradient; sample it with random-walk Metropolis or SMC, "
          "or build it with with_central_differences");
    return f(theta);
  }
  std::function<double(std::span<const double>)> f;
};

struct DifferenceModel final : Model {
  explicit DifferenceModel(std::function<double(std::span<const double>)> fn) : f(std::move(fn)) {}
  double evaluate(std::span<const double> theta, std::span<double> gradient) const override {
    const double value = f(theta);
    std::vector<double> x(theta.begin(), theta.end());
    for (std::size_t i = 0; i < gradient.size(); ++i) {
      const double h = 6e-6 * std::max(1.0, std::abs(theta[i]));
      x[i] = theta[i] + h;
      const double above = f(x);
      x[i] = theta[i] - h;
      gradient[i] = (above - f(x)) / (2 * h);
      x[i] = theta[i];
    }
    return value;
  }
  std::function<double(std::span<const double>)> f;
};

// Two scratch vectors of n, on the stack when small.
class Scratch {
 public:
  explicit Scratch(std::size_t n) : n_(n) {
    if (2 * n > small_.size()) large_.resize(2 * n);
    data_ = large_.empty() ? small_.data() : large_.data();
  }
  std::span<double> first() noexcept { return {data_, n_}; }
  std::span<double> second() noexcept { return {data_ + n_, n_}; }

 private:
  std::array<double, 128> small_;
  std::vector<double> large_;
  std::size_t n_;
  double* data_;
};

}  // namespace

Density::Density(Parameters parameters, std::shared_ptr<const Model> model, bool has_gradient)
    : model_(std::move(model)), has_gradient_(has_gradient) {
  if (parameters.free_size() == 0)
    throw ConfigError("a density needs at least one parameter; it has 0");
  parameters_ = std::make_shared<const Parameters>(std::move(parameters));
}

double Density::evaluate(std::span<const double> q, std::span<double> gradient) const {
  const Parameters& p = *parameters_;
  double lp = outside;
  try {
    if (p.trivial()) {
      lp = model_->evaluate(q, gradient);
      if (p.has_priors()) lp += p.add_priors(q, gradient);
    } else {
      Scratch scratch(p.size());
      const double log_det = p.constrain(q, scratch.first());
      lp = model_->evaluate(scratch.first(), scratch.second());
      if (p.has_priors()) lp += p.add_priors(scratch.first(), scratch.second());
      p.pull_back(q, scratch.first(), scratch.second(), gradient);
      lp += log_det;
    }
  } catch (const std::domain_error&) {
    lp = outside;
  }
  double sum = 0;  // finite exactly when every term is
  for (const double g : gradient) sum += g * 0.0;
  if (!std::isfinite(lp) || !(sum == 0)) {
    std::fill(gradient.begin(), gradient.end(), 0.0);
    return outside;
  }
  return lp;
}

double Density::value(std::span<const double> q) const {
  const Parameters& p = *parameters_;
  try {
    Scratch scratch(p.size());
    const double log_det = p.constrain(q, scratch.first());
    double lp = model_->evaluate(scratch.first(), {});
    if (p.has_priors()) {
      std::fill(scratch.second().begin(), scratch.second().end(), 0.0);
      lp += p.add_priors(scratch.first(), scratch.second());
    }
    lp += log_det;
    return std::isfinite(lp) ? lp : outside;
  } catch (const std::domain_error&) {
    return outside;
  }
}

Density value_density(Parameters parameters, std::function<double(std::span<const double>)> f) {
  return {std::move(parameters), std::make_shared<ValueModel>(std::move(f)), false};
}

Density with_central_differences(Parameters parameters,
                                 std::function<double(std::span<const double>)> f) {
  return {std::move(parameters), std::make_shared<DifferenceModel>(std::move(f))};
}

void detail::check_dimension(std::size_t declared, std::size_t actual) {
  if (declared != actual)
    throw ConfigError(fmt::format("density<{}> was given {} parameter values; make the two equal",
                                  declared, actual));
}

}  // namespace reeve::mcmc
