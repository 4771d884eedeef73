// Rank normalisation, autocovariance sums and the quantities built on them.
#include <reeve/mcmc/diagnostics.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <numeric>

namespace reeve::mcmc {
namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

std::size_t common_length(const ChainDraws& x) {
  std::size_t n = x.empty() ? 0 : x[0].size();
  for (const auto& chain : x) n = std::min(n, chain.size());
  return n;
}

bool unusable(const ChainDraws& x) {
  const std::size_t n = common_length(x);
  if (n < 4) return true;
  bool constant = true;
  for (const auto& chain : x)
    for (std::size_t i = 0; i < n; ++i) {
      if (!std::isfinite(chain[i])) return true;
      constant = constant && std::abs(chain[i] - x[0][0]) < std::numeric_limits<double>::epsilon();
    }
  return constant;
}

// Halves of each chain; the middle draw of an odd length belongs to neither.
ChainDraws split(const ChainDraws& x) {
  const std::size_t n = common_length(x), half = n / 2;
  ChainDraws halves;
  for (const auto& chain : x) {
    const auto begin = chain.begin();
    halves.emplace_back(begin, begin + static_cast<std::ptrdiff_t>(half));
    halves.emplace_back(begin + static_cast<std::ptrdiff_t>(n - half),
                        begin + static_cast<std::ptrdiff_t>(n));
  }
  return halves;
}

// The scores of ranks 1 to `total` without ties; runs ask for the same few totals over and over.
const std::vector<double>& scores_of(std::size_t total) {
  static thread_local std::vector<double> scores;
  if (scores.size() != total) {
    scores.clear();
    for (std::size_t i = 1; i <= total; ++i)
      scores.push_back(normal_quantile((double(i) - 0.375) / (double(total) + 0.25)));
  }
  return scores;
}

struct Item {
  double value;
  std::size_t at;  ///< chain * length + draw
};

std::vector<Item> sorted_items(const ChainDraws& x) {
  const std::size_t n = common_length(x);
  std::vector<Item> items;
  items.reserve(n * x.size());
  for (std::size_t c = 0; c < x.size(); ++c)
    for (std::size_t i = 0; i < n; ++i) items.push_back({x[c][i], c * n + i});
  std::sort(items.begin(), items.end(),
            [](const Item& a, const Item& b) { return a.value < b.value; });
  return items;
}

// Normal scores of sorted items, put back to where they came from: chains of `length`.
ChainDraws scores_at(const std::vector<Item>& items, std::size_t length) {
  ChainDraws z(items.size() / length, std::vector<double>(length));
  const double total = static_cast<double>(items.size());
  const auto& scores = scores_of(items.size());
  for (std::size_t i = 0; i < items.size();) {
    std::size_t j = i;
    while (j < items.size() && items[j].value == items[i].value) ++j;
    const double rank = 0.5 * static_cast<double>(i + 1 + j);  // ties share their mean rank
    const double score = j == i + 1 ? scores[i] : normal_quantile((rank - 0.375) / (total + 0.25));
    for (; i < j; ++i) z[items[i].at / length][items[i].at % length] = score;
  }
  return z;
}

ChainDraws rank_normalise(const ChainDraws& x) {
  return scores_at(sorted_items(x), common_length(x));
}
double mean_of(std::span<const double> x) {
  return std::accumulate(x.begin(), x.end(), 0.0) / static_cast<double>(x.size());
}
double variance_of(std::span<const double> x) {
  const double m = mean_of(x);
  double s = 0;
  for (const double v : x) s += (v - m) * (v - m);
  return s / static_cast<double>(x.size() - 1);
}

double basic_rhat(const ChainDraws& x) {
  if (unusable(x)) return nan;
  const std::size_t n = common_length(x);
  std::vector<double> means, variances;
  for (const auto& chain : x) {
    const std::span<const double> cut(chain.data(), n);
    means.push_back(mean_of(cut));
    variances.push_back(variance_of(cut));
  }
  const double within = mean_of(variances), length = static_cast<double>(n);
  const double between = x.size() > 1 ? length * variance_of(means) : nan;
  return std::sqrt((between / within + length - 1) / length);
}

// Centred chains, and their mean autocovariance by lag; lags are computed only as far as needed.
class Autocovariance {
 public:
  explicit Autocovariance(const ChainDraws& x) : n_(common_length(x)) {
    for (const auto& chain : x) {
      const double m = mean_of({chain.data(), n_});
      means_.push_back(m);
      auto& centred = centred_.emplace_back(n_);
      for (std::size_t i = 0; i < n_; ++i) centred[i] = chain[i] - m;
    }
  }
  double at(std::size_t lag) const {
    double sum = 0;
    for (const auto& c : centred_) {
      double s[4] = {};
      std::size_t i = 0;
      for (; i + 3 + lag < n_; i += 4)
        for (std::size_t k = 0; k < 4; ++k) s[k] += c[i + k] * c[i + k + lag];
      for (; i + lag < n_; ++i) s[0] += c[i] * c[i + lag];
      sum += (s[0] + s[1] + s[2] + s[3]) / static_cast<double>(n_);
    }
    return sum / static_cast<double>(centred_.size());
  }
  const std::vector<double>& means() const { return means_; }

