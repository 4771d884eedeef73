// Log densities: from a gradient of your own, or from one templated function.
#pragma once

#include <reeve/mcmc/dual.hpp>
#include <reeve/mcmc/isa.hpp>
#include <reeve/mcmc/parameters.hpp>
#include <reeve/mcmc/tape.hpp>

#include <concepts>
#include <functional>
#include <memory>
#include <span>
#include <utility>
#include <vector>

namespace reeve::mcmc {

/// What a density is asked for: log p(theta) up to a constant and, when `gradient` is not empty,
/// its derivatives. `evaluate` is called from one thread at a time per copy of a sampler, but by
/// several samplers at once: it must be safe to call concurrently.
class Model {
 public:
  virtual ~Model() = default;
  virtual double evaluate(std::span<const double> theta, std::span<double> gradient) const = 0;
};

/// A log density over named, constrained parameters, seen by samplers as a function on R^n: it adds
/// the transforms' Jacobians and the priors. A cheap handle; copies share the model.
///
/// Errors: a std::domain_error, NaN or infinity of the model means "outside the support": log
/// density
///         -infinity. Any other exception passes through the sampler to its caller.
class Density {
 public:
  Density(Parameters parameters, std::shared_ptr<const Model> model, bool has_gradient = true);

  std::size_t dimension() const noexcept { return parameters_->free_size(); }
  const Parameters& parameters() const noexcept { return *parameters_; }
  bool has_gradient() const noexcept { return has_gradient_; }
  const Model& model() const noexcept { return *model_; }

  /// Log density and gradient at an unconstrained point.
  double evaluate(std::span<const double> q, std::span<double> gradient) const;
  double value(std::span<const double> q) const;
  /// Constrained values at `q`, for output.
  void constrain(std::span<const double> q, std::span<double> theta) const noexcept {
    parameters_->constrain(q, theta);
  }

