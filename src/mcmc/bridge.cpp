// Bridge sampling with its error, and probabilities of models.
#include <reeve/base/error.hpp>
#include <reeve/mcmc/compare.hpp>
#include <reeve/mcmc/diagnostics.hpp>
#include <reeve/mcmc/random.hpp>

#include <Eigen/Cholesky>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace reeve::mcmc {
namespace {

using Vector = Eigen::VectorXd;
using Matrix = Eigen::MatrixXd;

struct Normal {
  Vector mean;
  Matrix l;
  double log_norm = 0;

  Normal(const Matrix& draws) {  // a draw per column
    const auto n = static_cast<double>(draws.cols());
    mean = draws.rowwise().mean();
    const Matrix centred = draws.colwise() - mean;
    Matrix covariance = centred * centred.transpose() / (n - 1);
    const Eigen::LLT<Matrix> factor(covariance);
    if (factor.info() != Eigen::Success)
      throw ConfigError("bridge sampling: the draws do not span the space; the fit has not moved");
    l = factor.matrixL();
    log_norm = -0.91893853320467274178 * double(mean.size()) - l.diagonal().array().log().sum();
  }
  double log_density(const Vector& x) const {
    return log_norm - 0.5 * l.triangularView<Eigen::Lower>().solve(x - mean).squaredNorm();
  }
};

// Relative variance of the mean of x, given how many of them are worth.
double relative_variance(const std::vector<double>& x, double worth) {
  double m = 0, s = 0;
  for (const double v : x) m += v / double(x.size());
  for (const double v : x) s += (v - m) * (v - m) / double(x.size() - 1);
  return s / (m * m) / worth;
}

}  // namespace

LogMarginal bridge_log_marginal(const Run& run, std::uint64_t seed) {
  const std::size_t d = run.density().dimension(), chains = run.chains().size(), n = run.draws();
  if (n < 20 || n * chains < 2 * (2 * d + 2))
    throw ConfigError(fmt::format(
        "bridge sampling needs at least 20 draws a chain and {} in all; there are {} x {}",
        2 * (2 * d + 2), chains, n));
  const std::size_t half = n / 2, rest = n - half;
  const auto size = static_cast<Eigen::Index>(d);
  Matrix fit(size, static_cast<Eigen::Index>(half * chains));
  for (std::size_t c = 0; c < chains; ++c)
    for (std::size_t i = 0; i < half; ++i)
      fit.col(static_cast<Eigen::Index>(c * half + i)) =
          Eigen::Map<const Vector>(run.chains()[c].q.data() + i * d, size);
  const Normal proposal(fit);

  ChainDraws l1(chains);
  for (std::size_t c = 0; c < chains; ++c)
    for (std::size_t i = half; i < n; ++i)
      l1[c].push_back(run.chains()[c].stats[i].lp - proposal.log_density(Eigen::Map<const Vector>(
                                                        run.chains()[c].q.data() + i * d, size)));
  const std::size_t n1 = rest * chains, n2 = n1;
  Random random(seed, 0xb71d6e);
  std::vector<double> l2(n2), q(d);
  for (double& l : l2) {
    Vector z(size);
    for (auto& v : z) v = random.normal();
    const Vector x = proposal.mean + proposal.l * z;
    std::copy(x.begin(), x.end(), q.begin());
    l = run.density().value(q) - (proposal.log_norm - 0.5 * z.squaredNorm());
  }
  double ess = ess_mean(l1);
  if (!(ess > 0)) ess = double(n1);
  ess = std::min(ess, double(n1));
  const double s1 = ess / (ess + double(n2)), s2 = double(n2) / (ess + double(n2));
  std::vector<double> flat;
  for (const auto& chain : l1) flat.insert(flat.end(), chain.begin(), chain.end());
  std::vector<double> order = flat;
  std::nth_element(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(n1 / 2), order.end());
  const double shift = order[n1 / 2];

  LogMarginal result;
  double r = 1;
  std::vector<double> f1(n1), f2(n2);
  for (result.iterations = 1; result.iterations <= 1000; ++result.iterations) {
    double top = 0, bottom = 0;
    for (std::size_t i = 0; i < n2; ++i) {
      const double e = std::exp(std::min(l2[i] - shift, 700.0));
      f2[i] = e / (s1 * e + s2 * r);
      top += f2[i] / double(n2);
    }
    for (std::size_t i = 0; i < n1; ++i) {
      f1[i] = 1 / (s1 * std::exp(std::min(flat[i] - shift, 700.0)) + s2 * r);
      bottom += f1[i] / double(n1);
    }
    const double next = top / bottom;
    result.converged = std::abs(next - r) <= 1e-10 * next;
    r = next;
    if (result.converged || !std::isfinite(r) || r <= 0) break;
  }
  result.converged = result.converged && std::isfinite(r) && r > 0;
  result.value = std::log(r) + shift;
  ChainDraws f1_chains(chains);
  for (std::size_t c = 0; c < chains; ++c)
    f1_chains[c].assign(f1.begin() + static_cast<std::ptrdiff_t>(c * rest),
                        f1.begin() + static_cast<std::ptrdiff_t>((c + 1) * rest));
  double worth = ess_mean(f1_chains);
  worth = worth > 0 ? std::min(worth, double(n1)) : double(n1);
  result.se = std::sqrt(relative_variance(f1, worth) + relative_variance(f2, double(n2)));
  return result;
}

ModelProbabilities model_probabilities(std::span<const Candidate> candidates, double se_limit) {
  ModelProbabilities result;
  if (candidates.empty()) result.reasons.push_back("there are no candidates");
  double highest = -INFINITY;
  for (const auto& c : candidates) {
    if (c.status != Status::ok)
      result.reasons.push_back(fmt::format("the fit of {} ended {}", c.name, to_string(c.status)));
    else if (!c.log_marginal.converged || !(c.log_marginal.se < se_limit))
      result.reasons.push_back(
          fmt::format("the marginal likelihood of {} has standard error {:.3g}; {} is the limit",
                      c.name, c.log_marginal.se, se_limit));
    highest = std::max(highest, c.log_marginal.value + c.log_prior);
  }
  result.conclusive = result.reasons.empty();
  if (!result.conclusive) return result;
  double total = 0;
  for (const auto& c : candidates)
    total +=
        result.probability.emplace_back(std::exp(c.log_marginal.value + c.log_prior - highest));
  for (double& p : result.probability) p /= total;
  return result;
}

}  // namespace reeve::mcmc