 private:
  std::size_t n_;
  std::vector<double> means_;
  std::vector<std::vector<double>> centred_;
};

double ess_of(const ChainDraws& x) {
  const std::size_t n = common_length(x);
  if (n < 3 || unusable(x)) return nan;
  const Autocovariance covariance(x);
  const double length = static_cast<double>(n), chains = static_cast<double>(x.size());
  const double within = covariance.at(0) * length / (length - 1);
  double total = within * (length - 1) / length;
  if (x.size() > 1) total += variance_of(covariance.means());
  const auto correlation = [&](std::size_t lag) {
    return 1 - (within - covariance.at(lag)) / total;
  };

  // Geyer's initial positive sequence of pairs, made monotone.
  std::vector<double> rho{1, correlation(1)};
  std::size_t t = 0;
  double even = 1, odd = rho[1];
  while (t + 5 < n && even + odd > 0) {
    t += 2;
    even = correlation(t);
    odd = correlation(t + 1);
    rho.resize(t + 2, 0.0);
    if (even + odd >= 0) {
      rho[t] = even;
      rho[t + 1] = odd;
    }
  }
  const std::size_t last = t;
  if (even > 0) rho[last] = even;
  for (t = 0; t + 4 <= last;) {
    t += 2;
    if (rho[t] + rho[t + 1] > rho[t - 2] + rho[t - 1])
      rho[t] = rho[t + 1] = 0.5 * (rho[t - 2] + rho[t - 1]);
  }
  double tau = -1 + rho[last];
  if (last == 0) tau += 2 * rho[0];
  for (std::size_t i = 0; i < last; ++i) tau += 2 * rho[i];
  const double draws = chains * length;
  return draws / std::max(tau, 1 / std::log10(draws));
}

std::vector<double> sorted(const ChainDraws& x) {
  const std::size_t n = common_length(x);
  std::vector<double> all;
  for (const auto& chain : x)
    all.insert(all.end(), chain.begin(), chain.begin() + static_cast<std::ptrdiff_t>(n));
  std::sort(all.begin(), all.end());
  return all;
}

double quantile_of(const std::vector<double>& order, double p) {
  const double at = p * static_cast<double>(order.size() - 1);
  const auto low = static_cast<std::size_t>(at);
  if (low + 1 >= order.size()) return order.back();
  const double share = at - static_cast<double>(low);
  return order[low] + share * (order[low + 1] - order[low]);
}

ChainDraws map_draws(ChainDraws x, auto f) {
  for (auto& chain : x)
    for (double& v : chain) v = f(v);
  return x;
}

double ess_below(const ChainDraws& x, double cut) {
  return ess_of(split(map_draws(x, [cut](double v) { return v <= cut ? 1.0 : 0.0; })));
}

// Continued fraction of the incomplete beta function (Lentz), for quantiles of beta distributions.
double beta_fraction(double a, double b, double x) {
  const double tiny = 1e-300;
  double c = 1, d = 1 - (a + b) * x / (a + 1);
  d = 1 / (std::abs(d) < tiny ? tiny : d);
  double h = d;
  for (int m = 1; m < 3000; ++m) {
    const double k = m;
    for (const double term : {k * (b - k) * x / ((a + 2 * k - 1) * (a + 2 * k)),
                              -(a + k) * (a + b + k) * x / ((a + 2 * k) * (a + 2 * k + 1))}) {
      d = 1 + term * d;
      c = 1 + term / c;
      d = 1 / (std::abs(d) < tiny ? tiny : d);
      c = std::abs(c) < tiny ? tiny : c;
      h *= d * c;
    }
    if (std::abs(d * c - 1) < 1e-15) break;
  }
  return h;
}

double beta_cdf(double a, double b, double x) {
  if (x <= 0) return 0;
  if (x >= 1) return 1;
  const double front = std::exp(std::lgamma(a + b) - std::lgamma(a) - std::lgamma(b) +
                                a * std::log(x) + b * std::log1p(-x));
  if (x < (a + 1) / (a + b + 2)) return front * beta_fraction(a, b, x) / a;
  return 1 - front * beta_fraction(b, a, 1 - x) / b;
}

double beta_quantile(double p, double a, double b) {
  double low = 0, high = 1;
  for (int i = 0; i < 200 && high - low > 1e-16 * high; ++i) {
    const double middle = 0.5 * (low + high);
    (beta_cdf(a, b, middle) < p ? low : high) = middle;
  }
  return 0.5 * (low + high);
}

double folded_rhat(const ChainDraws& x, const std::vector<double>& order) {
  // The median as (a + b) / 2: any other form breaks ties between |x - median|.
  const std::size_t n = order.size();
  const double median = n % 2 ? order[n / 2] : (order[n / 2 - 1] + order[n / 2]) / 2;
  const auto folded = split(map_draws(x, [median](double v) { return std::abs(v - median); }));
  return unusable(folded) ? nan : basic_rhat(rank_normalise(folded));
}

// The same of items that are sorted already: distances come in order from the median's two sides.
double folded_rhat(const std::vector<Item>& items, std::size_t half) {
  const std::size_t n = items.size();
  const double median = (items[n / 2 - 1].value + items[n / 2].value) / 2;
  std::vector<Item> folded;
  folded.reserve(n);
  for (std::size_t below = n / 2, above = n / 2; folded.size() < n;) {
    const double low = below > 0 ? std::abs(items[below - 1].value - median) : INFINITY;
    const double high = above < n ? std::abs(items[above].value - median) : INFINITY;
    if (above == n || (below > 0 && low < high))
      folded.push_back({low, items[--below].at});
    else
      folded.push_back({high, items[above++].at});
  }
  return folded.back().value - folded.front().value < std::numeric_limits<double>::epsilon()
             ? nan
             : basic_rhat(scores_at(folded, half));
}

double larger(double bulk, double folded) {
  return std::isnan(bulk) ? folded : std::isnan(folded) ? bulk : std::max(bulk, folded);
}

double tail_of(const ChainDraws& x, double q5, double q95) {
  return std::min(ess_below(x, q5), ess_below(x, q95));
}

}  // namespace

