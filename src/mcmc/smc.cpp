// Tempered sequential Monte Carlo over independent islands.
#include "mcmc/engine.hpp"

#include <reeve/base/error.hpp>
#include <reeve/mcmc/smc.hpp>

#include <Eigen/Cholesky>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace reeve::mcmc {
namespace {

struct Island {
  const Density& density;
  const SmcOptions& options;
  Random random;
  detail::Poll& poll;
  std::size_t d, n;
  std::vector<double> q, target, reference;  // per particle: position, log density, log reference
  std::vector<double> temperatures{};
  double beta = 0, log_evidence = 0;
  std::size_t evaluations = 0;

  double log_reference(const double* x) const {
    double s = 0;
    for (std::size_t i = 0; i < d; ++i) s += x[i] * x[i];
    return -0.5 * s / (options.scale * options.scale) -
           double(d) * (0.91893853320467274178 + std::log(options.scale));
  }

  bool begin() {
    for (std::size_t p = 0; p < n; ++p) {
      if (poll.should_stop()) return false;
      for (std::size_t i = 0; i < d; ++i) q[p * d + i] = options.scale * random.normal();
      target[p] = density.value({q.data() + p * d, d});
      reference[p] = log_reference(q.data() + p * d);
      ++evaluations;
    }
    return true;
  }

  // Weights of a step of the temperature; returns their ESS.
  double weigh(double step, std::vector<double>& w) const {
    double high = -INFINITY, sum = 0, squares = 0;
    for (std::size_t p = 0; p < n; ++p) {
      w[p] = step * (target[p] - reference[p]);
      high = std::max(high, w[p]);
    }
    if (!std::isfinite(high)) return 0;
    for (double& x : w) {
      x = std::exp(x - high);
      sum += x;
      squares += x * x;
    }
    return sum * sum / squares;
  }

  void raise_temperature() {
    std::vector<double> w(n);
    double step = 1 - beta;
    if (weigh(step, w) < options.ess_fraction * double(n)) {
      double low = 0, high = step;
      for (int i = 0; i < 60; ++i) {
        step = 0.5 * (low + high);
        (weigh(step, w) < options.ess_fraction * double(n) ? high : low) = step;
      }
      step = std::max(low, 1e-12);
      weigh(step, w);
    }
    double high = -INFINITY, sum = 0;
    for (std::size_t p = 0; p < n; ++p) high = std::max(high, step * (target[p] - reference[p]));
    for (const double x : w) sum += x;
    log_evidence += high + std::log(sum / double(n));
    beta = step >= 1 - beta ? 1 : beta + step;
    temperatures.push_back(beta);
    resample(w, sum);
  }

  void resample(const std::vector<double>& w, double sum) {  // systematic
    std::vector<double> q2(q.size()), t2(n), r2(n);
    const double u = random.uniform();
    double reached = 0;
    std::size_t from = 0;
    for (std::size_t p = 0; p < n; ++p) {
      const double at = (double(p) + u) * sum / double(n);
      while (reached + w[from] < at && from + 1 < n) reached += w[from++];
      std::copy_n(q.begin() + static_cast<std::ptrdiff_t>(from * d), d,
                  q2.begin() + static_cast<std::ptrdiff_t>(p * d));
      t2[p] = target[from];
      r2[p] = reference[from];
    }
    q.swap(q2);
    target.swap(t2);
    reference.swap(r2);
  }

