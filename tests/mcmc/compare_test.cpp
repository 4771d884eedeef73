// Bridge sampling against quadrature, PSIS-LOO against R's loo, and the refusal to guess.
#include <reeve/base/error.hpp>
#include <reeve/mcmc/compare.hpp>
#include <reeve/mcmc/glm.hpp>
#include <reeve/mcmc/sampler.hpp>

#include "tests/support/pch.hpp"

namespace reeve::mcmc {
namespace {

class Lehmer {
 public:
  explicit Lehmer(double seed) : state_(seed) {}
  double z() {
    double s = 0;
    for (int i = 0; i < 12; ++i) {
      state_ = std::fmod(state_ * 48271, 2147483647.0);
      s += state_ / 2147483647.0;
    }
    return s - 6;
  }

 private:
  double state_;
};

struct LooCase {
  double seed, draws, observations, spread, elpd, se, p_loo, max_k, mean_k;
};
[[maybe_unused]] const double NA = std::nan("");
#define CASE(...)
#define LOO(...) LooCase{__VA_ARGS__},
const LooCase cases[] = {
#include "tests/mcmc/data/diagnostics_reference.inc"
};

TEST(PsisLoo, equals_r_loo) {
  for (const auto& k : cases) {
    Lehmer r(k.seed);
    std::vector<std::vector<double>> ll(static_cast<std::size_t>(k.observations));
    for (std::size_t j = 0; j < ll.size(); ++j)
      for (int i = 0; i < k.draws; ++i) {
        const double w = r.z();
        ll[j].push_back(-1 - k.spread * w * w * (double(j + 1) / k.observations) - 0.1 * r.z());
      }
    const Loo loo = psis_loo(ll);
    EXPECT_NEAR(loo.elpd, k.elpd, 1e-6) << k.seed;
    EXPECT_NEAR(loo.se, k.se, 1e-6) << k.seed;
    EXPECT_NEAR(loo.p_loo, k.p_loo, 1e-6) << k.seed;
    EXPECT_NEAR(loo.max_k, k.max_k, 1e-6) << k.seed;
    double mean_k = 0;
    for (const double x : loo.k) mean_k += x / k.observations;
    EXPECT_NEAR(mean_k, k.mean_k, 1e-6) << k.seed;
  }
}

Density line(std::uint64_t seed) {
  Random random(seed);
  std::vector<double> one(40, 1), x(40), y(40);
  for (std::size_t i = 0; i < 40; ++i) {
    x[i] = random.uniform(-1, 1);
    y[i] = 0.5 + 0.3 * x[i] + 0.8 * random.normal();
  }
  Parameters p;
  p.add("a", normal(0, 2)).add("b", normal(0, 1)).add("sigma", half_normal(1));
  return linear_regression(p, Columns({one, x}), y);
}

double quadrature(const Density& d) {
  // Trapezoidal sums over a box that holds all but e-15 of the mass, on the unconstrained scale.
  const int n = 90;
  double total = 0;
  std::vector<double> q(3);
  const double low[] = {-0.7, -1.5, -1.2}, high[] = {1.7, 2.1, 0.9};
  for (int i = 0; i <= n; ++i)
    for (int j = 0; j <= n; ++j)
      for (int k = 0; k <= n; ++k) {
        q[0] = low[0] + (high[0] - low[0]) * i / n;
        q[1] = low[1] + (high[1] - low[1]) * j / n;
        q[2] = low[2] + (high[2] - low[2]) * k / n;
        total += std::exp(d.value(q) + 60);
      }
  for (int i = 0; i < 3; ++i) total *= (high[i] - low[i]) / n;
  return std::log(total) - 60;
}

TEST(Bridge, agrees_with_quadrature_within_its_error) {
  double squares = 0;
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    const Density d = line(seed);
    SampleOptions o;
    o.seed = seed;
    const LogMarginal bridge = bridge_log_marginal(sample(d, o));
    ASSERT_TRUE(bridge.converged);
    const double z = (bridge.value - quadrature(d)) / bridge.se;
    EXPECT_LT(std::abs(z), 4) << bridge.value << " " << bridge.se;
    EXPECT_LT(bridge.se, 0.02);
    squares += z * z / 5;
  }
  EXPECT_LT(squares, 6);
}

TEST(Bridge, standard_error_is_within_a_factor_of_two_of_the_spread) {
  const Density d = line(7);
  std::vector<double> values;
  double mean = 0, spread = 0, se = 0;
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    SampleOptions o;
    o.seed = seed;
    o.draws = 250;
    const LogMarginal bridge = bridge_log_marginal(sample(d, o), seed);
    values.push_back(bridge.value);
    mean += bridge.value / 50;
    se += bridge.se / 50;
  }
  for (const double v : values) spread += (v - mean) * (v - mean) / 49;
  EXPECT_LT(std::sqrt(spread), 2 * se);
  EXPECT_GT(std::sqrt(spread), 0.5 * se);
}

TEST(Loo, of_a_run_is_close_to_exact_refits) {
  const auto run = sample(line(3));
  const Loo loo = psis_loo(run);
  EXPECT_EQ(loo.pointwise.size(), 40u);
  EXPECT_EQ(loo.bad_k, 0u);
  EXPECT_NEAR(loo.p_loo, 3, 1.5);
  EXPECT_THROW(psis_loo(sample(density<1>([](auto t) { return -0.5 * t[0] * t[0]; }))),
               ConfigError);
}