DrawFigures figures(const ChainDraws& x) {
  DrawFigures f;
  const auto items = sorted_items(x);
  std::vector<double> order;
  order.reserve(items.size());
  for (const Item& item : items) order.push_back(item.value);
  if (order.size() < 2) return f;
  f.mean = mean_of(order);
  f.sd = std::sqrt(variance_of(order));
  f.q5 = quantile_of(order, 0.05);
  f.q50 = quantile_of(order, 0.5);
  f.q95 = quantile_of(order, 0.95);
  if (unusable(x)) return f;
  const auto halves = split(x);
  f.mcse = f.sd / std::sqrt(ess_of(halves));
  const std::size_t half = common_length(x) / 2;
  const bool even = items.size() == 2 * half * x.size();  // the halves lose no draw
  const auto scores = even ? scores_at(items, half) : rank_normalise(halves);
  f.rhat = larger(basic_rhat(scores), even ? folded_rhat(items, half) : folded_rhat(x, order));
  f.ess_bulk = ess_of(scores);
  f.ess_tail = tail_of(x, f.q5, f.q95);
  return f;
}

double rhat_basic(const ChainDraws& x) {
  return basic_rhat(x);
}
double rhat_bulk(const ChainDraws& x) {
  return unusable(x) ? nan : basic_rhat(rank_normalise(split(x)));
}
double rhat_folded(const ChainDraws& x) {
  return unusable(x) ? nan : folded_rhat(x, sorted(x));
}
double rhat(const ChainDraws& x) {
  return larger(rhat_bulk(x), rhat_folded(x));
}