  bool move() {
    using Matrix = Eigen::MatrixXd;
    const auto size = static_cast<Eigen::Index>(d);
    const Eigen::Map<const Matrix> x(q.data(), size, static_cast<Eigen::Index>(n));
    const Eigen::VectorXd mean = x.rowwise().mean();
    const Matrix centred = x.colwise() - mean;
    Matrix covariance = centred * centred.transpose() / double(n);
    covariance.diagonal().array() += 1e-12 + 1e-9 * covariance.trace() / double(d);
    const Matrix l = Eigen::LLT<Matrix>(covariance).matrixL();
    double scale = 2.38 / std::sqrt(double(d)), accepted = 0;
    std::vector<double> next(d);
    Eigen::VectorXd z(size);
    for (int round = 0; round < 200 && accepted < options.moves; ++round) {
      double accept_sum = 0;
      for (std::size_t p = 0; p < n; ++p) {
        if (poll.should_stop()) return false;
        for (auto& v : z) v = random.normal();
        const Eigen::VectorXd step = l * z;
        for (std::size_t i = 0; i < d; ++i)
          next[i] = q[p * d + i] + scale * step[static_cast<Eigen::Index>(i)];
        const double t = density.value(next), r = log_reference(next.data());
        ++evaluations;
        const double change = beta * (t - target[p]) + (1 - beta) * (r - reference[p]);
        const double accept = std::isfinite(t) ? std::min(1.0, std::exp(change)) : 0;
        accept_sum += accept;
        if (random.uniform() < accept) {
          std::copy(next.begin(), next.end(), q.begin() + static_cast<std::ptrdiff_t>(p * d));
          target[p] = t;
          reference[p] = r;
        }
      }
      const double rate = accept_sum / double(n);
      accepted += rate;
      scale *=
          std::exp(std::clamp(2 * (rate - 0.3), -0.7, 0.7));  // between rounds: all particles alike
    }
    return true;
  }
};

void check(const SmcOptions& o, const Density& density) {
  const auto fail = [](std::string text) { throw ConfigError("SmcOptions: " + text); };
  if (o.particles < 50) fail(fmt::format("particles is {}; give at least 50", o.particles));
  if (o.particles < 2 * density.dimension())
    fail(fmt::format("particles is {}; {} parameters need at least {}", o.particles,
                     density.dimension(), 2 * density.dimension()));
  if (o.islands < 2 || o.islands > 1024)
    fail(fmt::format("islands is {}; give 2 to 1024", o.islands));
  if (!(o.scale > 0) || !std::isfinite(o.scale))
    fail(fmt::format("scale is {}; it must be positive", o.scale));
  if (!(o.ess_fraction > 0.1 && o.ess_fraction < 0.99))
    fail(fmt::format("ess_fraction is {}; it must be inside (0.1, 0.99)", o.ess_fraction));
  if (!(o.moves > 0) || o.moves > 1000) fail(fmt::format("moves is {}; give (0, 1000]", o.moves));
}

}  // namespace

SmcResult sample_smc(const Density& density, const SmcOptions& options, const StopWhen& stop) {
  check(options, density);
  detail::Poll poll(stop);
  const std::size_t d = density.dimension(), n = options.particles;
  std::vector<Chain> chains;
  std::vector<double> evidences, temperatures;
  std::size_t evaluations = 0;
  bool incomplete = false;
  for (std::size_t i = 0; i < options.islands && !incomplete; ++i) {
    Island island{density,
                  options,
                  Random(options.seed, 1000 + i),
                  poll,
                  d,
                  n,
                  std::vector<double>(n * d),
                  std::vector<double>(n),
                  std::vector<double>(n)};
    incomplete = !island.begin();
    while (!incomplete && island.beta < 1) {
      if (island.temperatures.size() == options.max_temperatures) incomplete = true;
      if (incomplete) break;
      island.raise_temperature();
      incomplete = !island.move();
    }
    evaluations += island.evaluations;
    if (incomplete) break;
    // Particles that descend from one parent lie side by side: a random order keeps the ESS honest.
    Chain chain;
    std::vector<std::size_t> order(n);
    for (std::size_t p = 0; p < n; ++p) order[p] = p;
    for (std::size_t p = n; p > 1; --p) std::swap(order[p - 1], order[island.random.below(p)]);
    for (const std::size_t p : order) {
      chain.q.insert(chain.q.end(), island.q.begin() + static_cast<std::ptrdiff_t>(p * d),
                     island.q.begin() + static_cast<std::ptrdiff_t>((p + 1) * d));
      DrawStats s;
      s.lp = island.target[p];
      s.accept_stat = 1;
      s.energy = -s.lp;
      chain.stats.push_back(s);
    }
    chains.push_back(std::move(chain));
    evidences.push_back(island.log_evidence);
    if (i == 0) temperatures = island.temperatures;
  }
  SmcResult result{Run(density, std::move(chains), Run::Unassessed{}), 0, 0, temperatures};
  result.run.algorithm = "smc";
  result.run.seed = options.seed;
  result.run.warmup_leapfrogs = evaluations;
  if (!evidences.empty()) {  // mean of the evidences, not of their logs: that is the unbiased one
    const double high = *std::max_element(evidences.begin(), evidences.end());
    const auto m = double(evidences.size());
    double mean = 0, spread = 0;
    for (const double e : evidences) mean += std::exp(e - high) / m;
    for (const double e : evidences) spread += std::pow(std::exp(e - high) / mean - 1, 2);
    result.log_evidence = high + std::log(mean);
    result.se = evidences.size() > 1 ? std::sqrt(spread / (m - 1) / m) : INFINITY;
  }
  result.run.assess(options.checks, poll.status());
  return result;
}

}  // namespace reeve::mcmc
