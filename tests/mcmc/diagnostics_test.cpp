// Diagnostics against R's posterior, digit by digit; the values and their script are in data/.
#include <reeve/mcmc/diagnostics.hpp>
#include <reeve/mcmc/random.hpp>

#include "tests/support/pch.hpp"

namespace reeve::mcmc {
namespace {

// The same inputs as data/diagnostics.R makes: exact in doubles.
class Lehmer {
 public:
  explicit Lehmer(double seed) : state_(seed) {}
  double u() {
    state_ = std::fmod(state_ * 48271, 2147483647.0);
    return state_ / 2147483647.0;
  }
  double z() {
    double s = 0;
    for (int i = 0; i < 12; ++i) s += u();
    return s - 6;
  }

 private:
  double state_;
};

struct Case {
  double seed, n, m, phi, shift, scale, ties;
  double bulk, folded, rhat, basic, ess_bulk, ess_tail, ess_mean, ess_sd, ess_q25, ess_basic;
  double mcse_mean, mcse_sd, mcse_q25, q5;
};

ChainDraws make(const Case& k) {
  Lehmer r(k.seed);
  ChainDraws x(static_cast<std::size_t>(k.m));
  for (std::size_t j = 0; j < x.size(); ++j) {
    double v = r.z();
    for (int i = 0; i < k.n; ++i) {
      v = k.phi * v + r.z();
      const double w = v * (j == 0 ? k.scale : 1) + (j == 0 ? k.shift : 0);
      x[j].push_back(k.ties != 0 ? std::floor(w) : w);
    }
  }
  return x;
}

#define CASE(...) Case{__VA_ARGS__},
#define LOO(...)
[[maybe_unused]] const double NA = std::nan("");
const Case cases[] = {
#include "tests/mcmc/data/diagnostics_reference.inc"
};
#undef CASE
#undef LOO

void expect_equal(double got, double want, double relative, const char* what, double seed) {
  if (std::isnan(want))
    EXPECT_TRUE(std::isnan(got)) << what << " of case " << seed;
  else
    EXPECT_NEAR(got, want, relative * std::abs(want)) << what << " of case " << seed;
}

TEST(Diagnostics, equal_r_posterior) {
  for (const Case& k : cases) {
    const ChainDraws x = make(k);
    expect_equal(rhat_bulk(x), k.bulk, 1e-8, "rhat_bulk", k.seed);
    expect_equal(rhat_folded(x), k.folded, 1e-8, "rhat_folded", k.seed);
    expect_equal(rhat(x), k.rhat, 1e-8, "rhat", k.seed);
    expect_equal(rhat_basic(x), k.basic, 1e-8, "rhat_basic", k.seed);
    expect_equal(ess_bulk(x), k.ess_bulk, 1e-8, "ess_bulk", k.seed);
    expect_equal(ess_tail(x), k.ess_tail, 1e-8, "ess_tail", k.seed);
    expect_equal(ess_mean(x), k.ess_mean, 1e-8, "ess_mean", k.seed);
    expect_equal(ess_sd(x), k.ess_sd, 1e-8, "ess_sd", k.seed);
    expect_equal(ess_quantile(x, 0.25), k.ess_q25, 1e-8, "ess_quantile", k.seed);
    expect_equal(ess_basic(x), k.ess_basic, 1e-8, "ess_basic", k.seed);
    expect_equal(mcse_mean(x), k.mcse_mean, 1e-8, "mcse_mean", k.seed);
    expect_equal(mcse_sd(x), k.mcse_sd, 1e-8, "mcse_sd", k.seed);
    expect_equal(mcse_quantile(x, 0.25), k.mcse_q25, 1e-8, "mcse_quantile", k.seed);
    expect_equal(quantile(x, 0.05), k.q5, 1e-8, "quantile", k.seed);
  }
}

TEST(Diagnostics, figures_equal_the_single_functions) {
  Random random(5);
  for (const std::size_t length : {100u, 101u})
    for (const bool ties : {false, true}) {
      ChainDraws x(3, std::vector<double>(length));
      for (auto& chain : x)
        for (double& v : chain) {
          v = random.normal();
          if (ties) v = std::round(4 * v);
        }
      const DrawFigures f = figures(x);
      EXPECT_DOUBLE_EQ(f.mean, mean(x));
      EXPECT_DOUBLE_EQ(f.sd, standard_deviation(x));
      EXPECT_DOUBLE_EQ(f.mcse, mcse_mean(x));
      EXPECT_DOUBLE_EQ(f.q5, quantile(x, 0.05));
      EXPECT_DOUBLE_EQ(f.q50, quantile(x, 0.5));
      EXPECT_DOUBLE_EQ(f.rhat, rhat(x)) << length << ties;
      EXPECT_DOUBLE_EQ(f.ess_bulk, ess_bulk(x));
      EXPECT_DOUBLE_EQ(f.ess_tail, ess_tail(x));
    }
}

TEST(Diagnostics, draws_that_say_nothing_give_nan) {
  const double inf = std::numeric_limits<double>::infinity();
  for (const ChainDraws& x : {ChainDraws{}, ChainDraws{{1, 2, 3}}, ChainDraws{{1, 1, 1, 1, 1}},
                              ChainDraws{{1, 2, inf, 3, 4}}, ChainDraws{{1, 2, NA, 3, 4}}}) {
    EXPECT_TRUE(std::isnan(rhat(x)));
    EXPECT_TRUE(std::isnan(ess_bulk(x)));
    EXPECT_TRUE(std::isnan(ess_tail(x)));
  }
}

TEST(Diagnostics, normal_quantile_inverts_the_distribution) {
  EXPECT_NEAR(normal_quantile(0.975), 1.95996398454005423552, 1e-15);
  EXPECT_NEAR(normal_quantile(1e-10), -6.36134090240405, 1e-13);
  EXPECT_EQ(normal_quantile(0.5), 0);
  EXPECT_TRUE(std::isnan(normal_quantile(-1)));
}

TEST(Diagnostics, uniformity_of_counts) {
  const std::vector<std::size_t> even(20, 50);
  EXPECT_NEAR(uniformity_p_value(even), 1, 1e-12);
  std::vector<std::size_t> one_off = even;
  one_off[0] = 90, one_off[1] = 10;  // chi2 = 64 at 19 degrees of freedom
  EXPECT_NEAR(uniformity_p_value(one_off) / 8.6e-7, 1, 0.05);
}

}  // namespace
}  // namespace reeve::mcmc
