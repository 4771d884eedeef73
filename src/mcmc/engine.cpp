// Trajectories: multinomial NUTS, jittered HMC, random-walk Metropolis.
#include "mcmc/engine.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

namespace reeve::mcmc::detail {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double divergence_limit = 1000;

double dot(const double* a, const double* b, std::size_t n) noexcept {
  double s = 0;
  for (std::size_t i = 0; i < n; ++i) s += a[i] * b[i];
  return s;
}

double log_add(double a, double b) noexcept {
  if (a == -infinity) return b;
  if (b == -infinity) return a;
  return a > b ? a + std::log1p(std::exp(b - a)) : b + std::log1p(std::exp(a - b));
}

// The generalised no-U-turn criterion with rho = a + b.
bool goes_on(const double* v_begin, const double* v_end, const double* a, const double* b,
             std::size_t n) noexcept {
  double x = 0, y = 0;
  for (std::size_t i = 0; i < n; ++i) {
    const double r = a[i] + b[i];
    x += v_begin[i] * r;
    y += v_end[i] * r;
  }
  return x > 0 && y > 0;
}

}  // namespace

bool Poll::ask_clock() noexcept {
  since_ = 0;
  const auto now = stop_.clock->now();
  if (now >= *stop_.deadline) {
    status_ = Status::deadline;
    return true;
  }
  using std::chrono::microseconds;
  if (last_) {
    const auto gap = now - *last_;
    if (gap < microseconds(5))
      every_ = std::min<std::uint32_t>(every_ * 2, 128);
    else if (gap > microseconds(50))
      every_ = std::max<std::uint32_t>(every_ / 8, 1);
  }
  last_ = now;
  return false;
}

Engine::Engine(const Density& density, const SampleOptions& options)
    : density_(density),
      n_(density.dimension()),
      max_depth_(options.max_depth),
      hmc_leapfrogs_(options.leapfrogs) {
  const std::size_t trees = max_depth_ + 2;
  memory_.resize(n_ * (3 * 5 + trees * 7 + 3));
  forward_ = take_edge();
  backward_ = take_edge();
  initial_ = take_edge();
  for (std::size_t i = 0; i < trees; ++i) trees_.push_back(take_tree());
  scratch_ = take(n_);
  rho_ = take(n_);
}

double* Engine::take(std::size_t count) noexcept {
  double* p = memory_.data() + used_;
  used_ += count;
  return p;
}
Engine::Edge Engine::take_edge() noexcept {
  return {take(n_), take(n_), take(n_), take(n_), take(n_), 0, 0};
}
Engine::Tree Engine::take_tree() noexcept {
  return {take(n_), take(n_), take(n_), take(n_), take(n_), take(n_), take(n_), 0, 0, 0};
}

void Engine::copy(const Edge& from, Edge& to) noexcept {
  std::memcpy(to.q, from.q, 5 * n_ * sizeof(double));  // the five vectors lie side by side
  to.lp = from.lp;
  to.energy = from.energy;
}

void Engine::start(const ChainState& chain, const Tuning& tuning, Random& random, Edge& edge) {
  metric_ = &tuning.metric;
  random_ = &random;
  std::copy(chain.q.begin(), chain.q.end(), edge.q);
  std::copy(chain.g.begin(), chain.g.end(), edge.g);
  edge.lp = chain.lp;
  metric_->draw_momentum(random, edge.p, edge.v, scratch_);
  metric_->multiply(edge.g, edge.w);
  edge.energy = -edge.lp + 0.5 * dot(edge.p, edge.v, n_);
  energy0_ = edge.energy;
  accept_sum_ = 0;
  steps_ = 0;
  divergent_ = stopped_ = false;
}

// Carries v = S p and w = S g along, so that each step costs one product with S.
void Engine::leapfrog(double step, Edge& e) {
  const double half = 0.5 * step;
  for (std::size_t i = 0; i < n_; ++i) {
    e.p[i] += half * e.g[i];
    e.v[i] += half * e.w[i];
    e.q[i] += step * e.v[i];
  }
  e.lp = density_.evaluate({e.q, n_}, {e.g, n_});
  metric_->multiply(e.g, e.w);
  double kinetic = 0;
  for (std::size_t i = 0; i < n_; ++i) {
    e.p[i] += half * e.g[i];
    e.v[i] += half * e.w[i];
    kinetic += e.p[i] * e.v[i];
  }
  e.energy = -e.lp + 0.5 * kinetic;
  if (!(e.energy < infinity)) e.energy = infinity;
  ++steps_;
  ++leapfrogs;
}