// More than half of the tail is equal: the fit has no answer, and R's loo calls that k infinite.
TEST(PsisLoo, a_tail_without_a_fit_is_bad) {
  std::vector<double> ratios;
  for (int i = 0; i < 880; ++i) ratios.push_back(-5 + 0.001 * i);
  for (int i = 0; i < 80; ++i) ratios.push_back(0.5);
  for (int i = 0; i < 40; ++i) ratios.push_back(0.6 + 0.01 * i);
  EXPECT_EQ(psis(ratios).k, INFINITY);
  for (double& v : ratios) v = -v;
  const Loo loo = psis_loo({ratios});
  EXPECT_EQ(loo.bad_k, 1u);
  EXPECT_EQ(loo.max_k, INFINITY);
  EXPECT_TRUE(std::isfinite(loo.elpd));
}

TEST(PsisLoo, values_that_are_not_finite_are_refused) {
  Random random(6);
  std::vector<double> good(200);
  for (double& v : good) v = -random.exponential();
  constexpr double infinity = std::numeric_limits<double>::infinity();
  for (const double bad : {std::nan(""), -infinity, infinity}) {
    std::vector<std::vector<double>> ll{good, good};
    ll[1][17] = bad;
    EXPECT_THROW(psis_loo(ll), ConfigError) << bad;
    if (bad < 0) continue;
    EXPECT_THROW(psis(ll[1]), ConfigError) << bad;
  }
  std::vector<double> some = good;  // a weight of zero is a weight
  for (const std::size_t i : {3u, 77u}) some[i] = -INFINITY;
  const Psis p = psis(some);
  EXPECT_EQ(p.log_weights[77], -INFINITY);
  double sum = 0;
  for (const double v : p.log_weights) sum += std::exp(v);
  EXPECT_NEAR(sum, 1, 1e-12);
  EXPECT_THROW(psis(std::vector<double>(50, -INFINITY)), ConfigError);
}

TEST(ModelProbabilities, need_converged_fits_and_small_errors) {
  std::vector<Candidate> c{{"a", {-10, 0.01, 9, true}, Status::ok, 0},
                           {"b", {-10, 0.01, 9, true}, Status::ok, 0}};
  const auto even = model_probabilities(c);
  ASSERT_TRUE(even.conclusive);
  EXPECT_DOUBLE_EQ(even.probability[0], 0.5);
  c[1].log_marginal.se = 0.2;
  EXPECT_FALSE(model_probabilities(c).conclusive);
  EXPECT_TRUE(model_probabilities(c).probability.empty());
  c[1].log_marginal.se = 0.01;
  c[0].status = Status::not_converged;
  EXPECT_FALSE(model_probabilities(c).conclusive);
}

TEST(Glm, kernels_agree_with_plain_densities_on_every_instruction_set) {
  Random random(8);
  for (const std::size_t n : {1ul, 7ul, 64ul, 65ul, 200ul}) {
    std::vector<double> x0(n, 1), x1(n), y(n);
    for (std::size_t i = 0; i < n; ++i) {
      x1[i] = random.normal();
      y[i] = double(random.below(2));
    }
    for (const Family family :
         {Family::bernoulli_logit, Family::poisson_log, Family::neg_binomial_log}) {
      Parameters p;
      p.real("beta", 2);
      if (family == Family::neg_binomial_log) p.positive("phi");
      for (const Isa isa : {Isa::baseline, Isa::avx2, Isa::avx512}) {
        if (isa > best_isa()) continue;
        const auto d = glm(p, Columns({x0, x1}), y, family, isa);
        const auto slow = with_central_differences(
            Parameters(p.free_size()), [&](std::span<const double> q) { return d.value(q); });
        const auto base = glm(p, Columns({x0, x1}), y, family, Isa::baseline);
        const std::vector<double> all{0.3, -0.4, 0.2};
        const std::span<const double> q(all.data(), p.free_size());
        std::vector<double> g(q.size()), e(q.size());
        EXPECT_NEAR(d.evaluate(q, g), slow.evaluate(q, e), 1e-9);
        EXPECT_NEAR(d.value(q), base.value(q), 1e-10);
        for (std::size_t i = 0; i < g.size(); ++i)
          EXPECT_NEAR(g[i], e[i], 1e-5 * (1 + std::abs(e[i])));
      }
    }
    Parameters p;
    p.real("beta", 2).positive("sigma");
    const auto d = linear_regression(p, Columns({x0, x1}), y);
    const auto plain = density<3>(p, [&](auto t) {
      using T = typename decltype(t)::value_type;
      T lp = 0.0;
      for (std::size_t i = 0; i < n; ++i) lp += normal_lpdf(y[i], t[0] + t[1] * x1[i], t[2]);
      return lp;
    });
    const std::vector<double> q{0.3, -0.4, 0.2};
    std::vector<double> g(3), e(3);
    EXPECT_NEAR(d.evaluate(q, g), plain.evaluate(q, e), 1e-9);
    for (std::size_t i = 0; i < 3; ++i) EXPECT_NEAR(g[i], e[i], 1e-9 * (1 + std::abs(e[i])));
  }
}

}  // namespace
}  // namespace reeve::mcmc
