// Simulation-based calibration of every mechanism and family as the engine fits them.
#include <reeve/mcmc/sbc.hpp>

#include "inference/standard.hpp"
#include "tests/inference/inference_test_support.hpp"
#include "tests/support/sanitizers.hpp"

namespace reeve::inference {
namespace {

constexpr std::size_t rows = 40;
// Sanitizers look for other faults than these, at a tenth of the speed.
constexpr std::size_t short_count = reeve::test::sanitized ? 20 : 100;

// A response with this mean, or of this linear predictor.
double response(mcmc::Random& random, Family family, double eta, double extra) {
  switch (family) {
    case Family::student:
      return eta + extra * random.normal() / std::sqrt(random.gamma(2, 0.5));
    case Family::bernoulli:
      return random.uniform() < 1 / (1 + std::exp(-eta)) ? 1 : 0;
    case Family::poisson:
      return random.poisson(std::exp(eta));
    case Family::negative_binomial:
      return random.poisson(random.gamma(extra, std::exp(eta) / extra));
    default:
      return eta + extra * random.normal();
  }
}

// Rows on the standard scale, where the priors are written: the cause from 0 to 1.
LinkData simulated_rows(mcmc::Random& random, const Mechanism& mechanism, Family family,
                        std::span<const double> theta) {
  LinkData data;
  data.name = mechanism.name();
  data.family = family;
  for (std::size_t i = 0; i < rows; ++i) {
    data.x.push_back(i < 2 ? double(i) : random.uniform());
    const double eta = mechanism.mean(data.x[i], theta.first(mechanism.parameters().size()));
    data.y.push_back(response(random, family, eta, theta.back()));
  }
  return data;
}

using Spoil = std::function<mcmc::Density(const mcmc::Density&)>;

mcmc::SbcResult calibrated(const Mechanism& mechanism, Family family, std::size_t fits,
                           const Spoil& spoil = {}) {
  LinkData any;
  any.family = family;
  any.x = {0, 1};
  any.y = {0, 1};
  const mcmc::Parameters parameters = density_on({}, 1, any, mechanism).parameters();
  mcmc::SbcOptions options;
  options.fits = fits;
  options.sampling.draws = 250;
  return mcmc::calibrate(
      parameters, mcmc::prior_of(parameters),
      [&](mcmc::Random& random, std::span<const double> theta) {
        const mcmc::Density d =
            density_on({}, 1, simulated_rows(random, mechanism, family, theta), mechanism);
        return spoil ? spoil(d) : d;
      },
      options);
}

void expect_calibrated(const Mechanism& mechanism, Family family, std::size_t fits) {
  const auto result = calibrated(mechanism, family, fits);
  for (std::size_t i = 0; i < result.names.size(); ++i) {
    std::printf("%s, %s, %s: p = %.4f\n", mechanism.name().c_str(), to_string(family),
                result.names[i].c_str(), result.p_value[i]);
    EXPECT_GT(result.p_value[i], 1e-3)
        << mechanism.name() << ", " << to_string(family) << ", " << result.names[i];
  }
}

void every_mechanism(std::size_t fits) {
  for (const auto& mechanism : all_mechanisms()) expect_calibrated(mechanism, Family::normal, fits);
}
void every_family(std::size_t fits) {
  for (const Family family :
       {Family::student, Family::bernoulli, Family::poisson, Family::negative_binomial})
    expect_calibrated(linear(), family, fits);
}

TEST(Calibration, EveryMechanism) {
  every_mechanism(short_count);
}
TEST(Calibration, EveryFamily) {
  every_family(short_count);
}
TEST(CalibrationFull, EveryMechanismOverAThousandFits) {
  every_mechanism(1000);
}
TEST(CalibrationFull, EveryFamilyOverAThousandFits) {
  every_family(1000);
}

// The Jacobian of a positive parameter left out, as if log ec50 were ec50.
struct WithoutJacobian final : mcmc::Model {
  WithoutJacobian(mcmc::Density d, std::size_t p) : density(std::move(d)), parameter(p) {}
  double evaluate(std::span<const double> theta, std::span<double> gradient) const override {
    const double lp = density.model().evaluate(theta, gradient);
    if (!gradient.empty()) gradient[parameter] -= 1 / theta[parameter];
    return lp - std::log(theta[parameter]);
  }
  mcmc::Density density;
  std::size_t parameter;
};

TEST(Calibration, AWrongJacobianIsCaught) {
  const auto spoilt = [](const mcmc::Density& d) {
    return mcmc::Density(d.parameters(), std::make_shared<WithoutJacobian>(d, 2));
  };
  const auto result = calibrated(emax(), Family::normal, 300, spoilt);
  EXPECT_LT(result.worst(), 1e-3);
  EXPECT_LT(result.p_value[2], 1e-3) << "ec50, whose Jacobian is missing";
}

}  // namespace
}  // namespace reeve::inference
