// Pareto-smoothed importance sampling and leave-one-out predictive densities.
#include <reeve/base/error.hpp>
#include <reeve/mcmc/compare.hpp>
#include <reeve/mcmc/diagnostics.hpp>
#include <reeve/mcmc/observations.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace reeve::mcmc {
namespace {

double log_sum(std::span<const double> x) {
  const double high = *std::max_element(x.begin(), x.end());
  if (!std::isfinite(high)) return high;
  double s = 0;
  for (const double v : x) s += std::exp(v - high);
  return high + std::log(s);
}

struct Pareto {
  double k, sigma;
};

// Zhang and Stephens' profile-posterior mean over a grid, then a weak prior that pulls k to 1/2
// with the weight of 10 observations. `x` sorted.
Pareto fit_pareto(std::span<const double> x) {
  const std::size_t n = x.size();
  const std::size_t grid = 30 + static_cast<std::size_t>(std::sqrt(double(n)));
  const double quartile = x[static_cast<std::size_t>(double(n) / 4 + 0.5) - 1];
  std::vector<double> theta(grid), l(grid);
  // One logarithm for four factors; they are far from overflow, as theta is of the order of 1 / x.
  const auto shape = [&](double t) {
    double k = 0;
    std::size_t i = 0;
    for (; i + 3 < n; i += 4) {
      const double a = -t * x[i], b = -t * x[i + 1], c = -t * x[i + 2], d = -t * x[i + 3];
      const double ab = a + b + a * b, cd = c + d + c * d;
      k += std::log1p(ab + cd + ab * cd);
    }
    for (; i < n; ++i) k += std::log1p(-t * x[i]);
    return k / double(n);
  };
  for (std::size_t j = 0; j < grid; ++j) {
    theta[j] = 1 / x[n - 1] + (1 - std::sqrt(double(grid) / (double(j) + 0.5))) / 3 / quartile;
    const double k = shape(theta[j]);
    l[j] = double(n) * (std::log(-theta[j] / k) - k - 1);
  }
  const double total = log_sum(l);
  double mean = 0;
  for (std::size_t j = 0; j < grid; ++j) mean += theta[j] * std::exp(l[j] - total);
  const double k = shape(mean);
  return {(k * double(n) + 5) / (double(n) + 10), -k / mean};
}

}  // namespace

Psis psis(std::span<const double> log_ratios, double relative_efficiency) {
  const std::size_t s = log_ratios.size();
  Psis result;
  if (s == 0) throw ConfigError("psis needs at least one log ratio; there are 0");
  for (std::size_t i = 0; i < s; ++i)
    if (!(log_ratios[i] < std::numeric_limits<double>::infinity()))
      throw ConfigError(
          fmt::format("log ratio {} of {} is {}; it must be finite, or -inf for a weight of zero",
                      i, s, log_ratios[i]));
  auto& w = result.log_weights;
  w.assign(log_ratios.begin(), log_ratios.end());
  const double high = *std::max_element(w.begin(), w.end());
  if (!std::isfinite(high))
    throw ConfigError("all log ratios are -inf; psis needs one weight that is not zero");
  for (double& v : w) v -= high;
  const auto tail = static_cast<std::size_t>(
      std::ceil(std::min(0.2 * double(s), 3 * std::sqrt(double(s) / relative_efficiency))));
  result.k = std::numeric_limits<double>::infinity();
  if (tail >= 5 && tail < s) {
    std::vector<std::size_t> order(s);
    std::iota(order.begin(), order.end(), std::size_t{0});
    const auto less = [&](std::size_t a, std::size_t b) {
      return w[a] != w[b] ? w[a] < w[b] : a < b;
    };
    const auto first = order.end() - static_cast<std::ptrdiff_t>(tail);
    std::nth_element(order.begin(), first - 1, order.end(), less);
    std::sort(first, order.end(), less);
    const double cutoff = std::exp(w[order[s - tail - 1]]);
    std::vector<double> excess(tail);
    for (std::size_t i = 0; i < tail; ++i) excess[i] = std::exp(w[order[s - tail + i]]) - cutoff;
    if (w[order[s - 1]] - w[order[s - tail]] >= 10 * std::numeric_limits<double>::min()) {
      const Pareto fit = fit_pareto(excess);
      if (!std::isnan(fit.k)) result.k = fit.k;
      if (std::isfinite(fit.k))
        for (std::size_t i = 0; i < tail; ++i) {
          const double p = (double(i) + 0.5) / double(tail);
          w[order[s - tail + i]] =
              std::log(fit.sigma * std::expm1(-fit.k * std::log1p(-p)) / fit.k + cutoff);
        }
    }
  }
  for (double& v : w) v = std::min(v, 0.0);
  const double total = log_sum(w);
  for (double& v : w) v -= total;
  return result;
}

