// Tempered sequential Monte Carlo over independent islands, one sweep over the particles at a time.
#include "mcmc/archive.hpp"
#include "mcmc/engine.hpp"

#include <reeve/base/error.hpp>
#include <reeve/mcmc/smc.hpp>

#include <Eigen/Cholesky>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace reeve::mcmc {
namespace {

constexpr std::string_view magic = "reeve.smc.1\n";

// What a sweep changes of an island; a stop in its middle puts it back.
struct Particles {
  Random random{0, 0};
  std::vector<double> q, target, reference;  // per particle: position, log density, log reference
  std::size_t evaluations = 0;
};

struct Island {
  Particles now;
  std::vector<double> temperatures, factor;  // factor: Cholesky, of the particles' covariance
  double beta = 0, log_evidence = 0;
  double scale = 0, accepted = 0;  // of the sweeps at this temperature
  std::size_t sweeps = 0;          // at this temperature; 0: a new temperature comes next
  bool begun = false;
};

void check(const SmcOptions& o, const Density& density) {
  const auto fail = [](std::string text) { throw ConfigError("SmcOptions: " + text); };
  if (o.particles < 50 || o.particles > 10'000'000)
    fail(fmt::format("particles is {}; give 50 to 10000000", o.particles));
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

template <class Archive>
void visit_options(Archive& a, SmcOptions& o) {
  a(o.particles), a(o.islands), a(o.scale), a(o.ess_fraction), a(o.moves), a(o.max_temperatures);
  a(o.seed), a(o.checks.rhat_limit), a(o.checks.ess_per_chain), a(o.checks.divergent_fraction);
  a(o.checks.e_bfmi), a(o.checks.max_depth_fraction);
}

}  // namespace

struct SmcSampler::State {
  State(Density dens, const SmcOptions& o)
      : density(std::move(dens)), options(o), d(density.dimension()), n(options.particles) {
    check(options, density);
    new_island();
  }

  Density density;
  SmcOptions options;
  std::size_t d, n;
  Island island;
  std::vector<Chain> chains;  // of the islands that are complete
  std::vector<double> evidences, temperatures;
  std::size_t evaluations = 0;
  bool done = false;
  Status stopped = Status::ok;

  void new_island();
  bool begin(detail::Poll& poll);
  bool sweep(detail::Poll& poll);
  double log_reference(const double* x) const;
  double weigh(double step, std::vector<double>& w) const;
  void raise_temperature();
  void resample(const std::vector<double>& w, double sum);
  void learn_factor();
  bool step(detail::Poll& poll);
  void harvest();
  bool lost() const;
  std::string missing() const;
  bool consistent() const;

