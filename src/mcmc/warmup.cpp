// Warm-up: when the metric is renewed and from which draws, how bold the step is, when it ends.
#include "mcmc/state.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

namespace reeve::mcmc {
namespace {

constexpr std::size_t ignored_draws = 20;  // on the way from the starting point

// A trajectory of 4 points with steps of 1 or more spans the half turn of a posterior that the
// metric has made round; with 0.7 it takes 8 points. From there a larger step halves the gradients
// of a draw.
constexpr double careful_accept = 0.8, bold_accept = 0.6, bold_step = 0.7;

// Pooled warm-up: the metric is renewed after 30 iterations and then ever more rarely until 85 %.
std::size_t last_update(std::size_t warmup) {
  return static_cast<std::size_t>(0.85 * double(warmup));
}
bool is_update(std::size_t iteration, std::size_t warmup, std::size_t shallow_iterations) {
  const std::size_t last = last_update(warmup);
  if (iteration == last) return true;
  auto at = double(shallow_iterations);
  while (at < double(last)) {
    if (static_cast<std::size_t>(at) == iteration) return true;
    at *= 1.35;
  }
  return false;
}

double median(std::vector<double> x) {
  const auto middle = x.begin() + static_cast<std::ptrdiff_t>(x.size() / 2);
  std::nth_element(x.begin(), middle, x.end());
  return *middle;
}

// Of each chain the median log density; `lp` has one value per draw, the chains in turn.
std::vector<double> typical_log_density(std::span<const double> lp, std::size_t first,
                                        std::size_t chains) {
  std::vector<std::vector<double>> by_chain(chains);
  for (std::size_t i = 0; i < lp.size(); ++i) by_chain[(first + i) % chains].push_back(lp[i]);
  std::vector<double> typical;
  for (auto& x : by_chain)
    if (!x.empty()) typical.push_back(median(std::move(x)));
  return typical;
}

// A chain below this is still far out while others have arrived. The second-best chain is the
// measure, because one alone may sit in a spike; fewer than three chains cannot tell.
double far_out(std::vector<double> typical, std::size_t dimension) {
  if (typical.size() < 3) return -std::numeric_limits<double>::infinity();
  std::nth_element(typical.begin(), typical.begin() + 1, typical.end(), std::greater<>());
  return typical[1] - 10 - double(dimension);
}

struct Windows {
  std::size_t first, base, last;
};
// Stan: 75, then windows of 25, 50, 100, ... and 50 at the end; 15, 75, 10 % of a short warm-up.
Windows stan_windows(std::size_t warmup) {
  if (warmup < 150) {
    const std::size_t first = warmup * 15 / 100, last = warmup / 10;
    return {first, warmup - first - last, last};
  }
  return {75, 25, 50};
}
bool ends_window(std::size_t iteration, std::size_t warmup) {
  const Windows w = stan_windows(warmup);
  const std::size_t limit = warmup - w.last;
  std::size_t end = w.first, size = w.base;
  while (end < limit) {
    end += size;
    size *= 2;
    if (end + size > limit) end = limit;  // the next window would not fit: this one takes the rest
    if (end == iteration) return true;
  }
  return false;
}

}  // namespace

std::size_t Sampler::State::automatic_warmup() const {
  if (options.algorithm == Algorithm::random_walk) return 2000;
  if (options.adaptation == Adaptation::stan) return 1000;
  return std::max<std::size_t>(150, 10 * density.dimension());
}

void Sampler::State::learn_fisher(std::size_t c, double accept) {
  tunings[0].step.learn(accept, options.target_accept > 0 ? options.target_accept : target_accept);
  if (iteration < ignored_draws) return;
  warm_q.insert(warm_q.end(), chains[c].q.begin(), chains[c].q.end());
  warm_g.insert(warm_g.end(), chains[c].g.begin(), chains[c].g.end());
  warm_lp.push_back(chains[c].lp);
}

bool Sampler::State::learn_metric() {
  const std::size_t d = density.dimension(), rows = warm_lp.size(), m = chains.size();
  if (rows == 0) return false;  // a warm-up so short that all of it is the way in
  // The older half was drawn with an older metric, perhaps on the way in: drop it, once there is
  // enough.
  const std::size_t keep = std::max(rows / 2 + 1, std::min<std::size_t>(rows, 10 * m));
  const std::size_t from = rows - std::min(rows, keep);
  // A chain that is far out would stretch the metric; half of the draws stay in any case.
  const std::span<const double> lp(warm_lp.data() + from, rows - from);
  const double least =
      std::min(far_out(typical_log_density(lp, from, m), d), median({lp.begin(), lp.end()}));
  std::vector<double> q, g;
  for (std::size_t r = from; r < rows; ++r) {
    if (warm_lp[r] < least) continue;
    q.insert(q.end(), warm_q.data() + r * d, warm_q.data() + (r + 1) * d);
    g.insert(g.end(), warm_g.data() + r * d, warm_g.data() + (r + 1) * d);
  }
  return detail::fisher_metric(q, g, d, tunings[0].metric);
}

void Sampler::State::learn_windows(std::size_t c, double accept) {
  detail::Tuning& t = tunings[c];
  t.step.learn(accept, options.target_accept > 0 ? options.target_accept : careful_accept);
  const Windows w = stan_windows(warmup);
  if (iteration >= w.first && iteration + w.last < warmup) t.window.add(chains[c].q.data());
  if (!ends_window(iteration + 1, warmup) || metric == Metric::unit || t.window.n < 2) return;
  const auto n = double(t.window.n);
  const std::size_t d = density.dimension();
  std::vector<double> s = t.window.m2;
  for (double& x : s) x *= n / ((n + 5) * (n - 1));
  for (std::size_t i = 0; i < d; ++i) s[t.window.dense ? i * d + i : i] += 1e-3 * 5 / (n + 5);
  if (t.window.dense)
    t.metric.set_dense(s);
  else
    t.metric.set_diagonal(s);
  t.window.reset(d, t.window.dense);
  t.step.settle();
  search_step[c] = 1;
}

// Longer, when nobody has chosen the length and a chain has not arrived. One that never arrives is
// in another mode: R-hat will say so.
bool Sampler::State::extend_warmup() {
  const std::size_t planned = automatic_warmup();
  if (options.warmup != 0 || warmup >= 4 * planned) return false;
  const std::size_t from = warm_lp.size() - std::min(warm_lp.size(), 10 * chains.size());
  const auto typical =
      typical_log_density({warm_lp.data() + from, warm_lp.size() - from}, from, chains.size());
  if (typical.empty() ||
      *std::min_element(typical.begin(), typical.end()) >= far_out(typical, density.dimension()))
    return false;
  warmup += planned / 2;
  target_accept = careful_accept;
  return true;
}

void Sampler::State::end_iteration() {
  ++iteration;
  const bool walk = options.algorithm == Algorithm::random_walk;
  const bool pooled = !walk && options.adaptation == Adaptation::fisher;
  if (pooled && iteration < warmup && metric != Metric::unit &&
      is_update(iteration, warmup, shallow_iterations)) {
    if (learn_metric()) {
      tunings[0].step.settle();
      search_step[0] = 1;
      if (iteration == last_update(warmup) && divergences == 0 &&
          tunings[0].step.eps >= bold_step && options.algorithm == Algorithm::nuts)
        target_accept = bold_accept;
    }
    divergences = 0;
    ++updates;
  }
  if (iteration == warmup && !(pooled && extend_warmup())) {
    if (!walk)
      for (auto& t : tunings) t.step.settle();
    std::fill(search_step.begin(), search_step.end(), 0);
    warm_q = {};
    warm_g = {};
    warm_lp = {};
    warmup_leapfrogs = engine.leapfrogs;
  }
  if (iteration >= warmup + options.draws) done = true;
  if (!done && options.target_ess > 0 && iteration > warmup && (iteration - warmup) % 25 == 0)
    done = enough();
}

}  // namespace reeve::mcmc
