// Incremental mixture importance sampling over independent islands.
#include "mcmc/engine.hpp"

#include <reeve/base/error.hpp>
#include <reeve/mcmc/compare.hpp>
#include <reeve/mcmc/importance.hpp>
#include <reeve/mcmc/sbc.hpp>

#include <Eigen/Cholesky>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>

namespace reeve::mcmc {
namespace {

using Matrix = Eigen::MatrixXd;
using Vector = Eigen::VectorXd;

// Where the first points come from: the priors on the unconstrained scale, or a wide normal where
// their density is not known (improper, or cut by a constraint) or their draws overflow.
class Reference {
 public:
  Reference(const Density& density, double scale) : density_(density), scale_(scale) {
    const auto& blocks = density.parameters().blocks();
    if (std::all_of(blocks.begin(), blocks.end(), is_normalised))
      prior_ = prior_of(density.parameters());
    theta_.resize(density.parameters().size());
    slopes_.resize(theta_.size());
  }
  /// `count` points, all from the priors or all from the normal: log_density is of one of them.
  std::vector<double> draw(Random& random, std::size_t count) {
    const std::size_t d = density_.dimension();
    std::vector<double> q(count * d);
    for (std::size_t i = 0; prior_ && i < count; ++i)
      if (!draw_prior(random, {q.data() + i * d, d})) prior_ = nullptr;
    if (!prior_)
      for (double& v : q) v = scale_ * random.normal();
    return q;
  }
  double log_density(std::span<const double> q) {
    if (prior_) {
      const double log_det = density_.parameters().constrain(q, theta_);
      return log_det + density_.parameters().add_priors(theta_, slopes_);
    }
    double squares = 0;
    for (const double v : q) squares += v * v;
    return -0.5 * squares / (scale_ * scale_) -
           double(q.size()) * (0.91893853320467274178 + std::log(scale_));
  }

 private:
  // A prior that the constraint cuts integrates to less than one.
  static bool is_normalised(const ParameterBlock& b) {
    using Kind = ParameterBlock::Kind;
    const bool below = b.kind == Kind::lower || b.kind == Kind::interval;
    const bool above = b.kind == Kind::upper || b.kind == Kind::interval;
    return b.prior.proper() && (below || above || b.kind == Kind::real) &&
           b.prior.lower() == (below ? b.low : -INFINITY) &&
           b.prior.upper() == (above ? b.high : INFINITY);
  }
  // False for a point on the border of its support, by rounding.
  bool draw_prior(Random& random, std::span<double> q) {
    prior_(random, theta_);
    try {
      density_.parameters().unconstrain(theta_, q);
    } catch (const ConfigError&) {
      return false;
    }
    return std::all_of(q.begin(), q.end(), [](double v) { return std::isfinite(v); });
  }