 private:
  std::shared_ptr<const Parameters> parameters_;
  std::shared_ptr<const Model> model_;
  bool has_gradient_;
};

/// double f(theta, gradient): writes the gradient itself.
template <class F>
concept GradientFunction = requires(const F& f, std::span<const double> t, std::span<double> g) {
  { f(t, g) } -> std::convertible_to<double>;
};
/// T f(std::span<const T> theta) for any number type T.
template <class F>
concept GenericFunction =
    requires(const F& f, std::span<const double> t, std::span<const Dual<8>> d) {
      { f(t) } -> std::convertible_to<double>;
      { f(d) } -> std::convertible_to<Dual<8>>;
    };

namespace detail {

template <class F>
struct GradientModel final : Model {
  explicit GradientModel(F fn) : f(std::move(fn)) {}
  double evaluate(std::span<const double> theta, std::span<double> gradient) const override {
    if (!gradient.empty()) return f(theta, gradient);
    std::vector<double> unused(theta.size());
    return f(theta, std::span<double>(unused));
  }
  F f;
};

/// M::differentiate compiled for an instruction set, the user's function inlined into it.
template <class M>
using Differentiate = double (*)(const M&, std::span<const double>, std::span<double>);
template <class M>
[[gnu::flatten]] double differentiate_baseline(const M& m, std::span<const double> theta,
                                               std::span<double> gradient) {
  return m.differentiate(theta, gradient);
}
#if defined(__x86_64__)
template <class M>
REEVE_TARGET_AVX2 double differentiate_avx2(const M& m, std::span<const double> theta,
                                            std::span<double> gradient) {
  return m.differentiate(theta, gradient);
}
template <class M>
REEVE_TARGET_AVX512 double differentiate_avx512(const M& m, std::span<const double> theta,
                                                std::span<double> gradient) {
  return m.differentiate(theta, gradient);
}
#endif
template <class M>
Differentiate<M> select_differentiate(Isa isa) noexcept {
#if defined(__x86_64__)
  if (isa == Isa::avx512) return &differentiate_avx512<M>;
  if (isa == Isa::avx2) return &differentiate_avx2<M>;
#endif
  (void)isa;
  return &differentiate_baseline<M>;
}

// D known: one pass of D partials.
template <std::size_t D, class F>
struct FixedModel final : Model {
  explicit FixedModel(F fn) : f(std::move(fn)) {}
  double evaluate(std::span<const double> theta, std::span<double> gradient) const override {
    return gradient.empty() ? double(f(theta)) : run(*this, theta, gradient);
  }
  double differentiate(std::span<const double> theta, std::span<double> gradient) const {
    Dual<D> x[D];
    for (std::size_t i = 0; i < D; ++i) x[i] = Dual<D>::variable(theta[i], i);
    const Dual<D> lp = f(std::span<const Dual<D>>(x, D));
    for (std::size_t i = 0; i < D; ++i) gradient[i] = lp.partial[i];
    return lp.value;
  }
  F f;
  Differentiate<FixedModel> run = select_differentiate<FixedModel>(best_isa());
};

// D known at run time: chunks of 8 partials up to 48 parameters, above that the tape.
template <class F>
struct GenericModel final : Model {
  explicit GenericModel(F fn) : f(std::move(fn)) {}
  double evaluate(std::span<const double> theta, std::span<double> gradient) const override {
    if (gradient.empty()) return f(theta);
    return theta.size() <= 48 ? run(*this, theta, gradient) : taped(theta, gradient);
  }
  double differentiate(std::span<const double> theta, std::span<double> gradient) const {
    Dual<8> x[48];
    const std::size_t n = theta.size();
    double value = 0;
    for (std::size_t from = 0; from < n; from += 8) {
      const std::size_t to = from + 8 < n ? from + 8 : n;
      for (std::size_t i = 0; i < n; ++i) x[i] = Dual<8>::variable(theta[i], i - from);
      const Dual<8> lp = f(std::span<const Dual<8>>(x, n));
      for (std::size_t i = from; i < to; ++i) gradient[i] = lp.partial[i - from];
      value = lp.value;
    }
    return value;
  }
  double taped(std::span<const double> theta, std::span<double> gradient) const {
    static thread_local Tape tape;
    static thread_local std::vector<Var> x;
    x.resize(theta.size());
    tape.restart(theta.size());
    for (std::size_t i = 0; i < x.size(); ++i)
      x[i] = Var(theta[i], static_cast<std::uint32_t>(i + 1));
    Tape* const outer = std::exchange(Tape::active(), &tape);
    struct Restore {
      Tape* outer;
      ~Restore() { Tape::active() = outer; }
    } restore{outer};
    const Var lp = f(std::span<const Var>(x));
    tape.differentiate(lp.node, gradient);
    return lp.value;
  }
  F f;
  Differentiate<GenericModel> run = select_differentiate<GenericModel>(best_isa());
};

}  // namespace detail

/// A density with a gradient of your own, on the constrained scale.
template <GradientFunction F>
Density density(Parameters parameters, F f) {
  return {std::move(parameters), std::make_shared<detail::GradientModel<F>>(std::move(f))};
}
/// A templated density, differentiated automatically.
///
/// Cost: ceil(n / 8) evaluations with 8 partials up to n = 48; above, one evaluation on a tape.
///       `density<D>` with D = n known at compile time is 2-3 times faster.
template <GenericFunction F>
  requires(!GradientFunction<F>)
Density density(Parameters parameters, F f) {
  return {std::move(parameters), std::make_shared<detail::GenericModel<F>>(std::move(f))};
}
/// D is parameters.size(), at most 32. Errors: ConfigError when it is not.
template <std::size_t D, GenericFunction F>
  requires(D > 0 && D <= 32)
Density density(Parameters parameters, F f);

template <class F>
  requires(GradientFunction<F> || GenericFunction<F>)
Density density(std::size_t dimension, F f) {
  return density(Parameters(dimension), std::move(f));
}
template <std::size_t D, GenericFunction F>
Density density(F f) {
  return density<D>(Parameters(D), std::move(f));
}

/// A density without a gradient: for random-walk Metropolis and tempered SMC.
Density value_density(Parameters parameters, std::function<double(std::span<const double>)> f);
/// Central differences (2 n evaluations a gradient, error about 1e-10): only because you asked.
Density with_central_differences(Parameters parameters,
                                 std::function<double(std::span<const double>)> f);

namespace detail {
void check_dimension(std::size_t declared, std::size_t actual);
}

template <std::size_t D, GenericFunction F>
  requires(D > 0 && D <= 32)
Density density(Parameters parameters, F f) {
  detail::check_dimension(D, parameters.size());
  return {std::move(parameters), std::make_shared<detail::FixedModel<D, F>>(std::move(f))};
}

}  // namespace reeve::mcmc