Loo psis_loo(const std::vector<std::vector<double>>& log_likelihood,
             std::span<const double> efficiency) {
  Loo loo;
  if (log_likelihood.empty())
    throw ConfigError("psis_loo needs at least one observation; there are 0");
  const double n = double(log_likelihood.size());
  for (std::size_t i = 0; i < log_likelihood.size(); ++i) {
    const auto& ll = log_likelihood[i];
    const auto bad = std::find_if(ll.begin(), ll.end(), [](double v) { return !std::isfinite(v); });
    if (bad != ll.end())
      throw ConfigError(fmt::format(
          "log_likelihood[{}][{}] is {}; a draw of the posterior gives every observation a finite "
          "one: look for a density that is zero or overflows there",
          i, bad - ll.begin(), *bad));
    std::vector<double> ratios(ll.size());
    std::transform(ll.begin(), ll.end(), ratios.begin(), [](double v) { return -v; });
    Psis p = psis(ratios, i < efficiency.size() ? efficiency[i] : 1);
    for (std::size_t j = 0; j < ll.size(); ++j) p.log_weights[j] += ll[j];
    loo.pointwise.push_back(log_sum(p.log_weights));
    loo.k.push_back(p.k);
    loo.p_loo += log_sum(ll) - std::log(double(ll.size())) - loo.pointwise.back();
    loo.bad_k += p.k > std::min(1 - 1 / std::log10(double(ll.size())), 0.7);
  }
  loo.elpd = std::accumulate(loo.pointwise.begin(), loo.pointwise.end(), 0.0);
  double s = 0;
  for (const double v : loo.pointwise) s += (v - loo.elpd / n) * (v - loo.elpd / n);
  loo.se = n > 1 ? std::sqrt(n * s / (n - 1)) : std::nan("");
  loo.max_k = *std::max_element(loo.k.begin(), loo.k.end());
  return loo;
}

std::vector<std::vector<double>> pointwise_log_likelihood(const Run& run) {
  const auto* model = dynamic_cast<const PointwiseModel*>(&run.density().model());
  if (!model)
    throw ConfigError(
        "this density does not know its observations; build it with observations, regression, glm "
        "or "
        "linear_regression, or pass the log likelihoods yourself");
  const std::size_t d = run.density().dimension();
  std::vector<std::vector<double>> ll(model->rows());
  std::vector<double> theta(run.density().parameters().size()), one(model->rows());
  for (const auto& chain : run.chains())
    for (std::size_t i = 0; i < run.draws(); ++i) {
      run.density().constrain({chain.q.data() + i * d, d}, theta);
      model->pointwise(theta, one);
      for (std::size_t r = 0; r < one.size(); ++r) ll[r].push_back(one[r]);
    }
  return ll;
}

Loo psis_loo(const Run& run) {
  const auto ll = pointwise_log_likelihood(run);
  std::vector<double> efficiency;
  const std::size_t n = run.draws();
  for (const auto& row : ll) {
    ChainDraws likelihood(run.chains().size());
    for (std::size_t j = 0; j < row.size(); ++j) likelihood[j / n].push_back(std::exp(row[j]));
    const double ess = ess_mean(likelihood);
    efficiency.push_back(ess > 0 ? ess / double(row.size()) : 1);
  }
  return psis_loo(ll, efficiency);
}

}  // namespace reeve::mcmc