  template <class Archive>
  void visit(Archive& archive) {
    Random::State random = island.now.random.state();
    archive(random), archive(island.now.q), archive(island.now.target);
    archive(island.now.reference), archive(island.now.evaluations);
    island.now.random.restore(random);
    archive(island.temperatures), archive(island.factor), archive(island.beta);
    archive(island.log_evidence), archive(island.scale), archive(island.accepted);
    archive(island.sweeps), archive(island.begun);
    std::size_t complete = chains.size();
    archive(complete);
    if (complete > options.islands) detail::damaged("too many islands");
    chains.resize(complete);
    for (auto& chain : chains) detail::visit_chain(archive, chain);
    archive(evidences), archive(temperatures), archive(evaluations), archive(done);
  }
};

void SmcSampler::State::new_island() {
  island = {};
  island.now.random = Random(options.seed, 1000 + chains.size());
  island.now.q.resize(n * d);
  island.now.target.resize(n);
  island.now.reference.resize(n);
}

double SmcSampler::State::log_reference(const double* x) const {
  double s = 0;
  for (std::size_t i = 0; i < d; ++i) s += x[i] * x[i];
  return -0.5 * s / (options.scale * options.scale) -
         double(d) * (0.91893853320467274178 + std::log(options.scale));
}

bool SmcSampler::State::begin(detail::Poll& poll) {
  Particles& x = island.now;
  for (std::size_t p = 0; p < n; ++p) {
    if (poll.should_stop()) return false;
    for (std::size_t i = 0; i < d; ++i) x.q[p * d + i] = options.scale * x.random.normal();
    x.target[p] = density.value({x.q.data() + p * d, d});
    x.reference[p] = log_reference(x.q.data() + p * d);
    ++x.evaluations;
  }
  island.begun = true;
  return true;
}

// Weights of a step of the temperature; returns their ESS.
double SmcSampler::State::weigh(double step, std::vector<double>& w) const {
  const Particles& x = island.now;
  double high = -INFINITY, sum = 0, squares = 0;
  for (std::size_t p = 0; p < n; ++p) {
    w[p] = step * (x.target[p] - x.reference[p]);
    high = std::max(high, w[p]);
  }
  if (!std::isfinite(high)) return 0;
  for (double& v : w) {
    v = std::exp(v - high);
    sum += v;
    squares += v * v;
  }
  return sum * sum / squares;
}

void SmcSampler::State::raise_temperature() {
  std::vector<double> w(n);
  double step = 1 - island.beta;
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
  for (std::size_t p = 0; p < n; ++p)
    high = std::max(high, step * (island.now.target[p] - island.now.reference[p]));
  for (const double x : w) sum += x;
  island.log_evidence += high + std::log(sum / double(n));
  island.beta = step >= 1 - island.beta ? 1 : island.beta + step;
  island.temperatures.push_back(island.beta);
  resample(w, sum);
}

void SmcSampler::State::resample(const std::vector<double>& w, double sum) {  // systematic
  Particles& x = island.now;
  std::vector<double> q2(x.q.size()), t2(n), r2(n);
  const double u = x.random.uniform();
  double reached = 0;
  std::size_t from = 0;
  for (std::size_t p = 0; p < n; ++p) {
    const double at = (double(p) + u) * sum / double(n);
    while (reached + w[from] < at && from + 1 < n) reached += w[from++];
    std::copy_n(x.q.begin() + static_cast<std::ptrdiff_t>(from * d), d,
                q2.begin() + static_cast<std::ptrdiff_t>(p * d));
    t2[p] = x.target[from];
    r2[p] = x.reference[from];
  }
  x.q.swap(q2);
  x.target.swap(t2);
  x.reference.swap(r2);
}

void SmcSampler::State::learn_factor() {
  using Matrix = Eigen::MatrixXd;
  const auto size = static_cast<Eigen::Index>(d);
  const Eigen::Map<const Matrix> x(island.now.q.data(), size, static_cast<Eigen::Index>(n));
  const Eigen::VectorXd mean = x.rowwise().mean();
  const Matrix centred = x.colwise() - mean;
  Matrix covariance = centred * centred.transpose() / double(n);
  covariance.diagonal().array() += 1e-12 + 1e-9 * covariance.trace() / double(d);
  const Matrix l = Eigen::LLT<Matrix>(covariance).matrixL();
  island.factor.assign(l.data(), l.data() + l.size());
  island.scale = 2.38 / std::sqrt(double(d));
  island.accepted = 0;
}

// One round of random-walk Metropolis over all particles.
bool SmcSampler::State::sweep(detail::Poll& poll) {
  Particles& x = island.now;
  const auto size = static_cast<Eigen::Index>(d);
  const Eigen::Map<const Eigen::MatrixXd> l(island.factor.data(), size, size);
  std::vector<double> next(d);
  Eigen::VectorXd z(size);
  double accept_sum = 0;
  for (std::size_t p = 0; p < n; ++p) {
    if (poll.should_stop()) return false;
    for (auto& v : z) v = x.random.normal();
    const Eigen::VectorXd step = l * z;
    for (std::size_t i = 0; i < d; ++i)
      next[i] = x.q[p * d + i] + island.scale * step[static_cast<Eigen::Index>(i)];
    const double t = density.value(next), r = log_reference(next.data());
    ++x.evaluations;
    const double change =
        island.beta * (t - x.target[p]) + (1 - island.beta) * (r - x.reference[p]);
    const double accept = std::isfinite(t) ? std::min(1.0, std::exp(change)) : 0;
    accept_sum += accept;
    if (x.random.uniform() < accept) {
      std::copy(next.begin(), next.end(), x.q.begin() + static_cast<std::ptrdiff_t>(p * d));
      x.target[p] = t;
      x.reference[p] = r;
    }
  }
  const double rate = accept_sum / double(n);
  island.accepted += rate;
  // between sweeps: all particles alike
  island.scale *= std::exp(std::clamp(2 * (rate - 0.3), -0.7, 0.7));
  return true;
}

bool SmcSampler::State::step(detail::Poll& poll) {
  if (island.begun && island.sweeps == 0) {
    if (island.temperatures.size() >= options.max_temperatures || lost()) {
      evaluations += island.now.evaluations;
      done = true;
      return true;
    }
    raise_temperature();
    learn_factor();
    island.sweeps = 1;
  }
  Particles before = island.now;
  if (!(island.begun ? sweep(poll) : begin(poll))) {
    island.now = std::move(before);
    return false;
  }
  if (island.sweeps == 0) return true;  // that was the beginning
  if (island.sweeps++ < 200 && island.accepted < options.moves) return true;
  island.sweeps = 0;
  if (island.beta >= 1) harvest();
  return true;
}

// No particle has a weight.
bool SmcSampler::State::lost() const {
  const auto& t = island.now.target;
  return std::none_of(t.begin(), t.end(), [](double v) { return std::isfinite(v); });
}

std::string SmcSampler::State::missing() const {
  if (chains.size() == options.islands) return "";
  const std::string what =
      fmt::format("{} of {} islands are complete", chains.size(), options.islands);
  if (!done) return what + ": advance further";
  if (lost())
    return what + fmt::format(
                      ": the density is not finite at any of {} particles; choose a scale "
                      "that reaches its support, now {}",
                      n, options.scale);
  return what + fmt::format(
                    ": one ended at temperature {:.3g} of 1 after max_temperatures = {}; "
                    "raise it, or the particles",
                    island.beta, options.max_temperatures);
}

void SmcSampler::State::harvest() {
  Particles& x = island.now;
  // Particles that descend from one parent lie side by side: a random order keeps the ESS honest.
  Chain chain;
  std::vector<std::size_t> order(n);
  for (std::size_t p = 0; p < n; ++p) order[p] = p;
  for (std::size_t p = n; p > 1; --p) std::swap(order[p - 1], order[x.random.below(p)]);
  for (const std::size_t p : order) {
    chain.q.insert(chain.q.end(), x.q.begin() + static_cast<std::ptrdiff_t>(p * d),
                   x.q.begin() + static_cast<std::ptrdiff_t>((p + 1) * d));
    DrawStats s;
    s.lp = x.target[p];
    s.accept_stat = 1;
    s.energy = -s.lp;
    chain.stats.push_back(s);
  }
  evidences.push_back(island.log_evidence);
  if (chains.empty()) temperatures = island.temperatures;
  evaluations += x.evaluations;
  chains.push_back(std::move(chain));
  done = chains.size() == options.islands;
  if (!done) new_island();
}

SmcSampler::SmcSampler(Density density, const SmcOptions& options)
    : state_(std::make_unique<State>(std::move(density), options)) {}
SmcSampler::SmcSampler(std::unique_ptr<State> state) : state_(std::move(state)) {}
SmcSampler::~SmcSampler() = default;
SmcSampler::SmcSampler(SmcSampler&&) noexcept = default;
SmcSampler& SmcSampler::operator=(SmcSampler&&) noexcept = default;

bool SmcSampler::advance(const StopWhen& stop, std::size_t sweeps) {
  State& s = *state_;
  detail::Poll poll(stop);
  s.stopped = Status::ok;
  for (std::size_t i = 0; i < sweeps && !s.done; ++i)
    if (!s.step(poll)) {
      s.stopped = poll.status();
      return false;
    }
  return s.done;
}

Status SmcSampler::stopped() const noexcept {
  return state_->stopped;
}

SmcResult SmcSampler::result() const {
  const State& s = *state_;
  SmcResult result{Run(s.density, s.chains, Run::Unassessed{}), std::nan(""), INFINITY,
                   s.temperatures.empty() ? s.island.temperatures : s.temperatures};
  result.run.algorithm = "smc";
  result.run.seed = s.options.seed;
  result.run.warmup_leapfrogs = s.evaluations + (s.done ? 0 : s.island.now.evaluations);
  if (!s.evidences.empty()) {  // mean of the evidences, not of their logs: that is the unbiased one
    const double high = *std::max_element(s.evidences.begin(), s.evidences.end());
    const auto m = double(s.evidences.size());
    double mean = 0, spread = 0;
    for (const double e : s.evidences) mean += std::exp(e - high) / m;
    for (const double e : s.evidences) spread += std::pow(std::exp(e - high) / mean - 1, 2);
    result.log_evidence = high + std::log(mean);
    result.se = s.evidences.size() > 1 ? std::sqrt(spread / (m - 1) / m) : INFINITY;
  }
  result.run.missing = s.missing();
  result.run.assess(s.options.checks, s.stopped);
  return result;
}

// What the code below relies on, of a state that was read.
bool SmcSampler::State::consistent() const {
  const Particles& x = island.now;
  const bool factor = island.factor.size() == d * d || (island.factor.empty() && !island.sweeps);
  return x.q.size() == n * d && x.target.size() == n && x.reference.size() == n && factor &&
         evidences.size() == chains.size() && (done || chains.size() < options.islands) &&
         std::all_of(chains.begin(), chains.end(), [&](const Chain& chain) {
           return chain.q.size() == n * d && chain.stats.size() == n;
         });
}

std::string SmcSampler::checkpoint() const {
  detail::Writer writer = detail::begin_checkpoint(magic, state_->density);
  visit_options(writer, state_->options);
  state_->visit(writer);
  return detail::seal(std::move(writer));
}

SmcSampler SmcSampler::resume(Density density, std::string_view bytes) {
  detail::Reader reader = detail::open_checkpoint(bytes, magic, density);
  SmcOptions options;
  visit_options(reader, options);
  if (options.particles > reader.bytes.size()) detail::damaged("more particles than bytes");
  auto state = std::make_unique<State>(std::move(density), options);
  state->visit(reader);
  reader.end();
  if (!state->consistent()) detail::damaged("sizes that do not fit its options");
  return SmcSampler(std::move(state));
}

}  // namespace reeve::mcmc