  const Density& density_;
  double scale_;
  std::function<void(Random&, std::span<double>)> prior_;
  std::vector<double> theta_, slopes_;
};

// A multivariate t whose density needs no logarithm: (degrees of freedom + dimension) is even.
struct Component {
  Component(const Vector& centre, const Matrix& covariance, std::size_t d)
      : mean(centre), nu(d % 2 == 0 ? 6 : 7), power(static_cast<int>(nu + double(d)) / 2) {
    const Eigen::LLT<Matrix> factor(covariance);
    valid = factor.info() == Eigen::Success;
    if (!valid) return;
    l = factor.matrixL();
    inverse = l.triangularView<Eigen::Lower>().solve(Matrix::Identity(l.rows(), l.cols()));
    const double log_norm = std::lgamma((nu + double(d)) / 2) - std::lgamma(nu / 2) -
                            0.5 * double(d) * std::log(nu * std::numbers::pi) -
                            l.diagonal().array().log().sum();
    norm = std::exp(log_norm);
    valid = std::isfinite(norm) && norm > 0;
  }
  double density(const double* q) const noexcept {
    const auto d = mean.size();
    double squares = 0;
    double away[most_importance_parameters];
    for (Eigen::Index i = 0; i < d; ++i) away[i] = q[i] - mean[i];
    for (Eigen::Index i = 0; i < d; ++i) {
      double z = 0;
      for (Eigen::Index j = 0; j <= i; ++j) z += inverse(i, j) * away[j];
      squares += z * z;
    }
    const double base = 1 / (1 + squares / nu);
    double value = norm;
    for (int i = 0; i < power; ++i) value *= base;
    return value;
  }
  void draw(Random& random, double* q) const {
    double z[most_importance_parameters];
    const auto d = mean.size();
    for (Eigen::Index i = 0; i < d; ++i) z[i] = random.normal();
    const double stretch = std::sqrt(nu / random.gamma(nu / 2, 2));
    for (Eigen::Index i = 0; i < d; ++i) {
      double step = 0;
      for (Eigen::Index j = 0; j <= i; ++j) step += l(i, j) * z[j];
      q[i] = mean[i] + stretch * step;
    }
  }
  Vector mean;
  double nu;
  int power;
  Matrix l, inverse;
  double norm = 0;
  bool valid = false;
};

class Island {
 public:
  Island(const Density& density, const ImportanceOptions& options, Reference& reference,
         std::uint64_t stream, detail::Poll& poll)
      : density_(density),
        options_(options),
        reference_(reference),
        random_(options.seed, 5000 + stream),
        poll_(poll),
        d_(density.dimension()) {}

  /// False when it was stopped.
  bool run(const std::vector<Component>& first) {
    if (!begin()) return false;
    for (const auto& component : first)
      if (!add(component)) return false;
    const double wanted = 2 * double(options_.draws);
    for (weigh(); ess_ < wanted && components_.size() < options_.max_components; weigh()) {
      const Component next = around_the_heaviest();
      if (!next.valid) return true;
      if (!add(next)) return false;
    }
    return true;
  }

  double ess() const noexcept { return ess_; }
  double log_evidence() const { return log_evidence_; }
  /// Of the evidence, relative.
  double variance() const { return (double(target_.size()) / ess_ - 1) / double(target_.size()); }
  double k() const { return psis(log_weight_).k; }
  std::size_t evaluations() const noexcept { return target_.size(); }

  Chain pick(std::size_t count) {  // systematic, then in a random order
    std::vector<std::size_t> order;
    const double u = random_.uniform();
    double reached = 0;
    for (std::size_t p = 0, from = 0; p < count; ++p) {
      const double at = (double(p) + u) / double(count);
      while (reached + weight_[from] < at && from + 1 < weight_.size()) reached += weight_[from++];
      order.push_back(from);
    }
    for (std::size_t p = count; p > 1; --p) std::swap(order[p - 1], order[random_.below(p)]);
    Chain chain;
    for (const std::size_t p : order) {
      chain.q.insert(chain.q.end(), point(p), point(p) + d_);
      DrawStats s;
      s.lp = target_[p];
      s.accept_stat = 1;
      s.energy = -s.lp;
      chain.stats.push_back(s);
    }
    return chain;
  }

 private:
  const double* point(std::size_t i) const noexcept { return q_.data() + i * d_; }

  bool begin() {
    first_ = 3 * options_.batch;
    Vector sum = Vector::Zero(static_cast<Eigen::Index>(d_)), squares = sum;
    const std::vector<double> points = reference_.draw(random_, first_);
    for (std::size_t i = 0; i < first_; ++i) {
      const std::vector<double> q(points.data() + i * d_, points.data() + (i + 1) * d_);
      for (std::size_t p = 0; p < d_; ++p) {
        const auto at = static_cast<Eigen::Index>(p);
        sum[at] += q[p];
        squares[at] += q[p] * q[p];
      }
      if (!push(q)) return false;
    }
    const auto n = double(first_);
    spread_ = (squares / n - (sum / n).cwiseAbs2()).cwiseMax(1e-12);
    return true;
  }

