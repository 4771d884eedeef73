// The backward sweep of the tape, and the digamma function.
#include <reeve/mcmc/dual.hpp>
#include <reeve/mcmc/tape.hpp>

namespace reeve::mcmc {

Tape*& Tape::active() noexcept {
  static thread_local Tape* tape = nullptr;
  return tape;
}

void Tape::differentiate(std::uint32_t result, std::span<double> gradient) {
  adjoint_.assign(nodes_.size(), 0.0);
  if (result != 0) {
    adjoint_[result] = 1;
    for (std::size_t i = result; i > gradient.size(); --i) {
      const double bar = adjoint_[i];
      if (bar == 0) continue;
      const Node& node = nodes_[i];
      adjoint_[node.a] += bar * node.da;
      adjoint_[node.b] += bar * node.db;
    }
  }
  for (std::size_t i = 0; i < gradient.size(); ++i) gradient[i] = adjoint_[i + 1];
}

Var lgamma(Var a) {
  return detail::unary(std::lgamma(a.value), a, digamma(a.value));
}

// Recurrence up to 10, then the asymptotic series (Abramowitz and Stegun 6.3.18).
double digamma(double x) noexcept {
  double shift = 0;
  while (x < 10) {
    shift -= 1 / x;
    x += 1;
  }
  const double z = 1 / (x * x);
  const double series =
      z * (1.0 / 12 - z * (1.0 / 120 -
                           z * (1.0 / 252 -
                                z * (1.0 / 240 - z * (1.0 / 132 - z * (691.0 / 32760 - z / 12))))));
  return shift + std::log(x) - 0.5 / x - series;
}

}  // namespace reeve::mcmc
