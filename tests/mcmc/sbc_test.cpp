// Simulation-based calibration of two mechanisms; a wrong Jacobian must be caught.
#include <reeve/mcmc/glm.hpp>
#include <reeve/mcmc/sbc.hpp>

#include <cmath>

#include "tests/support/pch.hpp"

namespace reeve::mcmc {
namespace {

struct Line {
  static constexpr std::size_t parameters = 2;
  template <class X, class T>
  static T f(const X& x, std::span<const T> t) {
    return t[0] + t[1] * x;
  }
};
struct Emax {
  static constexpr std::size_t parameters = 3;
  template <class X, class T>
  static T f(const X& x, std::span<const T> t) {
    return t[0] + t[1] * x / (x + t[2]);
  }
};

Parameters line_parameters() {
  Parameters p;
  p.add("a", normal(0, 1)).add("b", normal(0, 1)).add("sigma", lognormal(-0.5, 0.5));
  return p;
}
Parameters emax_parameters() {
  Parameters p;
  p.add("e0", normal(0, 1))
      .add("emax", normal(0, 2))
      .add("ec50", lognormal(-1, 0.7))
      .add("sigma", lognormal(-1, 0.5));
  return p;
}

template <class F>
SbcResult run_sbc(const Parameters& p, std::size_t fits,
                  std::function<Density(Density)> spoil = {}) {
  SbcOptions o;
  o.fits = fits;
  o.sampling.draws = 250;
  return calibrate(
      p, prior_of(p),
      [&](Random& random, std::span<const double> theta) {
        std::vector<double> x(40), y(40);
        for (std::size_t i = 0; i < x.size(); ++i) {
          x[i] = random.uniform(0.02, 2);
          y[i] = F::f(x[i], theta) + theta.back() * random.normal();
        }
        const Density d = regression<F>(p, Columns({x, y}), Family::normal);
        return spoil ? spoil(d) : d;
      },
      o);
}

TEST(Sbc, line_and_emax_are_calibrated) {
  EXPECT_GT(run_sbc<Line>(line_parameters(), 100).worst(), 1e-3);
  EXPECT_GT(run_sbc<Emax>(emax_parameters(), 100).worst(), 1e-3);
}

TEST(SbcFull, line_and_emax_are_calibrated_over_a_thousand_fits) {
  for (const auto& r :
       {run_sbc<Line>(line_parameters(), 1000), run_sbc<Emax>(emax_parameters(), 1000)}) {
    for (std::size_t i = 0; i < r.names.size(); ++i)
      std::printf("%s p = %.4f\n", r.names[i].c_str(), r.p_value[i]);
    EXPECT_GT(r.worst(), 1e-3);
  }
}

// The classic mistake: sampling log sigma without the Jacobian of the transform. Few data make it
// matter.
TEST(Sbc, a_wrong_jacobian_is_caught) {
  Parameters p;
  p.add("mu", normal(0, 1)).add("sigma", lognormal(0, 1));
  const auto simulate = [&](bool wrong) {
    return [&p, wrong](Random& random, std::span<const double> theta) {
      std::vector<double> y(3);
      for (double& v : y) v = theta[0] + theta[1] * random.normal();
      Parameters like = p;
      return density<2>(like, [y, wrong](auto t) {
        using std::log;
        using T = typename decltype(t)::value_type;
        T lp = 0.0;
        for (const double v : y) lp += normal_lpdf(v, t[0], t[1]);
        return wrong ? T(lp - log(t[1])) : lp;  // takes log |d sigma / d q| away again
      });
    };
  };
  SbcOptions o;
  o.fits = 300;
  o.sampling.draws = 250;
  EXPECT_GT(calibrate(p, prior_of(p), simulate(false), o).worst(), 1e-3);
  EXPECT_LT(calibrate(p, prior_of(p), simulate(true), o).worst(), 1e-3);
}

}  // namespace
}  // namespace reeve::mcmc