  bool push(const std::vector<double>& q) {
    if (poll_.should_stop()) return false;
    q_.insert(q_.end(), q.begin(), q.end());
    target_.push_back(density_.value(q));
    double mixture = double(first_) * std::exp(reference_.log_density(q));
    for (const auto& c : components_) mixture += double(options_.batch) * c.density(q.data());
    mixture_.push_back(mixture);
    return true;
  }

  bool add(const Component& component) {
    components_.push_back(component);
    for (std::size_t i = 0; i < target_.size(); ++i)
      mixture_[i] += double(options_.batch) * component.density(point(i));
    std::vector<double> q(d_);
    for (std::size_t i = 0; i < options_.batch; ++i) {
      component.draw(random_, q.data());
      if (!push(q)) return false;
    }
    return true;
  }

  void weigh() {
    const std::size_t n = target_.size();
    log_weight_.resize(n);
    weight_.resize(n);
    double high = -INFINITY, sum = 0, squares = 0;
    for (std::size_t i = 0; i < n; ++i) {
      log_weight_[i] = mixture_[i] > 0 ? target_[i] - std::log(mixture_[i]) : -INFINITY;
      if (log_weight_[i] > high) high = log_weight_[i], heaviest_ = i;
    }
    ess_ = 0;
    log_evidence_ = high;
    if (!std::isfinite(high)) return;
    for (std::size_t i = 0; i < n; ++i) {
      weight_[i] = std::exp(log_weight_[i] - high);
      sum += weight_[i];
      squares += weight_[i] * weight_[i];
    }
    for (double& w : weight_) w /= sum;
    ess_ = sum * sum / squares;
    // The mixture's density is mixture_ / n, so the mean of target n / mixture_ is a plain sum.
    log_evidence_ = high + std::log(sum);
  }

  // The heaviest point's neighbours say how the density lies there.
  Component around_the_heaviest() const {
    const std::size_t n = target_.size();
    const double* centre = point(heaviest_);
    std::vector<std::pair<double, std::size_t>> near(n);
    for (std::size_t i = 0; i < n; ++i) {
      double distance = 0;
      for (std::size_t p = 0; p < d_; ++p) {
        const double away = point(i)[p] - centre[p];
        distance += away * away / spread_[static_cast<Eigen::Index>(p)];
      }
      near[i] = {distance, i};
    }
    const auto count = static_cast<std::ptrdiff_t>(std::min(options_.batch, n));
    std::nth_element(near.begin(), near.begin() + count - 1, near.end());
    const auto size = static_cast<Eigen::Index>(d_);
    Matrix covariance = Matrix::Zero(size, size);
    double total = 0;
    for (auto it = near.begin(); it != near.begin() + count; ++it) {
      if (target_[it->second] == -INFINITY) continue;
      const Vector away = Eigen::Map<const Vector>(point(it->second), size) -
                          Eigen::Map<const Vector>(centre, size);
      const double w = 0.5 * (weight_[it->second] + 1 / double(n));
      covariance += w * away * away.transpose();
      total += w;
    }
    covariance /= total;
    covariance.diagonal() += 1e-9 * spread_;
    return {Eigen::Map<const Vector>(centre, size), covariance, d_};
  }