bool Engine::leaf(double step, Edge& edge, Tree& out) {
  if (poll_->should_stop()) {
    stopped_ = true;
    return false;
  }
  leapfrog(step, edge);
  const double change = energy0_ - edge.energy;
  accept_sum_ += change > 0 ? 1 : std::exp(change);
  if (change < -divergence_limit) divergent_ = true;
  out.log_weight = change;
  out.lp = edge.lp;
  out.energy = edge.energy;
  const std::size_t bytes = n_ * sizeof(double);
  std::memcpy(out.q, edge.q, bytes);
  std::memcpy(out.g, edge.g, bytes);
  std::memcpy(out.rho, edge.p, bytes);
  std::memcpy(out.p_begin, edge.p, bytes);
  std::memcpy(out.p_end, edge.p, bytes);
  std::memcpy(out.v_begin, edge.v, bytes);
  std::memcpy(out.v_end, edge.v, bytes);
  return !divergent_;
}

bool Engine::build(std::uint32_t depth, double step, Edge& edge, Tree& out) {
  if (depth == 0) return leaf(step, edge, out);
  if (!build(depth - 1, step, edge, out)) return false;
  Tree& right = trees_[depth];
  if (!build(depth - 1, step, edge, right)) return false;

  const double total = log_add(out.log_weight, right.log_weight);
  if (std::log(1 - random_->uniform()) < right.log_weight - total) {
    std::swap(out.q, right.q);
    std::swap(out.g, right.g);
    out.lp = right.lp;
    out.energy = right.energy;
  }
  out.log_weight = total;
  // The generalised criterion over the whole sub-tree, and across each half and its neighbour.
  bool on = goes_on(out.v_begin, right.v_end, out.rho, right.rho, n_);
  on = on && goes_on(out.v_begin, right.v_begin, out.rho, right.p_begin, n_);
  on = on && goes_on(out.v_end, right.v_end, right.rho, out.p_end, n_);
  for (std::size_t i = 0; i < n_; ++i) out.rho[i] += right.rho[i];
  std::swap(out.p_end, right.p_end);
  std::swap(out.v_end, right.v_end);
  return on;
}

bool Engine::nuts(ChainState& chain, const Tuning& tuning, std::uint32_t max_depth, Poll& poll,
                  DrawStats& out) {
  poll_ = &poll;
  Random random = chain.random;
  start(chain, tuning, random, initial_);
  copy(initial_, forward_);
  copy(initial_, backward_);
  Tree& whole = trees_[max_depth_ + 1];  // begin: backward end; end: forward end
  Tree& fresh = trees_[0];
  const std::size_t bytes = n_ * sizeof(double);
  std::memcpy(rho_, initial_.p, bytes);
  for (double* to : {whole.p_begin, whole.p_end}) std::memcpy(to, initial_.p, bytes);
  for (double* to : {whole.v_begin, whole.v_end}) std::memcpy(to, initial_.v, bytes);
  double log_weight = 0, energy = energy0_, lp = chain.lp;
  std::memcpy(whole.q, initial_.q, bytes);
  std::memcpy(whole.g, initial_.g, bytes);

  std::uint32_t depth = 0;
  while (depth < max_depth) {
    const bool ahead = random.uniform() > 0.5;
    Edge& edge = ahead ? forward_ : backward_;
    const bool valid = build(depth, ahead ? tuning.step.eps : -tuning.step.eps, edge, fresh);
    if (stopped_) return false;
    if (!valid) break;
    ++depth;
    if (std::log(1 - random.uniform()) < fresh.log_weight - log_weight) {
      std::swap(whole.q, fresh.q);
      std::swap(whole.g, fresh.g);
      lp = fresh.lp;
      energy = fresh.energy;
    }
    log_weight = log_add(log_weight, fresh.log_weight);
    // In time order: `fresh` was built outwards, so its end is the new edge of the whole.
    double *&v_near = ahead ? whole.v_end : whole.v_begin,
           *&p_near = ahead ? whole.p_end : whole.p_begin;
    const double* v_far = ahead ? whole.v_begin : whole.v_end;
    bool on = goes_on(v_far, fresh.v_end, rho_, fresh.rho, n_);
    on = on && goes_on(v_far, fresh.v_begin, rho_, fresh.p_begin, n_);
    on = on && goes_on(v_near, fresh.v_end, fresh.rho, p_near, n_);
    for (std::size_t i = 0; i < n_; ++i) rho_[i] += fresh.rho[i];
    std::swap(v_near, fresh.v_end);
    std::swap(p_near, fresh.p_end);
    if (!on) break;
  }
  std::copy(whole.q, whole.q + n_, chain.q.begin());
  std::copy(whole.g, whole.g + n_, chain.g.begin());
  chain.lp = lp;
  chain.random = random;
  out = {
      lp,        accept_sum_ / std::max<double>(steps_, 1), tuning.step.eps, energy, depth, steps_,
      divergent_};
  return true;
}

