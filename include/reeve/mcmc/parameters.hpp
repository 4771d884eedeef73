// Named parameters with constraints: transforms to unconstrained space with their Jacobians.
#pragma once

#include <reeve/mcmc/prior.hpp>

#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace reeve::mcmc {

/// How one group of parameters is mapped between the space a density is written in and R^n.
struct ParameterBlock {
  enum class Kind { real, lower, upper, interval, simplex, ordered, correlation };
  std::string name;
  Kind kind = Kind::real;
  std::size_t free = 1;         ///< unconstrained coordinates
  std::size_t constrained = 1;  ///< values that the density sees
  double low = 0, high = 0;
  Prior prior;
  bool scalar = true;  ///< its name carries no index
};

/// The parameters of a model, in order. A prior's support chooses the transform; without a prior
/// the parameter is flat on its constrained scale, as in Stan.
///
/// Source: Stan reference manual, "Constraint transforms"; LKJ Cholesky factors by tanh partial
///         correlations.
class Parameters {
 public:
  Parameters() = default;
  /// `count` unnamed reals: q.1, q.2, ...
  explicit Parameters(std::size_t count);

  /// A prior that reaches beyond the parameter's range is cut there, and not normalised anew, as in
  /// Stan.
  ///
  /// Errors: ConfigError for an empty or repeated name, a size of 0, low >= high, and a prior whose
  ///         support does not cover the parameter's range (half_normal for a `real`).
  Parameters& add(std::string name, Prior prior);
  Parameters& real(std::string name, std::size_t count = 0, Prior prior = {});
  Parameters& positive(std::string name, std::size_t count = 0, Prior prior = {});
  Parameters& lower(std::string name, double low, std::size_t count = 0, Prior prior = {});
  Parameters& upper(std::string name, double high, std::size_t count = 0, Prior prior = {});
  Parameters& interval(std::string name, double low, double high, std::size_t count = 0,
                       Prior prior = {});
  Parameters& simplex(std::string name, std::size_t size);
  Parameters& ordered(std::string name, std::size_t size, Prior prior = {});
  /// Lower Cholesky factor of a size x size correlation matrix, row by row; LKJ(1): flat on
  /// matrices.
  Parameters& correlation(std::string name, std::size_t size);

  std::size_t free_size() const noexcept { return free_; }
  std::size_t size() const noexcept { return constrained_; }
  const std::vector<ParameterBlock>& blocks() const noexcept { return blocks_; }
  /// "beta.1", "beta.2", "sigma": one per constrained value.
  std::vector<std::string> names() const;

  /// theta = T(q); returns log |dT/dq| (for a correlation: with the LKJ term).
  double constrain(std::span<const double> q, std::span<double> theta) const noexcept;
  /// Turns d/dtheta into d/dq and adds the slope of log |dT/dq|.
  void pull_back(std::span<const double> q, std::span<const double> theta,
                 std::span<const double> theta_gradient,
                 std::span<double> q_gradient) const noexcept;
  /// q = T^-1(theta). Errors: ConfigError for a value outside its support.
  void unconstrain(std::span<const double> theta, std::span<double> q) const;
  /// Sum of the priors' log densities; adds their slopes to `gradient`.
  double add_priors(std::span<const double> theta, std::span<double> gradient) const noexcept;
  bool has_priors() const noexcept { return has_priors_; }
  /// All blocks real: constrain is a copy.
  bool trivial() const noexcept { return trivial_; }

 private:
  Parameters& push(ParameterBlock block);
  std::vector<ParameterBlock> blocks_;
  std::size_t free_ = 0, constrained_ = 0;
  bool has_priors_ = false, trivial_ = true;
};

}  // namespace reeve::mcmc