  const Density& density_;
  const ImportanceOptions& options_;
  Reference& reference_;
  Random random_;
  detail::Poll& poll_;
  std::size_t d_, first_ = 0, heaviest_ = 0;
  std::vector<Component> components_;
  std::vector<double> q_, target_, mixture_, log_weight_, weight_;
  Vector spread_;
  double ess_ = 0, log_evidence_ = -INFINITY;
};

// One component around each chain of the run.
std::vector<Component> around_chains(const Run& run) {
  const std::size_t d = run.density().dimension(), n = run.draws();
  const auto size = static_cast<Eigen::Index>(d);
  std::vector<Component> components;
  if (n < 2 * d + 2) return components;
  for (const auto& chain : run.chains()) {
    const Eigen::Map<const Matrix> x(chain.q.data(), size, static_cast<Eigen::Index>(n));
    const Vector mean = x.rowwise().mean();
    const Matrix centred = x.colwise() - mean;
    const Component c(mean, 1.2 * centred * centred.transpose() / double(n), d);
    if (c.valid) components.push_back(c);
  }
  return components;
}

void check(const ImportanceOptions& o, std::size_t d) {
  const auto fail = [](std::string text) { throw ConfigError("ImportanceOptions: " + text); };
  if (d > most_importance_parameters)
    fail(fmt::format("the density has {} parameters; importance sampling takes at most {}", d,
                     most_importance_parameters));
  if (o.islands < 2 || o.islands > 64) fail(fmt::format("islands is {}; give 2 to 64", o.islands));
  if (o.draws < 50) fail(fmt::format("draws is {}; give at least 50", o.draws));
  if (o.batch < 50) fail(fmt::format("batch is {}; give at least 50", o.batch));
  if (!(o.scale > 0) || !std::isfinite(o.scale))
    fail(fmt::format("scale is {}; it must be positive", o.scale));
}

// Mean of the islands' evidences, and the larger of two errors: from their spread, from the
// weights.
void combine(const std::vector<Island>& islands, ImportanceResult& result) {
  double high = -INFINITY, mean = 0, spread = 0, inner = 0;
  const auto m = double(islands.size());
  for (const auto& i : islands) high = std::max(high, i.log_evidence());
  for (const auto& i : islands) mean += std::exp(i.log_evidence() - high) / m;
  for (const auto& i : islands) {
    spread += std::pow(std::exp(i.log_evidence() - high) / mean - 1, 2) / (m - 1) / m;
    inner += i.variance() / (m * m);
  }
  result.log_evidence = high + std::log(mean);
  result.se = std::sqrt(std::max(spread, inner));
}

}  // namespace

ImportanceResult sample_importance(const Density& density, const Run* near,
                                   const ImportanceOptions& options, const StopWhen& stop) {
  check(options, density.dimension());
  detail::Poll poll(stop);
  Reference reference(density, options.scale);
  std::vector<Component> first;
  if (near) first = around_chains(*near);
  std::vector<Island> islands;
  double least = INFINITY;
  ImportanceResult result{Run(density, {}, Run::Unassessed{}), 0, INFINITY, INFINITY, false, "", 0};
  bool complete = true;
  for (std::size_t i = 0; i < options.islands && complete; ++i) {
    Island island(density, options, reference, i, poll);
    complete = island.run(first);
    result.evaluations += island.evaluations();
    least = std::min(least, island.ess());
    islands.push_back(std::move(island));
    if (least < 2 * double(options.draws)) complete = false;  // the others are not needed
  }
  std::vector<Chain> chains;
  if (complete) {
    combine(islands, result);
    result.k = 0;
    for (auto& island : islands) {
      result.k = std::max(result.k, island.k());
      chains.push_back(island.pick(options.draws));
    }
  }
  result.run = Run(density, std::move(chains), Run::Unassessed{});
  result.run.algorithm = "importance";
  result.run.seed = options.seed;
  result.run.warmup_leapfrogs = result.evaluations;
  result.run.assess(options.checks, poll.status());
  if (poll.status() != Status::ok)
    result.reason = "it was stopped";
  else if (!complete)
    result.reason = fmt::format("the weights of {} points are worth {:.0f}; {} are needed",
                                result.evaluations, least, 2 * options.draws);
  else if (!(result.k < 0.7))
    result.reason = fmt::format("Pareto k of the weights is {:.2f}; 0.7 is the limit", result.k);
  else if (result.run.status() != Status::ok)
    result.reason = fmt::format("{}", fmt::join(result.run.diagnostics().reasons, "; "));
  result.reliable = result.reason.empty();
  return result;
}

}  // namespace reeve::mcmc