bool Engine::hmc(ChainState& chain, const Tuning& tuning, Poll& poll, DrawStats& out) {
  Random random = chain.random;
  start(chain, tuning, random, initial_);
  const double step = tuning.step.eps * random.uniform(0.9, 1.1);
  const auto count = static_cast<std::uint32_t>(1 + random.below(hmc_leapfrogs_));
  for (std::uint32_t i = 0; i < count; ++i) {
    if (poll.should_stop()) return false;
    leapfrog(step, initial_);
    if (energy0_ - initial_.energy < -divergence_limit) {
      divergent_ = true;
      break;
    }
  }
  const double change = energy0_ - initial_.energy;
  const double accept = divergent_ ? 0 : std::min(1.0, std::exp(change));
  double energy = energy0_;
  if (random.uniform() < accept) {
    std::copy(initial_.q, initial_.q + n_, chain.q.begin());
    std::copy(initial_.g, initial_.g + n_, chain.g.begin());
    chain.lp = initial_.lp;
    energy = initial_.energy;
  }
  chain.random = random;
  out = {chain.lp, accept, step, energy, 0, steps_, divergent_};
  return true;
}

bool Engine::find_step(ChainState& chain, Tuning& tuning, Poll& poll) {
  Random random = chain.random;
  double step = tuning.step.eps;
  const double wanted = std::log(0.8);
  int direction = 0;
  for (int i = 0; i < 60; ++i) {
    if (poll.should_stop()) return false;
    start(chain, tuning, random, initial_);
    leapfrog(step, initial_);
    const int now = energy0_ - initial_.energy > wanted ? 1 : -1;
    if (direction == 0) direction = now;
    if (now != direction) break;
    step = direction > 0 ? step * 2 : step / 2;
    if (step > 1e7 || step < 1e-12) break;
  }
  chain.random = random;
  tuning.step.eps = std::clamp(step, 1e-12, 1e7);
  return true;
}

// Vihola (2012), robust adaptive Metropolis: the factor learns the shape and the acceptance rate.
bool Engine::random_walk(ChainState& chain, Tuning& tuning, bool adapt, double gain, Poll& poll,
                         DrawStats& out) {
  if (poll.should_stop()) return false;
  Random random = chain.random;
  double norm2 = 0;
  for (std::size_t i = 0; i < n_; ++i) {
    scratch_[i] = random.normal();
    norm2 += scratch_[i] * scratch_[i];
  }
  const std::vector<double>& root = tuning.metric.root;
  double* move = initial_.p;
  for (std::size_t i = 0; i < n_; ++i) {
    move[i] = 0;
    for (std::size_t j = 0; j <= i; ++j) move[i] += root[j * n_ + i] * scratch_[j];
    initial_.q[i] = chain.q[i] + tuning.step.eps * move[i];
  }
  const double lp = density_.value({initial_.q, n_});
  ++leapfrogs;
  const double accept = std::min(1.0, std::exp(lp - chain.lp));
  if (random.uniform() < accept) {
    std::copy(initial_.q, initial_.q + n_, chain.q.begin());
    chain.lp = lp;
  }
  if (adapt) {
    const double target = n_ == 1 ? 0.44 : 0.234;
    const double weight = gain * (accept - target) / norm2;
    std::vector<double> covariance(n_ * n_);
    for (std::size_t i = 0; i < n_; ++i)
      for (std::size_t j = 0; j <= i; ++j) {
        double sum = 0;
        for (std::size_t k = 0; k <= j; ++k) sum += root[k * n_ + i] * root[k * n_ + j];
        sum += weight * move[i] * move[j];
        covariance[i * n_ + j] = covariance[j * n_ + i] = sum;
      }
    tuning.metric.set_dense(covariance);
  }
  chain.random = random;
  out = {chain.lp, accept, tuning.step.eps, -chain.lp, 0, 1, false};
  return true;
}

}  // namespace reeve::mcmc::detail