double ess_bulk(const ChainDraws& x) {
  return unusable(x) ? nan : ess_of(rank_normalise(split(x)));
}
double ess_mean(const ChainDraws& x) {
  return unusable(x) ? nan : ess_of(split(x));
}
double ess_basic(const ChainDraws& x) {
  return ess_of(x);
}
double ess_sd(const ChainDraws& x) {
  if (unusable(x)) return nan;
  const double m = mean(x);
  return ess_of(split(map_draws(x, [m](double v) { return std::abs(v - m); })));
}
double ess_quantile(const ChainDraws& x, double p) {
  return unusable(x) ? nan : ess_below(x, quantile(x, p));
}
double ess_tail(const ChainDraws& x) {
  if (unusable(x)) return nan;
  const auto order = sorted(x);
  return tail_of(x, quantile_of(order, 0.05), quantile_of(order, 0.95));
}

double mcse_mean(const ChainDraws& x) {
  return standard_deviation(x) / std::sqrt(ess_mean(x));
}

// Delta method on E[(x - m)^2], with the ESS of the squares.
double mcse_sd(const ChainDraws& x) {
  if (unusable(x)) return nan;
  const double m = mean(x);
  const auto squares = map_draws(x, [m](double v) { return (v - m) * (v - m); });
  const auto all = sorted(squares);
  const double second = mean_of(all), n = static_cast<double>(all.size());
  double fourth = 0;
  for (const double s : all) fourth += s * s / n;
  const double variance = (fourth - second * second) / ess_mean(squares);
  return std::sqrt(variance / second / 4);
}

double mcse_quantile(const ChainDraws& x, double p) {
  if (unusable(x)) return nan;
  const double ess = ess_quantile(x, p);
  const double a = ess * p + 1, b = ess * (1 - p) + 1;
  const auto order = sorted(x);
  const double n = static_cast<double>(order.size());
  const double low = beta_quantile(0.1586553, a, b), high = beta_quantile(0.8413447, a, b);
  const auto at = [&](double position) {
    return order[static_cast<std::size_t>(std::clamp(position, 1.0, n)) - 1];
  };
  return (at(std::ceil(high * n)) - at(std::floor(low * n))) / 2;
}

double mean(const ChainDraws& x) {
  const auto all = sorted(x);
  return all.empty() ? nan : mean_of(all);
}
double standard_deviation(const ChainDraws& x) {
  const auto all = sorted(x);
  return all.size() < 2 ? nan : std::sqrt(variance_of(all));
}
double quantile(const ChainDraws& x, double p) {
  const auto all = sorted(x);
  return all.empty() ? nan : quantile_of(all, p);
}

double e_bfmi(std::span<const double> energy) {
  if (energy.size() < 3) return nan;
  double jumps = 0;
  for (std::size_t i = 1; i < energy.size(); ++i)
    jumps += (energy[i] - energy[i - 1]) * (energy[i] - energy[i - 1]);
  return jumps / static_cast<double>(energy.size()) / variance_of(energy);
}

}  // namespace reeve::mcmc
